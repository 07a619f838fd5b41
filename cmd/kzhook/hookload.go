package main

import (
	"context"
	"slices"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/session"
	"github.com/getkeyzero/kz/shell"
)

// load resolves the plan. When anything that is required is missing nothing of
// it is loaded, and what an earlier edition of the same plan loaded stays as long
// as it is good.
func (h *hookRun) load(deadline time.Duration) error {
	p := h.project
	values, failures, err := h.resolve(deadline)
	if err != nil {
		return err
	}
	h.notes.lines = append(h.notes.lines, staleLines(p, values)...)
	h.stay()
	if err := h.notes.failures(failures, h.kept()); err != nil {
		return err
	}
	key, err := seal.FileKey(h.inv.places.key)
	if err != nil {
		return err
	}
	h.memory.key = key
	h.next = session.State{
		Config: p.Path, Digest: p.Digest, Environment: p.Environment,
		Mark: h.stateMark(), Partial: len(failures) > 0,
	}
	return h.set(values)
}

// resolve gets the values. Only stores can take long: without any nobody has to
// wait, nor to watch for those who wait no longer.
func (h *hookRun) resolve(deadline time.Duration) (map[string]resolve.Result, []*project.Failure, error) {
	p, outer := h.project, h.memory.outer
	wanted := func(e config.Entry) bool { return !e.RunOnly }
	if !slices.ContainsFunc(p.Entries, func(e config.Entry) bool { return e.Provider != "" }) {
		values, failures := p.Values(context.Background(), nil, outer, wanted)
		return values, failures, nil
	}
	providers, err := h.inv.providers(p, outer)
	if err != nil {
		return nil, nil, err
	}
	defer closeStores(providers)
	signals, stop := untilSignal()
	defer stop()
	ctx, cancel := context.WithTimeout(signals, forAsking(deadline))
	defer cancel()
	wait := h.inv.progress(p)
	values, failures := p.Values(ctx, h.inv.cached(p, providers), outer, wanted)
	wait()
	h.tellOfKeys(ctx)
	if signals.Err() == nil {
		h.rest(ctx)
	}
	return values, failures, signals.Err()
}

// tellOfKeys says, once for all, that nothing can be kept of what stores give. A
// keychain that only does not answer now is another holder than none.
func (h *hookRun) tellOfKeys(ctx context.Context) {
	p := h.project
	keeps := slices.ContainsFunc(p.Entries, func(e config.Entry) bool { _, _, keep := p.Life(e); return keep })
	if keeps && h.inv.holder(ctx) == holder.None() && h.inv.firstTime("no-keys") {
		h.notes.lines = append(h.notes.lines, program+": nothing keeps keys here, so every shell asks the stores anew; "+program+" doctor says more")
	}
}

// forAsking returns how much of the time until the prompt is to be back is for
// asking stores. The rest is for the end of those that do not want to end.
func forAsking(deadline time.Duration) time.Duration {
	return deadline - min(deadline/5, 300*time.Millisecond)
}

// kept says what becomes of the variables that the project had loaded before.
func (h *hookRun) kept() string {
	switch {
	case h.same() && len(h.next.Vars) < len(h.memory.state.Vars):
		return "what was loaded before is past its time"
	case len(h.next.Vars) > 0:
		return "what was loaded before stays"
	}
	return "nothing is loaded"
}

// set records each value in h.next and has the shell set it.
func (h *hookRun) set(values map[string]resolve.Result) error {
	for _, e := range h.project.Entries {
		result, ok := values[e.Name]
		if !ok {
			continue
		}
		value, file := result.Secret.Reveal(), ""
		if e.AsFile {
			path, err := h.owner.Write(placeOf(h.project), e.Name, result.Secret)
			if err != nil {
				h.abandon()
				return err
			}
			value, file = path, path
		}
		v := h.assign(e.Name, value, file)
		v.Left = result.Left
		h.next.Vars = append(h.next.Vars, v)
	}
	if slices.ContainsFunc(h.next.Vars, func(v session.Variable) bool { return v.Left > 0 }) {
		h.next.Taken = clock.Now()
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

// rest leaves a mark if the deadline has passed, so that this shell does not
// begin the same wait at its next prompt. Another one may.
func (h *hookRun) rest(ctx context.Context) {
	if ctx.Err() != nil {
		_ = h.inv.writeMark(h.project.Path, timedOutAt(h.project.Digest, h.project.Environment, h.pid))
	}
}
