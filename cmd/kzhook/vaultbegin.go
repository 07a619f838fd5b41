package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/vault"
)

func newVaultInit(inv *invocation) *cobra.Command {
	var withKeychain bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make the vault, and unlock it",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return inv.vaultInit(cmd.Context(), withKeychain) },
	}
	cmd.Flags().BoolVar(&withKeychain, "keychain", false, "have the keychain unlock it too")
	return inv.passphraseFlag(cmd)
}

func (inv *invocation) vaultInit(ctx context.Context, withKeychain bool) error {
	if _, err := os.Lstat(inv.places.vault); err == nil {
		return &refusal{"there is a vault already: " + inv.places.vault, program + " vault status"}
	}
	passphrase, err := inv.askPassphrase(ctx, "passphrase for the new vault", true)
	if err != nil {
		return err
	}
	slot, err := inv.passphraseSlot(ctx, mainSlot, passphrase)
	if err != nil {
		return err
	}
	slots := []vault.NewSlot{slot}
	if withKeychain {
		slot, err := inv.newKeychainSlot(ctx)
		if err != nil {
			return err
		}
		slots = append(slots, slot)
	}
	if err := atomicfile.MkdirPrivate(filepath.Dir(inv.places.vault)); err != nil {
		return errors.Join(err, inv.forgetSlots(ctx, slots))
	}
	key, err := vault.Create(ctx, inv.places.vault, slots...)
	if err != nil {
		return errors.Join(err, inv.forgetSlots(ctx, slots))
	}
	fmt.Fprintf(inv.stderr, "%s: made %s\n", program, printable.Text(inv.places.vault))
	v, err := vault.Open(inv.places.vault)
	if err != nil {
		return err
	}
	err = inv.unlock(ctx, v, key, vault.MaxLease)
	if errors.Is(err, holder.ErrNone) { // which is no reason not to have a vault
		fmt.Fprintf(inv.stderr, "%s: nothing keeps keys here: every command needs the passphrase, by %s or --%s\n", program, passphraseFile, passphraseFD)
		return nil
	}
	return err
}

// mainSlot is the slot of the passphrase that kz vault passwd changes.
const mainSlot = "passphrase"

// passphraseSlot returns a slot whose passphrase takes about unlockTime to try.
func (inv *invocation) passphraseSlot(ctx context.Context, name string, passphrase resolve.Secret) (vault.NewSlot, error) {
	cost := seal.Calibrate(unlockTime)
	return vault.PassphraseSlot(name, passphrase, cost), ctx.Err()
}

// forgetSlots has the keychain forget the keys of slots that did not come into the
// vault, or left it.
func (inv *invocation) forgetSlots(ctx context.Context, slots []vault.NewSlot) error {
	var err error
	for _, s := range slots {
		if s.Kind == vault.Keychain {
			err = errors.Join(err, inv.forgetSlot(ctx, s.Name))
		}
	}
	return err
}
