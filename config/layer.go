package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Layer is the content of one project file, before it is merged with others.
type Layer struct {
	Path    string
	Inherit bool

	base      map[string]Entry
	sections  map[string]map[string]Entry
	providers map[string]Provider
}

// Parse reads a project file or a local file. All that is wrong with it comes
// as one error that joins an *Error for each thing, in the order of lines.
// A missing file gives an empty Layer.
func Parse(f File) (*Layer, error) {
	l := &Layer{Path: f.Path, sections: map[string]map[string]Entry{}}
	if f.Missing {
		return l, nil
	}
	d, err := readDocument(f)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range d.names(d.table) {
		errs = append(errs, l.key(d, name)...)
	}
	base, more := d.entries(d.table)
	l.base = base
	errs = append(errs, more...)
	l.providers, more = d.providers(inProject)
	errs = append(errs, more...)
	sortErrors(errs)
	return l, errors.Join(errs...)
}

// key reads one key of the top level, save env, secrets and providers.
func (l *Layer) key(d *document, name string) []error {
	value := d.table[name]
	switch {
	case name == "inherit":
		inherit, ok := value.(bool)
		l.Inherit = inherit
		if !ok {
			return []error{errorAt(d.at(name), name, "must be true or false")}
		}
		if filepath.Base(d.path) == LocalName {
			return []error{errorAt(d.at(name), name, "belongs in %s", Name)}
		}
		return nil
	case slices.Contains(known(inProject, ""), name):
		return nil
	case slices.Contains(known(inUser, ""), name):
		return []error{errorAt(d.at(name), name, "only the user's own configuration may have this")}
	}
	table, ok := value.(map[string]any)
	if !ok {
		return []error{d.unknown(known(inProject, ""), name)}
	}
	if !validLabel(name) {
		return []error{errorAt(d.at(name), name, "cannot name an environment: letters, digits, dots, hyphens, underscores, at most 64")}
	}
	if len(l.sections) == maxSections {
		return []error{errorAt(d.at(name), name, "more than %d environments", maxSections)}
	}
	return l.section(d, name, table)
}

func (l *Layer) section(d *document, name string, table map[string]any) []error {
	for _, key := range d.names(table, name) {
		if key != "env" && key != "secrets" {
			// A misspelt [secrets] looks like an environment of that name.
			return []error{errorAt(d.at(name, key), name+"."+key, "unknown key; [%s] is taken for an environment, which has [%s.env] and [%s.secrets]%s",
				name, name, name, didYouMean(name))}
		}
	}
	entries, errs := d.entries(table, name)
	l.sections[name] = entries
	return errs
}

// entries reads the tables env and secrets that lie in table.
func (d *document) entries(table map[string]any, path ...string) (map[string]Entry, []error) {
	entries := map[string]Entry{}
	var errs []error
	for _, kind := range []string{"env", "secrets"} {
		key := append(slices.Clone(path), kind)
		sub, err := d.sub(table, key...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, name := range d.names(sub, key...) {
			at := append(slices.Clone(key), name)
			e, err := d.entry(kind, sub[name], at)
			if _, twice := entries[name]; twice && err == nil {
				err = errorAt(d.at(at...), name, "stands in [env] and in [secrets]")
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			entries[name] = e
		}
	}
	return entries, errs
}

func (d *document) entry(kind string, value any, at []string) (Entry, error) {
	name := at[len(at)-1]
	e := Entry{Name: name, Pos: d.at(at...), Dir: filepath.Dir(d.path)}
	if !ValidName(name) {
		return e, errorAt(e.Pos, name, "not a variable name: letters, digits and underscores, at most %d", MaxName)
	}
	if kind == "env" {
		return d.plainEntry(e, value)
	}
	e.Secret = true
	switch v := value.(type) {
	case string:
		return e.withURI(v)
	case map[string]any:
		return d.secretEntry(e, v, at)
	}
	return e, errorAt(e.Pos, name, `must be a table or a text such as "keychain://name"`)
}

func (d *document) plainEntry(e Entry, value any) (Entry, error) {
	switch v := value.(type) {
	case string:
		e.Text = v
	case int64:
		e.Text = strconv.FormatInt(v, 10)
	case bool:
		e.Text = strconv.FormatBool(v)
	default:
		return e, errorAt(e.Pos, e.Name, "must be a text: put it in quotes")
	}
	return e, e.checkText()
}

func (e Entry) checkText() error {
	if strings.ContainsRune(e.Text, 0) {
		return errorAt(e.Pos, e.Name, "has a NUL character, which no environment can hold")
	}
	if _, err := References(e.Text); err != nil {
		return errorAt(e.Pos, e.Name, "%v", err)
	}
	return nil
}

// withURI fills in provider and reference from the short form. The scheme names
// the provider; where a store has URIs of its own the whole text is its reference.
func (e Entry) withURI(uri string) (Entry, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || !validLabel(scheme) {
		return e, errorAt(e.Pos, e.Name, `must be a URI such as "keychain://name", or a table`)
	}
	e.Provider, e.Ref = scheme, rest
	if native, ok := nativeSchemes[scheme]; ok {
		e.Provider, e.Ref = native, uri
	}
	return e, e.checkRef()
}

// ProviderOf returns the provider that the scheme of a URI names.
func ProviderOf(scheme string) string {
	if native, ok := nativeSchemes[scheme]; ok {
		return native
	}
	return scheme
}

// Scheme returns the scheme under which URIs name a provider: the store's own, if it has one.
func Scheme(provider string) string {
	if provider == "1password" {
		return "op"
	}
	return provider
}

var nativeSchemes = map[string]string{"op": "1password", "sm": "aws", "ssm": "aws"}

func (e Entry) checkRef() error {
	switch {
	case e.Ref == "":
		return errorAt(e.Pos, e.Name, "the reference is empty")
	case len(e.Ref) > MaxRef:
		return errorAt(e.Pos, e.Name, "the reference has more than %d bytes", MaxRef)
	case strings.ContainsFunc(e.Ref, func(r rune) bool { return r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 }):
		return errorAt(e.Pos, e.Name, "the reference has a control character")
	}
	return nil
}

func didYouMean(name string) string {
	for _, k := range known(inProject, "") {
		if k == name+"s" || k+"s" == name || k == strings.ToLower(name) {
			return fmt.Sprintf("; did you mean [%s]?", k)
		}
	}
	return ""
}

// sortErrors puts the errors of one file in the order of their lines.
func sortErrors(errs []error) {
	line := func(err error) int {
		var e *Error
		if errors.As(err, &e) {
			return e.Pos.Line
		}
		return 0
	}
	slices.SortStableFunc(errs, func(a, b error) int { return line(a) - line(b) })
}
