package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/getkeyzero/kz/internal/near"
)

// Types are the types of providers that there are, sorted.
var Types = []string{
	"1password", "age", "aws", "azure", "bitwarden", "command", "doppler", "dotenv", "env", "gcp", "gopass",
	"hashicorp", "infisical", "keychain", "pass", "plugin", "sops", "systemd", "vault",
}

// named are the types that exist only under a name that the user gives them.
var named = []string{"command", "plugin"}

// Named reports whether a type exists only under a name that the user gives it.
func Named(typ string) bool { return slices.Contains(named, typ) }

// local are the types whose answers are at hand, so that nothing is gained by
// keeping them.
var local = []string{"dotenv", "env", "keychain", "systemd", "vault"}

// DefaultTTL is how long the value of a remote store is good if nobody says.
const DefaultTTL = 15 * time.Minute

// Life returns how long the value of an entry is good, 0 if that has no end, and
// how much longer it will do when the store cannot be reached. keep says whether
// it may be kept until then.
func (p Plan) Life(e Entry) (ttl, stale time.Duration, keep bool) {
	if e.Provider == "" {
		return 0, 0, false
	}
	settings := p.Provider(e.Provider)
	remote := !slices.Contains(local, settings.Type)
	if remote {
		ttl = DefaultTTL
	}
	for _, d := range []*time.Duration{settings.TTL, e.TTL} {
		if d != nil {
			ttl = *d
		}
	}
	for _, d := range []*time.Duration{settings.Stale, e.Stale} {
		if d != nil {
			stale = *d
		}
	}
	return ttl, stale, remote && ttl > 0
}

// Provider returns the settings of a provider, which without a table of its own
// is of the type that its name says.
func (p Plan) Provider(name string) Provider {
	if settings, ok := p.Providers[name]; ok {
		return settings
	}
	return Provider{Name: name, Type: Canonical(name)}
}

