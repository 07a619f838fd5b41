package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

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
	base, _ := p.In("")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	writeEntries(t, base.Entries, before(earlier, ""))
	for _, environment := range p.Sections {
		plan, _ := p.In(environment)
		own := without(plan.Entries, base.Entries)
		old := without(before(earlier, environment), before(earlier, ""))
		fmt.Fprintf(t, " in %s:\n", environment)
		writeEntries(t, own, old)
	}
	_ = t.Flush()
	fmt.Fprintf(&b, "%s\n", p.Digest)
	if earlier != nil {
		b.WriteString("(+ new, ~ changed, - gone since it was last allowed)\n")
	}
	return b.String()
}

func before(earlier *project.Project, environment string) []config.Entry {
	if earlier == nil {
		return nil
	}
	plan, _ := earlier.In(environment)
	return plan.Entries
}

// without returns the entries that are not the same in base.
func without(entries, base []config.Entry) []config.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e config.Entry) bool {
		return slices.ContainsFunc(base, func(o config.Entry) bool { return o.Name == e.Name && source(o) == source(e) })
	})
}

func writeEntries(t *tabwriter.Writer, entries, old []config.Entry) {
	byName := map[string]config.Entry{}
	for _, e := range old {
		byName[e.Name] = e
	}
	for _, e := range entries {
		o, known := byName[e.Name]
		delete(byName, e.Name)
		switch {
		case !known:
			fmt.Fprintf(t, "  + %s\t%s\n", e.Name, source(e))
		case source(o) != source(e):
			fmt.Fprintf(t, "  ~ %s\t%s\t(was %s)\n", e.Name, source(e), source(o))
		default:
			fmt.Fprintf(t, "    %s\t%s\n", e.Name, source(e))
		}
	}
	for _, o := range old {
		if _, gone := byName[o.Name]; gone {
			fmt.Fprintf(t, "  - %s\t%s\n", o.Name, source(o))
		}
	}
}

// source says in one line where an entry comes from, with what changes its meaning.
func source(e config.Entry) string {
	text := ""
	switch {
	case e.Provider != "":
		text = e.Provider + " " + e.Ref
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
	if e.AsFile {
		text += " as a file"
	}
	if e.RunOnly {
		text += " for kz run only"
	}
	if e.Optional {
		text += " if there is one"
	}
	return clip(printable.Text(text))
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
