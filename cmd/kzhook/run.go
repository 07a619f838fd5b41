package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
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
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return runError{usageError("run: " + err.Error())} })
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&o.environment, "env", "", "the environment to use")
	flags.StringSliceVar(&o.only, "only", nil, "deliver just these variables")
	flags.BoolVar(&o.clean, "clean-env", false, "pass on nothing of the environment but what every program needs")
	flags.StringSliceVar(&o.keep, "keep-env", nil, "pass these on all the same")
	return cmd
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
	values, err := inv.values(ctx, o, func(e config.Entry) bool {
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

// attend runs the command as a child, for there is something to remove after
// it. It passes on signals and the way in which the child ended.
func (inv *invocation) attend(program string, argv []string, env environ.Env) error {
	cmd := &exec.Cmd{Path: program, Args: argv, Env: env.List(), Stdin: inv.stdin, Stdout: inv.stdout, Stderr: inv.stderr}
	signals := make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT} {
		if !signal.Ignored(s) { // what nohup has kz ignore, the command ignores too
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return inv.startError(argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !fromTerminal(s) {
				_ = cmd.Process.Signal(s)
			}
		case err := <-ended:
			return childStatus(cmd, err)
		}
	}
}

// fromTerminal reports whether the terminal sent s, in which case the child, of
// the same process group, has got it too.
func fromTerminal(s os.Signal) bool {
	switch s {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGWINCH:
	default:
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func childStatus(cmd *exec.Cmd, err error) error {
	if cmd.ProcessState == nil {
		return runError{err}
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return status(128 + int(ws.Signal()))
	}
	return status(ws.ExitStatus())
}

// A startFailure is a command that could not be executed.
type startFailure struct {
	name string
	err  error
	code int
}

func (e *startFailure) Error() string { return fmt.Sprintf("%s: %v", e.name, e.err) }

func (inv *invocation) startError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &startFailure{name, errors.New("no such program, or its interpreter is missing"), exitNoProgram}
	}
	return &startFailure{name, err, exitCannotRun}
}

// findProgram looks a command up as a shell would, but for relative entries of
// PATH, which would run what happens to lie in the directory.
func findProgram(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		file := name
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return file, checkProgram(name, file)
	}
	if name == "" {
		return "", &startFailure{`""`, errors.New("no such program"), exitNoProgram}
	}
	var failed error = &startFailure{name, errors.New("no such program"), exitNoProgram}
	for _, entry := range filepath.SplitList(path) {
		if !filepath.IsAbs(entry) {
			continue
		}
		file := filepath.Join(entry, name)
		err := checkProgram(name, file)
		if err == nil {
			return file, nil
		}
		var start *startFailure
		if errors.As(err, &start) && start.code == exitCannotRun {
			failed = err
		}
	}
	return "", failed
}

func checkProgram(name, file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return &startFailure{name, errors.New("no such program"), exitNoProgram}
	case info.IsDir():
		return &startFailure{name, errors.New("is a directory"), exitCannotRun}
	case unix.Access(file, unix.X_OK) != nil:
		return &startFailure{name, errors.New("may not be run"), exitCannotRun}
	}
	return nil
}

// withheld are variables that open stores. A command gets the secrets that the
// plan names, and not the means to fetch all others.
var withheld = []string{
	"KZ_*", "_kz_*", "__KZ_*", "KEYZERO_VAULT_PASSPHRASE_FILE",
	"VAULT_TOKEN", "BAO_TOKEN", "OP_SESSION_*", "OP_SERVICE_ACCOUNT_TOKEN", "OP_CONNECT_TOKEN",
	"DOPPLER_TOKEN", "INFISICAL_TOKEN", "INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN",
	"BW_SESSION", "BWS_ACCESS_TOKEN", "SOPS_AGE_KEY",
}

// basic are the variables that --clean-env passes on.
var basic = []string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "TERM", "COLORTERM", "LANG", "LC_*", "TZ", "TMPDIR"}

// childEnv returns what a command gets of the environment that kz was started
// in, without what kz loaded into it.
func childEnv(outer environ.Env, o runOptions) environ.Env {
	env := environ.Env{}
	for name, value := range outer {
		switch {
		case slices.Contains(o.keep, name) && !anyMatch([]string{"KZ_*", "__KZ_*", "_kz_*"}, name):
		case o.clean && !anyMatch(basic, name), anyMatch(withheld, name):
			continue
		}
		env[name] = value
	}
	return env
}

func anyMatch(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		head, star := strings.CutSuffix(p, "*")
		return name == p || star && strings.HasPrefix(name, head)
	})
}
