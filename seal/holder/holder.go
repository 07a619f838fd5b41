// Package holder keeps keys for a while where the system guards them, so that
// what is sealed on disk opens for the same user and login, and for nobody who
// only has the disk.
package holder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/seal"
)

// A Holder keeps keys under names, each for at most a time. Names are no secret.
type Holder interface {
	// Keep keeps key under name for d, in place of what it kept under it before.
	// d is more than nothing and at most [Longest].
	Keep(ctx context.Context, name string, key seal.Key, d time.Duration) error
	// Key returns the key, or an error that wraps [ErrNoKey], and the cause too if it
	// could not be told whether there is one: the keychain is locked, ctx is done.
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

// maxName is the most bytes of a name: every holder has room for it.
const maxName = 512

func checkName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("a key cannot be held under the name %.40q", name)
	}
	return nil
}

func check(name string, d time.Duration) error {
	if d <= 0 || d > Longest {
		return fmt.Errorf("a key is held for at most %v, and cannot be for %v", Longest, d)
	}
	return checkName(name)
}

// noKey is the error of Key when a holder failed for the cause err.
func noKey(err error) error { return fmt.Errorf("%w: %w", ErrNoKey, err) }
