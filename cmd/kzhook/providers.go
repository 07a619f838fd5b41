package main

import (
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
	"github.com/getkeyzero/kz/resolve/vaultfile"
)

// providers returns the stores that the entries of a project name. They see the
// environment as it is without kz, and run no program out of the project.
func (inv *invocation) providers(p *project.Project, outer environ.Env) (map[string]resolve.Provider, error) {
	providers := map[string]resolve.Provider{}
	for _, e := range p.Entries {
		if e.Provider == "" || providers[e.Provider] != nil {
			continue
		}
		provider, err := inv.newProvider(p.Provider(e.Provider), p, outer)
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

func (inv *invocation) newProvider(settings config.Provider, p *project.Project, outer environ.Env) (resolve.Provider, error) {
	getenv := func(name string) (string, bool) {
		value, ok := outer[name]
		return value, ok
	}
	switch settings.Type {
	case "keychain":
		return keychain.New(outer.List()), nil
	case "vault":
		return &vaultfile.Provider{Path: inv.places.vault, Key: inv.vaultKey}, nil
	case "env":
		return envvar.New(getenv), nil
	case "dotenv":
		return dotenvfile.New(getenv), nil
	case "command":
		// A configuration in the home directory does not make all of it a project.
		dirs := slices.DeleteFunc(p.Dirs(), func(dir string) bool { return dir == inv.places.home })
		return command.New(command.Options{Argv: settings.Command, Options: tool.Options{Env: outer.List(), Avoid: dirs}})
	}
	return nil, &config.Error{Pos: settings.Pos, Key: "providers." + settings.Name, Msg: "unknown type"}
}
