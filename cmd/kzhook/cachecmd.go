package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve/cache"
)

func newReload(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "have every shell in this project load afresh at its next prompt",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			f, err := config.Read(path)
			if err != nil {
				return err
			}
			return inv.reload(cmd.Context(), f.Path)
		},
	}
}

// reload forgets what is kept for a project and has shells load it afresh.
func (inv *invocation) reload(ctx context.Context, config string) error {
	if err := (cache.Cache{Dir: inv.places.cache}).Drop(ctx, config); err != nil {
		return err
	}
	return inv.writeMark(config, freshMark())
}

func newCache(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "what is kept of the answers of remote stores",
		Args:  group,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "list what is kept, without values",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inv.listCache(inv.cache(cmd.Context()).List(cmd.Context()))
		},
	}, &cobra.Command{
		Use:   "clear",
		Short: "forget everything that is kept",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := inv.cache(cmd.Context()).Clear(cmd.Context())
			if err == nil {
				fmt.Fprintf(inv.stderr, "%s: forgot all that was kept\n", program)
			}
			return err
		},
	})
	return cmd
}

func (inv *invocation) listCache(list []cache.Kept) error {
	if len(list) == 0 {
		fmt.Fprintf(inv.stderr, "%s: nothing is kept\n", program)
		return nil
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, k := range list {
		life := "good for " + span(k.Left.Round(time.Second))
		if k.Left <= 0 {
			life = "past its time"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable.Text(k.Config), printable.Text(k.Environment), clip(printable.Text(k.From)), life)
	}
	_ = t.Flush()
	_, err := fmt.Fprint(inv.stdout, b.String())
	return err
}
