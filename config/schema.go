package config

import (
	"slices"
	"strings"
)

// A scope says in whose file a key may stand.
type scope int

const (
	inProject scope = 1 << iota
	inUser
	inBoth = inProject | inUser
)

// schema lists every key there is, but for what stores of one type have: see settings. A star stands for a name of the file's own
// choosing. What redirects credentials, runs programs or widens consent is the
// user's alone.
var schema = []struct {
	key   string
	scope scope
}{
	{"inherit", inProject},
	{"env", inProject},
	{"env.*", inProject},
	{"secrets", inProject},
	{"secrets.*", inProject},
	{"secrets.*.provider", inProject},
	{"secrets.*.ref", inProject},
	{"secrets.*.field", inProject},
	{"secrets.*.template", inProject},
	{"secrets.*.required", inProject},
	{"secrets.*.default", inProject},
	{"secrets.*.ttl", inProject},
	{"secrets.*.stale", inProject},
	{"secrets.*.as", inProject},
	{"secrets.*.hook", inProject},
	{"secrets.*.description", inProject},
	{"providers", inBoth},
	{"providers.*", inBoth},
	{"providers.*.type", inBoth},
	{"providers.*.ttl", inBoth},
	{"providers.*.stale", inBoth},
	{"providers.*.command", inUser},
	{"hook", inUser},
	{"hook.deadline", inUser},
	{"trust", inUser},
	{"trust.prefixes", inUser},
	{"trust.addresses", inUser},
	{"trust.addresses.*", inUser},
	{"names", inUser},
	{"names.allow", inUser},
}

// known returns the keys directly below prefix ("" for the top) that have the scope.
func known(s scope, prefix string) []string {
	var keys []string
	for _, k := range schema {
		parent, last := "", k.key
		if i := strings.LastIndexByte(k.key, '.'); i >= 0 {
			parent, last = k.key[:i], k.key[i+1:]
		}
		if parent == prefix && last != "*" && k.scope&s != 0 {
			keys = append(keys, last)
		}
	}
	return keys
}

// check returns an error for each key of table that may not stand below prefix in a file of
// the scope. path is where the table stands in the file.
func (d *document) check(s scope, table map[string]any, prefix string, path ...string) []error {
	var errs []error
	for _, name := range d.names(table, path...) {
		key := append(slices.Clone(path), name)
		switch {
		case slices.Contains(known(s, prefix), name):
		case s == inProject && slices.Contains(known(inUser, prefix), name):
			errs = append(errs, errorAt(d.at(key...), strings.Join(key, "."), "only the user's own configuration may have this"))
		default:
			errs = append(errs, d.unknown(known(s, prefix), key...))
		}
	}
	return errs
}
