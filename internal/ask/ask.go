// Package ask asks programs that may ask a human in turn: at most one of them at
// a time until one was answered, and none any more once the human or the store refused.
package ask

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// A Func asks for one reference.
type Func func(context.Context, resolve.Ref) (resolve.Secret, error)

// Each is like [resolve.Each], but asks one by one until the store has answered
// once: by then who was to be asked for a password or a finger has been. When one
// meets a store that is closed, all that have no answer yet fail as that one did.
func Each(ctx context.Context, refs []resolve.Ref, most int, ask Func) []resolve.Result {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	careful := func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		if err := closed(ctx); err != nil {
			return resolve.Secret{}, err
		}
		secret, err := ask(ctx, ref)
		if shut(err) {
			stop(err)
		}
		if why := closed(ctx); err != nil && why != nil {
			return resolve.Secret{}, why
		}
		return secret, err
	}
	results := first(ctx, refs, careful)
	return append(results, resolve.Each(ctx, refs[len(results):], most, careful)...)
}

// first asks for one after the other until the store has answered, while no other store
// of this process does.
func first(ctx context.Context, refs []resolve.Ref, ask Func) (results []resolve.Result) {
	end, err := Turn(ctx)
	if err != nil {
		return resolve.Fail(len(refs), err)
	}
	defer end()
	for i := range refs {
		r := resolve.Each(ctx, refs[i:i+1], 1, ask)[0]
		if results = append(results, r); answered(r.Err) {
			break
		}
	}
	return results
}

// closed returns the failure that ended ctx, if one did.
func closed(ctx context.Context) error {
	if err := context.Cause(ctx); shut(err) {
		return err
	}
	return nil
}

// shut reports whether others need not be asked: they would ask the human again.
func shut(err error) bool {
	switch resolve.ClassOf(err) {
	case resolve.NotLoggedIn, resolve.Locked, resolve.Expired, resolve.PromptNeeded:
		return true
	}
	return false
}

// answered reports whether the store looked for the reference.
func answered(err error) bool {
	switch resolve.ClassOf(err) {
	case resolve.NotFound, resolve.Ambiguous, resolve.Denied:
		return true
	}
	return err == nil
}

// Again asks up to three times, while the store is throttled and the deadline
// leaves time. It returns the last error.
func Again(ctx context.Context, ask func() error) error {
	for try := 0; ; try++ {
		err := ask()
		if resolve.ClassOf(err) != resolve.Throttled || try == 2 {
			return err
		}
		wait := 200 * time.Millisecond << try
		wait += rand.N(wait) // so that not all come back at once
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait+100*time.Millisecond {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}
