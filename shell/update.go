package shell

import (
	"fmt"
	"io"
	"strings"
)

// An Op is what an [Update] does to one variable.
type Op int

// The operations. They differ in what the shell has to remember: kz sees the
// variables that a shell exports, and only the shell sees those that it does not.
const (
	Replace Op = iota // set one that kz has set before
	Take              // set one that is exported
	Add               // set one that is not; the shell keeps what it may have under that name
	Restore           // set one back to an earlier, exported value
	Remove            // unset one; the shell puts back what it kept
	Undo              // one that may be unset already: the shell puts back what it kept, if anything
	Forget            // none: the shell forgets what it kept, for the variable is the user's
)

// A Step is an operation on one variable. Value counts for those that set one.
type Step struct {
	Op    Op
	Name  string
	Value string
}

// A Watch is a file and its twin: an empty file that was given the same
// modification time. As long as their times agree the file is unchanged.
type Watch struct{ Path, Twin string }

// An Update is what one run of kz tells the shell whose hook called it.
type Update struct {
	Steps []Step
	// State is the new value of StateName, "" to unset it. Meanwhile is its value
	// while the steps are taken; it counts if there are any.
	State, Meanwhile string

	Config string   // the nearest configuration as the hook finds it, "" for none
	Watch  []Watch  // files that matter
	Absent []string // files that would matter if they appeared
	Names  []string // variables that are loaded
	// TTL is after how many seconds the hook is to call kz again, "" for never.
	TTL  string
	Said string // given back to kz at its next run
}

// keep has the shell look at all that it may have to keep, before anything changes.
func (t *text) keep(steps []Step) {
	var names []string
	for _, s := range steps {
		if s.Op == Add || s.Op == Take && t.shell.keepAll {
			names = append(names, s.Name)
		}
	}
	t.call("_kz_keep", names)
}

// steps has the shell do for many names in one call what it can: that takes a
// fifth of the time. Wherever it is interrupted, what it kept is kept until it is
// back in its place.
func (t *text) steps(steps []Step) {
	names := map[Op][]string{}
	for _, s := range steps {
		names[s.Op] = append(names[s.Op], s.Name)
	}
	t.assignments(t.shell.all, steps)
	if len(steps) > 0 && t.shell.calm != "" {
		t.line(nil, "%s", t.shell.calm)
	}
	forms := map[Op]string{Add: t.shell.add, Take: t.shell.take, Replace: t.shell.again, Restore: t.shell.back}
	for _, s := range steps {
		if form := forms[s.Op]; form != "" {
			t.guarded(form, s.Name, s.Value)
		}
	}
	t.call("_kz_drop", names[Remove])
	t.call("_kz_undo", names[Undo])
	t.call("_kz_forget", names[Forget])
}

// fresh defines the function by which the hook sees that no file has changed: its
// paths are literal words, which takes a shell half the time of going through a
// list. Each watched file has a twin that kz gave the same time: newer, older and
// gone all show, and a file too young to tell apart has no twin.
func (t *text) fresh(watch []Watch, absent []string) {
	s := t.shell
	var tests []string
	want := []string{"_kz_fresh()"}
	add := func(test string, words ...string) { tests, want = append(tests, test), append(want, words...) }
	for _, w := range watch {
		file, twin := t.quote("a path", w.Path), t.quote("a path", w.Twin)
		add(fmt.Sprintf(s.exists, file), "-e", w.Path)
		if !s.goneIsOld {
			add(fmt.Sprintf(s.exists, twin), "-e", w.Twin)
		}
		add(fmt.Sprintf(s.differs, file, "-nt", twin), "!", w.Path, "-nt", w.Twin)
		add(fmt.Sprintf(s.differs, file, "-ot", twin), "!", w.Path, "-ot", w.Twin)
	}
	for _, path := range absent {
		add(fmt.Sprintf(s.missing, t.quote("a path", path)), "!", "-e", path)
	}
	if len(tests) == 0 {
		add(fmt.Sprintf(s.exists, "/"), "-e", "/")
	}
	t.line(want, s.fresh, strings.Join(tests, s.and))
}

// StateName is the one variable that kz exports for itself.
const StateName = "__KZ_STATE"

// WriteUpdate writes u in one piece, or nothing if any of it cannot be
// expressed: half an environment is worse than none.
func (s *Shell) WriteUpdate(w io.Writer, u Update) error {
	t := &text{shell: s}
	t.b.Grow(8 << 10) // what most need
	if len(u.Steps) > 0 && u.Meanwhile != "" {
		t.keep(u.Steps)
		t.scalar("_kz_loaded", "") // the hook calls kz again unless it comes to the end
		t.set(StateName, u.Meanwhile)
	}
	t.steps(u.Steps)
	if u.State == "" {
		t.unset(StateName)
	} else {
		t.set(StateName, u.State)
	}
	t.fresh(u.Watch, u.Absent)
	t.scalar("_kz_config", u.Config)
	t.list("_kz_names", u.Names...)
	t.scalar("_kz_ttl", u.TTL)
	t.scalar("_kz_said", u.Said)
	t.scalar("_kz_tries", "0") // last: the hook takes it for the end of a complete text
	return t.write(w)
}
