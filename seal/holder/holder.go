// Package holder keeps keys for a while where the system guards them, so that
// what is sealed on disk opens for the same user and login, and for nobody who
// only has the disk.
package holder

import (
	"context"
	"errors"
	"time"

	"github.com/getkeyzero/kz/seal"
)

// A Holder keeps keys under names, each for at most a time.
type Holder interface {
	// Keep keeps key under name for d, in place of what it kept under it before.
	Keep(ctx context.Context, name string, key seal.Key, d time.Duration) error
	// Key returns the key, or an error that wraps [ErrNoKey].
	Key(ctx context.Context, name string) (seal.Key, error)
	// Forget drops the key. That there was none is no error.
	Forget(ctx context.Context, name string) error
	// About says who keeps the keys and from whom.
	About() About
}

// About describes a holder to people, in a few lower-case words each.
type About struct {
	Name    string // "kernel keyring of the login session", "keychain", "none"
	Against string // whom it keeps out, and whom not
}

// ErrNoKey says that a holder has no key of a name: never had, or not any more.
var ErrNoKey = errors.New("no key is held")

// ErrNone says that there is no holder here.
var ErrNone = errors.New("neither the kernel nor a keychain keeps keys here")

// Longest is how long a key may be kept.
const Longest = 7 * 24 * time.Hour
