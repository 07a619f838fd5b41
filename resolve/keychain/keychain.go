// Package keychain keeps secrets in the operating system's own store: the Secret
// Service on Linux (GNOME Keyring, KWallet, KeePassXC), the login keychain on
// macOS, the Credential Manager on Windows.
//
// A reference is an account of the service "keyzero", or service/account. The
// first slash separates them: a service is one word in practice, while people
// give accounts paths of their own (myapp/prod/db). So an account with a
// slash in it is written with its service, keyzero/prod/db, and a service whose
// name has a slash cannot be referred to.
//
// On Linux reading never opens a prompt. Elsewhere the system decides: macOS may
// ask the user to unlock the keychain, and ctx only ends the waiting for it.
package keychain

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

const (
	defaultService = "keyzero"
	maxRef         = 1 << 10
)

// A Provider reads and writes one user's keychain.
type Provider struct {
	env []string
}

// New returns the Provider of the keychain that a process with the environment
// env would use. On Linux that is DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR;
// elsewhere env does not count.
func New(env []string) *Provider { return &Provider{env} }

// Fetch implements [resolve.Provider]. A secret in a locked keychain is Locked.
// Where several items fit a reference, as when two programs stored one each, the
// one that was modified last is meant; it is Ambiguous if they are of the same
// second and differ.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	var items []item
	var at []int
	for i, ref := range refs {
		it, err := parse(ref.Path)
		if err != nil {
			results[i].Err = err
			continue
		}
		items, at = append(items, it), append(at, i)
	}
	if len(items) == 0 {
		return results
	}
	for j, r := range p.fetch(ctx, items) {
		results[at[j]] = r
	}
	return results
}

// Store implements [resolve.Storer]. If the keychain is locked the system may ask
// the user to unlock it. When ctx ends meanwhile, Store returns, but the
// question stays on the screen as long as this process lives, and an
// answer to it still stores the value.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	it, err := parse(ref.Path)
	if err != nil {
		return err
	}
	// What could be stored but never loaded is better refused while its owner looks on.
	if err := resolve.CheckValue(secret); err != nil {
		return err
	}
	return p.store(ctx, it, secret.Reveal())
}

// Delete removes every item that ref refers to: after it Fetch finds none. It
// does not unlock anything.
func (p *Provider) Delete(ctx context.Context, ref resolve.Ref) error {
	it, err := parse(ref.Path)
	if err != nil {
		return err
	}
	return p.delete(ctx, it)
}

// Available returns nil if there is a keychain that answers and is unlocked. It
// opens no prompt. On macOS and Windows it cannot tell a locked keychain from an
// open one.
func (p *Provider) Available(ctx context.Context) error { return p.available(ctx) }

// An item is what a reference refers to.
type item struct {
	service, account string
}

func parse(path string) (item, error) {
	switch {
	case path == "":
		return item{}, resolve.Errorf(resolve.Malformed, "the reference is empty")
	case len(path) > maxRef:
		return item{}, resolve.Errorf(resolve.Malformed, "the reference has %d bytes, more than %d", len(path), maxRef)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		// A newline would be a second command to macOS's security, and a bus hangs up on invalid UTF-8.
		return item{}, resolve.Errorf(resolve.Malformed, "reference %q: has control characters or is not UTF-8", path)
	}
	service, account, found := strings.Cut(path, "/")
	if !found {
		return item{defaultService, path}, nil
	}
	if service == "" || account == "" {
		return item{}, resolve.Errorf(resolve.Malformed, "reference %q: want account or service/account", path)
	}
	return item{service, account}, nil
}
