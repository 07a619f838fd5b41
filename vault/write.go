package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// Backup is what is appended to the name of a vault for the file that it was
// before the last change.
const Backup = ".bak"

// Create makes a vault without entries and returns its data key. The error
// wraps [fs.ErrExist] if there is a file.
func Create(ctx context.Context, path string, slots ...NewSlot) (seal.Key, error) {
	v, key, err := build(nil, slots)
	if err == nil {
		err = ctx.Err() // a passphrase takes its time
	}
	if err != nil {
		return seal.Key{}, err
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return seal.Key{}, err
	}
	defer unlock()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return seal.Key{}, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if err := atomicfile.Write(path, v.bytes(), 0o600); err != nil {
		return seal.Key{}, err
	}
	return key, nil
}

// Export returns a vault of its own that has these entries and opens with the
// passphrase alone: a backup that can be kept anywhere. Parse reads it.
func Export(entries map[string]resolve.Secret, passphrase resolve.Secret, cost seal.Cost) ([]byte, error) {
	v, _, err := build(entries, []NewSlot{PassphraseSlot("export", passphrase, cost)})
	if err != nil {
		return nil, err
	}
	return v.bytes(), nil
}

// build returns a new vault with a key of its own.
func build(entries map[string]resolve.Secret, slots []NewSlot) (*Vault, seal.Key, error) {
	v, key := &Vault{}, seal.NewKey()
	_, _ = rand.Read(v.id[:])
	var made []slot
	for _, n := range slots {
		s, err := n.wrap(v.id, key)
		if err != nil {
			return nil, seal.Key{}, err
		}
		made = append(made, s)
	}
	if err := v.setEntries(key, entries); err != nil {
		return nil, seal.Key{}, err
	}
	if err := v.setSlots(key, made); err != nil {
		return nil, seal.Key{}, err
	}
	return v, key, checkSize(v)
}

// Update lets change edit the entries, and writes them. No other writer comes
// between. If change fails the vault stays as it is and the error is change's.
// The file before is kept beside it, as path with ".bak".
func Update(ctx context.Context, path string, key seal.Key, change func(map[string]resolve.Secret) error) error {
	return edit(ctx, path, key, keepBefore, func(v *Vault) error {
		entries, err := v.Entries(key)
		if err != nil {
			return err
		}
		before := maps.Clone(entries)
		if err := change(entries); err != nil {
			return err
		}
		if maps.EqualFunc(before, entries, sameSecret) {
			return nil
		}
		return v.setEntries(key, entries)
	})
}

func sameSecret(a, b resolve.Secret) bool { return a.Reveal() == b.Reveal() }

// AddSlot adds a slot after the others.
func AddSlot(ctx context.Context, path string, key seal.Key, n NewSlot) error {
	return edit(ctx, path, key, keepBefore, func(v *Vault) error {
		s, err := n.wrap(v.id, key)
		if err != nil {
			return err
		}
		return v.setSlots(key, append(slices.Clip(v.slots), s))
	})
}

// RemoveSlot removes the slot of that name, from the backup beside the vault as
// well. The last slot is not removed. The data key stays the same: who kept
// another copy of the file, and what opened the slot, can still read the vault.
// Rekey is against that.
func RemoveSlot(ctx context.Context, path string, key seal.Key, name string) error {
	return edit(ctx, path, key, keepAfter, func(v *Vault) error {
		at, err := v.slot(name)
		if err != nil {
			return err
		}
		return v.setSlots(key, slices.Delete(slices.Clone(v.slots), at, at+1))
	})
}

// Passwd gives the passphrase slot of n's name another passphrase and cost. What
// is said of RemoveSlot is true of the earlier passphrase.
func Passwd(ctx context.Context, path string, key seal.Key, n NewSlot) error {
	return edit(ctx, path, key, keepAfter, func(v *Vault) error {
		at, err := v.slot(n.Name)
		if err != nil {
			return err
		}
		if n.Kind != Passphrase || v.slots[at].Kind != Passphrase {
			return fmt.Errorf("slot %q has no passphrase", n.Name)
		}
		s, err := n.wrap(v.id, key)
		if err != nil {
			return err
		}
		slots := slices.Clone(v.slots)
		slots[at] = s
		return v.setSlots(key, slots)
	})
}

// Rekey seals the entries under a new data key, which it returns, with these
// slots and no others. The vault gets a new ID. What was known of the old one
// opens neither it nor the backup beside it.
func Rekey(ctx context.Context, path string, key seal.Key, slots ...NewSlot) (seal.Key, error) {
	var next seal.Key
	err := edit(ctx, path, key, keepAfter, func(v *Vault) error {
		entries, err := v.Entries(key)
		if err != nil {
			return err
		}
		var made *Vault
		made, next, err = build(entries, slots)
		if err == nil {
			*v = *made
		}
		return err
	})
	return next, err
}

func (v *Vault) slot(name string) (at int, err error) {
	at = slices.IndexFunc(v.slots, func(s slot) bool { return s.Name == name })
	if at < 0 {
		return 0, fmt.Errorf("%w: %q", ErrNoSlot, name)
	}
	return at, nil
}

// What the backup has after an edit: the file of before, or, where that would
// open with what was just taken away, that of after.
type keep int

const (
	keepBefore keep = iota
	keepAfter
)

// edit changes the vault at path under its lock.
func edit(ctx context.Context, path string, key seal.Key, k keep, change func(*Vault) error) error {
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := Open(path)
	if err != nil {
		return err
	}
	if err := old.check(key); err != nil {
		return err
	}
	next := *old
	if err := change(&next); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // a passphrase takes its time
		return err
	}
	return replace(path, k, old, &next)
}

// replace writes the backup and the vault, if they differ.
func replace(path string, k keep, old, next *Vault) error {
	before, after := old.bytes(), next.bytes()
	if bytes.Equal(before, after) {
		return nil
	}
	if err := checkSize(next); err != nil {
		return err
	}
	if k == keepBefore {
		if err := atomicfile.Write(path+Backup, before, 0o600); err != nil {
			return err
		}
	}
	if err := atomicfile.Write(path, after, 0o600); err != nil || k == keepBefore {
		return err
	}
	if err := atomicfile.Write(path+Backup, after, 0o600); err != nil {
		return fmt.Errorf("the vault was changed, and its backup still has what was taken away: %w", err)
	}
	return nil
}

func checkSize(v *Vault) error {
	if n := len(v.bytes()); n > MaxFile {
		return fmt.Errorf("the vault would have %d bytes, more than %d", n, MaxFile)
	}
	return nil
}
