// Package vault keeps secrets in one encrypted file.
//
// A random data key seals the entries. Slots in the file's header wrap that key:
// under a passphrase, or under a key that the system's keychain has. So slots
// come and go, and the passphrase changes, while the entries stay as they are.
// docs/vault-format.md has the format and what it protects against.
//
// No error of this package holds a value, a passphrase or a key.
package vault

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// Limits of a vault. That of a value is [resolve.MaxValue].
const (
	MaxFile    = 8 << 20 // bytes of the file
	MaxEntries = 4096
	MaxName    = 1 << 10 // bytes of an entry's name
	MaxSlots   = 16
)

// What may be wrong with a vault. Errors of this package wrap these.
var (
	ErrNotVault   = errors.New("not a vault")
	ErrDamaged    = errors.New("damaged, or changed by somebody without its key")
	ErrNewer      = errors.New("written by a newer kz")
	ErrUnsafe     = errors.New("other users may have read or written it")
	ErrPassphrase = errors.New("wrong passphrase")
	ErrKey        = errors.New("not the key of any slot")
	ErrNoSlot     = errors.New("no such slot")
	ErrNoEntry    = errors.New("no such entry")
	ErrBusy       = errors.New("another kz is writing to it")
)

// An Error is what is wrong with the file at Path.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Purposes of what the keys seal and sum. A later format has others.
const (
	purposeSlot    = "vault 1 slot"
	purposeFile    = "vault 1 file"
	purposeEntries = "vault 1 entries"
)

// A Vault is a vault as it was read. It does not change with its file.
type Vault struct {
	id    [idSize]byte
	slots []slot
	mac   []byte
	body  []byte // the sealed entries

	path string // that it was read from, for messages
}

// Open reads the vault at path. It checks all that can be checked without a
// key. The file must be the user's own, and nobody else's to read or write.
func Open(path string) (*Vault, error) {
	data, err := readOwn(path, MaxFile)
	if err != nil {
		return nil, err
	}
	v, err := Parse(data)
	if err != nil {
		return nil, &Error{path, err}
	}
	v.path = path
	return v, nil
}

// damaged is ErrDamaged of the file that the vault was read from, if any.
func (v *Vault) damaged() error {
	if v.path == "" {
		return ErrDamaged
	}
	return &Error{v.path, ErrDamaged}
}

// ID returns what tells this vault from every other: 32 hexadecimal digits,
// chosen at random when it was made.
func (v *Vault) ID() string { return hex.EncodeToString(v.id[:]) }

// Slots returns the slots in their order.
func (v *Vault) Slots() []Slot {
	var slots []Slot
	for _, s := range v.slots {
		slots = append(slots, s.Slot)
	}
	return slots
}

// Unlock returns the data key by way of a passphrase. The error wraps
// ErrPassphrase if it opens no slot, ErrNoSlot if no slot has a passphrase, and
// ErrDamaged if it opens one of a file that was changed.
func (v *Vault) Unlock(passphrase resolve.Secret) (seal.Key, error) {
	return v.unlock(Passphrase, ErrPassphrase, func(s slot) (seal.Key, error) {
		return seal.FromPassphrase(passphrase.Reveal(), s.salt, s.Cost)
	})
}

// UnlockWith returns the data key by way of the key of a slot that has one. The
// error wraps ErrKey, ErrNoSlot or ErrDamaged, as for Unlock.
func (v *Vault) UnlockWith(slotKey seal.Key) (seal.Key, error) {
	return v.unlock(Keychain, ErrKey, func(slot) (seal.Key, error) { return slotKey, nil })
}

func (v *Vault) unlock(kind Kind, wrong error, keyOf func(slot) (seal.Key, error)) (seal.Key, error) {
	failure := fmt.Errorf("%w for a %v", ErrNoSlot, kind)
	for _, s := range v.slots {
		if s.Kind != kind {
			continue
		}
		slotKey, err := keyOf(s)
		if err != nil {
			return seal.Key{}, err
		}
		if key, err := slotKey.OpenKey(purposeSlot, s.place(v.id), s.wrapped); err == nil {
			return key, v.check(key)
		}
		failure = wrong
	}
	return seal.Key{}, failure
}

// check returns ErrDamaged unless the file is as a holder of the key wrote it.
func (v *Vault) check(key seal.Key) error {
	if subtle.ConstantTimeCompare(v.sum(key), v.mac) != 1 {
		return v.damaged()
	}
	return nil
}

// sum covers the entries as well: a header of before and entries of after,
// both genuine, would else bring back a slot that was removed.
func (v *Vault) sum(key seal.Key) []byte {
	return key.Sum(purposeFile, string(v.head()), string(v.body))
}

// Entries returns all entries.
func (v *Vault) Entries(key seal.Key) (map[string]resolve.Secret, error) {
	if err := v.check(key); err != nil {
		return nil, err
	}
	text, err := key.Open(purposeEntries, string(v.id[:]), v.body)
	if err != nil {
		return nil, v.damaged()
	}
	entries, err := decodeEntries(text)
	if err != nil {
		return nil, v.damaged()
	}
	return entries, nil
}

// Get returns the entry of that name, or an error that wraps ErrNoEntry.
func (v *Vault) Get(key seal.Key, name string) (resolve.Secret, error) {
	entries, err := v.Entries(key)
	if err != nil {
		return resolve.Secret{}, err
	}
	secret, ok := entries[name]
	if !ok {
		return resolve.Secret{}, fmt.Errorf("%w: %q", ErrNoEntry, name)
	}
	return secret, nil
}

// setEntries seals entries in place of those that were there.
func (v *Vault) setEntries(key seal.Key, entries map[string]resolve.Secret) error {
	text, err := encodeEntries(entries)
	if err != nil {
		return err
	}
	v.body = key.Seal(purposeEntries, string(v.id[:]), text)
	v.mac = v.sum(key)
	return nil
}

// setSlots puts slots in place of those that were there.
func (v *Vault) setSlots(key seal.Key, slots []slot) error {
	if err := checkSlots(slots); err != nil {
		return err
	}
	v.slots = slots
	v.mac = v.sum(key)
	return nil
}
