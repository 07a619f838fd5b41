package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/trust"
)

func newDeny(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "deny [DIR]",
		Short: "refuse a configuration, whatever it says; shells unload it at their next prompt",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, list []string) error {
			path, err := inv.nearest(list)
			if err != nil {
				return err
			}
			dir, err := config.RealDir(filepath.Dir(path))
			if err != nil {
				return err
			}
			// Not from the user's settings, which could be what is wrong.
			path = filepath.Join(dir, filepath.Base(path))
			if err := inv.trust(noUser).Deny(path); err != nil {
				return err
			}
			_, err = fmt.Fprintf(inv.stderr, "%s: %s is denied\n", program, printable.Text(inv.near(path)))
			return err
		},
	}
}

func newTrust(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "trust", Short: "what is allowed and denied", Args: group,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "list all decisions", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
			records, err := inv.trust(noUser).List()
			inv.listRecords(records)
			return err
		}},
		&cobra.Command{Use: "prune", Short: "forget configurations that no longer exist", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
			records, err := inv.trust(noUser).Prune()
			for _, r := range records {
				fmt.Fprintf(inv.stderr, "%s: forgot %s\n", program, printable.Text(r.Path))
			}
			return err
		}},
	)
	return cmd
}

func (inv *invocation) listRecords(records []trust.Record) {
	for _, r := range records {
		fmt.Fprintf(inv.stdout, "%s  %s  %s\n", r.Decision, r.Time.Format("2006-01-02"), printable.Text(r.Path))
	}
}
