// Package vaultfile resolves references to entries of kz's own vault. A
// reference is the name of an entry.
package vaultfile

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/vault"
)

// A Provider reads and writes one vault.
type Provider struct {
	Path string
	// Key returns the data key of the vault with that ID, as [vault.Lease.Key]
	// does: its error wraps [holder.ErrNoKey] if the vault is locked.
	Key func(ctx context.Context, id string) (seal.Key, error)
}

// Fetch implements [resolve.Provider]. The file is read once, so that all values
// are of one version. A damaged vault is Malformed; the error wraps the vault's.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	var entries map[string]resolve.Secret
	var err error
	read := false
	for i, ref := range refs {
		if results[i].Err = check(ref); results[i].Err != nil {
			continue
		}
		if !read {
			entries, err = p.entries(ctx)
			read = true
		}
		results[i] = find(entries, err, ref.Path)
	}
	return results
}

func find(entries map[string]resolve.Secret, err error, name string) resolve.Result {
	if err != nil {
		return resolve.Result{Err: err}
	}
	secret, ok := entries[name]
	if !ok {
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "the vault has no entry %q", name)}
	}
	return resolve.Result{Secret: secret}
}

func (p *Provider) entries(ctx context.Context) (map[string]resolve.Secret, error) {
	v, key, err := p.open(ctx)
	if err != nil {
		return nil, classify(err)
	}
	entries, err := v.Entries(key)
	if err != nil {
		return nil, classify(err)
	}
	return entries, nil
}

func (p *Provider) open(ctx context.Context) (*vault.Vault, seal.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, seal.Key{}, err
	}
	v, err := vault.Open(p.Path)
	if errors.Is(err, fs.ErrNotExist) { // of Key's errors it would mean another file
		return nil, seal.Key{}, failure{&resolve.Error{Class: resolve.NotFound, Cause: "there is no vault"}, err}
	}
	if err != nil {
		return nil, seal.Key{}, err
	}
	key, err := p.Key(ctx, v.ID())
	return v, key, err
}

// Available returns nil if there is a vault, it is unlocked, and its entries can be read.
func (p *Provider) Available(ctx context.Context) error {
	_, err := p.entries(ctx)
	return err
}

// Store implements [resolve.Storer].
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	if err := check(ref); err != nil {
		return err
	}
	// What could be stored but never loaded is better refused while its owner looks on.
	if err := resolve.CheckValue(secret); err != nil {
		return err
	}
	_, key, err := p.open(ctx)
	if err != nil {
		return classify(err)
	}
	err = vault.Update(ctx, p.Path, key, func(entries map[string]resolve.Secret) error {
		entries[ref.Path] = secret
		return nil
	})
	if err != nil {
		return classify(err)
	}
	return nil
}

func check(ref resolve.Ref) error {
	switch name := ref.Path; {
	case name == "":
		return resolve.Errorf(resolve.Malformed, "the reference is empty")
	case len(name) > vault.MaxName:
		return resolve.Errorf(resolve.Malformed, "the reference has %d bytes, more than %d", len(name), vault.MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return resolve.Errorf(resolve.Malformed, "reference %q: has control characters or is not UTF-8", name)
	}
	return nil
}

// A failure is an error of a class that also wraps its cause, so that a damaged
// vault can be told from a malformed reference.
type failure struct {
	class *resolve.Error
	cause error
}

func (f failure) Error() string   { return f.class.Error() }
func (f failure) Unwrap() []error { return []error{f.class, f.cause} }

// classify gives err a class if it has one. No error of a vault, or of what
// holds its key, shows a secret.
func classify(err error) error {
	as := func(class resolve.Class, text string) error {
		return failure{&resolve.Error{Class: class, Cause: text}, err}
	}
	switch {
	case resolve.ClassOf(err) != "", errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, holder.ErrNoKey), errors.Is(err, holder.ErrNone):
		return as(resolve.Locked, "the vault is locked")
	case errors.Is(err, vault.ErrPassphrase):
		return as(resolve.Locked, err.Error())
	case errors.Is(err, vault.ErrUnsafe), errors.Is(err, fs.ErrPermission):
		return as(resolve.Denied, err.Error())
	case errors.Is(err, vault.ErrBusy):
		return as(resolve.Timeout, err.Error())
	}
	for _, bad := range []error{vault.ErrNotVault, vault.ErrDamaged, vault.ErrNewer, seal.ErrWeak, seal.ErrCostly} {
		if errors.Is(err, bad) {
			return as(resolve.Malformed, err.Error())
		}
	}
	return err
}
