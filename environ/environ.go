// Package environ models a process environment and the difference between two.
package environ

import (
	"maps"
	"slices"
	"strings"
)

// An Env maps variable names to values.
type Env map[string]string

// Parse returns the environment in the form of os.Environ: NAME=value strings.
// Of a name that occurs twice the first counts, as for getenv; strings without
// a name are passed over.
func Parse(list []string) Env {
	env := make(Env, len(list))
	for _, entry := range list {
		name, value, ok := strings.Cut(entry, "=")
		if _, seen := env[name]; !ok || name == "" || seen {
			continue
		}
		env[name] = value
	}
	return env
}

// List returns env in the form of os.Environ, sorted.
func (e Env) List() []string {
	list := make([]string, 0, len(e))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		list = append(list, name+"="+e[name])
	}
	return list
}

// A Change sets or unsets one variable.
type Change struct {
	Name  string
	Value string
	Unset bool
}

// Diff returns the changes that turn from into to, sorted by name.
func Diff(from, to Env) []Change {
	var changes []Change
	for name, value := range to {
		if old, ok := from[name]; !ok || old != value {
			changes = append(changes, Change{Name: name, Value: value})
		}
	}
	for name := range from {
		if _, ok := to[name]; !ok {
			changes = append(changes, Change{Name: name, Unset: true})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return changes
}

// Apply returns a copy of env with changes made to it.
func Apply(env Env, changes []Change) Env {
	out := maps.Clone(env)
	if out == nil {
		out = Env{}
	}
	for _, c := range changes {
		if c.Unset {
			delete(out, c.Name)
		} else {
			out[c.Name] = c.Value
		}
	}
	return out
}
