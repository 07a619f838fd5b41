package holder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
	"github.com/getkeyzero/kz/seal"
)

const (
	service = "keyzero-holder" // config.Own, by which projects cannot refer to it

	// patience is how long a keychain may take: a first start on a busy machine
	// took 1.6 s, and one that hangs must not hang kz.
	patience = 3 * time.Second
)

// An inKeychain keeps keys in the operating system's keychain.
type inKeychain struct {
	store *keychain.Provider
}

// Keychain returns the holder in the keychain that a process with the environment
// env would use. Its calls end with their contexts, and after three seconds at the
// latest. On Linux none of them asks the user anything; on macOS and
// Windows the system may.
func Keychain(env []string) Holder { return inKeychain{keychain.New(env)} }

func (k inKeychain) Keep(ctx context.Context, name string, key seal.Key, d time.Duration) error {
	if err := check(name, d); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// To store in a locked keychain would ask the user to unlock it, amid a prompt.
	if err := k.store.Available(ctx); err != nil {
		return keychainError(err)
	}
	return keychainError(k.store.Store(ctx, refTo(name), resolve.NewSecret(string(keptText(key, d)))))
}

func (k inKeychain) Key(ctx context.Context, name string) (seal.Key, error) {
	if err := checkName(name); err != nil {
		return seal.Key{}, noKey(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result := k.store.Fetch(ctx, []resolve.Ref{refTo(name)})[0]
	switch {
	case resolve.ClassOf(result.Err) == resolve.NotFound:
		return seal.Key{}, ErrNoKey
	case result.Err != nil:
		return seal.Key{}, noKey(keychainError(result.Err))
	}
	key, err := keptKey([]byte(result.Secret.Reveal()), clock.Now())
	if err == nil {
		return key, nil
	}
	if errors.Is(err, errOver) {
		_ = k.store.Delete(ctx, refTo(name)) // it is of no use to anybody
	}
	return seal.Key{}, noKey(err)
}

func (k inKeychain) Forget(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := k.store.Delete(ctx, refTo(name))
	if resolve.ClassOf(err) == resolve.NotFound {
		return nil
	}
	return keychainError(err)
}

// answers reports whether there is a keychain, be it locked: that changes from
// hour to hour, and the choice of a holder should not.
func (k inKeychain) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := k.store.Available(ctx)
	return err == nil || resolve.ClassOf(err) == resolve.Locked
}

func (k inKeychain) About() About {
	return About{
		"keychain",
		"on disk under the keychain's password; closed to other users, open to every program of this one while it is unlocked",
	}
}

func refTo(name string) resolve.Ref { return resolve.Ref{Path: service + "/" + name} }

func keychainError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("keychain: %w", err)
}
