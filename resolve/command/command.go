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
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/tool"
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
	tool.Options
}

// A Provider runs the program for each reference.
type Provider struct {
	*tool.Runner
	argv []string
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
	runner, err := tool.New(o.Options)
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return &Provider{runner, o.Argv}, nil
}

// Find returns the path of the program that would be run, or an error of class
// NoTool that says why there is none.
func (p *Provider) Find() (string, error) {
	program, err := p.Runner.Find(p.argv[0])
	return program.Path, err
}

// Surroundings returns a digest of all but the reference that the program's answer
// depends on.
func (p *Provider) Surroundings() string { return p.Runner.Surroundings(p.argv[0], p.argv...) }

// Fetch implements [resolve.Provider]. What the program prints, less one newline, is
// the value; printing nothing is Malformed, for a store that has an empty secret is
// less likely than a program that failed and did not say so. How the end of ctx
// ends programs, [tool.Runner.Run] says.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	if len(refs) == 0 {
		return nil
	}
	program, err := p.Runner.Find(p.argv[0])
	if err != nil {
		return resolve.Fail(len(refs), err)
	}
	return resolve.Each(ctx, refs, parallel, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		args, err := arguments(p.argv, ref.Path)
		if err != nil {
			return resolve.Secret{}, err
		}
		return p.run(ctx, program, args)
	})
}

func (p *Provider) run(ctx context.Context, program tool.Program, args []string) (resolve.Secret, error) {
	out, err := p.Run(ctx, program, tool.Call{Args: args})
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		return resolve.Secret{}, err
	}
	text := tool.Line(out.Stdout)
	if text == "" {
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the program printed nothing")
	}
	return resolve.NewSecret(text), nil
}

// arguments returns what stands behind the program in argv, with the reference in its place.
func arguments(argv []string, ref string) ([]string, error) {
	if err := check(ref); err != nil {
		return nil, err
	}
	var args []string
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
