package rest

import (
	"context"
	"sync"
)

// A Session is what all requests of a process sign in to once.
type Session[T any] struct {
	mu    sync.Mutex
	tried bool
	value T
	err   error
}

// Get returns what came of begin, which is called by the first only; the others wait for
// it. Whatever it was stands, unless that it ended with its ctx. begin returns soon
// after ctx is done.
func (s *Session[T]) Get(ctx context.Context, begin func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		var none T
		return none, err
	}
	if s.tried {
		return s.value, s.err
	}
	value, err := begin(ctx)
	if ctx.Err() == nil {
		s.tried, s.value, s.err = true, value, err
	}
	return value, err
}
