package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A tree is kz's commands.
type tree struct{ root *cobra.Command }

func (inv *invocation) command() tree {
	root := &cobra.Command{
		Use:   program,
		Short: "load a project's secrets into the shell on cd, and take them back on leaving",
		Example: `  eval "$(kz hook --shell zsh)"     in ~/.zshrc; bash and fish likewise
  kz init                           begin a .keyzero.toml
  kz add DATABASE_URL               name a secret; kz put DATABASE_URL stores its value
  kz allow                          agree to what the file asks for
  kz run -- ./server                for one process instead of the shell`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          group,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate(program + " {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetArgs(inv.args)
	root.SetIn(inv.stdin)
	root.SetOut(inv.stdout)
	root.SetErr(inv.stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newHook(inv), newAllow(inv), newDeny(inv), newTrust(inv),
		newInit(inv), newAdd(inv), newRemove(inv), newEdit(inv),
		newPut(inv), newGet(inv), newImport(inv),
		newRun(inv), newExport(inv),
		newStatus(inv), newValidate(inv), newReload(inv), newCache(inv), newVault(inv), newDoctor(inv),
		newCompletion(inv), newVersion(inv),
	)
	return tree{root}
}

func (t tree) execute(ctx context.Context) error { return t.root.ExecuteContext(ctx) }

// flagError is the error for what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError(err.Error())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return usageError(err.Error() + didYouMean("--"+unknown.GetSpecifiedName(), names))
}

// args wraps one of cobra's checks so that what it finds counts as usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, list []string) error {
		if err := check(cmd, list); err != nil {
			return usageError(cmd.Name() + ": " + err.Error())
		}
		return nil
	}
}

// group refuses arguments of a command that only has others below it.
func group(cmd *cobra.Command, list []string) error {
	if len(list) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usageError(fmt.Sprintf("%s: no such command%s", strconv.Quote(list[0]), didYouMean(list[0], names)))
}

func newVersion(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(inv.stdout, program, version)
			return err
		},
	}
}

func newCompletion(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "print completions for bash, zsh or fish",
		Args:      args(cobra.ExactArgs(1)),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, list []string) error {
			switch list[0] {
			case "bash":
				return bashCompletion(cmd.Root(), inv.stdout)
			case "zsh":
				return cmd.Root().GenZshCompletion(inv.stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(inv.stdout, true)
			}
			return usageError(fmt.Sprintf("completion: unknown shell %q; there are: bash, zsh, fish", list[0]))
		},
	}
}

// bashCompletion writes cobra's script, which splits the command line by a
// function of the bash-completion package, so that it does without. macOS has
// no such package, nor has many a container.
func bashCompletion(root *cobra.Command, w io.Writer) error {
	var script strings.Builder
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	_, err := io.WriteString(w, strings.Replace(script.String(), packagedWords, ownWords, 1))
	return err
}

const (
	packagedWords = `    _get_comp_words_by_ref "$@" cur prev words cword
`
	ownWords = `    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    # Without the package: words are what blanks separate.
    local line=${COMP_LINE:0:COMP_POINT}
    read -r -a words <<<"$line"
    if [[ $line == *[[:blank:]] ]]; then
        words+=("")
    fi
    cword=$((${#words[@]} - 1))
    cur=${words[cword]}
`
)
