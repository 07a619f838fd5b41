package resolve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxValue is the most bytes that one value may have: an environment string of
// Linux, name and all, ends at 128 KiB, and shells copy values several times.
const MaxValue = 64 << 10

// A Request asks for one reference of one provider.
type Request struct {
	Provider string // a key of the map given to All
	Ref      Ref
	Field    string // key or JSON pointer into a JSON value, "" for the whole value

	// TTL is how long the value is good, 0 if that has no end. Stale is for how
	// much longer it will do when the store cannot be reached.
	TTL, Stale time.Duration
	// Scope is not empty if the value may be kept until then: it stands for all
	// that the answer depends on besides the reference.
	Scope string
}

// grace is how long All waits, after the context ended, for providers to
// return on their own. What they had fetched by then still counts.
const grace = 50 * time.Millisecond

// All asks every provider at once, each with one batch, and returns a Result
// for each request in the order of requests. Equal references are asked once.
// It returns when all have answered or shortly after ctx is done, whichever is
// first, even if a provider does not heed ctx: what is missing then is Timeout,
// or context.Canceled when ctx was cancelled.
func All(ctx context.Context, providers map[string]Provider, requests []Request) []Result {
	results := Fail(len(requests), nil)
	batches := batch(requests)
	answers := make(chan answer, len(batches)) // room for all, so that a late one does not block
	for pool, names := range pools(providers, batches) {
		go func() { fetch(ctx, pool, providers, names, batches, answers) }()
	}
	for i := range results {
		results[i].Err = errPending
	}
	for range batches {
		a, ok := await(ctx, answers)
		if !ok {
			break
		}
		a.spread(requests, results)
	}
	for i := range results {
		if results[i].Err == errPending {
			results[i].Err = ended(ctx)
		}
		results[i].Left = requests[i].TTL
	}
	return results
}

var (
	errPending = errors.New("pending")
	errCrashed = errors.New("provider crashed")
)

// A refBatch is what one provider is asked: distinct refs, and which requests each serves.
type refBatch struct {
	refs   []Ref
	serves [][]int
}

type answer struct {
	batch   *refBatch
	results []Result
}

func batch(requests []Request) map[string]*refBatch {
	batches := map[string]*refBatch{}
	at := map[string]map[Ref]int{}
	for i, r := range requests {
		b := batches[r.Provider]
		if b == nil {
			b = &refBatch{}
			batches[r.Provider], at[r.Provider] = b, map[Ref]int{}
		}
		j, seen := at[r.Provider][r.Ref]
		if !seen {
			j = len(b.refs)
			at[r.Provider][r.Ref] = j
			b.refs = append(b.refs, r.Ref)
			b.serves = append(b.serves, nil)
		}
		b.serves[j] = append(b.serves[j], i)
	}
	return batches
}

// pools returns the names of the providers that are asked by one call each. The ones
// that belong to no pool are a pool of one.
func pools(providers map[string]Provider, batches map[string]*refBatch) map[Pool][]string {
	pools := map[Pool][]string{}
	for name := range batches {
		var pool Pool = alone{name}
		if p, ok := providers[name].(Pooled); ok {
			pool = p.Pool()
		}
		pools[pool] = append(pools[pool], name)
	}
	return pools
}

// alone is the pool of a provider that has none.
type alone struct{ name string }

func (alone) Fetch(ctx context.Context, batches []Batch) [][]Result {
	return [][]Result{batches[0].Provider.Fetch(ctx, batches[0].Refs)}
}

// fetch asks a pool for the batches of these names, and sends an answer for each.
func fetch(ctx context.Context, pool Pool, providers map[string]Provider, names []string, batches map[string]*refBatch, answers chan<- answer) {
	var asked []Batch
	var of []*refBatch
	for _, name := range names {
		if b := batches[name]; providers[name] != nil {
			asked, of = append(asked, Batch{providers[name], b.refs}), append(of, b)
		} else {
			answers <- answer{b, Fail(len(b.refs), Errorf(NoTool, "no such provider"))}
		}
	}
	if len(asked) == 0 {
		return
	}
	for i, results := range ask(ctx, pool, asked) {
		if n := len(of[i].refs); len(results) != n {
			results = Fail(n, fmt.Errorf("provider gave %d answers to %d references", len(results), n))
		}
		answers <- answer{of[i], results}
	}
}

// ask keeps a crash to the stores of the pool: it must cost its own secrets and not
// the shell's prompt. The panic's text may hold a value, so it is not passed on.
func ask(ctx context.Context, pool Pool, batches []Batch) (results [][]Result) {
	defer func() {
		if recover() != nil {
			results = failed(batches, errCrashed)
		}
	}()
	results = pool.Fetch(ctx, batches)
	if len(results) != len(batches) {
		results = failed(batches, fmt.Errorf("pool gave %d answers to %d batches", len(results), len(batches)))
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

func (a answer) spread(requests []Request, results []Result) {
	for j, r := range a.results {
		for _, i := range a.batch.serves[j] {
			results[i] = finish(r, requests[i].Field)
		}
	}
}

// finish applies the field and the checks that hold for every store's values.
func finish(r Result, field string) Result {
	if errors.Is(r.Err, context.DeadlineExceeded) {
		r.Err = &Error{Class: Timeout}
	}
	if r.Err != nil {
		return Result{Err: r.Err}
	}
	if field != "" {
		text, err := pick(r.Secret.Reveal(), field)
		if err != nil {
			return Result{Err: err}
		}
		r.Secret = NewSecret(text)
	}
	if err := CheckValue(r.Secret); err != nil {
		return Result{Err: err}
	}
	return Result{Secret: r.Secret}
}

// CheckValue returns an error of class Malformed if an environment variable
// cannot hold the value.
func CheckValue(s Secret) error {
	text := s.Reveal()
	switch {
	case len(text) > MaxValue:
		return Errorf(Malformed, "the value has %d bytes, more than %d", len(text), MaxValue)
	case strings.ContainsRune(text, 0):
		return Errorf(Malformed, "the value has a NUL byte, which no environment can hold")
	}
	return nil
}

func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &Error{Class: Timeout}
}
