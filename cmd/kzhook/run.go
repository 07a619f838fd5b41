package main

import (
	"context"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/delivery"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/resolve"
)

// commandDeadline is how long a command that somebody waits for on purpose
// waits for stores.
const commandDeadline = 30 * time.Second

type runOptions struct {
	environment string
	only        []string
	clean       bool
	keep        []string
}

func newRun(inv *invocation) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG...]",
		Short: "run one command with the project's variables, freshly resolved",
		Example: `  kz run -- ./server
  kz run --env production --only DATABASE_URL -- ./migrate`,
		RunE: func(cmd *cobra.Command, list []string) error {
			if len(list) == 0 {
				return runError{usageError("run: which command? kz run -- COMMAND")}
			}
			return inv.run(cmd.Context(), o, list)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return runError{flagError(cmd, err)} })
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&o.environment, "env", "", "the environment to use")
	flags.StringSliceVar(&o.only, "only", nil, "deliver just these variables")
	flags.BoolVar(&o.clean, "clean-env", false, "pass on nothing of the environment but what every program needs")
	flags.StringSliceVar(&o.keep, "keep-env", nil, "pass these on all the same")
	return inv.passphraseFlag(cmd)
}

// A runError is a failure of kz run before its command began. It has a status of
// its own, for the command could end with any other.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

func (inv *invocation) run(ctx context.Context, options runOptions, argv []string) error {
	o, err := inv.open(options.environment)
	if err != nil {
		return runError{err}
	}
	for _, name := range options.only {
		if _, err := entryOf(o.Project, name); err != nil {
			return runError{err}
		}
	}
	values, err := inv.values(ctx, o, (*invocation).refreshed, func(e config.Entry) bool {
		return len(options.only) == 0 || slices.Contains(options.only, e.Name)
	})
	if err != nil {
		return runError{err}
	}
	env := childEnv(o.memory.outer, options)
	program, err := findProgram(argv[0], env["PATH"], inv.dir)
	if err != nil {
		return err
	}
	owner := delivery.For(inv.places.files, os.Getpid())
	defer owner.RemoveAll()
	owner.Sweep()
	files, err := deliver(env, owner, o, values)
	if err != nil {
		return runError{err}
	}
	if files == 0 {
		// Nothing is left to clean up: the command takes kz's place, and with it
		// the terminal, the signals and the process number.
		return inv.startError(argv[0], syscall.Exec(program, argv, env.List()))
	}
	return inv.attend(program, argv, env)
}

// deliver puts values into env, and into files where entries want that. It
// returns how many files there are.
func deliver(env environ.Env, owner delivery.Owner, o opened, values map[string]resolve.Secret) (files int, err error) {
	for _, e := range o.Entries {
		secret, ok := values[e.Name]
		switch {
		case !ok:
		case e.AsFile:
			path, err := owner.Write(placeOf(o.Project), e.Name, secret)
			if err != nil {
				return files, err
			}
			env[e.Name] = path
			files++
		default:
			env[e.Name] = secret.Reveal()
		}
	}
	return files, nil
}
