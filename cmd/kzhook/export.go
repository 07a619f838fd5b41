package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/delivery"
	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/shell"
)

var formats = []string{"shell", "json", "dotenv"}

type exportOptions struct {
	environment, format, shell string
	noNull                     bool
}

func newExport(inv *invocation) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export",
		Short: "print the project's variables, for scripts and editors",
		Example: `  eval "$(kz export --shell bash)"
  kz export --format json           name → value; null is to be unset`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(formats, o.format) {
				return usageError(fmt.Sprintf("export: unknown format %q%s", o.format, didYouMean(o.format, formats)))
			}
			if _, err := shell.Named(o.shell); err != nil {
				return err
			}
			changes, err := inv.exports(cmd, o)
			if err != nil {
				return err
			}
			return inv.writeExports(changes, o)
		},
	}
	cmd.Flags().StringVar(&o.environment, "env", "", "the environment to use")
	cmd.Flags().StringVar(&o.format, "format", "shell", "shell, json or dotenv")
	cmd.Flags().StringVar(&o.shell, "shell", "bash", "bash, zsh or fish")
	cmd.Flags().BoolVar(&o.noNull, "no-null", false, "with json: leave out what is to be unset")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions(shell.Names(), cobra.ShellCompDirectiveNoFileComp))
	return inv.passphraseFlag(cmd)
}

// exports returns the project's variables, sorted, and an unset for each that a
// hook has loaded and the project does not have.
func (inv *invocation) exports(cmd *cobra.Command, options exportOptions) ([]environ.Change, error) {
	o, err := inv.open(options.environment)
	if err != nil {
		return nil, err
	}
	values, err := inv.values(cmd.Context(), o, (*invocation).cached, func(config.Entry) bool { return true })
	if err != nil {
		return nil, err
	}
	env := environ.Env{}
	// Files outlive kz and go after the process that called it.
	if _, err := deliver(env, outlet{delivery.For(inv.places.files, os.Getppid()), placeOf(o.Project)}, o.Entries, values); err != nil {
		return nil, err
	}
	loaded := environ.Env{}
	for _, v := range o.memory.state.Vars {
		if !slices.Contains(o.memory.changed, v.Name) {
			loaded[v.Name] = ""
		}
	}
	var changes []environ.Change
	for _, c := range environ.Diff(loaded, env) {
		if _, wanted := env[c.Name]; c.Unset || !wanted {
			changes = append(changes, environ.Change{Name: c.Name, Unset: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		changes = append(changes, environ.Change{Name: name, Value: env[name]})
	}
	slices.SortFunc(changes, func(a, b environ.Change) int { return strings.Compare(a.Name, b.Name) })
	return changes, nil
}

// writeExports writes all changes in one piece, or none of them.
func (inv *invocation) writeExports(changes []environ.Change, o exportOptions) error {
	switch o.format {
	case "json":
		return inv.writeJSON(changes, o.noNull)
	case "dotenv":
		return writeDotenv(inv.stdout, changes)
	}
	sh, err := shell.Named(o.shell)
	if err != nil {
		return err
	}
	return sh.WriteExports(inv.stdout, changes)
}

func (inv *invocation) writeJSON(changes []environ.Change, noNull bool) error {
	object := map[string]*string{}
	for _, c := range changes {
		switch {
		case !utf8.ValidString(c.Value):
			return resolve.Errorf(resolve.Malformed, "%s: the value is not UTF-8 text, and JSON holds no other", c.Name)
		case !c.Unset:
			object[c.Name] = &c.Value
		case !noNull:
			object[c.Name] = nil
		}
	}
	return printJSON(inv, object)
}

func writeDotenv(w io.Writer, changes []environ.Change) error {
	var b strings.Builder
	for _, c := range changes {
		if c.Unset {
			continue
		}
		line, err := dotenv.Format(c.Name, c.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