// Sections returns the environments that the layers have, sorted.
func Sections(layers []*Layer) []string {
	names := map[string]bool{}
	for _, l := range layers {
		for name := range l.sections {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Select returns the environment to use: chosen (from the command line) if it is
// not empty, else KEYZERO_ENV, else the first of NODE_ENV, RAILS_ENV and APP_ENV
// that names one of sections. The first two are errors when they name none.
func Select(sections []string, chosen string, getenv func(string) string) (string, error) {
	source := "--env"
	if chosen == "" {
		chosen, source = getenv("KEYZERO_ENV"), "KEYZERO_ENV"
	}
	if chosen != "" {
		if !slices.Contains(sections, chosen) {
			return "", &EnvironmentError{source, chosen, sections}
		}
		return chosen, nil
	}
	for _, name := range Ambient {
		if slices.Contains(sections, getenv(name)) {
			return getenv(name), nil
		}
	}
	return "", nil
}

// Ambient are the variables of other programs that may select an environment.
var Ambient = []string{"NODE_ENV", "RAILS_ENV", "APP_ENV"}

// An EnvironmentError is an environment that was asked for and does not exist.
type EnvironmentError struct {
	Source   string // --env or KEYZERO_ENV
	Name     string
	Sections []string
}

func (e *EnvironmentError) Error() string {
	msg := fmt.Sprintf("%s: there is no environment %q", e.Source, e.Name)
	if n := near.Name(e.Name, e.Sections); n != "" {
		return msg + fmt.Sprintf("; did you mean %q?", n)
	}
	if len(e.Sections) == 0 {
		return msg + "; the configuration has none"
	}
	return msg + "; there are: " + strings.Join(e.Sections, ", ")
}

// Merge lays layers over each other, name by name: for each layer its base,
// then its section of the environment. layers come lowest first.
// What is wrong with the whole comes as one error that joins an *Error for each thing.
func Merge(user User, layers []*Layer, environment string) (Plan, error) {
	entries, providers := map[string]Entry{}, maps.Clone(user.Providers)
	if providers == nil {
		providers = map[string]Provider{}
	}
	var errs []error
	for _, l := range layers {
		maps.Copy(entries, l.base)
		maps.Copy(entries, l.sections[environment])
		for _, name := range slices.Sorted(maps.Keys(l.providers)) {
			p := l.providers[name]
			if mine, ok := user.Providers[name]; ok && mine.Type != p.Type {
				errs = append(errs, errorAt(p.Pos, "providers."+name, "is of type %q in the user's own configuration", mine.Type))
				continue
			}
			if _, ok := user.Providers[name]; !ok {
				providers[name] = p
			}
		}
	}
	plan := Plan{Environment: environment, Sections: Sections(layers), Providers: providers}
	for i, name := range slices.Sorted(maps.Keys(entries)) {
		if i == MaxEntries {
			errs = append(errs, errorAt(entries[name].Pos, "", "more than %d variables", MaxEntries))
			break
		}
		plan.Entries = append(plan.Entries, entries[name])
		errs = append(errs, checkEntry(user, providers, entries[name]))
	}
	errs = append(errs, plan.checkCycles())
	return plan, errors.Join(errs...)
}

func checkEntry(user User, providers map[string]Provider, e Entry) error {
	if pattern := Dangerous(e.Name); pattern != "" && !slices.Contains(user.AllowNames, e.Name) {
		return &DangerousError{e, pattern, user.Path}
	}
	if e.Provider == "" {
		return nil
	}
	names := slices.Sorted(maps.Keys(providers))
	for _, t := range Types {
		if !slices.Contains(named, t) && !slices.Contains(names, t) {
			names = append(names, t)
		}
	}
	if slices.Contains(names, e.Provider) || !slices.Contains(named, Canonical(e.Provider)) && slices.Contains(Types, Canonical(e.Provider)) {
		return e.checkOwn(providers[e.Provider])
	}
	slices.Sort(names)
	return errorAt(e.Pos, e.Name, "unknown provider %q; %s", e.Provider, suggest(e.Provider, names))
}

// Own is the service under which kz keeps keys of its own in the keychain, which
// no project is to load.
const Own = "keyzero-holder"

func (e Entry) checkOwn(p Provider) error {
	if (p.Type == "keychain" || e.Provider == "keychain") && strings.HasPrefix(e.Ref, Own+"/") {
		return errorAt(e.Pos, e.Name, "%s has keys of kz itself, which are not for loading", Own)
	}
	return nil
}

func suggest(name string, known []string) string {
	if n := near.Name(name, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "there are: " + strings.Join(known, ", ")
}

func (d *document) unknownType(p Provider) error {
	return errorAt(d.at("providers", p.Name, "type"), "providers."+p.Name, "unknown type %q; %s", p.Type, suggest(p.Type, Types))
}

// A DangerousError is a name that a project may not set.
type DangerousError struct {
	Entry    Entry
	Pattern  string // the line of the table
	UserPath string // where the user can lift it
}

func (e *DangerousError) Error() string {
	at := &Error{Pos: e.Entry.Pos, Key: e.Entry.Name, Msg: "changes how programs run, so projects may not set it (" + e.Pattern + ")"}
	return at.Error()
}

// checkCycles refuses entries that need themselves by way of others. One that
// names itself means the value that the environment has.
func (p Plan) checkCycles() error {
	byName := map[string]Entry{}
	for _, e := range p.Entries {
		byName[e.Name] = e
	}
	done := map[string]bool{}
	var visit func(name string, trail []string) error
	visit = func(name string, trail []string) error {
		e, ok := byName[name]
		if i := slices.Index(trail, name); i >= 0 {
			return errorAt(e.Pos, name, "needs itself: %s", strings.Join(append(trail[i:], name), " → "))
		}
		if !ok || done[name] || e.Provider != "" {
			return nil
		}
		refs, _ := References(e.Text)
		for _, r := range refs {
			if r == name {
				continue
			}
			if err := visit(r, append(trail, name)); err != nil {
				return err
			}
		}
		done[name] = true
		return nil
	}
	for _, e := range p.Entries {
		if err := visit(e.Name, nil); err != nil {
			return err
		}
	}
	return nil
}
