package main

import (
	"context"
	"slices"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/cache"
	"github.com/getkeyzero/kz/seal/holder"
)

// fetching is one of the ways to get values: cached or refreshed.
type fetching func(*invocation, *project.Project, map[string]resolve.Provider) project.Fetch

// cached takes what is kept and good, and asks the stores for the rest.
func (inv *invocation) cached(p *project.Project, providers map[string]resolve.Provider) project.Fetch {
	return inv.fetch(p, providers, cache.Cache.All)
}

// refreshed asks the stores for everything, and keeps the answers for others.
func (inv *invocation) refreshed(p *project.Project, providers map[string]resolve.Provider) project.Fetch {
	return inv.fetch(p, providers, cache.Cache.Refresh)
}

type cacheMethod func(cache.Cache, context.Context, cache.Place, []resolve.Request, cache.Ask) []resolve.Result

func (inv *invocation) fetch(p *project.Project, providers map[string]resolve.Provider, by cacheMethod) project.Fetch {
	ask := fresh(providers)
	return func(ctx context.Context, requests []resolve.Request) []resolve.Result {
		if !cache.Keepable(requests) {
			return ask(ctx, requests)
		}
		requests = inv.within(p, providers, requests)
		place := cache.Place{Config: p.Path, Environment: p.Environment}
		return by(inv.cache(ctx), ctx, place, requests, cache.Ask(ask))
	}
}

// within returns requests with scopes that have what the answers of each store
// depend on besides its settings: surroundings, if the store knows of such, who one is
// there, and the file that a reference is into.
func (inv *invocation) within(p *project.Project, providers map[string]resolve.Provider, requests []resolve.Request) []resolve.Request {
	requests = slices.Clone(requests)
	surroundings := map[string]string{}
	for i, r := range requests {
		if r.Scope == "" {
			continue
		}
		settings := p.Provider(r.Provider)
		if surroundings[r.Provider] == "" {
			surroundings[r.Provider] = " " + inv.signedInAs(settings, inv.env)
			if s, ok := providers[r.Provider].(interface{ Surroundings() string }); ok {
				surroundings[r.Provider] += s.Surroundings()
			}
		}
		requests[i].Scope += surroundings[r.Provider] + encrypted(settings, r.Ref)
	}
	return requests
}

// fresh asks the stores and leaves what is kept alone.
func fresh(providers map[string]resolve.Provider) project.Fetch {
	return func(ctx context.Context, requests []resolve.Request) []resolve.Result {
		return resolve.All(ctx, providers, requests)
	}
}

func (inv *invocation) cache(ctx context.Context) cache.Cache {
	return cache.Cache{Dir: inv.places.cache, Holder: inv.holder(ctx), Now: clock.Now}
}

// holder returns who keeps keys here. It is found out once, for it may take time.
func (inv *invocation) holder(ctx context.Context) holder.Holder {
	inv.choosing.Lock() // for stores ask at the same time
	defer inv.choosing.Unlock()
	if inv.keys == nil {
		inv.keys = holder.Choose(ctx, inv.env.List())
	}
	return inv.keys
}
