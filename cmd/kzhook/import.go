package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

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
			if to == "" {
				to = inv.defaultStore(cmd.Context())
			}
			return inv.importFile(cmd.Context(), path, list[0], to, force)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the store: the keychain, or the vault where there is none, unless you say")
	cmd.Flags().BoolVar(&force, "force", false, "replace values that the store has already")
	return inv.passphraseFlag(cmd)
}

// importFile stores every value before it changes the configuration, in one
// edit: whatever goes wrong, no reference leads nowhere. The file stays.
func (inv *invocation) importFile(ctx context.Context, path, file, to string, force bool) error {
	entries, err := inv.readDotenv(file)
	if err != nil {
		return err
	}
	settings, err := inv.settingsOf(to)
	if err != nil {
		return usageError("import: " + err.Error())
	}
	store, err := inv.importStore(settings)
	if err != nil {
		return err
	}
	defer closeStores(map[string]resolve.Provider{to: store})
	refs := make([]resolve.Ref, len(entries))
	for i, e := range entries {
		refs[i] = resolve.Ref{Path: inv.newRefFor(settings.Type, path, "", e.Name), Dir: filepath.Dir(path)}
		if j := slices.Index(refs[:i], refs[i]); j >= 0 {
			return &refusal{fmt.Sprintf("%s and %s would both be %s; rename one of them", entries[j].Name, e.Name, refs[i].Path), ""}
		}
	}
	edit := references(entries, refs, to)
	if err := inv.try(path, edit); err != nil {
		return err
	}
	if !force {
		if err := checkFree(ctx, settings, store, entries, refs); err != nil {
			return err
		}
	}
	for i, e := range entries {
		if err := store.Store(ctx, refs[i], resolve.NewSecret(e.Value)); err != nil {
			return &project.Failure{Entry: config.Entry{Name: e.Name, Provider: to}, Err: err, Type: settings.Type}
		}
	}
	err = inv.change(path, edit)
	if err == nil {
		fmt.Fprintf(inv.stderr, "%s: stored %s in %s; when all works, remove %s\n", program, count(len(entries), "value"), to, printable.Text(file))
	}
	return err
}

// references returns the edit that has the configuration refer to each entry.
func references(entries []dotenv.Entry, refs []resolve.Ref, to string) func([]byte) ([]byte, error) {
	return func(data []byte) ([]byte, error) {
		for i, e := range entries {
			uri, err := tomledit.String(config.Scheme(to) + "://" + refs[i].Path)
			if err == nil {
				data, err = setValue(data, []string{"secrets"}, e.Name, uri)
			}
			if err != nil {
				return nil, err
			}
		}
		return data, nil
	}
}

// try finds out whether an edit can be made, before anything else is done.
func (inv *invocation) try(path string, edit func([]byte) ([]byte, error)) error {
	f, err := config.Read(path)
	if err == nil {
		_, err = inv.edited(f, edit)
	}
	return err
}

// readDotenv returns the variables of a .env file. Of several of one name the
// last counts.
func (inv *invocation) readDotenv(file string) ([]dotenv.Entry, error) {
	data, err := inv.readFile(file)
	if err != nil {
		return nil, err
	}
	all, err := dotenv.Parse(data, func(name string) (string, bool) { v, ok := inv.env[name]; return v, ok })
	if syntax := (*dotenv.SyntaxError)(nil); errors.As(err, &syntax) {
		return nil, malformed(file, syntax.Line, syntax.Msg)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var entries []dotenv.Entry
	for _, e := range all {
		if !config.ValidName(e.Name) {
			return nil, malformed(file, e.Line, strconv.Quote(e.Name)+" cannot be the name of a variable")
		}
		if err := resolve.CheckValue(resolve.NewSecret(e.Value)); err != nil {
			return nil, malformed(file, e.Line, e.Name+": "+err.Error())
		}
		entries = slices.DeleteFunc(entries, func(o dotenv.Entry) bool { return o.Name == e.Name })
		entries = append(entries, e)
	}
	return entries, nil
}

// readFile reads at most one byte more than a .env file may have.
func (inv *invocation) readFile(file string) ([]byte, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(inv.dir, file)
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &notFound{file + ": no such file", ""}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, dotenv.MaxSize+1))
}

func malformed(file string, line int, msg string) error {
	return resolve.Errorf(resolve.Malformed, "%s:%d: %s", file, line, msg)
}

// An importTarget is a store that import can look into and write to.
type importTarget interface {
	resolve.Provider
	resolve.Storer
}

// settingsOf returns the settings of a provider that is not one of a project: the
// user's own, or of the type that its name says.
func (inv *invocation) settingsOf(name string) (config.Provider, error) {
	user, err := inv.user()
	if err != nil {
		return config.Provider{}, err
	}
	settings, ok := user.Providers[name]
	if !ok {
		settings = config.Provider{Name: name, Type: config.Canonical(name)}
	}
	if !slices.Contains(config.Types, settings.Type) || !ok && config.Named(settings.Type) {
		return settings, fmt.Errorf("unknown provider %q%s", name, didYouMean(name, config.Types))
	}
	return settings, nil
}

func (inv *invocation) importStore(settings config.Provider) (importTarget, error) {
	provider, err := inv.stores(&project.Project{}, inv.env).open(settings)
	if err != nil {
		return nil, err
	}
	store, ok := provider.(importTarget)
	if !ok {
		return nil, &refusal{settings.Name + ": kz only reads from this store", ""}
	}
	return store, nil
}

// checkFree returns an error if the store has another value under one of refs.
func checkFree(ctx context.Context, settings config.Provider, store resolve.Provider, entries []dotenv.Entry, refs []resolve.Ref) error {
	for i, r := range store.Fetch(ctx, refs) {
		switch {
		case resolve.ClassOf(r.Err) == resolve.NotFound, r.Err == nil && r.Secret.Reveal() == entries[i].Value:
		case r.Err != nil:
			return &project.Failure{Entry: config.Entry{Name: entries[i].Name, Provider: settings.Name}, Err: r.Err, Type: settings.Type}
		default:
			return &refusal{fmt.Sprintf("%s: the store has another value under %s already; --force replaces it", entries[i].Name, refs[i].Path), ""}
		}
	}
	return nil
}
