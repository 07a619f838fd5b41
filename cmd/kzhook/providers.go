package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/command"
	"github.com/getkeyzero/kz/resolve/dotenvfile"
	"github.com/getkeyzero/kz/resolve/envvar"
	"github.com/getkeyzero/kz/resolve/keychain"
	"github.com/getkeyzero/kz/resolve/pass"
	"github.com/getkeyzero/kz/resolve/remote"
	"github.com/getkeyzero/kz/resolve/systemd"
	"github.com/getkeyzero/kz/resolve/vaultfile"
)

// stores makes providers for one project. It is used once.
type stores struct {
	inv      *invocation
	project  *project.Project
	outer    environ.Env
	fetchers map[string]*remote.Fetcher // by the name of the program
}

func (inv *invocation) stores(p *project.Project, outer environ.Env) *stores {
	return &stores{inv, p, outer, map[string]*remote.Fetcher{}}
}

// providers returns the stores that the entries of a project name. They see the
// environment as it is without kz, and run no program out of the project.
func (inv *invocation) providers(p *project.Project, outer environ.Env) (map[string]resolve.Provider, error) {
	providers, stores := map[string]resolve.Provider{}, inv.stores(p, outer)
	for _, e := range p.Entries {
		if e.Provider == "" || providers[e.Provider] != nil {
			continue
		}
		provider, err := stores.open(p.Provider(e.Provider))
		if err != nil {
			return nil, err
		}
		providers[e.Provider] = provider
	}
	return providers, nil
}

// closeStores ends what stores may still be doing when nobody waits for them any
// more: a program that did not heed the deadline must not outlive kz.
func closeStores(providers map[string]resolve.Provider) {
	for _, p := range providers {
		if c, ok := p.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

func (s *stores) open(settings config.Provider) (resolve.Provider, error) {
	switch settings.Type {
	case "keychain":
		return keychain.New(s.outer.List()), nil
	case "vault":
		return &vaultfile.Provider{Path: s.inv.places.vault, Key: s.inv.vaultKey}, nil
	case "env":
		return envvar.New(s.getenv), nil
	case "dotenv":
		return dotenvfile.New(s.getenv), nil
	case "command":
		return command.New(command.Options{Argv: settings.Command, Options: s.tools()})
	case "pass":
		return pass.New(s.setup(settings))
	case "gopass":
		return pass.NewGopass(s.setup(settings))
	case "systemd":
		return systemd.New(s.setup(settings))
	}
	if err := s.vouched(settings); err != nil {
		return refusing{err}, nil
	}
	return s.remote(settings)
}

func (s *stores) getenv(name string) (string, bool) {
	value, ok := s.outer[name]
	return value, ok
}

// tools says how programs of stores run. A configuration in the home directory does
// not make all of it a project.
func (s *stores) tools() tool.Options {
	dirs := slices.DeleteFunc(s.project.Dirs(), func(dir string) bool { return dir == s.inv.places.home })
	return tool.Options{Env: s.outer.List(), Avoid: dirs}
}

func (s *stores) setup(p config.Provider) resolve.Setup {
	o := s.tools()
	return resolve.Setup{
		Settings: p.Settings, Env: o.Env, Avoid: o.Avoid,
		Tell: func(text string) { s.inv.tell(p.Name, text) },
	}
}

// vouched returns an error if the project chose an address that is not one of those
// to which the user lets projects send credentials.
func (s *stores) vouched(p config.Provider) error {
	address := p.Settings["address"]
	if address == "" || !p.Project || s.project.Vouches(p) {
		return nil
	}
	return &refusal{fmt.Sprintf("the project chose %s; if you trust that server with your credentials, add to %s: trust.addresses.%s = [%q]",
		address, s.inv.near(s.inv.places.userConfig), p.Type, config.Origin(address)), ""}
}

// A refusing provider stands for one that is not to be asked.
type refusing struct{ err error }

func (r refusing) Fetch(_ context.Context, refs []resolve.Ref) []resolve.Result {
	return resolve.Fail(len(refs), r.err)
}

// readOnly are the types that kz does not write to.
var readOnly = []string{"command", "dotenv", "env", "sops", "systemd"}

func takesValues(typ string) bool { return typ != "" && !slices.Contains(readOnly, typ) }

// A helper is a program beside kz, with the types of stores that it can ask.
type helper struct {
	program string
	types   []string
	alone   bool // it may ask at a terminal, where nobody answers
}

var helpers = []helper{
	{"kz-fetch", []string{"1password", "age", "aws", "azure", "bitwarden", "doppler", "gcp", "hashicorp", "infisical"}, false},
	{"kz-fetch-sops", []string{"sops"}, true},
}

// remote returns a store that another program asks: a plug-in of the user's, or the
// helper that has what it takes.
func (s *stores) remote(p config.Provider) (resolve.Provider, error) {
	f, err := s.fetcher(p)
	if err != nil {
		return nil, err
	}
	provider := f.Provider(p.Name, p.Type, p.Settings)
	if takesValues(p.Type) {
		return remote.Writable{Provider: provider}, nil
	}
	return provider, nil
}

// fetcher returns what runs the program for a store: one for all stores of a program.
func (s *stores) fetcher(p config.Provider) (*remote.Fetcher, error) {
	program := p.Settings["program"]
	programs, alone := []string{program}, false
	if p.Type != "plugin" {
		i := slices.IndexFunc(helpers, func(h helper) bool { return slices.Contains(h.types, p.Type) })
		if i < 0 {
			return nil, &config.Error{Pos: p.Pos, Key: "providers." + p.Name, Msg: "unknown type"}
		}
		program, alone = helpers[i].program, helpers[i].alone
		programs = remote.Beside(s.inv.self, program)
	}
	if f := s.fetchers[program]; f != nil {
		return f, nil
	}
	f, err := remote.New(remote.Options{Programs: programs, Options: s.tools(), Alone: alone, Tell: s.inv.tell})
	s.fetchers[program] = f
	return f, err
}
