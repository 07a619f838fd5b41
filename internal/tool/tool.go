// Package tool runs the programs of stores: ones that nobody but the user and
// root can have put where they are, with an environment chosen for them, in a
// process group of their own that ends with the deadline.
package tool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/getkeyzero/kz/resolve"
)

// Options say in which surroundings programs run.
type Options struct {
	// Env is the environment to choose from: the user's own, before any project
	// added to it. A name is looked up in its PATH.
	Env []string
	// Pass names variables that programs get besides those that stores are
	// known to read, each as NAME or PREFIX_*.
	Pass []string
	// Avoid are the absolute paths of directories in which no program is run:
	// the roots of projects.
	Avoid []string
}

// A Runner runs programs until it is closed.
type Runner struct {
	options Options
	closing chan struct{}
	close   sync.Once
	running sync.RWMutex // read-locked by each Run
}

// New returns the Runner of o.
func New(o Options) (*Runner, error) {
	for _, name := range o.Pass {
		if private(name) {
			return nil, fmt.Errorf("variable %q: is not passed on", name)
		}
	}
	for _, dir := range o.Avoid {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("forbidden directory %q: not absolute", dir)
		}
	}
	return &Runner{options: o, closing: make(chan struct{})}, nil
}

// A Program is one that may be run, with the environment that it gets.
type Program struct {
	Path string // absolute
	env  []string
}

// Find returns a program by its name or absolute path, or an error of class
// NoTool that says why there is none.
func (r *Runner) Find(name string) (Program, error) {
	s := newSearch(r.options)
	path, err := s.find(name)
	if err != nil {
		return Program{}, err
	}
	return Program{path, environ(r.options, s.path)}, nil
}

// A Call is one run of a program.
type Call struct {
	Args  []string // behind the program's name
	Stdin []byte   // nothing if nil
	Env   []string // "NAME=value", besides what every program gets and before it
	Most  int      // bytes of stdout, 1 MiB if 0
	// Alone has the program begin a session of its own, without a terminal: it then
	// fails where it would ask there, and wait for ever.
	Alone bool
	// Events, if not nil, is told what the program writes to its descriptor 3.
	Events func(*os.File)
}

// An Outcome is how a program ended that ended by itself.
type Outcome struct {
	Stdout []byte
	Stderr []byte // the last of it, at most 64 KiB. It may hold values
	State  *os.ProcessState
}

// Run runs a program to its end. It is no error that the program fails: see
// [Outcome.Err]. An error is the end of ctx, that the program cannot be
// started (of class NoTool), or that it writes too much (Malformed).
//
// When ctx ends the program and all of its process group are asked to
// terminate, and killed 200 ms later if they have not. Run returns after that,
// even if a process that left the group still holds the program's output.
func (r *Runner) Run(ctx context.Context, p Program, c Call) (Outcome, error) {
	r.running.RLock()
	defer r.running.RUnlock()
	if c.Most == 0 {
		c.Most = maxOutput
	}
	return r.run(ctx, p, c)
}

// Close kills the programs of every Run under way, and returns when they are
// gone. Who leaves a Run behind, as [resolve.All] does soon after its deadline,
// calls it before the process ends: nobody else would kill a program that
// ignores the request to terminate.
func (r *Runner) Close() {
	r.close.Do(func() { close(r.closing) })
	r.running.Lock()
	defer r.running.Unlock()
}

// Err returns nil if the program succeeded, else an error of the class that its
// messages stand for, without what it wrote.
func (o Outcome) Err() error {
	if o.State.Success() {
		return nil
	}
	if class := Classify(o.Stderr); class != "" {
		return &resolve.Error{Class: class}
	}
	return resolve.Errorf("", "the program ended with %v", o.State) // of no class, and yet an answer, which others need not ask for again
}

var errImmortal = errors.New("the program cannot be ended")

// Line returns what a program printed, less one newline at the end.
func Line(stdout []byte) string {
	text := string(stdout)
	if line, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(line, "\r")
	}
	return text
}
