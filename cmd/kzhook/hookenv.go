package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/delivery"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/session"
	"github.com/getkeyzero/kz/shell"
	"github.com/getkeyzero/kz/watch"
)

// A hookRun is one call of a hook, from what the shell has to what it is to have.
type hookRun struct {
	inv    *invocation
	pid    int // of the shell
	memory memory
	owner  delivery.Owner
	notes  notes
	told   bool // the shell knows already what notes has

	project *project.Project // nil where there is no configuration
	mark    mark
	update  shell.Update
	next    session.State
	delta   delta
}

// hookEnv is what hooks evaluate: it brings the shell to what its directory
// asks for. Whatever goes wrong is said on stderr, once, and leaves a shell
// that works; stdout gets one complete text or nothing.
func (inv *invocation) hookEnv(args []string) int {
	call, err := parseHookCall(args)
	if err != nil {
		return inv.report(err)
	}
	if call.pid == 0 {
		call.pid = os.Getppid()
	}
	h := &hookRun{inv: inv, pid: call.pid, owner: delivery.For(inv.places.files, call.pid), notes: notes{inv: inv, said: call.said}}
	if err := inv.places.check(); err != nil {
		return inv.report(err)
	}
	h.memory, err = inv.remember()
	h.notes.warn(err)
	// The hook goes by the shell's name for the directory, even one that is gone.
	if pwd := inv.env["PWD"]; filepath.IsAbs(pwd) {
		inv.dir = pwd
	}
	if !call.off {
		err = h.arrive()
	}
	if errors.Is(err, context.Canceled) {
		return h.interrupted()
	}
	h.notes.fail(err)
	h.update.Said = h.notes.token()
	if h.told {
		h.notes.said = h.update.Said
	}
	if err := h.finish(call.shell); err != nil {
		return inv.report(err)
	}
	h.notes.print(h.delta)
	h.debug()
	return exitOK
}

// debug says what the run did, for those who want to know.
func (h *hookRun) debug() {
	if h.inv.env["KZ_LOG"] != "debug" {
		return
	}
	nearest := h.update.Config
	if nearest == "" {
		nearest = "no configuration"
	}
	fmt.Fprintf(h.inv.stderr, "%s: debug: %s: %d variables loaded, %d statements, %d files watched\n",
		program, printable.Text(nearest), len(h.next.Vars), len(h.update.Steps), len(h.update.Watch)+len(h.update.Absent))
}

// arrive finds out what the directory asks for and puts it into h.next. When it
// cannot be had, h.next stays empty, which unloads, or becomes what is loaded.
func (h *hookRun) arrive() error {
	inv := h.inv
	nearest, ok := config.Find(inv.dir, inv.places.home)
	h.update.Config = config.AsSeen(inv.dir, inv.env["HOME"], nearest)
	h.watch(watch.Note(inv.places.userConfig))
	if !ok {
		return nil
	}
	user, err := inv.user()
	if err != nil {
		return err
	}
	p, err := inv.opener(user, h.memory.outer, "").Open(nearest)
	h.watch(p.Watch...)
	if err != nil {
		h.notes.blocked(err, p.Digest)
		return err
	}
	h.project = p
	h.watch(watch.Note(inv.markPath(p.Path)))
	if usesVault(p) {
		h.watch(watch.Note(inv.vaultMarkPath())) // which changes when it is unlocked
	}
	h.mark = inv.readMark(p.Path)
	h.notes.about = h.mark.reload()
	if h.unchanged() {
		h.next = h.memory.state
		return nil
	}
	switch by, ok := h.mark.interruptedBy(p.Digest, p.Environment); {
	case ok:
		h.stay()
		h.repeat(by)
		return errInterrupted
	case h.mark == timedOutAt(p.Digest, p.Environment, h.pid):
		h.stay()
		h.told = h.notes.said != "" // unless the shell has been elsewhere meanwhile
		return errTimedOut
	}
	return h.load(user.Deadline)
}

var (
	errInterrupted = errors.New("loading was interrupted")
	errTimedOut    = errors.New("loading took too long")
)

// repeat tells of an earlier interruption, but not to the shell in which it was,
// whose hook asks again at once: that one is told when it comes back.
func (h *hookRun) repeat(by int) {
	if by != h.pid {
		return
	}
	h.told = true
	_ = h.inv.writeMark(h.project.Path, interruptedAt(h.project.Digest, h.project.Environment, 0))
}

// watch has the hook call kz again when one of the files changes or appears.
func (h *hookRun) watch(files ...watch.File) {
	now := time.Now()
	for _, f := range files {
		if f.Missing {
			h.update.Absent = append(h.update.Absent, f.Path)
		} else {
			h.update.Watch = append(h.update.Watch, shell.Watch{Path: f.Path, Twin: f.Twin(h.inv.places.twins, now)})
		}
	}
}

// unchanged reports whether all that the project asks for is loaded already.
func (h *hookRun) unchanged() bool {
	s := h.memory.state
	gone := slices.ContainsFunc(s.Vars, func(v session.Variable) bool { return v.File != "" && !delivery.Exists(v.File) })
	left, ends := s.Left(clock.Now)
	return h.same() && s.Digest == h.project.Digest && s.Mark == h.stateMark() && !gone && !(ends && left == 0)
}

// stateMark is what a load depends on besides the project's files: on reloads, and
// on what the user's own configuration says about the stores.
func (h *hookRun) stateMark() string { return h.mark.reload() + h.project.Settings() }

// same reports whether what is loaded comes from the project, in the same
// environment, if perhaps from an earlier edition.
func (h *hookRun) same() bool {
	s := h.memory.state
	return s.Config == h.project.Path && s.Environment == h.project.Environment && len(s.Vars) > 0
}

// stay keeps what is loaded, if it is the project's and not past its time.
func (h *hookRun) stay() {
	if h.same() {
		h.next = h.memory.state.Good(clock.Now)
	}
}

// interrupted says so, to a shell that drops what else kz would tell it now.
func (h *hookRun) interrupted() int {
	if h.project != nil {
		_ = h.inv.writeMark(h.project.Path, interruptedAt(h.project.Digest, h.project.Environment, h.pid))
	}
	return h.inv.report(errInterrupted)
}

func usesVault(p *project.Project) bool {
	return slices.ContainsFunc(p.Entries, func(e config.Entry) bool { return p.Provider(e.Provider).Type == "vault" })
}

// label is what messages call a project: its directory, and its environment.
func label(p *project.Project) string {
	if p == nil {
		return ""
	}
	name := filepath.Base(p.Dir)
	if p.Environment != "" {
		name += "/" + p.Environment
	}
	return name
}
