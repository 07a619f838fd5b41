package holder

import (
	"context"
	"fmt"
	"time"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// brief is how long a keychain may hold up what the kernel has settled.
const brief = 500 * time.Millisecond

// Choose returns the holder for a process with the environment env: the kernel
// where it answers, else a keychain that does, else [None]. Keys that the kernel
// does not take go to the keychain. It asks the keychain only where the kernel
// does not answer, and opens no prompt on Linux.
func Choose(ctx context.Context, env []string) Holder {
	second := Keychain(env).(inKeychain)
	if first, err := Kernel(); err == nil {
		return chain{first, second}
	}
	if second.answers(ctx) {
		return second
	}
	return None()
}

// A chain is two holders, the second for what the first does not take: the
// kernel has a quota for each user, and may be forbidden to some programs. At most
// one of them has a key of a name.
type chain struct {
	first, second Holder
}

func (c chain) Keep(ctx context.Context, name string, key seal.Key, d time.Duration) error {
	if err := check(name, d); err != nil {
		return err
	}
	firstErr := c.first.Keep(ctx, name, key, d)
	if firstErr == nil {
		ctx, cancel := context.WithTimeout(ctx, brief)
		defer cancel()
		_ = c.second.Forget(ctx, name) // an older key there would come up when this one's time is out
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
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	key, err := c.second.Key(ctx, name)
	if err == nil {
		return key, nil
	}
	return seal.Key{}, firstErr
}

// Forget asks both. A keychain that is not there holds no key.
func (c chain) Forget(ctx context.Context, name string) error {
	firstErr := c.first.Forget(ctx, name)
	err := c.second.Forget(ctx, name)
	switch {
	case firstErr != nil:
		return firstErr
	case resolve.ClassOf(err) == resolve.Unreachable:
		return nil
	}
	return err
}

func (c chain) About() About {
	about := c.first.About()
	about.Against += "; what it has no room for goes to the keychain"
	return about
}
