package project

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/resolve"
)

// A Failure is a variable that got no value.
type Failure struct {
	Entry config.Entry
	Err   error
	Type  string // of the store, as config has types
}

// Error names the variable, the store and the cause.
func (f *Failure) Error() string {
	if f.Entry.Provider == "" {
		return f.Entry.Name + ": " + f.Err.Error()
	}
	return f.Entry.Name + ": " + f.Entry.Provider + ": " + f.Err.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Fetch gets an answer to each request, in their order.
type Fetch func(ctx context.Context, requests []resolve.Request) []resolve.Result

// Values resolves the entries that want accepts, and what these refer to. It
// returns what has a value and a Failure for each other entry, both by name.
// ${NAME} means another entry of the plan, else a variable of outer.
func (p *Project) Values(ctx context.Context, fetch Fetch, outer environ.Env, want func(config.Entry) bool) (map[string]resolve.Result, []*Failure) {
	c := &composer{plan: p.Plan, scope: p.Digest, outer: outer, entries: map[string]config.Entry{}, done: map[string]resolve.Result{}}
	for _, e := range p.Entries {
		c.entries[e.Name] = e
	}
	c.fetch(ctx, fetch, c.needed(p.Entries, want))
	values := map[string]resolve.Result{}
	var failures []*Failure
	total := 0
	for _, e := range p.Entries {
		if !want(e) {
			continue
		}
		r := c.value(e.Name)
		size := len(r.Secret.Reveal())
		if r.Err == nil && total+size > maxTotal {
			r.Err = resolve.Errorf(resolve.Malformed, "with this one all values have more than %d KiB", maxTotal>>10)
		}
		if r.Err != nil {
			failures = append(failures, &Failure{e, r.Err, p.Provider(e.Provider).Type})
			continue
		}
		values[e.Name] = r
		total += size
	}
	return values, failures
}

// maxTotal is how many bytes all values of a project may have together. Linux
// starts no program whose environment is much larger than a megabyte.
const maxTotal = 512 << 10

// A composer puts entries together from what the stores gave.
type composer struct {
	plan    config.Plan
	scope   string // what was agreed to
	outer   environ.Env
	entries map[string]config.Entry
	done    map[string]resolve.Result
}

// needed returns the entries with a store that the wanted ones lead to.
func (c *composer) needed(entries []config.Entry, want func(config.Entry) bool) []config.Entry {
	var fetch []config.Entry
	seen := map[string]bool{}
	var visit func(e config.Entry)
	visit = func(e config.Entry) {
		if seen[e.Name] {
			return
		}
		seen[e.Name] = true
		if e.Provider != "" {
			fetch = append(fetch, e)
			return
		}
		names, _ := config.References(e.Text)
		for _, n := range names {
			if next, ok := c.entries[n]; ok {
				visit(next)
			}
		}
	}
	for _, e := range entries {
		if want(e) {
			visit(e)
		}
	}
	return fetch
}

func (c *composer) fetch(ctx context.Context, fetch Fetch, entries []config.Entry) {
	if len(entries) == 0 {
		return
	}
	requests := make([]resolve.Request, len(entries))
	for i, e := range entries {
		requests[i] = c.request(e)
	}
	for i, r := range fetch(ctx, requests) {
		if e := entries[i]; resolve.ClassOf(r.Err) == resolve.NotFound && e.Default != nil {
			r = resolve.Result{Secret: resolve.NewSecret(*e.Default), Left: r.Left}
		}
		c.done[entries[i].Name] = r
	}
}

// request asks for the value of an entry. One that may be kept is kept for this
// content of the configuration and these settings of the store only.
func (c *composer) request(e config.Entry) resolve.Request {
	r := resolve.Request{Provider: e.Provider, Ref: resolve.Ref{Path: e.Ref, Dir: e.Dir}, Field: e.Field}
	keep := false
	if r.TTL, r.Stale, keep = c.plan.Life(e); keep {
		r.Scope = c.scope + " " + settingsText(c.plan.Provider(e.Provider))
	}
	return r
}

func settingsText(p config.Provider) string {
	text := fmt.Sprintf("%q %q", p.Type, p.Command)
	for _, key := range slices.Sorted(maps.Keys(p.Settings)) {
		text += fmt.Sprintf(" %q=%q", key, p.Settings[key])
	}
	return text
}

// Settings returns a digest of what the configurations say about the stores that
// the plan names, "" if that is nothing.
func (p *Project) Settings() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(p.Providers)) {
		if slices.ContainsFunc(p.Entries, func(e config.Entry) bool { return e.Provider == name }) {
			settings := p.Providers[name]
			text += fmt.Sprintf("%q %s ", name, settingsText(settings))
			for _, d := range []*time.Duration{settings.TTL, settings.Stale} {
				if d != nil {
					text += d.String() + " "
				}
			}
		}
	}
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return " " + hex.EncodeToString(sum[:8])
}

// value returns the value of an entry, composed if need be. The plan has no
// circles, so this ends.
func (c *composer) value(name string) resolve.Result {
	if r, ok := c.done[name]; ok {
		return r
	}
	size := 0
	var r resolve.Result
	text, err := config.Expand(c.entries[name].Text, func(other string) (string, bool) {
		if size > resolve.MaxValue { // what is there already is refused below
			return "", true
		}
		part := c.lookup(name, other)
		size += len(part.Secret.Reveal())
		r.Left, r.Stale = sooner(r.Left, part.Left), r.Stale || part.Stale
		return part.Secret.Reveal(), part.Err == nil
	})
	r.Secret, r.Err = resolve.NewSecret(text), err
	if err == nil {
		r.Err = resolve.CheckValue(r.Secret)
	} else if missing := c.missing(name); missing != "" {
		r.Err = fmt.Errorf("needs %s, which has no value", missing)
	} else {
		r.Err = resolve.Errorf(resolve.NotFound, "%v", err)
	}
	c.done[name] = r
	return r
}

// lookup returns what other means in the text of name: of itself, its value outside.
func (c *composer) lookup(name, other string) resolve.Result {
	if _, ok := c.entries[other]; ok && other != name {
		return c.value(other)
	}
	value, ok := c.outer[other]
	if !ok {
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "")}
	}
	return resolve.Result{Secret: resolve.NewSecret(value)}
}

// sooner returns the shorter of two times, of which 0 has no end.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// missing returns the first entry that the text of name refers to and that
// could not be had.
func (c *composer) missing(name string) string {
	names, _ := config.References(c.entries[name].Text)
	for _, n := range names {
		if r, ok := c.done[n]; ok && n != name && r.Err != nil {
			return n
		}
	}
	return ""
}
