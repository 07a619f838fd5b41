package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"golang.org/x/term"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/session"
	"github.com/getkeyzero/kz/shell"
	"github.com/getkeyzero/kz/trust"
)

// program is what messages call kz, whatever the file is called.
const program = "kz"

// An invocation is what one run of kz may read and write. Nothing else touches
// the os package's streams, arguments, environment or directory.
type invocation struct {
	args   []string
	env    environ.Env
	dir    string // as the shell has it: symbolic links kept
	self   string
	places places
	stdin  *os.File
	stdout io.Writer
	stderr io.Writer

	told chan string // see tell

	keys     holder.Holder // see holder
	choosing sync.Mutex

	passphrase, newPassphrase passphrase // that of the vault, and the other that some commands take

	reading sync.Mutex // guards what is read once
	opened  struct {   // by the passphrase
		id  string
		key seal.Key
	}
}

func newInvocation() *invocation {
	inv := &invocation{
		args: os.Args[1:], env: environ.Parse(os.Environ()), self: selfPath(), places: findPlaces(),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, told: make(chan string, 4),
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = inv.env["PWD"] // the directory was removed; the shell still has its name
	}
	inv.dir = dir
	return inv
}

// selfPath returns the path by which kz was called, symbolic links and all: an
// upgrade moves what they point to, and shells outlive upgrades.
func selfPath() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}

func (inv *invocation) terminal() bool {
	out, ok := inv.stderr.(*os.File)
	return ok && term.IsTerminal(int(out.Fd())) && term.IsTerminal(int(inv.stdin.Fd()))
}

// user reads the user's own configuration.
func (inv *invocation) user() (config.User, error) {
	f, err := config.ReadUser(inv.places.userConfig)
	if err != nil {
		return config.User{}, err
	}
	return config.ParseUser(f, inv.places.home)
}

// opener returns what opens projects. environment is the one chosen on the
// command line, if any; else variables of env select it.
func (inv *invocation) opener(user config.User, env environ.Env, environment string) project.Opener {
	return project.Opener{
		Home: inv.places.home, User: user, Trust: inv.trust(user),
		Select: func(sections []string) (string, error) {
			return config.Select(sections, environment, func(name string) string { return env[name] })
		},
	}
}

// noUser stands for the user's configuration where that must not matter.
var noUser config.User

func (inv *invocation) trust(user config.User) trust.Store {
	return trust.Store{Dir: inv.places.trust, Prefixes: user.Prefixes}
}

// A memory is what the shell that called kz carries of earlier loads, with the
// key that reads it.
type memory struct {
	key   seal.Key
	state session.State
	// outer is the environment as it would be without kz, and changed what the
	// user has set by hand since.
	outer   environ.Env
	changed []string
}

var errNoState = errors.New(shell.StateName + " is not readable; what it stood for stays as it is")

// remember reads the state variable. One that cannot be read counts as none,
// and err says so; the memory is good all the same.
func (inv *invocation) remember() (memory, error) {
	m := memory{outer: inv.env}
	text, ok := inv.env[shell.StateName]
	if !ok {
		return m, nil
	}
	m.outer = environ.Apply(inv.env, []environ.Change{{Name: shell.StateName, Unset: true}})
	key, err := seal.FileKey(inv.places.key)
	if err != nil {
		return m, fmt.Errorf("%w: %w", errNoState, err)
	}
	m.key = key
	state, err := session.Decode(key, text)
	if err != nil {
		return m, errNoState
	}
	m.state = state
	m.outer, m.changed = state.Outer(key, m.outer)
	return m, nil
}
