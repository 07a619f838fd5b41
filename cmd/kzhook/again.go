package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/watch"
)

// An outcome is what it came to when kz looked again: a load or an error.
type outcome struct {
	load
	seen []watch.File // all that it depends on, as it was before it was read
	err  error
}

// lookAgain opens and resolves what a command is to get, and says nothing. What
// the command has already is not left out because its store gives no answer.
func (inv *invocation) lookAgain(ctx context.Context, options runOptions, have load) (o outcome) {
	o.seen = inv.lookups()
	if o.opened, o.err = inv.openFor(options); o.Project != nil {
		o.seen = append(o.seen, inv.watched(o.Project)...)
	}
	if o.err != nil {
		return o
	}
	values, failures, err := inv.resolve(ctx, o.opened, (*invocation).cached, options.wants)
	failures = slices.DeleteFunc(failures, func(f *project.Failure) bool {
		_, had := have.values[f.Entry.Name]
		return f.Entry.Optional && (!had || resolve.ClassOf(f.Err) == resolve.NotFound)
	})
	o.values, o.err = values, err
	if len(failures) > 0 {
		o.err = unresolved(failures)
	}
	return o
}

// unresolved are the variables that have no value.
type unresolved []*project.Failure

func (u unresolved) Error() string { return u[0].Error() }

// lookups returns the files that decide which configuration is the nearest, and
// the user's own.
func (inv *invocation) lookups() []watch.File {
	nearest, _ := config.Find(inv.dir, inv.places.home)
	files := []watch.File{watch.Note(inv.places.userConfig)}
	for dir := inv.dir; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, config.Name)
		files = append(files, watch.Note(path))
		if path == nearest || dir == inv.places.home || dir == filepath.Dir(dir) {
			return files
		}
	}
}

// watched returns the files on which a project depends, the mark that kz reload
// leaves among them, and those of the vault.
func (inv *invocation) watched(p *project.Project) []watch.File {
	if p.Path == "" {
		return p.Watch
	}
	files := append(slices.Clone(p.Watch), watch.Note(inv.markPath(p.Path)))
	if usesVault(p) { // which other projects share, and which may be locked now
		files = append(files, watch.Note(inv.places.vault), watch.Note(inv.vaultMarkPath()))
	}
	return files
}

// A given is what a command gets under one name.
type given struct {
	text string
	file bool
}

func (l load) given() map[string]given {
	all := map[string]given{}
	for _, e := range l.Entries {
		if r, ok := l.values[e.Name]; ok {
			all[e.Name] = given{r.Secret.Reveal(), e.AsFile}
		}
	}
	return all
}

// difference returns what a command would get that it does not have.
func difference(from, to load) delta {
	var d delta
	old, wanted := from.given(), to.given()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if before, had := old[name]; before != wanted[name] || !had {
			d.set(name, had)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, ok := wanted[name]; !ok {
			d.unset(name, false)
		}
	}
	return d
}

// left returns how long all values of a load are good, 0 if that has no end.
func (l load) left() time.Duration {
	var least time.Duration
	for _, r := range l.values {
		if r.Left > 0 && (least == 0 || r.Left < least) {
			least = r.Left
		}
	}
	return least
}

// why says in one line why kz could not look again.
func (inv *invocation) why(err error) string {
	var lines []string
	if failures, ok := err.(unresolved); ok {
		lines = inv.failureLines(failures)
	} else {
		lines = inv.lines(err, 0)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, program+": hint: ") })
	if more := len(lines) - 1; more > 0 {
		return fmt.Sprintf("%s (and %d more)", lines[0], more)
	}
	return lines[0]
}
