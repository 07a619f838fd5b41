package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/vault"
)

func newVaultSlot(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "slot",
		Short: "the ways to unlock the vault",
		Args:  group,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	add := &cobra.Command{
		Use:     "add keychain|NAME",
		Short:   "have the keychain unlock it, or a further passphrase of that name",
		Example: "  kz vault slot add keychain\n  kz vault slot add recovery",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, list []string) error { return inv.addSlot(cmd.Context(), list[0]) },
	}
	remove := &cobra.Command{
		Use:   "rm NAME",
		Short: "remove a way; kz vault status names them",
		Args:  args(cobra.ExactArgs(1)),
		RunE:  func(cmd *cobra.Command, list []string) error { return inv.removeSlot(cmd.Context(), list[0]) },
	}
	cmd.AddCommand(inv.passphraseFlags(add, "the further passphrase"), inv.passphraseFlag(remove))
	return cmd
}

func (inv *invocation) addSlot(ctx context.Context, name string) error {
	v, key, err := inv.openVault(ctx)
	if err != nil {
		return err
	}
	if _, ok := slotOf(v, name); ok {
		return &refusal{"the vault has a slot " + strconv.Quote(name) + " already", program + " vault status"}
	}
	slot, err := inv.newSlot(ctx, name)
	if err != nil {
		return err
	}
	if err := vault.AddSlot(ctx, inv.places.vault, key, slot); err != nil {
		return errors.Join(err, inv.forgetSlots(ctx, []vault.NewSlot{slot}))
	}
	fmt.Fprintf(inv.stderr, "%s: %s unlocks the vault too\n", program, printable.Text(slot.Name))
	return nil
}

func (inv *invocation) newSlot(ctx context.Context, name string) (vault.NewSlot, error) {
	if name == "keychain" {
		return inv.newKeychainSlot(ctx)
	}
	passphrase, err := inv.askNewPassphrase(ctx, "passphrase "+printable.Text(name), true)
	if err != nil {
		return vault.NewSlot{}, err
	}
	return inv.passphraseSlot(ctx, name, passphrase)
}

func (inv *invocation) removeSlot(ctx context.Context, name string) error {
	v, key, err := inv.openVault(ctx)
	if err != nil {
		return err
	}
	slot, ok := slotOf(v, name)
	switch {
	case !ok:
		return &notFound{"the vault has no slot " + strconv.Quote(name), program + " vault status"}
	case len(v.Slots()) == 1:
		return &refusal{strconv.Quote(name) + " is the only slot; without it the vault could never be opened", ""}
	}
	if err := vault.RemoveSlot(ctx, inv.places.vault, key, name); err != nil {
		return err
	}
	if slot.Kind == vault.Keychain {
		inv.dropKey(ctx, name)
	}
	return nil
}

// dropKey has the keychain forget the key of a slot that is gone, or says that it
// has not: without the slot the key opens older copies of the file only.
func (inv *invocation) dropKey(ctx context.Context, name string) {
	if err := inv.forgetSlot(ctx, name); err != nil {
		fmt.Fprintf(inv.stderr, "%s: the keychain still has the key %s: %s\n", program, strconv.Quote(name), inv.message(err))
	}
}

func slotOf(v *vault.Vault, name string) (vault.Slot, bool) {
	at := slices.IndexFunc(v.Slots(), func(s vault.Slot) bool { return s.Name == name })
	if at < 0 {
		return vault.Slot{}, false
	}
	return v.Slots()[at], true
}

func newVaultRekey(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "encrypt it anew, under another key that no earlier passphrase or keychain opens",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return inv.rekey(cmd.Context()) },
	}
	return inv.passphraseFlags(cmd, "the new passphrase")
}

// rekey gives the vault another data key, under a passphrase and, if it had a
// slot of the keychain, another of those. Other passphrases nobody knows here.
func (inv *invocation) rekey(ctx context.Context) error {
	v, key, err := inv.openVault(ctx)
	if err != nil {
		return err
	}
	var passphrase resolve.Secret
	if passphrase, err = inv.askNewPassphrase(ctx, "new passphrase", true); err != nil {
		return err
	}
	slot, err := inv.passphraseSlot(ctx, mainSlot, passphrase)
	if err != nil {
		return err
	}
	slots := []vault.NewSlot{slot}
	var lost error
	if slices.ContainsFunc(v.Slots(), inKeychain) {
		if slot, lost = inv.newKeychainSlot(ctx); lost == nil {
			slots = append(slots, slot)
		}
	}
	if _, err := vault.Rekey(ctx, inv.places.vault, key, slots...); err != nil {
		return errors.Join(err, inv.forgetSlots(ctx, slots))
	}
	fmt.Fprintf(inv.stderr, "%s: the vault has another key; to unlock it, run: %s vault unlock\n", program, program)
	if lost != nil {
		fmt.Fprintf(inv.stderr, "%s: the keychain does not unlock it any more: %s\n", program, inv.message(lost))
	}
	for _, s := range v.Slots() {
		switch {
		case inKeychain(s):
			inv.dropKey(ctx, s.Name)
		case s.Name != mainSlot:
			fmt.Fprintf(inv.stderr, "%s: the slot %s is gone; to have one again, run: %s vault slot add %s\n", program, strconv.Quote(s.Name), program, shellWord(s.Name))
		}
	}
	return inv.lease(ctx).Revoke(ctx, v.ID())
}

func inKeychain(s vault.Slot) bool { return s.Kind == vault.Keychain }
