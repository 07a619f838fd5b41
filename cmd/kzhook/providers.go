package main

import (
	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/command"
	"github.com/getkeyzero/kz/resolve/dotenvfile"
	"github.com/getkeyzero/kz/resolve/envvar"
	"github.com/getkeyzero/kz/resolve/keychain"
)

// providers returns the stores that the entries of a project name. They see the
// environment as it is without kz, and run no program out of the project.
func (inv *invocation) providers(p *project.Project, outer environ.Env) (map[string]resolve.Provider, error) {
	providers := map[string]resolve.Provider{}
	for _, e := range p.Entries {
		if e.Provider == "" || providers[e.Provider] != nil {
			continue
		}
		settings, named := p.Providers[e.Provider]
		if !named {
			settings = config.Provider{Name: e.Provider, Type: e.Provider}
		}
		provider, err := newProvider(settings, p, outer)
		if err != nil {
			return nil, err
		}
		providers[e.Provider] = provider
	}
	return providers, nil
}

func newProvider(settings config.Provider, p *project.Project, outer environ.Env) (resolve.Provider, error) {
	getenv := func(name string) (string, bool) {
		value, ok := outer[name]
		return value, ok
	}
	switch settings.Type {
	case "keychain":
		return keychain.New(outer.List()), nil
	case "env":
		return envvar.New(getenv), nil
	case "dotenv":
		return dotenvfile.New(getenv), nil
	case "command":
		return command.New(command.Options{Argv: settings.Command, Env: outer.List(), Forbidden: p.Dirs()})
	}
	return nil, &config.Error{Pos: settings.Pos, Key: "providers." + settings.Name, Msg: "unknown type"}
}
