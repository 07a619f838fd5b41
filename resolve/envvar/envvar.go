// Package envvar resolves references to variables of the environment in which
// kz runs.
package envvar

import (
	"context"

	"github.com/getkeyzero/kz/resolve"
)

// A Provider reads the environment.
type Provider struct {
	getenv func(string) (string, bool)
}

// New returns a Provider that asks getenv.
func New(getenv func(string) (string, bool)) *Provider { return &Provider{getenv} }

// Fetch implements [resolve.Provider]. A reference is a variable's name; a
// variable that is set and empty has a value. Nothing here waits, but an ended
// ctx gets no answers.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	if err := ctx.Err(); err != nil {
		return resolve.Fail(len(refs), err)
	}
	results := make([]resolve.Result, len(refs))
	for i, ref := range refs {
		results[i] = p.fetch(ref.Path)
	}
	return results
}

func (p *Provider) fetch(name string) resolve.Result {
	if !valid(name) {
		return resolve.Result{Err: resolve.Errorf(resolve.Malformed, "not a variable name")}
	}
	value, ok := p.getenv(name)
	if !ok {
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "%s is not set", name)}
	}
	return resolve.Result{Secret: resolve.NewSecret(value)}
}

// valid reports whether name matches [A-Za-z_][A-Za-z0-9_]*.
func valid(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return name != ""
}
