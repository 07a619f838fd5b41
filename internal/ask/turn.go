package ask

import (
	"context"
	"errors"

	"github.com/getkeyzero/kz/resolve"
)

// turn is held by the store that may be asking a human, the only one of this process.
var turn = make(chan struct{}, 1)

// Turn waits until no other store may be asking a human, and returns what ends the
// turn of this one. Two prompts at once, one over the other, would be answered wrongly.
func Turn(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, resolve.Errorf(resolve.Timeout, "another store had a human to ask all the while")
	}
	return nil, ctx.Err()
}
