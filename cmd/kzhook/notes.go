package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/trust"
)

// notes are what one run of a hook has to tell the user. The shell remembers a
// token for them, so that the same words are not said at the next prompt again.
type notes struct {
	inv   *invocation
	said  string
	about string // the reload or the contents that they belong to, after which they are said again
	lines []string
}

// fail notes an error with its advice: each of several that were joined.
func (n *notes) fail(err error) {
	if err == errNoted {
		return
	}
	n.lines = append(n.lines, n.inv.lines(err, 1)...)
}

func (n *notes) warn(err error) { n.fail(err) }

// blocked has what is said of a configuration that the user is asked to read said
// again once it is another one, with that digest. Of others the words are enough.
func (n *notes) blocked(err error, digest string) {
	var blocked *trust.BlockedError
	if errors.As(err, &blocked) && blocked.Reason != trust.IsDenied {
		n.about = digest
	}
}

// failures notes what could not be resolved and returns an error if any of it
// was required, which holds the rest of the plan back too. kept says what becomes
// of what was loaded before.
func (n *notes) failures(failures []*project.Failure, kept string) error {
	lines := n.inv.failureLines(failures)
	required := slices.ContainsFunc(failures, func(f *project.Failure) bool { return !f.Entry.Optional })
	if required {
		lines[0] += "; " + kept
	}
	n.lines = append(n.lines, lines...)
	if required {
		return errNoted
	}
	return nil
}

// errNoted stands for an error about which all is said.
var errNoted = fmt.Errorf("not loaded")

func (n *notes) token() string {
	if len(n.lines) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(append(n.lines, n.about), "\n")))
	return hex.EncodeToString(sum[:6])
}

func (n *notes) print(d delta) {
	if n.inv.quiet() || len(n.lines) == 0 && d.empty() {
		return
	}
	var b strings.Builder
	if n.token() != n.said {
		for _, line := range n.lines {
			fmt.Fprintln(&b, line)
		}
	}
	if !d.empty() {
		b.WriteString(d.text(n.inv.width()))
	}
	_, _ = io.WriteString(n.inv.stderr, b.String())
}

// A delta is what a run of a hook changed, by names.
type delta struct {
	added, changed, removed, kept []string
	label                         string
}

func (d *delta) set(name string, replaced bool) {
	if replaced {
		d.changed = append(d.changed, name)
	} else {
		d.added = append(d.added, name)
	}
}

func (d *delta) unset(name string, restored bool) {
	if restored {
		d.changed = append(d.changed, name)
	} else {
		d.removed = append(d.removed, name)
	}
}

func (d *delta) keep(name string) { d.kept = append(d.kept, name) }

func (d *delta) empty() bool {
	return len(d.added)+len(d.changed)+len(d.removed)+len(d.kept) == 0
}

// words returns the names with a sign for what happened to each.
func (d *delta) words() []string {
	var words []string
	for _, group := range []struct {
		sign  string
		names []string
	}{{"+", d.added}, {"~", d.changed}, {"-", d.removed}} {
		for _, name := range group.names {
			words = append(words, group.sign+name)
		}
	}
	return words
}

// text returns the delta in lines of about width columns.
func (d *delta) text(width int) string {
	words, text := d.words(), ""
	if len(words) > 0 {
		text = program + ": " + shorten(words, width-len(program)-len(d.label)-20)
		if d.label != "" {
			text += " (" + printable.Text(d.label) + ")"
		}
		text += "\n"
	}
	if len(d.kept) > 0 {
		text += fmt.Sprintf("%s: changed by hand, left as it is: %s\n", program, shorten(d.kept, width))
	}
	return text
}

// shorten joins as many words as fit, and says how many do not.
func shorten(words []string, width int) string {
	text := words[0]
	for i, w := range words[1:] {
		if len(text)+len(w) >= max(width, 20) {
			return fmt.Sprintf("%s … %d more", text, len(words)-i-1)
		}
		text += " " + w
	}
	return text
}

// span writes a duration as people do: 12h, not 12h0m0s.
func span(d time.Duration) string {
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

// count returns a number of things in words.
func count(n int, thing string) string {
	plural, ok := strings.CutSuffix(thing, "y")
	switch {
	case n == 1:
		return "1 " + thing
	case ok:
		return fmt.Sprintf("%d %sies", n, plural)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// failureLines says which variables have no value and why: those that the same
// store refused for the same cause in one line, and each advice once.
func (inv *invocation) failureLines(failures []*project.Failure) []string {
	type group struct {
		names []string
		first *project.Failure
	}
	var groups []*group
	at := map[string]*group{}
	for _, f := range failures {
		key := f.Entry.Provider + "\x00" + f.Err.Error()
		if at[key] == nil {
			at[key] = &group{first: f}
			groups = append(groups, at[key])
		}
		at[key].names = append(at[key].names, f.Entry.Name)
	}
	var lines []string
	for _, g := range groups {
		cause := strings.TrimPrefix(g.first.Error(), g.first.Entry.Name+": ")
		lines = append(lines, fmt.Sprintf("%s: %s: %s", program, shorten(g.names, 60), printable.Text(cause)))
		lines = appendNew(lines, hintLine(inv.adviceFor(g.first.Type, g.first.Err, g.names)))
	}
	return lines
}

// staleLines says which values are past their time, and are used all the same.
func staleLines(p *project.Project, values map[string]resolve.Result) []string {
	var names []string
	for _, e := range p.Entries {
		if values[e.Name].Stale {
			names = append(names, e.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s: the store cannot be reached; its last answer is used, which is past its time", program, shorten(names, 60))}
}

func appendNew(lines []string, line string) []string {
	if line == "" || slices.Contains(lines, line) {
		return lines
	}
	return append(lines, line)
}

func (inv *invocation) quiet() bool { return inv.env["KZ_LOG"] == "none" }

func (inv *invocation) width() int {
	if f, ok := inv.stderr.(interface{ Fd() uintptr }); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// progress tells, if the stores take long and somebody watches, what kz waits
// for. The function that it returns ends that and wipes the line.
func (inv *invocation) progress(p *project.Project) (stop func()) {
	if inv.quiet() || !inv.terminal() {
		return func() {}
	}
	var stores []string
	for _, e := range p.Entries {
		if e.Provider != "" && !slices.Contains(stores, e.Provider) {
			stores = append(stores, e.Provider)
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-time.After(300 * time.Millisecond):
		}
		inv.showProgress(program+": waiting for "+shorten(stores, 40), done)
	}()
	return func() { close(done); <-ended }
}

// showProgress shows a line until done, and in its place what stores tell meanwhile.
func (inv *invocation) showProgress(line string, done <-chan struct{}) {
	const wipe = "\r\x1b[K"
	for {
		fmt.Fprint(inv.stderr, wipe+line)
		select {
		case <-done:
			fmt.Fprint(inv.stderr, wipe)
			return
		case line = <-inv.told:
		}
	}
}

// tell has the line of progress, if there is one, say what a store waits for.
func (inv *invocation) tell(provider, text string) {
	select {
	case inv.told <- clip(printable.Text(program + ": " + provider + ": " + text)):
	default: // more than anybody could read
	}
}
