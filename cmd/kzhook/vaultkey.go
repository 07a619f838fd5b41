package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/vault"
)

// vaultKey returns the data key of the vault with that ID without asking anybody:
// by the passphrase that was given with the command or in a file or, unless the
// vault was locked on purpose, from what kz vault unlock left, or from the keychain
// if the vault has a slot for it. Else its error wraps [holder.ErrNoKey].
func (inv *invocation) vaultKey(ctx context.Context, id string) (seal.Key, error) {
	locked := fmt.Errorf("the vault is locked: %w", holder.ErrNoKey)
	if !inv.vaultMark().locked {
		key, err := inv.lease(ctx).Key(ctx, id)
		if err == nil {
			return key, nil
		}
		locked = err
	}
	v, err := vault.Open(inv.places.vault)
	if err != nil {
		return seal.Key{}, err
	}
	if !inv.vaultMark().locked {
		if key, err := inv.keychainKey(ctx, v); err == nil {
			return key, nil
		}
	}
	secret, from, err := inv.givenPassphrase(ctx)
	switch {
	case err != nil:
		return seal.Key{}, err
	case from == "":
		return seal.Key{}, locked
	}
	return inv.unlockOnce(ctx, v, secret, from)
}

// unlockOnce unlocks the vault with a passphrase that came with the command. That
// takes its time, so it is not done for each secret.
func (inv *invocation) unlockOnce(ctx context.Context, v *vault.Vault, secret resolve.Secret, from string) (seal.Key, error) {
	inv.reading.Lock()
	defer inv.reading.Unlock()
	if inv.opened.id == v.ID() {
		return inv.opened.key, nil
	}
	key, err := v.Unlock(secret)
	if isOne(err, vault.ErrPassphrase, vault.ErrNoSlot) {
		err = fmt.Errorf("%s: %w", from, err)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		inv.opened.id, inv.opened.key = v.ID(), key
	}
	return key, err
}

func (inv *invocation) lease(ctx context.Context) vault.Lease {
	return vault.Lease{Dir: inv.places.leases, Holder: inv.holder(ctx), Now: clock.Now, Epoch: inv.vaultMark().epoch}
}

// keychainPatience is how long a keychain may take. One that hangs must not hang kz.
const keychainPatience = 3 * time.Second

// keychainKey returns the data key by way of a slot whose key the keychain has.
func (inv *invocation) keychainKey(ctx context.Context, v *vault.Vault) (seal.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, keychainPatience)
	defer cancel()
	for _, s := range v.Slots() {
		if s.Kind != vault.Keychain {
			continue
		}
		result := keychain.New(inv.env.List()).Fetch(ctx, []resolve.Ref{slotRef(s.Name)})[0]
		if result.Err != nil {
			continue
		}
		data, _ := base64.StdEncoding.DecodeString(result.Secret.Reveal())
		slotKey, err := seal.KeyFrom(data)
		if err != nil {
			continue
		}
		if key, err := v.UnlockWith(slotKey); err == nil {
			return key, nil
		}
	}
	return seal.Key{}, holder.ErrNoKey
}

func slotRef(name string) resolve.Ref { return resolve.Ref{Path: config.Own + "/" + name} }

// newKeychainSlot puts a random key into the keychain and returns the slot for
// it. If that does not come into the vault, forgetSlot is to be called.
func (inv *invocation) newKeychainSlot(ctx context.Context) (vault.NewSlot, error) {
	ctx, cancel := context.WithTimeout(ctx, keychainPatience)
	defer cancel()
	store := keychain.New(inv.env.List())
	// To store in a locked keychain would ask the user to unlock it.
	if err := store.Available(ctx); err != nil {
		return vault.NewSlot{}, fmt.Errorf("keychain: %w", err)
	}
	key, name := seal.NewKey(), "vault-"+strings.ToLower(rand.Text()[:10])
	text := resolve.NewSecret(base64.StdEncoding.EncodeToString(key.Reveal()))
	if err := store.Store(ctx, slotRef(name), text); err != nil {
		_ = inv.forgetSlot(ctx, name) // it may have been stored in the end
		return vault.NewSlot{}, fmt.Errorf("keychain: %w", err)
	}
	return vault.KeychainSlot(name, key), nil
}

// forgetSlot has the keychain forget the key of a slot, be it that ctx is done.
func (inv *invocation) forgetSlot(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keychainPatience)
	defer cancel()
	err := keychain.New(inv.env.List()).Delete(ctx, slotRef(name))
	if resolve.ClassOf(err) == resolve.NotFound {
		return nil
	}
	return err
}

// A vaultMark says whether the vault was locked on purpose. The file changes
// whenever it is locked or unlocked, which is what shells watch that met it locked.
// It lies below the home directory, where all logins see it.
type vaultMark struct {
	locked bool
	epoch  string // another one after each locking
}

func (inv *invocation) vaultMarkPath() string { return filepath.Join(inv.places.marks, "vault") }

func (inv *invocation) vaultMark() vaultMark {
	text, err := os.ReadFile(inv.vaultMarkPath())
	if errors.Is(err, fs.ErrNotExist) {
		return vaultMark{}
	}
	state, rest, _ := strings.Cut(string(text), " ")
	epoch, _, _ := strings.Cut(rest, " ")
	return vaultMark{locked: err != nil || state == "locked", epoch: epoch}
}

func (inv *invocation) markLocked() error { return inv.markVault("locked " + rand.Text()) }

// markUnlocked lets leases of an epoch count again.
func (inv *invocation) markUnlocked(epoch string) error {
	return inv.markVault("unlocked " + epoch + " " + rand.Text())
}

func (inv *invocation) markVault(text string) error {
	if err := atomicfile.MkdirPrivate(inv.places.marks); err != nil {
		return err
	}
	return atomicfile.Write(inv.vaultMarkPath(), []byte(text), 0o600)
}
