package holder

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/getkeyzero/kz/seal"
)

// brief is how long a keychain may hold up what the kernel has settled, and
// settle how long it may take to say that it is there.
const (
	brief  = 500 * time.Millisecond
	settle = time.Second
)

// Choose returns the holder for a process with the environment env: the kernel
// where it answers, else a keychain that does, else [None]. Keys that the kernel
// does not take go to the keychain. It asks the keychain only where the kernel
// does not answer, and opens no prompt on Linux.
func Choose(ctx context.Context, env []string) Holder {
	second := Keychain(env).(inKeychain)
	if first, err := Kernel(); err == nil {
		return chain{first, second, new(atomic.Bool)}
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	switch {
	case second.answers(ctx):
		return second
	case ctx.Err() != nil:
		return none{"the keychain does not answer"}
	}
	return None()
}

// A chain is two holders, the second for what the first does not take: the
// kernel has a quota for each user, and may be forbidden to some programs. At most
// one of them has a key of a name.
type chain struct {
	first, second Holder
	silent        *atomic.Bool // the second took too long once, and is not asked again
}

// ask calls f with a context that is short, unless the second holder is silent.
func (c chain) ask(ctx context.Context, f func(context.Context) error) error {
	if c.silent.Load() {
		return ErrNoKey
	}
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	err := f(ctx)
	if ctx.Err() != nil {
		c.silent.Store(true)
	}
	return err
}

func (c chain) Keep(ctx context.Context, name string, key seal.Key, d time.Duration) error {
	if err := check(name, d); err != nil {
		return err
	}
	firstErr := c.first.Keep(ctx, name, key, d)
	if firstErr == nil {
		// An older key there would come up when this one's time is out.
		_ = c.ask(ctx, func(ctx context.Context) error { return c.second.Forget(ctx, name) })
		return nil
	}
	if err := c.second.Keep(ctx, name, key, d); err != nil {
		return fmt.Errorf("%w; %w", firstErr, err)
	}
	return c.hide(ctx, name)
}

// hide drops the older key of the first holder, which Key would still prefer. If
// that cannot be and Key gives one, the newer was kept in vain.
func (c chain) hide(ctx context.Context, name string) error {
	err := c.first.Forget(ctx, name)
	if err == nil {
		return nil
	}
	if _, keyErr := c.first.Key(ctx, name); keyErr != nil {
		return nil
	}
	return err
}

func (c chain) Key(ctx context.Context, name string) (seal.Key, error) {
	key, firstErr := c.first.Key(ctx, name)
	if firstErr == nil {
		return key, nil
	}
	err := c.ask(ctx, func(ctx context.Context) (err error) {
		key, err = c.second.Key(ctx, name)
		return err
	})
	if err == nil {
		return key, nil
	}
	return seal.Key{}, firstErr
}

// Forget asks both. The keychain has a key only if the kernel had no room for it,
// so one that is locked, silent or not there is no reason to say that a key is held.
func (c chain) Forget(ctx context.Context, name string) error {
	err := c.first.Forget(ctx, name)
	_ = c.ask(ctx, func(ctx context.Context) error { return c.second.Forget(ctx, name) })
	return err
}

func (c chain) About() About { return c.first.About() }
