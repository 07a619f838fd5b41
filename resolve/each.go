package resolve

import (
	"context"
	"sync"
)

// Each asks for refs one by one, at most so many at the same time, and returns a
// Result for each in their order. It is for stores that have no batches. ask
// returns soon after ctx is done.
func Each(ctx context.Context, refs []Ref, most int, ask func(context.Context, Ref) (Secret, error)) []Result {
	results := make([]Result, len(refs))
	slots := make(chan struct{}, most)
	var wg sync.WaitGroup
	for i, ref := range refs {
		slots <- struct{}{} // soon free, for ask returns soon after ctx is done
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = one(ctx, ref, ask)
		})
	}
	wg.Wait()
	return results
}

// one keeps a crash to the reference that led to it, as [All] does for a store.
func one(ctx context.Context, ref Ref, ask func(context.Context, Ref) (Secret, error)) (r Result) {
	defer func() {
		if recover() != nil {
			r = Result{Err: ErrCrashed}
		}
	}()
	secret, err := ask(ctx, ref)
	return Result{Secret: secret, Err: err}
}
