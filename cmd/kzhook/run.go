package main

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

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
	watch       bool
	grace       time.Duration
	signal      string
}

func newRun(inv *invocation) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG...]",
		Short: "run one command with the project's variables, freshly resolved",
		Example: `  kz run -- ./server
  kz run --env production --only DATABASE_URL -- ./migrate
  kz run --watch -- ./server`,
		RunE: func(cmd *cobra.Command, list []string) error {
			if len(list) == 0 {
				return runError{usageError("run: which command? kz run -- COMMAND")}
			}
			if err := o.check(cmd.Flags()); err != nil {
				return runError{err}
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
	flags.BoolVar(&o.watch, "watch", false, "start the command again when what it gets changes")
	flags.DurationVar(&o.grace, "grace", 10*time.Second, "with --watch: how long the command may take to end")
	flags.StringVar(&o.signal, "signal", "", "with --watch: send this signal instead of starting again")
	inv.passphraseFlag(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := inv.readDescriptors(cmd.Context()); err != nil {
			return runError{err}
		}
		return nil
	}
	return cmd
}

func (o runOptions) check(flags *pflag.FlagSet) error {
	for _, name := range []string{"grace", "signal"} {
		if flags.Changed(name) && !o.watch {
			return usageError("run: --" + name + " goes with --watch")
		}
	}
	switch {
	case o.grace < 0:
		return usageError("run: --grace cannot be less than 0")
	case flags.Changed("signal") && o.signalNumber() == 0:
		return usageError("run: --signal: no such signal: " + strconv.Quote(o.signal))
	}
	return nil
}

// signalNumber returns the signal to send, or 0 if there is none of that name.
func (o runOptions) signalNumber() syscall.Signal {
	return unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(o.signal), "SIG"))
}

// wants reports whether the command is to get the variable of an entry.
func (o runOptions) wants(e config.Entry) bool {
	return len(o.only) == 0 || slices.Contains(o.only, e.Name)
}

// A runError is a failure of kz run before its command began. It has a status of
// its own, for the command could end with any other.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

func (inv *invocation) run(ctx context.Context, options runOptions, argv []string) error {
	seen := inv.lookups()
	l, err := inv.load(ctx, options)
	if err != nil {
		return runError{err}
	}
	out := outlet{delivery.For(inv.places.files, os.Getpid()), placeOf(l.Project)}
	defer out.owner.RemoveAll()
	out.owner.Sweep()
	c, err := inv.prepare(l, options, argv, out)
	switch {
	case err != nil:
		return err
	case options.watch:
		k := newKeeper(inv, options, out)
		return k.keep(ctx, c, outcome{load: l, seen: append(seen, inv.watched(l.Project)...)})
	case len(c.files) > 0:
		return inv.attend(ctx, c)
	}
	// Nothing is left to clean up: the command takes kz's place, and with it
	// the terminal, the signals and the process number.
	return inv.startError(argv[0], syscall.Exec(c.program, argv, c.env.List()))
}

// A load is what the stores gave for the plan of an opened project.
type load struct {
	opened
	values map[string]resolve.Result
}

// load resolves afresh what a command is to get, and says what is missing.
func (inv *invocation) load(ctx context.Context, options runOptions) (load, error) {
	o, err := inv.openFor(options)
	if err != nil {
		return load{}, err
	}
	values, err := inv.values(ctx, o, (*invocation).refreshed, options.wants)
	return load{o, values}, err
}

func (inv *invocation) openFor(options runOptions) (opened, error) {
	o, err := inv.open(options.environment)
	if err != nil {
		return o, err
	}
	for _, name := range options.only {
		if _, err := entryOf(o.Project, name); err != nil {
			return o, err
		}
	}
	return o, nil
}

// A task is a program with all that it is started with.
type task struct {
	program string
	argv    []string
	env     environ.Env
	files   map[string]string // paths of delivered files, by variable
}

// prepare finds the program and delivers the files. Other than that nothing
// has happened yet.
func (inv *invocation) prepare(l load, options runOptions, argv []string, out outlet) (task, error) {
	env := childEnv(l.memory.outer, options)
	program, err := findProgram(argv[0], env["PATH"], inv.dir)
	if err != nil {
		return task{}, err
	}
	files, err := deliver(env, out, l.Entries, l.values)
	if err != nil {
		return task{}, runError{err}
	}
	return task{program, argv, env, files}, nil
}

// An outlet is where the files of one project go that are delivered to one process.
type outlet struct {
	owner delivery.Owner
	place string
}

// deliver puts values into env, and into files where entries want that. It
// returns the paths of these files by variable.
func deliver(env environ.Env, out outlet, entries []config.Entry, values map[string]resolve.Result) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range entries {
		r, ok := values[e.Name]
		switch {
		case !ok:
		case e.AsFile:
			path, err := out.owner.Write(out.place, e.Name, r.Secret)
			if err != nil {
				return files, err
			}
			env[e.Name], files[e.Name] = path, path
		default:
			env[e.Name] = r.Secret.Reveal()
		}
	}
	return files, nil
}
