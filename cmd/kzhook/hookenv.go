package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/delivery"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
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

// A hookCall is the command line of hook-env.
type hookCall struct {
	shell *shell.Shell
	said  string
	pid   int
	off   bool
}

func parseHookCall(args []string) (call hookCall, err error) {
	for len(args) > 0 && err == nil {
		flag := args[0]
		args = args[1:]
		if flag == "--off" {
			call.off = true
			continue
		}
		if len(args) == 0 {
			return call, usageError("hook-env: " + flag + " wants a value")
		}
		switch flag {
		case "--shell":
			call.shell, err = shell.Named(args[0])
		case "--said":
			call.said = args[0]
		case "--pid":
			call.pid, err = strconv.Atoi(args[0])
		default:
			err = usageError("hook-env: unknown flag " + strconv.Quote(flag))
		}
		args = args[1:]
	}
	if err == nil && call.shell == nil {
		err = usageError("hook-env: --shell is missing")
	}
	return call, err
}

// arrive finds out what the directory asks for and puts it into h.next. When it
// cannot be had, h.next stays empty, which unloads, or becomes what is loaded.
func (h *hookRun) arrive() error {
	inv := h.inv
	nearest, ok := config.Find(inv.dir, inv.places.home)
	h.update.Config = config.AsSeen(inv.dir, inv.env["HOME"])
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
		return err
	}
	h.project = p
	h.watch(watch.Note(inv.markPath(p.Path)))
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
	return h.same() && s.Digest == h.project.Digest && s.Mark == h.mark.reload() && !gone
}

// same reports whether what is loaded comes from the project, in the same
// environment, if perhaps from an earlier edition.
func (h *hookRun) same() bool {
	s := h.memory.state
	return s.Config == h.project.Path && s.Environment == h.project.Environment && len(s.Vars) > 0
}

// stay keeps what is loaded, if it is the project's.
func (h *hookRun) stay() {
	if h.same() {
		h.next = h.memory.state
	}
}

// load resolves the plan. When anything that is required is missing nothing of
// it is loaded, and what an earlier edition of the same plan loaded stays.
func (h *hookRun) load(deadline time.Duration) error {
	signals, stop := untilSignal()
	defer stop()
	ctx, cancel := context.WithTimeout(signals, deadline)
	defer cancel()
	p := h.project
	providers, err := h.inv.providers(p, h.memory.outer)
	if err != nil {
		return err
	}
	defer closeStores(providers)
	wait := h.inv.progress(p)
	values, failures := p.Values(ctx, providers, h.memory.outer, func(e config.Entry) bool { return !e.RunOnly })
	wait()
	if signals.Err() != nil {
		return signals.Err()
	}
	if err := h.notes.failures(failures, h.same()); err != nil {
		h.stay()
		h.rest(ctx)
		return err
	}
	h.rest(ctx)
	key, err := seal.FileKey(h.inv.places.key)
	if err != nil {
		return err
	}
	h.memory.key = key
	h.next = session.State{
		Config: p.Path, Digest: p.Digest, Environment: p.Environment,
		Mark: h.mark.reload(), Partial: len(failures) > 0,
	}
	return h.set(values)
}

// set records each value in h.next and has the shell set it.
func (h *hookRun) set(values map[string]resolve.Secret) error {
	for _, e := range h.project.Entries {
		secret, ok := values[e.Name]
		if !ok {
			continue
		}
		value, file := secret.Reveal(), ""
		if e.AsFile {
			path, err := h.owner.Write(placeOf(h.project), e.Name, secret)
			if err != nil {
				h.abandon()
				return err
			}
			value, file = path, path
		}
		h.next.Vars = append(h.next.Vars, h.assign(e.Name, value, file))
	}
	return nil
}

