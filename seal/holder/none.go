package holder

import (
	"context"
	"time"

	"github.com/getkeyzero/kz/seal"
)

type none struct{ why string }

// None returns the holder that keeps nothing: Keep says [ErrNone].
func None() Holder { return none{} }

func (none) Keep(context.Context, string, seal.Key, time.Duration) error { return ErrNone }

func (none) Key(context.Context, string) (seal.Key, error) { return seal.Key{}, noKey(ErrNone) }

func (none) Forget(context.Context, string) error { return nil }

func (n none) About() About {
	about := About{"none", "no key is kept: what is sealed opens with its passphrase only, and nothing is cached"}
	if n.why != "" {
		about.Name += ", as " + n.why
	}
	return about
}
