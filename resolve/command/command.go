// Package command fetches secrets from programs that the user's own configuration
// names: op, pass, a script. A program gets one reference and prints one value.
//
// A reference comes from a project and the program from the user. So a
// reference is one argument or a part of one, and no shell reads it; and the
// program is never one that a project could have put in the way.
package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

const (
	mark     = "{ref}"
	maxRef   = 1 << 10
	parallel = 8 // programs at once in one batch
)

// Options say what to run, and in which surroundings.
type Options struct {
	// Argv is the program, a name or an absolute path, and its arguments. Where
	// an argument has {ref} the reference takes its place; if none has, it
	// becomes the last argument.
	Argv []string
	// Env is the environment to choose from: the user's own, before any project
	// added to it. A name is looked up in its PATH.
	Env []string
	// PassEnv names variables that the program gets besides those that stores are
	// known to read, each as NAME or PREFIX_*.
	PassEnv []string
	// Forbidden are the absolute paths of directories in which no program is run:
	// the roots of projects.
	Forbidden []string
}

// A Provider runs the program for each reference.
type Provider struct {
	options Options
	closing chan struct{}
	close   sync.Once
	running sync.RWMutex // read-locked by each Fetch
}

// New returns the Provider of o. It looks for no program yet.
func New(o Options) (*Provider, error) {
	if len(o.Argv) == 0 {
		return nil, errors.New("command: names no program")
	}
	if strings.Contains(o.Argv[0], mark) {
		return nil, fmt.Errorf("command: program %q: a reference cannot choose the program", o.Argv[0])
	}
	for _, arg := range o.Argv {
		if strings.ContainsRune(arg, 0) {
			return nil, fmt.Errorf("command: argument %q: has a NUL byte", arg)
		}
	}
	for _, name := range o.PassEnv {
		if private(name) {
			return nil, fmt.Errorf("command: variable %q: is not passed on", name)
		}
	}
	for _, dir := range o.Forbidden {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("command: forbidden directory %q: not absolute", dir)
		}
	}
	return &Provider{options: o, closing: make(chan struct{})}, nil
}

// Find returns the path of the program that would be run, or an error of class
// NoTool that says why there is none.
func (p *Provider) Find() (string, error) { return newSearch(p.options).find(p.options.Argv[0]) }

// Fetch implements [resolve.Provider]. What the program prints, less one newline, is
// the value; printing nothing is Malformed, for a store that has an empty secret is
// less likely than a program that failed and did not say so.
//
// When ctx ends the program and all of its process group are asked to
// terminate, and killed 200 ms later if they have not. Fetch returns after that,
// even if a process that left the group still holds the program's output.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	p.running.RLock()
	defer p.running.RUnlock()
	if len(refs) == 0 {
		return nil
	}
	search := newSearch(p.options)
	program, err := search.find(p.options.Argv[0])
	if err != nil {
		return resolve.Fail(len(refs), err)
	}
	env := environ(p.options, search.path)

	results := make([]resolve.Result, len(refs))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, ref := range refs {
		args, err := arguments(p.options.Argv, ref.Path)
		if err != nil {
			results[i].Err = err
			continue
		}
		wg.Go(func() {
			slots <- struct{}{} // soon free, for every program ends soon after ctx
			defer func() { <-slots }()
			results[i].Secret, results[i].Err = p.run(ctx, program, args, env)
		})
	}
	wg.Wait()
	return results
}

// Close kills the programs of every Fetch under way, and returns when they are
// gone. Who leaves a Fetch behind, as [resolve.All] does soon after
// its deadline, calls it before the process ends: nobody else would kill a program that
// ignores the request to terminate.
func (p *Provider) Close() {
	p.close.Do(func() { close(p.closing) })
	p.running.Lock()
	defer p.running.Unlock()
}

// arguments returns argv with the reference in its place.
func arguments(argv []string, ref string) ([]string, error) {
	if err := check(ref); err != nil {
		return nil, err
	}
	args := []string{argv[0]}
	named, leads := false, false
	for _, arg := range argv[1:] {
		named = named || strings.Contains(arg, mark)
		leads = leads || strings.HasPrefix(arg, mark)
		args = append(args, strings.ReplaceAll(arg, mark, ref))
	}
	if !named {
		args, leads = append(args, ref), true
	}
	if leads && strings.HasPrefix(ref, "-") {
		return nil, resolve.Errorf(resolve.Malformed, "reference %q: would be taken for an option", ref)
	}
	return args, nil
}

func check(ref string) error {
	switch {
	case ref == "":
		return resolve.Errorf(resolve.Malformed, "the reference is empty")
	case len(ref) > maxRef:
		return resolve.Errorf(resolve.Malformed, "the reference has %d bytes, more than %d", len(ref), maxRef)
	case !utf8.ValidString(ref) || strings.ContainsFunc(ref, unicode.IsControl):
		return resolve.Errorf(resolve.Malformed, "reference %q: has control characters or is not UTF-8", ref)
	}
	return nil
}
