package ask

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// Two stores of one run have a human to ask: the second asks when the first is answered.
func TestTwoStoresAskInTurn(t *testing.T) {
	var prompts, most atomic.Int32
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			var opened atomic.Bool
			results := Each(context.Background(), refs(6), 3, func(context.Context, resolve.Ref) (resolve.Secret, error) {
				if opened.Load() {
					return resolve.NewSecret("v"), nil
				}
				now := prompts.Add(1)
				defer prompts.Add(-1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				time.Sleep(30 * time.Millisecond)
				opened.Store(true)
				return resolve.NewSecret("v"), nil
			})
			for _, r := range results {
				if r.Err != nil || r.Secret.Reveal() != "v" {
					t.Errorf("leads to %v", r)
				}
			}
		})
	}
	both.Wait()
	if most.Load() != 1 {
		t.Errorf("%d prompts at once, want 1", most.Load())
	}
}

// Who waits for a turn keeps the deadline, and a turn ends even with a crash.
func TestTurn(t *testing.T) {
	end, err := Turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for _, r := range Each(short, refs(3), 2, nil) { // which would crash if it asked
		if resolve.ClassOf(r.Err) != resolve.Timeout {
			t.Errorf("leads to %v", r.Err)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, leave)
	if _, err := Turn(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a turn that nobody waits for leads to %v", err)
	}
	end()
	func() {
		defer func() { _ = recover() }()
		Each(t.Context(), refs(1), 1, func(context.Context, resolve.Ref) (resolve.Secret, error) { panic("x") })
	}()
	if _, err := Turn(short); err == nil {
		t.Error("a turn is to be had after the deadline")
	}
	again, err := Turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}
