//go:build unix

// Package dotenvfile resolves references to variables in .env files.
//
// A reference is FILE#NAME, FILE being relative to the directory of the config
// that holds the reference. Neither .. nor a symbolic link leads out of that
// directory; relative links within it are followed.
package dotenvfile

import (
	"context"
	"errors"

	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

// A Provider reads .env files.
type Provider struct {
	getenv func(string) (string, bool)
}

// New returns a Provider. Getenv, which may be nil, is asked for the variables
// that a file refers to and does not set.
func New(getenv func(string) (string, bool)) *Provider { return &Provider{getenv} }

// Fetch implements [resolve.Provider]. Each file is read once, so that all its
// values are of one version. Between files it heeds ctx.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	files := map[projectfile.File]contents{}
	for i, ref := range refs {
		src, name, err := projectfile.Parse(ref)
		if err == nil && name == "" {
			err = resolve.Errorf(resolve.Malformed, "not of the form FILE#NAME")
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		file, seen := files[src]
		if !seen {
			if err := ctx.Err(); err != nil {
				results[i].Err = err
				continue
			}
			file = p.read(src)
			files[src] = file
		}
		results[i] = file.find(src, name)
	}
	return results
}

// contents are the variables of a file, or why there are none.
type contents struct {
	values map[string]resolve.Secret
	err    error
}

func (c contents) find(src projectfile.File, name string) resolve.Result {
	if c.err != nil {
		return resolve.Result{Err: c.err}
	}
	secret, ok := c.values[name]
	if !ok {
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "%v: no variable %q", src, name)}
	}
	return resolve.Result{Secret: secret}
}

func (p *Provider) read(src projectfile.File) contents {
	data, err := src.Read()
	if err != nil {
		return contents{err: err}
	}
	entries, err := dotenv.Parse(data, p.getenv)
	if syntax, ok := errors.AsType[*dotenv.SyntaxError](err); ok {
		err = resolve.Errorf(resolve.Malformed, "%v:%d: %s", src, syntax.Line, syntax.Msg)
	}
	if err != nil {
		return contents{err: err}
	}
	values := make(map[string]resolve.Secret, len(entries))
	for _, e := range entries {
		values[e.Name] = resolve.NewSecret(e.Value)
	}
	return contents{values: values}
}
