package main

import (
	"slices"
	"strconv"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/session"
	"github.com/getkeyzero/kz/shell"
)

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

func (h *hookRun) exported(name string) bool {
	_, ok := h.inv.env[name]
	return ok
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
	h.update.TTL = ""
	if left, ends := h.next.Left(clock.Now); ends {
		h.update.TTL = strconv.FormatInt(int64(left/time.Second)+1, 10)
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
			h.update.Steps = append(h.update.Steps, shell.Step{Op: shell.Forget, Name: v.Name})
			continue
		case h.memory.state.Torn && v.Before == nil && !h.exported(v.Name):
			step.Op = shell.Undo
		case v.Before != nil:
			step.Op, step.Value = shell.Restore, *v.Before
		}
		h.update.Steps = append(h.update.Steps, step)
		h.delta.unset(v.Name, v.Before != nil)
	}
}
