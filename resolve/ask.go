package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Batch is what one Provider is asked.
type Batch struct {
	Provider Provider
	Refs     []Ref
}

// A Pool asks several stores by one call.
type Pool interface {
	// Fetch returns for each batch what its provider's Fetch would.
	Fetch(ctx context.Context, batches []Batch) [][]Result
}

// A Pooled provider is asked together with the others of its Pool.
type Pooled interface {
	Provider
	Pool() Pool // of a type that can be compared
}

// grace is how long Ask waits, after the context ended, for providers to
// return on their own. What they had fetched by then still counts.
const grace = 50 * time.Millisecond

// ErrCrashed stands for a panic of a provider, whose text may hold a value.
var ErrCrashed = errors.New("provider crashed")

// Ask asks for all batches at once, those of one pool by one call, and returns the
// Results of each. It returns when all have answered or shortly after ctx is done,
// whichever is first, even if a provider does not heed ctx: what is missing then is
// Timeout, or context.Canceled when ctx was cancelled.
func Ask(ctx context.Context, batches []Batch) [][]Result {
	pools := pools(batches)
	answers := make(chan answer, len(pools)) // room for all, so that a late one does not block
	for pool, of := range pools {
		asked := make([]Batch, len(of))
		for i, b := range of {
			asked[i] = batches[b]
		}
		go func() { answers <- answer{of, ask(ctx, pool, asked)} }()
	}
	results := make([][]Result, len(batches))
	for range pools {
		a, ok := await(ctx, answers)
		if !ok {
			break
		}
		for i, b := range a.of {
			results[b] = a.results[i]
		}
	}
	for b := range results {
		if results[b] == nil {
			results[b] = Fail(len(batches[b].Refs), ended(ctx))
		}
	}
	return results
}

// An answer has the results of the batches with the numbers of.
type answer struct {
	of      []int
	results [][]Result
}

// pools returns which batches are asked for by one call each. A provider without a
// pool is one of its own.
func pools(batches []Batch) map[Pool][]int {
	pools := map[Pool][]int{}
	for i, b := range batches {
		var pool Pool = alone{i}
		if p, ok := b.Provider.(Pooled); ok {
			pool = p.Pool()
		}
		pools[pool] = append(pools[pool], i)
	}
	return pools
}

// alone is the pool of the only batch with that number.
type alone struct{ number int }

func (alone) Fetch(ctx context.Context, batches []Batch) [][]Result {
	b := batches[0]
	if b.Provider == nil {
		return failed(batches, Errorf(NoTool, "no such provider"))
	}
	return [][]Result{b.Provider.Fetch(ctx, b.Refs)}
}

// ask keeps a crash to the stores of the pool: it must cost its own secrets and not
// the shell's prompt. The panic's text may hold a value, so it is not passed on.
func ask(ctx context.Context, pool Pool, batches []Batch) (results [][]Result) {
	defer func() {
		if recover() != nil {
			results = failed(batches, ErrCrashed)
		}
	}()
	results = slices.Clone(pool.Fetch(ctx, batches))
	if len(results) != len(batches) {
		return failed(batches, fmt.Errorf("pool gave %d answers to %d batches", len(results), len(batches)))
	}
	for i, b := range batches {
		if n := len(b.Refs); len(results[i]) != n {
			results[i] = Fail(n, fmt.Errorf("provider gave %d answers to %d references", len(results[i]), n))
		}
	}
	return results
}

func failed(batches []Batch, err error) [][]Result {
	results := make([][]Result, len(batches))
	for i, b := range batches {
		results[i] = Fail(len(b.Refs), err)
	}
	return results
}

// await returns the next answer, or false when ctx and the grace after it ended first.
func await(ctx context.Context, answers <-chan answer) (answer, bool) {
	select {
	case a := <-answers:
		return a, true
	case <-ctx.Done():
	}
	select {
	case a := <-answers:
		return a, true
	case <-time.After(grace):
		return answer{}, false
	}
}

func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &Error{Class: Timeout}
}
