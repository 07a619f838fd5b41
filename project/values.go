package project

import (
	"context"
	"fmt"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/resolve"
)

// A Failure is a variable that got no value.
type Failure struct {
	Entry config.Entry
	Err   error
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

// Values resolves the entries that want accepts, and what these refer to. It
// returns the values that there are and a Failure for each other entry, both by
// name. ${NAME} means another entry of the plan, else a variable of outer.
func (p *Project) Values(ctx context.Context, providers map[string]resolve.Provider, outer environ.Env, want func(config.Entry) bool) (map[string]resolve.Secret, []*Failure) {
	c := &composer{outer: outer, entries: map[string]config.Entry{}, done: map[string]resolve.Result{}}
	for _, e := range p.Entries {
		c.entries[e.Name] = e
	}
	c.fetch(ctx, providers, c.needed(p.Entries, want))
	values := map[string]resolve.Secret{}
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
			failures = append(failures, &Failure{e, r.Err})
			continue
		}
		values[e.Name] = r.Secret
		total += size
	}
	return values, failures
}

// maxTotal is how many bytes all values of a project may have together. Linux
// starts no program whose environment is much larger than a megabyte.
const maxTotal = 512 << 10

// A composer puts entries together from what the stores gave.
type composer struct {
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

func (c *composer) fetch(ctx context.Context, providers map[string]resolve.Provider, entries []config.Entry) {
	requests := make([]resolve.Request, len(entries))
	for i, e := range entries {
		requests[i] = resolve.Request{Provider: e.Provider, Ref: resolve.Ref{Path: e.Ref, Dir: e.Dir}, Field: e.Field}
	}
	for i, r := range resolve.All(ctx, providers, requests) {
		if e := entries[i]; resolve.ClassOf(r.Err) == resolve.NotFound && e.Default != nil {
			r = resolve.Result{Secret: resolve.NewSecret(*e.Default)}
		}
		c.done[entries[i].Name] = r
	}
}

// value returns the value of an entry, composed if need be. The plan has no
// circles, so this ends.
func (c *composer) value(name string) resolve.Result {
	if r, ok := c.done[name]; ok {
		return r
	}
	size := 0
	text, err := config.Expand(c.entries[name].Text, func(other string) (string, bool) {
		if size > resolve.MaxValue { // what is there already is refused below
			return "", true
		}
		value, ok := c.lookup(name, other)
		size += len(value)
		return value, ok
	})
	r := resolve.Result{Secret: resolve.NewSecret(text), Err: err}
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
func (c *composer) lookup(name, other string) (string, bool) {
	if _, ok := c.entries[other]; ok && other != name {
		r := c.value(other)
		return r.Secret.Reveal(), r.Err == nil
	}
	value, ok := c.outer[other]
	return value, ok
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
