package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/vault"
)

// unlockTime is about how long it takes here to try one passphrase.
const unlockTime = 250 * time.Millisecond

func newVault(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vault",
		Short: "the embedded store: one encrypted file",
		Example: `  kz vault init            makes it, under a passphrase
  kz vault unlock          for 12 hours; --for 1h for one
  kz vault lock            in all shells at once`,
		Args: group,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVaultInit(inv), newVaultUnlock(inv), newVaultLock(inv), newVaultPasswd(inv), newVaultSlot(inv),
		newVaultRekey(inv),
		newVaultList(inv), newVaultRemove(inv), newVaultStatus(inv), newVaultExport(inv), newVaultImport(inv))
	return cmd
}

func newVaultUnlock(inv *invocation) *cobra.Command {
	d := vault.MaxLease
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "let this login's shells read the vault for a while",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d <= 0 || d > vault.MaxLease {
				return usageError(fmt.Sprintf("unlock: --for takes at most %v", vault.MaxLease))
			}
			v, key, err := inv.openVault(cmd.Context())
			if err != nil {
				return err
			}
			return inv.unlock(cmd.Context(), v, key, d)
		},
	}
	cmd.Flags().DurationVar(&d, "for", d, "how long")
	return inv.passphraseFlag(cmd)
}

// openVault returns the vault with its key: by the keychain, or by a passphrase
// that was given or is typed now.
func (inv *invocation) openVault(ctx context.Context) (*vault.Vault, seal.Key, error) {
	v, err := inv.readVault()
	if err != nil {
		return nil, seal.Key{}, err
	}
	if key, err := inv.keychainKey(ctx, v); err == nil {
		return v, key, nil
	}
	passphrase, err := inv.askPassphrase(ctx, "passphrase of the vault", false)
	if err != nil {
		return nil, seal.Key{}, err
	}
	key, err := v.Unlock(passphrase)
	if err == nil {
		err = ctx.Err()
	}
	return v, key, err
}

func (inv *invocation) readVault() (*vault.Vault, error) {
	v, err := vault.Open(inv.places.vault)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &notFound{"there is no vault yet", program + " vault init"}
	}
	return v, err
}

// unlock leaves the key with the holder and tells the shells.
func (inv *invocation) unlock(ctx context.Context, v *vault.Vault, key seal.Key, d time.Duration) error {
	lease := inv.lease(ctx)
	if err := lease.Grant(ctx, v.ID(), key, d); err != nil {
		return fmt.Errorf("the vault cannot stay unlocked: %w", err)
	}
	if err := inv.markUnlocked(lease.Epoch); err != nil {
		return err
	}
	fmt.Fprintf(inv.stderr, "%s: the vault is unlocked for %s; its key is with the %s\n", program, span(d), lease.Holder.About().Name)
	return nil
}

func newVaultLock(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "lock the vault, in all logins at once; what shells have loaded stays there",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return inv.vaultLock(cmd.Context()) },
	}
}

// vaultLock locks the vault whatever state its file is in. The mark comes first:
// it counts in all logins, and against a keychain that would unlock it again.
func (inv *invocation) vaultLock(ctx context.Context) error {
	err := inv.markLocked()
	var known []string
	v, vaultErr := inv.readVault()
	if vaultErr == nil {
		known = []string{v.ID()}
	}
	err = errors.Join(err, inv.lease(ctx).RevokeAll(ctx, known...))
	var missing *notFound
	if errors.As(vaultErr, &missing) {
		return errors.Join(err, vaultErr)
	}
	if err == nil {
		fmt.Fprintf(inv.stderr, "%s: the vault is locked\n", program)
	}
	return err
}

func newVaultPasswd(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passwd",
		Short: "change the passphrase; the entries stay as they are",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			v, err := inv.readVault()
			if err != nil {
				return err
			}
			old, err := inv.askPassphrase(ctx, "passphrase of the vault", false)
			if err != nil {
				return err
			}
			key, err := v.Unlock(old)
			if err != nil {
				return err
			}
			passphrase, err := inv.askNewPassphrase(ctx, "new passphrase", true)
			if err != nil {
				return err
			}
			slot, err := inv.passphraseSlot(ctx, mainSlot, passphrase)
			if err == nil {
				err = vault.Passwd(ctx, inv.places.vault, key, slot)
			}
			if err == nil {
				fmt.Fprintf(inv.stderr, "%s: the vault has another passphrase\n", program)
			}
			return err
		},
	}
	return inv.passphraseFlags(cmd, "the new passphrase")
}

// unlocked returns the vault and its key, provided that it is unlocked.
func (inv *invocation) unlocked(ctx context.Context) (*vault.Vault, seal.Key, error) {
	v, err := inv.readVault()
	if err != nil {
		return nil, seal.Key{}, err
	}
	key, err := inv.vaultKey(ctx, v.ID())
	return v, key, err
}

func newVaultList(inv *invocation) *cobra.Command {
	return inv.passphraseFlag(&cobra.Command{
		Use:   "list",
		Short: "the names of its entries",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, key, err := inv.unlocked(cmd.Context())
			if err != nil {
				return err
			}
			entries, err := v.Entries(key)
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(entries)) {
				if _, err := fmt.Fprintln(inv.stdout, printable.Text(name)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func newVaultRemove(inv *invocation) *cobra.Command {
	return inv.passphraseFlag(&cobra.Command{
		Use:   "rm NAME",
		Short: "remove an entry",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			_, key, err := inv.unlocked(cmd.Context())
			if err != nil {
				return err
			}
			return vault.Update(cmd.Context(), inv.places.vault, key, func(entries map[string]resolve.Secret) error {
				if _, ok := entries[list[0]]; !ok {
					return &notFound{fmt.Sprintf("%s: not in the vault", list[0]), program + " vault list"}
				}
				delete(entries, list[0])
				return nil
			})
		},
	})
}

func newVaultStatus(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "where the vault is, what unlocks it, and whether it is unlocked",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := inv.readVault()
			if err != nil {
				return err
			}
			state, wrong := inv.vaultState(cmd.Context(), v)
			var b strings.Builder
			fmt.Fprintf(&b, "%s: %s\n", printable.Text(inv.places.vault), strings.TrimPrefix(state, printable.Text(inv.places.vault)+": "))
			t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			for _, s := range v.Slots() {
				how := s.Cost.String()
				if s.Kind == vault.Keychain {
					how = "a key in the keychain"
				}
				fmt.Fprintf(t, "  %s\t%s\n", printable.Text(s.Name), how)
			}
			_ = t.Flush()
			b.WriteString(keysLine(inv.holder(cmd.Context()).About()))
			_, err = fmt.Fprint(inv.stdout, b.String())
			return errors.Join(err, wrong)
		},
	}
}

// vaultState says whether a vault is locked or unlocked, or what is wrong with it,
// which is the error then.
func (inv *invocation) vaultState(ctx context.Context, v *vault.Vault) (string, error) {
	key, err := inv.vaultKey(ctx, v.ID())
	if errors.Is(err, holder.ErrNoKey) {
		return "locked", nil
	}
	if err == nil {
		_, err = v.Entries(key)
	}
	if err != nil {
		return inv.message(err), err
	}
	return "unlocked", nil
}
