package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/vault"
)

// passphraseFile names a file with the vault's passphrase, for machines without a
// human: CI and containers.
const passphraseFile = "KEYZERO_VAULT_PASSPHRASE_FILE"

// vaultKey returns the data key of the vault with that ID without asking anybody:
// from what kz vault unlock left, from the keychain if the vault has a slot for it
// and was not locked on purpose, or by the passphrase that was given with the
// command or in a file. Else its error wraps [holder.ErrNoKey].
func (inv *invocation) vaultKey(ctx context.Context, id string) (seal.Key, error) {
	key, locked := inv.lease(ctx).Key(ctx, id)
	if locked == nil {
		return key, nil
	}
	v, err := vault.Open(inv.places.vault)
	if err != nil {
		return seal.Key{}, err
	}
	if key, err := inv.keychainKey(ctx, v); err == nil && inv.vaultMark() != vaultLocked {
		return key, nil
	}
	passphrase, given, err := inv.givenPassphrase()
	if err != nil {
		return seal.Key{}, err
	}
	if !given {
		return seal.Key{}, locked
	}
	return v.Unlock(passphrase)
}

func (inv *invocation) lease(ctx context.Context) vault.Lease {
	return vault.Lease{Dir: inv.places.leases, Holder: inv.holder(ctx), Now: clock.Now}
}

// keychainKey returns the data key by way of a slot whose key the keychain has.
func (inv *invocation) keychainKey(ctx context.Context, v *vault.Vault) (seal.Key, error) {
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

// newKeychainSlot puts a random key into the keychain and returns the slot for it.
func (inv *invocation) newKeychainSlot(ctx context.Context) (vault.NewSlot, error) {
	key, name := seal.NewKey(), "vault-"+strings.ToLower(rand.Text()[:10])
	text := resolve.NewSecret(base64.StdEncoding.EncodeToString(key.Reveal()))
	if err := keychain.New(inv.env.List()).Store(ctx, slotRef(name), text); err != nil {
		return vault.NewSlot{}, fmt.Errorf("keychain: %w", err)
	}
	return vault.KeychainSlot(name, key), nil
}

// The mark of the vault changes whenever it is locked or unlocked, which is what
// shells watch that met it locked.
const vaultLocked = "locked"

func (inv *invocation) vaultMarkPath() string { return filepath.Join(inv.places.marks, "vault") }

func (inv *invocation) vaultMark() string {
	text, _ := os.ReadFile(inv.vaultMarkPath())
	return string(text)
}

// givenPassphrase returns the passphrase that came with the command, or that is in
// the file that the environment names.
func (inv *invocation) givenPassphrase() (passphrase resolve.Secret, given bool, err error) {
	var f *os.File
	switch path := inv.env[passphraseFile]; {
	case inv.passphraseFD != "":
		fd, err := strconv.Atoi(inv.passphraseFD)
		if err != nil || fd < 0 {
			return passphrase, false, usageError("--passphrase-fd: not the number of a descriptor")
		}
		f = os.NewFile(uintptr(fd), "--passphrase-fd")
	case path == "":
		return passphrase, false, nil
	default:
		if f, err = openPrivate(path); err != nil {
			return passphrase, false, fmt.Errorf("%s: %w", passphraseFile, err)
		}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTyped))
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if err == nil && text == "" {
		err = &refusal{"the passphrase that was given is empty", ""}
	}
	return resolve.NewSecret(text), err == nil, err
}

// openPrivate opens a file that nobody but the user, or root, may have written,
// and that not everybody can read.
func openPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		st := info.Sys().(*syscall.Stat_t)
		owned := int(st.Uid) == os.Geteuid() || st.Uid == 0
		if !info.Mode().IsRegular() || !owned || info.Mode().Perm()&(fs.FileMode(0o026)) != 0 {
			err = &refusal{path + ": other users can read or write it", "chmod 600 " + shellWord(path)}
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// askPassphrase returns the passphrase that was given, or has it typed: twice if
// it is a new one.
func (inv *invocation) askPassphrase(ctx context.Context, what string, twice bool) (resolve.Secret, error) {
	passphrase, given, err := inv.givenPassphrase()
	if err != nil || given {
		return passphrase, err
	}
	return inv.typePassphrase(ctx, what, twice)
}

func (inv *invocation) typePassphrase(ctx context.Context, what string, twice bool) (resolve.Secret, error) {
	if !term.IsTerminal(int(inv.stdin.Fd())) {
		return resolve.Secret{}, &refusal{"there is no terminal to type a passphrase at; --passphrase-fd or " + passphraseFile + " gives one", ""}
	}
	first, err := inv.typeHidden(ctx, what)
	if err != nil {
		return resolve.Secret{}, err
	}
	if first == "" {
		return resolve.Secret{}, &refusal{"nothing was typed", ""}
	}
	if twice {
		second, err := inv.typeHidden(ctx, "the same again")
		if err != nil {
			return resolve.Secret{}, err
		}
		if second != first {
			return resolve.Secret{}, &refusal{"the two are not the same; nothing was changed", ""}
		}
	}
	return resolve.NewSecret(first), nil
}

func (inv *invocation) typeHidden(ctx context.Context, what string) (string, error) {
	defer fmt.Fprintln(inv.stderr)
	return readHidden(ctx, inv.stdin, func() { fmt.Fprintf(inv.stderr, "%s: ", what) })
}
