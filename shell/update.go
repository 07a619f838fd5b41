package shell

import "io"

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
)

// A Step is an operation on one variable. Value counts for all but Remove.
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

func (t *text) step(s Step) {
	switch s.Op {
	case Remove:
		t.call("_kz_drop", s.Name)
	case Add:
		t.guarded("_kz_keep", s.Name, s.Value)
	case Take:
		t.guarded("_kz_take", s.Name, s.Value)
	case Restore:
		t.guarded(t.shell.back, s.Name, s.Value)
	default:
		t.guarded(t.shell.again, s.Name, s.Value)
	}
}

// StateName is the one variable that kz exports for itself.
const StateName = "__KZ_STATE"

// WriteUpdate writes u in one piece, or nothing if any of it cannot be
// expressed: half an environment is worse than none.
func (s *Shell) WriteUpdate(w io.Writer, u Update) error {
	t := &text{shell: s}
	if len(u.Steps) > 0 && u.Meanwhile != "" {
		t.set(StateName, u.Meanwhile)
	}
	for _, step := range u.Steps {
		t.step(step)
	}
	if u.State == "" {
		t.unset(StateName)
	} else {
		t.set(StateName, u.State)
	}
	var watch []string
	for _, pair := range u.Watch {
		watch = append(watch, pair.Path, pair.Twin)
	}
	t.scalar("_kz_config", u.Config)
	t.list("_kz_watch", watch...)
	t.list("_kz_absent", u.Absent...)
	t.list("_kz_names", u.Names...)
	t.scalar("_kz_ttl", u.TTL)
	t.scalar("_kz_said", u.Said)
	t.scalar("_kz_tries", "0") // last: the hook takes it for the end of a complete text
	return t.write(w)
}
