package resolve

import (
	"context"
	"errors"
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

// All asks every provider at once, each with one batch, and returns a Result
// for each request in the order of requests. Equal references are asked once.
// How it ends when ctx does, [Ask] says.
func All(ctx context.Context, providers map[string]Provider, requests []Request) []Result {
	batches, serves := batch(providers, requests)
	results := make([]Result, len(requests))
	for b, answers := range Ask(ctx, batches) {
		for j, r := range answers {
			for _, i := range serves[b][j] {
				results[i] = finish(r, requests[i].Field)
				results[i].Left = requests[i].TTL
			}
		}
	}
	return results
}

// batch returns for each provider a Batch of distinct references, and by batch and
// reference which requests it serves.
func batch(providers map[string]Provider, requests []Request) (batches []Batch, serves [][][]int) {
	of, at := map[string]int{}, map[string]map[Ref]int{}
	for i, r := range requests {
		b, known := of[r.Provider]
		if !known {
			b = len(batches)
			of[r.Provider], at[r.Provider] = b, map[Ref]int{}
			batches, serves = append(batches, Batch{Provider: providers[r.Provider]}), append(serves, nil)
		}
		j, seen := at[r.Provider][r.Ref]
		if !seen {
			j = len(batches[b].Refs)
			at[r.Provider][r.Ref] = j
			batches[b].Refs, serves[b] = append(batches[b].Refs, r.Ref), append(serves[b], nil)
		}
		serves[b][j] = append(serves[b][j], i)
	}
	return batches, serves
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
		picked, err := Pick(r.Secret, field)
		if err != nil {
			return Result{Err: err}
		}
		r.Secret = picked
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
