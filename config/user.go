package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A User is the user's own configuration.
type User struct {
	Path       string
	Deadline   time.Duration // how long a hook may wait for stores
	Prefixes   []string      // directories below which every configuration is allowed
	AllowNames []string      // names of [Dangerous] that projects may set
	Providers  map[string]Provider
	// Addresses are the origins, by the type of a provider, to which a project may have
	// the user's credentials sent. A name would be of the project's choosing.
	Addresses map[string][]string
}

// DefaultDeadline is how long a hook waits for stores if the user does not say.
const DefaultDeadline = 3 * time.Second

// ParseUser reads the user's own configuration. home stands for ~ in it.
// A missing file gives the defaults.
func ParseUser(f File, home string) (User, error) {
	u := User{Path: f.Path, Deadline: DefaultDeadline, Providers: map[string]Provider{}}
	if f.Missing {
		return u, nil
	}
	d, err := readDocument(f)
	if err != nil {
		return u, err
	}
	d.home = home
	errs := d.check(inUser, d.table, "")
	for _, name := range []string{"hook", "trust", "names"} {
		table, err := d.sub(d.table, name)
		errs = append(errs, err)
		errs = append(errs, d.check(inUser, table, name, name)...)
	}
	errs = append(errs, u.deadline(d), u.prefixes(d, home), u.addresses(d), u.names(d))
	providers, more := d.providers(inUser)
	u.Providers = providers
	err = errors.Join(append(errs, more...)...)
	return u, err
}

func (u *User) deadline(d *document) error {
	table, _ := d.table["hook"].(map[string]any)
	if table["deadline"] == nil {
		return nil
	}
	o := &options{d: d, table: table, at: []string{"hook"}}
	if deadline := o.duration("deadline"); o.err == nil {
		u.Deadline = *deadline
	}
	if o.err == nil && u.Deadline == 0 {
		o.fail("deadline", "must be more than 0")
	}
	return o.err
}

func (u *User) prefixes(d *document, home string) error {
	list, err := d.texts("trust", "prefixes")
	for i, p := range list {
		if p == "~" || strings.HasPrefix(p, "~/") {
			p = filepath.Join(home, "."+p[1:]) // relative, and so refused, without a home
		}
		if !filepath.IsAbs(p) {
			return errorAt(d.at("trust", "prefixes"), "trust.prefixes", "%q is not an absolute path", p)
		}
		list[i] = filepath.Clean(p)
	}
	u.Prefixes = list
	return err
}

func (u *User) addresses(d *document) error {
	trust, _ := d.table["trust"].(map[string]any)
	table, err := d.sub(trust, "trust", "addresses")
	if err != nil {
		return err
	}
	u.Addresses = map[string][]string{}
	for _, name := range d.names(table, "trust", "addresses") {
		list, err := d.textList(table[name], "trust", "addresses", name)
		for _, address := range list {
			if err == nil {
				err = isAddress(address)
			}
		}
		if err == nil && !slices.Contains(Types, Canonical(name)) {
			err = errors.New("is not a type of store")
		}
		if err != nil {
			return errorAt(d.at("trust", "addresses", name), "trust.addresses."+name, "%v", err)
		}
		u.Addresses[Canonical(name)] = append(u.Addresses[Canonical(name)], list...)
	}
	return nil
}

// Vouches reports whether the user lists the address that a project chose for a store.
func (u User) Vouches(p Provider) bool {
	want := origin(p.Settings["address"])
	return slices.ContainsFunc(u.Addresses[p.Type], func(address string) bool { return origin(address) == want })
}

// Origin returns an address without its path, which is what the user vouches for.
func Origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// origin returns an address's scheme, host and port, so that they can be compared.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

func (u *User) names(d *document) error {
	list, err := d.texts("names", "allow")
	for _, n := range list {
		if !ValidName(n) || strings.HasPrefix(strings.ToUpper(n), "_KZ_") || strings.HasPrefix(strings.ToUpper(n), "__KZ_") {
			return errorAt(d.at("names", "allow"), "names.allow", "%q cannot be allowed", n)
		}
	}
	u.AllowNames = list
	return err
}

// texts returns the list of texts at table.key.
func (d *document) texts(table, key string) ([]string, error) {
	t, _ := d.table[table].(map[string]any)
	value, ok := t[key]
	if !ok {
		return nil, nil
	}
	return d.textList(value, table, key)
}

func (d *document) textList(value any, at ...string) ([]string, error) {
	list, ok := value.([]any)
	var texts []string
	for _, v := range list {
		text, isText := v.(string)
		ok = ok && isText
		texts = append(texts, text)
	}
	if !ok {
		return nil, errorAt(d.at(at...), strings.Join(at, "."), "must be a list of texts")
	}
	return texts, nil
}

// providers reads the tables [providers.NAME].
func (d *document) providers(s scope) (map[string]Provider, []error) {
	providers := map[string]Provider{}
	table, err := d.sub(d.table, "providers")
	if err != nil {
		return nil, []error{err}
	}
	var errs []error
	for _, name := range d.names(table, "providers") {
		p, err := d.provider(s, table, name)
		providers[name] = p
		if err != nil {
			errs = append(errs, err)
		}
	}
	return providers, errs
}

func (d *document) provider(s scope, table map[string]any, name string) (Provider, error) {
	at := []string{"providers", name}
	p := Provider{Name: name, Pos: d.at(at...)}
	settings, err := d.sub(table, at...)
	if err != nil {
		return p, err
	}
	if !validLabel(name) {
		return p, errorAt(p.Pos, "providers."+name, "cannot name a provider: letters, digits, dots, hyphens, underscores, at most 64")
	}
	if _, ok := settings["command"]; ok && s == inProject {
		return p, errorAt(d.at("providers", name, "command"), "providers."+name+".command", "only the user's own configuration may have this")
	}
	o := &options{d: d, table: settings, at: at}
	p.Type, _ = o.text("type")
	if _, said := settings["type"]; !said && slices.Contains(Types, Canonical(name)) {
		p.Type = name
	}
	p.Type, p.Project = Canonical(p.Type), s == inProject
	p.TTL, p.Stale = o.duration("ttl"), o.duration("stale")
	if value, ok := settings["command"]; ok && o.err == nil {
		p.Command, o.err = d.textList(value, "providers", name, "command")
	}
	switch {
	case o.err != nil:
	case p.Type == "":
		o.settings(s, "")
		o.fail("type", "is missing")
	case !slices.Contains(Types, p.Type):
		o.err = d.unknownType(p)
	case s == inProject && p.Type != Canonical(name) && slices.Contains(Types, Canonical(name)):
		o.fail("type", "must be %q, which is what the name says", name)
	case slices.Contains(named, p.Type) && s == inProject:
		o.fail("type", "only the user's own configuration may have a provider that runs a program of its own")
	case (p.Type == "command") != (len(p.Command) > 0):
		o.fail("command", "goes with type = \"command\", and that with it")
	default:
		p.Settings = o.settings(s, p.Type)
	}
	if o.err == nil && p.Type == "plugin" && p.Settings["program"] == "" {
		o.fail("program", "is missing: the path of the program")
	}
	return p, o.err
}
