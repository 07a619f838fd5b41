// Package onepassword fetches secrets from 1Password: from a Connect server where
// the environment has a token for one, else through the op program as whoever is
// signed in there. References are those that 1Password copies,
// op://vault/item[/section]/field.
package onepassword

import (
	"context"
	"regexp"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

const (
	parallel = 8
	maxItems = 5000 // that List returns
)

// A backend is one of the ways to 1Password.
type backend interface {
	// fetch asks for distinct references.
	fetch(ctx context.Context, refs []reference) []resolve.Result
	store(ctx context.Context, ref reference, secret resolve.Secret) error
	probe(ctx context.Context) (resolve.Standing, error)
	list(ctx context.Context) ([]summary, error)
}

// A Provider asks 1Password.
type Provider struct {
	*tool.Runner
	way backend
}

// New returns the Provider of s. It looks for no program yet.
func New(s resolve.Setup) (*Provider, error) {
	runner, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return nil, err
	}
	p := &Provider{Runner: runner}
	if viaConnect(s) {
		p.way, err = newConnect(s)
	} else {
		p.way, err = newProgram(s, runner)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// viaConnect reports whether a Connect server is to be asked. An address alone, from
// the user or vouched for by the user, means that too: op cannot be pointed elsewhere.
func viaConnect(s resolve.Setup) bool {
	return s.Settings["address"] != "" || s.Getenv("OP_CONNECT_HOST") != "" && s.Getenv("OP_CONNECT_TOKEN") != ""
}

func newConnect(s resolve.Setup) (*connect, error) {
	token, mend := s.Getenv("OP_CONNECT_TOKEN"), ask.Without(s, "op signin", "OP_CONNECT_TOKEN")
	if s.Settings["address"] != "" { // where op could not ask
		mend = "export OP_CONNECT_TOKEN=TOKEN"
	}
	if token == "" {
		return nil, resolve.Hinted(resolve.NotLoggedIn, mend, "OP_CONNECT_TOKEN is not set")
	}
	client, err := rest.New(rest.Options{
		Address: s.Setting("address", "OP_CONNECT_HOST"),
		CAFile:  s.Setting("ca_file"),
	})
	return &connect{client, s.Setting("address", "OP_CONNECT_HOST"), token, mend}, err
}

// accounts are what op's --account and a shell take without quotes.
var accounts = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]*$`)

func newProgram(s resolve.Setup, runner *tool.Runner) (*program, error) {
	p := &program{Runner: runner, name: s.Setting("program"), account: s.Setting("account"), setup: s}
	if p.name == "" {
		p.name = "op"
	}
	if p.account != "" && !accounts.MatchString(p.account) {
		return nil, resolve.Errorf(resolve.Malformed, "account %q: not an address, an email address or an id", p.account)
	}
	return p, nil
}

// Fetch implements [resolve.Provider].
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	at := map[reference]int{}
	var distinct []reference
	parsed := make([]reference, len(refs))
	for i, ref := range refs {
		r, err := parse(ref)
		if results[i].Err = err; err != nil {
			continue
		}
		parsed[i] = r
		if _, seen := at[r]; !seen {
			at[r] = len(distinct)
			distinct = append(distinct, r)
		}
	}
	if len(distinct) == 0 {
		return results
	}
	answers := p.way.fetch(ctx, distinct)
	for i := range refs {
		if results[i].Err == nil {
			results[i] = answers[at[parsed[i]]]
		}
	}
	return results
}

// Store implements [resolve.Storer]: it sets a field, which it adds to an item that
// has none of that name, and makes the item if there is none.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	r, err := parse(ref)
	if err == nil {
		err = r.writable()
	}
	if err != nil {
		return err
	}
	return p.way.store(ctx, r, secret)
}

// Probe implements [resolve.Prober]. It does not wake the 1Password app, which would
// ask for a finger.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) { return p.way.probe(ctx) }

// List implements [resolve.Lister]. It names of each item the field that has the
// secret in items of its category.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	items, err := p.way.list(ctx)
	if err != nil {
		return nil, err
	}
	return references(items), nil
}

// Present says by what 1Password could be asked from here.
func Present(s resolve.Setup) string {
	if viaConnect(s) {
		return "OP_CONNECT_HOST and OP_CONNECT_TOKEN"
	}
	runner, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return ""
	}
	p, err := newProgram(s, runner)
	if err != nil {
		return ""
	}
	found, err := runner.Find(p.name)
	if err != nil {
		return ""
	}
	return "op at " + found.Path
}
