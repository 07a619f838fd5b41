package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
)

// planText shows what a project asks for, in every environment: which variable
// comes from where, and how that differs from earlier, which may be nil.
func planText(p, earlier *project.Project) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", printable.Text(p.Path))
	for _, f := range p.Files[1:] {
		if !f.Missing {
			fmt.Fprintf(&b, "and %s\n", printable.Text(f.Path))
		}
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	base, oldBase := sources(p, ""), sources(earlier, "")
	writeSources(t, base, oldBase)
	for _, environment := range p.Sections {
		fmt.Fprintf(t, " in %s:\n", environment)
		writeSources(t, without(sources(p, environment), base), without(sources(earlier, environment), oldBase))
	}
	_ = t.Flush()
	b.WriteString(storesText(p, earlier))
	fmt.Fprintf(&b, "%s\n", p.Digest)
	if earlier != nil {
		b.WriteString("(+ new, ~ changed, - gone since it was last allowed)\n")
	}
	return b.String()
}

// A sourced is a variable and in one line where it comes from, with all that
// changes its meaning. The line is shown in part if it is long, and compared whole.
type sourced struct{ name, from string }

func (s sourced) String() string { return clip(s.from) }

// sources returns the variables that a project, which may be nil, asks for in
// an environment.
func sources(p *project.Project, environment string) []sourced {
	if p == nil {
		return nil
	}
	plan, _ := p.In(environment)
	var list []sourced
	for _, e := range plan.Entries {
		list = append(list, sourced{e.Name, printable.Text(source(plan, e))})
	}
	return list
}

// without returns what is not the same in base.
func without(list, base []sourced) []sourced {
	return slices.DeleteFunc(slices.Clone(list), func(s sourced) bool { return slices.Contains(base, s) })
}

func writeSources(t *tabwriter.Writer, list, old []sourced) {
	byName := map[string]sourced{}
	for _, o := range old {
		byName[o.name] = o
	}
	for _, s := range list {
		o, known := byName[s.name]
		delete(byName, s.name)
		switch {
		case !known:
			fmt.Fprintf(t, "  + %s\t%v\n", s.name, s)
		case o == s:
			fmt.Fprintf(t, "    %s\t%v\n", s.name, s)
		case o.String() == s.String():
			fmt.Fprintf(t, "  ~ %s\t%v\t(changed in what is not shown)\n", s.name, s)
		default:
			fmt.Fprintf(t, "  ~ %s\t%v\t(was %v)\n", s.name, s, o)
		}
	}
	for _, o := range old {
		if _, gone := byName[o.name]; gone {
			fmt.Fprintf(t, "  - %s\t%v\n", o.name, o)
		}
	}
}

func source(plan config.Plan, e config.Entry) string {
	text := ""
	switch {
	case e.Provider != "":
		text = e.Provider
		if p, named := plan.Providers[e.Provider]; named && p.Type != p.Name {
			text += " (" + p.Type + ")"
		}
		text += " " + e.Ref
		if e.Dir != plan.Dir {
			text += " of " + e.Dir
		}
	case e.Secret:
		text = "composed: " + e.Text
	default:
		text = "= " + e.Text
	}
	if e.Field != "" {
		text += " field " + e.Field
	}
	if e.Default != nil {
		text += " default " + *e.Default
	}
	if ttl, stale, keep := plan.Life(e); keep && ttl != config.DefaultTTL || ttl > 0 && !keep || stale > 0 || e.TTL != nil {
		text += lifeText(ttl, stale)
	}
	if e.AsFile {
		text += " as a file"
	}
	if e.RunOnly {
		text += " for kz run only"
	}
	if e.Optional {
		text += " if there is one"
	}
	return text
}

// storesText says what the project's own files say about stores, whole: a line that is cut
// off could hide where a credential goes, or for whom a value is encrypted.
func storesText(p, earlier *project.Project) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.Providers)) {
		store := p.Providers[name]
		if !store.Project || len(store.Settings) == 0 {
			continue
		}
		fmt.Fprintf(&b, " store %s: %s\n", name, store.Type)
		for _, key := range slices.Sorted(maps.Keys(store.Settings)) {
			sign := " "
			if earlier != nil && earlier.Providers[name].Settings[key] != store.Settings[key] {
				sign = "~"
			}
			for _, value := range strings.Split(store.Settings[key], "\n") {
				fmt.Fprintf(&b, "  %s %s = %s\n", sign, key, printable.Text(strconv.Quote(value)))
			}
		}
	}
	return b.String()
}

func lifeText(ttl, stale time.Duration) string {
	text := " for " + span(ttl)
	if ttl == 0 {
		text = " never kept"
	}
	if stale > 0 {
		text += ", " + span(stale) + " more without the store"
	}
	return text
}

// clip keeps a line on one line of a screen; what is cut off is told by its length.
func clip(text string) string {
	const most = 160
	if len(text) <= most {
		return text
	}
	head := strings.ToValidUTF8(text[:most], "")
	return fmt.Sprintf("%s… (%d bytes in all)", head, len(text))
}

// placeOf returns the directory for files delivered to a project: stable, so that
// a reload does not change the paths.
func placeOf(p *project.Project) string {
	sum := sha256.Sum256([]byte(p.Path))
	return hex.EncodeToString(sum[:8])
}