// assign has the shell set one variable, unless it has that value or the user
// has taken the variable over since this project set it.
func (h *hookRun) assign(name, value, file string) session.Variable {
	s := h.memory.state
	current, exported := h.inv.env[name]
	mine := slices.IndexFunc(s.Vars, func(v session.Variable) bool { return v.Name == name })
	if mine >= 0 && slices.Contains(h.memory.changed, name) && h.same() {
		return s.Vars[mine]
	}
	var before *string
	if earlier, ok := h.memory.outer[name]; ok {
		before = &earlier
	}
	v := session.NewVariable(h.memory.key, name, value, before)
	v.File = file
	if exported && current == value {
		return v
	}
	op := shell.Add
	switch {
	case exported && mine >= 0 && !slices.Contains(h.memory.changed, name):
		op = shell.Replace
	case exported:
		op = shell.Take
	}
	h.update.Steps = append(h.update.Steps, shell.Step{Op: op, Name: name, Value: value})
	h.delta.set(name, exported)
	return v
}

// finish writes all to the shell. If that cannot be written the shell is to be
// as it is without the project: what is loaded goes, and nothing comes.
func (h *hookRun) finish(sh *shell.Shell) error {
	err := h.write(sh)
	if err != nil && len(h.next.Vars) > 0 {
		h.abandon()
		h.notes.fail(err)
		h.update.Said = h.notes.token()
		err = h.write(sh)
	}
	if err == nil {
		h.removeFiles(h.memory.state, h.next)
		h.owner.Sweep()
	}
	return err
}

// abandon gives up what was to be loaded.
func (h *hookRun) abandon() {
	h.removeFiles(h.next, h.memory.state)
	h.next, h.update.Steps, h.delta = session.State{}, nil, delta{}
}

// removeFiles removes the delivered files of one state that another does not have.
func (h *hookRun) removeFiles(of, but session.State) {
	for _, v := range of.Vars {
		if v.File != "" && !slices.ContainsFunc(but.Vars, func(o session.Variable) bool { return o.File == v.File }) {
			h.owner.Remove(v.File)
		}
	}
}

func (h *hookRun) write(sh *shell.Shell) error {
	h.takeBack()
	h.update.Names, h.update.State, h.update.Meanwhile = nil, "", ""
	for _, v := range h.next.Vars {
		h.update.Names = append(h.update.Names, v.Name)
	}
	var err error
	if len(h.next.Vars) > 0 {
		h.delta.label = label(h.project)
		if h.update.State, err = session.Encode(h.memory.key, h.next); err != nil {
			return err
		}
	}
	if len(h.update.Steps) > 0 {
		if h.update.Meanwhile, err = session.Encode(h.memory.key, h.memory.state.Toward(h.next)); err != nil {
			return err
		}
	}
	return sh.WriteUpdate(h.inv.stdout, h.update)
}

// takeBack has the shell undo what is loaded and not wanted any more.
func (h *hookRun) takeBack() {
	wanted := map[string]bool{}
	for _, v := range h.next.Vars {
		wanted[v.Name] = true
	}
	for _, v := range h.memory.state.Vars {
		if wanted[v.Name] {
			continue
		}
		step := shell.Step{Op: shell.Remove, Name: v.Name}
		switch {
		case slices.Contains(h.memory.changed, v.Name):
			h.delta.keep(v.Name)
			continue
		case v.Before != nil:
			step.Op, step.Value = shell.Restore, *v.Before
		}
		h.update.Steps = append(h.update.Steps, step)
		h.delta.unset(v.Name, v.Before != nil)
	}
}

// interrupted says so, to a shell that drops what else kz would tell it now.
func (h *hookRun) interrupted() int {
	if h.project != nil {
		_ = h.inv.writeMark(h.project.Path, interruptedAt(h.project.Digest, h.project.Environment, h.pid))
	}
	return h.inv.report(errInterrupted)
}

// rest leaves a mark if the deadline has passed, so that this shell does not
// begin the same wait at its next prompt. Another one may.
func (h *hookRun) rest(ctx context.Context) {
	if ctx.Err() != nil {
		_ = h.inv.writeMark(h.project.Path, timedOutAt(h.project.Digest, h.project.Environment, h.pid))
	}
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
