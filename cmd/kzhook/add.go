package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/internal/tomledit"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
)

func newAdd(inv *invocation) *cobra.Command {
	var environment, to string
	cmd := &cobra.Command{
		Use:   "add NAME [URI]",
		Short: "add a secret to the configuration, or change where it comes from",
		Example: `  kz add DATABASE_URL                    in the keychain, or the vault where there is none
  kz add API_KEY op://dev/app/key        in 1Password
  kz add DATABASE_URL --to hashicorp     in Vault, under a name of the project's
  kz add API_KEY op://prod/app/key --env production`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, list []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			name, uri := list[0], ""
			switch {
			case len(list) == 2 && to != "":
				return usageError("add: a URI says the store; leave out --to")
			case len(list) == 2:
				uri = list[1]
			default:
				if uri, err = inv.newURI(cmd.Context(), to, path, environment, name); err != nil {
					return err
				}
			}
			if err := checkAddition(name, uri); err != nil {
				return err
			}
			value, err := tomledit.String(uri)
			if err != nil {
				return usageError("add: " + err.Error())
			}
			err = inv.change(path, func(data []byte) ([]byte, error) {
				return setValue(data, table(environment, "secrets"), name, value)
			})
			if err == nil && len(list) == 1 {
				fmt.Fprintf(inv.stderr, "%s: added %s as %s; %s put %s stores its value\n", program, name, printable.Text(uri), program, name)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&environment, "env", "", "the environment that it is for")
	cmd.Flags().StringVar(&to, "to", "", "the store: the keychain, or the vault where there is none, unless you say")
	cmd.ValidArgsFunction = inv.completeAddition
	return cmd
}

// newURI returns a reference for a new secret in a store, which is kz's choice if it is "".
func (inv *invocation) newURI(ctx context.Context, store, path, environment, name string) (string, error) {
	if store == "" {
		store = inv.defaultStore(ctx)
	}
	settings, err := inv.settingsOf(store)
	if err != nil {
		return "", usageError("add: " + err.Error())
	}
	return config.Scheme(store) + "://" + inv.newRefFor(settings.Type, path, environment, name), nil
}

// defaultStore is the keychain, or the vault where no keychain answers.
func (inv *invocation) defaultStore(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := keychain.New(inv.env.List()).Available(ctx)
	if err == nil || resolve.ClassOf(err) == resolve.Locked {
		return "keychain"
	}
	return "vault"
}

// setValue sets a key to a value, be it even that the key is now a table of its own.
func setValue(data []byte, table []string, name, value string) ([]byte, error) {
	edited, err := tomledit.Set(data, table, name, value)
	if !errors.Is(err, tomledit.ErrTable) {
		return edited, err
	}
	if edited, _, err = tomledit.Remove(data, table, name); err != nil {
		return nil, err
	}
	return tomledit.Set(edited, table, name, value)
}

func checkAddition(name, uri string) error {
	if !config.ValidName(name) {
		return usageError(fmt.Sprintf("add: %q cannot be the name of a variable", name))
	}
	if scheme, rest, ok := strings.Cut(uri, "://"); !ok || scheme == "" || rest == "" {
		return usageError(fmt.Sprintf("add: %q is not a URI such as keychain://name", uri))
	}
	return nil
}

// newRef returns the keychain account for a new secret: readable, and its own
// for each environment and name of a project's directory.
func (inv *invocation) newRef(path, environment, name string) string {
	parts := []string{filepath.Base(filepath.Dir(path))}
	if environment != "" {
		parts = append(parts, environment)
	}
	return plainWord(strings.Join(append(parts, strings.ReplaceAll(name, "_", "-")), "-"))
}

// plainWord returns a text in small letters, digits, dots and hyphens.
func plainWord(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, strings.ToLower(text))
}

func newRemove(inv *invocation) *cobra.Command {
	var environment string
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "remove a variable from the configuration; its store keeps the value",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, list []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			return inv.change(path, func(data []byte) ([]byte, error) {
				for _, kind := range []string{"secrets", "env"} {
					edited, found, err := tomledit.Remove(data, table(environment, kind), list[0])
					if found || err != nil {
						return edited, err
					}
				}
				return nil, &notFound{fmt.Sprintf("%s: not in %s", list[0], config.Name), ""}
			})
		},
	}
	cmd.Flags().StringVar(&environment, "env", "", "the environment that it is removed from")
	cmd.ValidArgsFunction = inv.completeNames
	return cmd
}
