package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/shell"
)

func newHook(inv *invocation) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "hook --shell bash|zsh|fish",
		Short: "print the hook for a shell's startup file",
		Example: `  eval "$(kz hook --shell bash)"    at the end of ~/.bashrc
  eval "$(kz hook --shell zsh)"     at the end of ~/.zshrc
  kz hook --shell fish | source     in ~/.config/fish/config.fish`,
		Args:      args(cobra.MaximumNArgs(1)),
		ValidArgs: shell.Names(),
		RunE: func(_ *cobra.Command, list []string) error {
			if len(list) == 1 && name == "" {
				name = list[0]
			}
			if name == "" {
				return usageError("hook: which shell? --shell bash, zsh or fish")
			}
			sh, err := shell.Named(name)
			if err != nil {
				return err
			}
			text, err := sh.Hook(inv.self)
			if err != nil {
				return err
			}
			_, err = io.WriteString(inv.stdout, text)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "shell", "", "bash, zsh or fish")
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions(shell.Names(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
