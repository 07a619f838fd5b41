package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/internal/tomledit"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
)

func newImport(inv *invocation) *cobra.Command {
	var to string
	var force bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "move the values of a .env file to a store, and their references to the configuration",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			return inv.importFile(cmd.Context(), path, list[0], to, force)
		},
	}
	cmd.Flags().StringVar(&to, "to", "keychain", "the store")
	cmd.Flags().BoolVar(&force, "force", false, "replace values that the store has already")
	return cmd
}

// importFile stores every value before it changes the configuration, in one
// edit: whatever goes wrong, no reference leads nowhere. The file stays.
func (inv *invocation) importFile(ctx context.Context, path, file, to string, force bool) error {
	entries, err := inv.readDotenv(file)
	if err != nil {
		return err
	}
	store, err := inv.importStore(to)
	if err != nil {
		return err
	}
	refs := make([]resolve.Ref, len(entries))
	for i, e := range entries {
		refs[i] = resolve.Ref{Path: inv.newRef(path, "", e.Name), Dir: filepath.Dir(path)}
	}
	if !force {
		if err := checkFree(ctx, store, entries, refs); err != nil {
			return err
		}
	}
	for i, e := range entries {
		if err := store.Store(ctx, refs[i], resolve.NewSecret(e.Value)); err != nil {
			return &project.Failure{Entry: config.Entry{Name: e.Name, Provider: to}, Err: err}
		}
	}
	err = inv.change(path, func(data []byte) ([]byte, error) {
		for i, e := range entries {
			uri, err := tomledit.String(to + "://" + refs[i].Path)
			if err == nil {
				data, err = tomledit.Set(data, []string{"secrets"}, e.Name, uri)
			}
			if err != nil {
				return nil, err
			}
		}
		return data, nil
	})
	if err == nil {
		fmt.Fprintf(inv.stderr, "%s: %d values are in %s; when all works, remove %s\n", program, len(entries), to, printable.Text(file))
	}
	return err
}

func (inv *invocation) readDotenv(file string) ([]dotenv.Entry, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(inv.dir, file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, dotenv.MaxSize+1))
	if err != nil {
		return nil, err
	}
	all, err := dotenv.Parse(data, func(name string) (string, bool) { v, ok := inv.env[name]; return v, ok })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var entries []dotenv.Entry
	for _, e := range all {
		if !config.ValidName(e.Name) {
			return nil, fmt.Errorf("%s:%d: %q cannot be the name of a variable", file, e.Line, e.Name)
		}
		if err := resolve.CheckValue(resolve.NewSecret(e.Value)); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, e.Line, e.Name, err)
		}
		// The last of several entries counts.
		entries = slices.DeleteFunc(entries, func(o dotenv.Entry) bool { return o.Name == e.Name })
		entries = append(entries, e)
	}
	return entries, nil
}

// A importTarget is a store that import can look into and write to.
type importTarget interface {
	resolve.Provider
	resolve.Storer
}

func (inv *invocation) importStore(name string) (importTarget, error) {
	user, err := inv.user()
	if err != nil {
		return nil, err
	}
	settings, ok := user.Providers[name]
	if !ok {
		settings = config.Provider{Name: name, Type: name}
	}
	if !slices.Contains(config.Types, settings.Type) {
		return nil, usageError(fmt.Sprintf("import: unknown provider %q%s", name, didYouMean(name, config.Types)))
	}
	provider, err := newProvider(settings, &project.Project{}, inv.env)
	if err != nil {
		return nil, err
	}
	store, ok := provider.(importTarget)
	if !ok {
		return nil, &refusal{name + ": kz only reads from this store", ""}
	}
	return store, nil
}

// checkFree returns an error if the store has another value under one of refs.
func checkFree(ctx context.Context, store resolve.Provider, entries []dotenv.Entry, refs []resolve.Ref) error {
	for i, r := range store.Fetch(ctx, refs) {
		switch {
		case resolve.ClassOf(r.Err) == resolve.NotFound, r.Err == nil && r.Secret.Reveal() == entries[i].Value:
		case r.Err != nil:
			return &project.Failure{Entry: config.Entry{Name: entries[i].Name, Provider: "keychain"}, Err: r.Err}
		default:
			return &refusal{fmt.Sprintf("%s: the store has another value under %s already; --force replaces it", entries[i].Name, refs[i].Path), ""}
		}
	}
	return nil
}
