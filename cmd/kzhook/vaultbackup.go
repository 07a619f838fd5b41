package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/vault"
)

func newVaultExport(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "write a backup: a vault of its own, under a passphrase of its own",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			v, key, err := inv.unlocked(cmd.Context())
			if err != nil {
				return err
			}
			entries, err := v.Entries(key)
			if err != nil {
				return err
			}
			path := inv.absolute(list[0])
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				return &refusal{list[0] + " is there already", ""}
			}
			passphrase, err := inv.askNewPassphrase(cmd.Context(), "passphrase for the backup", true)
			if err != nil {
				return err
			}
			data, err := vault.Export(entries, passphrase, seal.Calibrate(unlockTime))
			if err == nil {
				err = cmd.Context().Err()
			}
			if err != nil {
				return err
			}
			return atomicfile.Write(path, data, 0o600)
		},
	}
	return inv.passphraseFlags(cmd, "the backup's passphrase")
}

func newVaultImport(inv *invocation) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "take over the entries of a backup",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			return inv.importVault(cmd.Context(), inv.absolute(list[0]), force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace entries that the vault has with another value")
	return inv.passphraseFlags(cmd, "the backup's passphrase")
}

func (inv *invocation) importVault(ctx context.Context, path string, force bool) error {
	_, key, err := inv.unlocked(ctx)
	if err != nil {
		return err
	}
	backup, err := vault.Open(path)
	if err != nil {
		return err
	}
	passphrase, err := inv.askNewPassphrase(ctx, "passphrase of the backup", false)
	if err != nil {
		return err
	}
	backupKey, err := backup.Unlock(passphrase)
	if errors.Is(err, vault.ErrPassphrase) {
		err = fmt.Errorf("%s: %w", printable.Text(path), err)
	}
	if err != nil {
		return err
	}
	more, err := backup.Entries(backupKey)
	if err != nil {
		return err
	}
	err = vault.Update(ctx, inv.places.vault, key, func(entries map[string]resolve.Secret) error {
		for name, secret := range more {
			if mine, ok := entries[name]; ok && !force && mine.Reveal() != secret.Reveal() {
				return &refusal{fmt.Sprintf("the vault has another %s already; --force replaces it", name), ""}
			}
			entries[name] = secret
		}
		return nil
	})
	if err == nil {
		fmt.Fprintf(inv.stderr, "%s: the vault has %s of %s\n", program, count(len(more), "entry"), printable.Text(path))
	}
	return err
}

func (inv *invocation) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(inv.dir, path)
}
