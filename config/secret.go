package config

import (
	"strings"
	"time"
)

// A table of options, read key by key; the first error stays.
type options struct {
	d     *document
	table map[string]any
	at    []string
	err   error
}

func (o *options) fail(key, format string, args ...any) {
	if o.err == nil {
		at := append(append([]string{}, o.at...), key)
		o.err = errorAt(o.d.at(at...), o.at[len(o.at)-1]+"."+key, format, args...)
	}
}

func (o *options) text(key string) (string, bool) {
	value, ok := o.table[key]
	text, isText := value.(string)
	if ok && !isText {
		o.fail(key, "must be a text")
	}
	return text, ok
}

func (o *options) flag(key string, otherwise bool) bool {
	value, ok := o.table[key]
	flag, isFlag := value.(bool)
	switch {
	case !ok:
		return otherwise
	case !isFlag:
		o.fail(key, "must be true or false")
	}
	return flag
}

func (d *document) secretEntry(e Entry, table map[string]any, at []string) (Entry, error) {
	if errs := d.check(inProject, table, "secrets.*", at...); errs != nil {
		return e, errs[0]
	}
	o := &options{d: d, table: table, at: at}
	e.Optional = !o.flag("required", true)
	e.RunOnly = !o.flag("hook", true)
	e.Description, _ = o.text("description")
	e.Field, _ = o.text("field")
	if text, ok := o.text("default"); ok {
		e.Default = &text
		if strings.ContainsRune(text, 0) {
			o.fail("default", "has a NUL character, which no environment can hold")
		}
	}
	e.TTL, e.Stale = o.duration("ttl"), o.duration("stale")
	switch as, ok := o.text("as"); {
	case as == "file":
		e.AsFile = true
	case ok && as != "env":
		o.fail("as", `must be "env" or "file"`)
	}
	e = o.source(e)
	return e, o.err
}

func (o *options) duration(key string) *time.Duration {
	text, ok := o.text(key)
	if !ok {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		o.fail(key, `must be a duration such as "15m", or "0"`)
	}
	return &d
}

// source reads where the value comes from: a template, or a provider and a reference.
func (o *options) source(e Entry) Entry {
	template, composed := o.text("template")
	provider, named := o.text("provider")
	ref, referred := o.text("ref")
	var err error
	switch {
	case composed:
		for _, other := range []string{"provider", "ref", "field", "default", "ttl", "stale"} {
			if _, ok := o.table[other]; ok {
				o.fail(other, "does not go with template")
			}
		}
		e.Text = template
		err = e.checkText()
	case !referred:
		o.fail("ref", "is missing")
	case !named:
		e, err = e.withURI(ref)
	case !validLabel(provider):
		o.fail("provider", "cannot name a provider: letters, digits, dots, hyphens, underscores, at most 64")
	default:
		e.Provider, e.Ref = provider, ref
		err = e.checkRef()
	}
	if o.err == nil {
		o.err = err
	}
	return e
}
