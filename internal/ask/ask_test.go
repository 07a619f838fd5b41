package ask

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

func refs(n int) (refs []resolve.Ref) {
	for i := range n {
		refs = append(refs, resolve.Ref{Path: fmt.Sprint(i)})
	}
	return refs
}

// The first that is answered opens the door to the others.
func TestOneAtATimeUntilAnswered(t *testing.T) {
	for class, alone := range map[resolve.Class]int32{"": 1, resolve.NotFound: 1, resolve.Denied: 1, resolve.Ambiguous: 1, resolve.Unreachable: 2, resolve.Malformed: 2} {
		var asked, at, most atomic.Int32
		results := Each(context.Background(), refs(12), 4, func(context.Context, resolve.Ref) (resolve.Secret, error) {
			n := asked.Add(1)
			now := at.Add(1)
			defer at.Add(-1)
			if n <= alone && now != 1 {
				t.Errorf("%q: the store was asked %d times at once", class, now)
			}
			time.Sleep(5 * time.Millisecond)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			if n == 1 && class != "" {
				return resolve.Secret{}, &resolve.Error{Class: class}
			}
			return resolve.NewSecret("v"), nil
		})
		if asked.Load() != 12 || most.Load() < 2 || most.Load() > 4 {
			t.Errorf("%q: asked %d times, %d at once", class, asked.Load(), most.Load())
		}
		if resolve.ClassOf(results[0].Err) != class || results[11].Secret.Reveal() != "v" {
			t.Errorf("%q: leads to %v ... %v", class, results[0], results[11])
		}
	}
}

func TestStopsAtAClosedDoor(t *testing.T) {
	for _, class := range []resolve.Class{resolve.NotLoggedIn, resolve.Locked, resolve.Expired, resolve.PromptNeeded} {
		for _, at := range []int32{1, 2, 5} {
			var asked atomic.Int32
			results := Each(context.Background(), refs(100), 4, func(ctx context.Context, _ resolve.Ref) (resolve.Secret, error) {
				if n := asked.Add(1); n == at {
					return resolve.Secret{}, resolve.Hinted(class, "op signin", "")
				} else if n > at {
					<-ctx.Done()
					return resolve.Secret{}, ctx.Err()
				}
				return resolve.NewSecret("v"), nil
			})
			if asked.Load() > at+4 {
				t.Errorf("%s at %d: asked %d times", class, at, asked.Load())
			}
			failed := 0
			for _, r := range results {
				if resolve.ClassOf(r.Err) == class {
					failed++
				} else if r.Err != nil {
					t.Fatalf("%s at %d: leads to %v", class, at, r.Err)
				}
			}
			if want := 100 - int(at) + 1; failed != want {
				t.Errorf("%s at %d: %d failed, want %d", class, at, failed, want)
			}
		}
	}
}

func TestAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		deadline  time.Duration
		throttled int
		asked     int
		class     resolve.Class
	}{
		"at once":       {10 * time.Second, 0, 1, ""},
		"soon":          {10 * time.Second, 2, 3, ""},
		"never":         {10 * time.Second, 9, 3, resolve.Throttled},
		"no time":       {250 * time.Millisecond, 9, 1, resolve.Throttled},
		"another error": {10 * time.Second, -1, 1, resolve.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), tt.deadline)
			defer cancel()
			asked := 0
			err := Again(ctx, func() error {
				asked++
				switch {
				case tt.throttled < 0:
					return &resolve.Error{Class: resolve.Denied}
				case asked <= tt.throttled:
					return &resolve.Error{Class: resolve.Throttled}
				}
				return nil
			})
			if asked != tt.asked || resolve.ClassOf(err) != tt.class || ctx.Err() != nil {
				t.Errorf("asked %d times, %v; want %d times, class %q", asked, err, tt.asked, tt.class)
			}
		})
	}
}
