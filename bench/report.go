package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/getkeyzero/kz/bench/stores"
)

// A reading names what was measured.
type reading struct{ shell, tool, event string }

// readings are what was measured, in milliseconds.
type readings struct {
	times     map[reading][]float64
	void      map[reading]error // what the figure would not be worth anything for
	processes map[reading]string
}

func newReadings() readings {
	return readings{times: map[reading][]float64{}, void: map[reading]error{}, processes: map[reading]string{}}
}

// unless returns rs, or others that nobody reads, for the first time, which
// fills caches.
func (rs readings) unless(first bool) readings {
	if first {
		return newReadings()
	}
	return rs
}

// take measures what a session does.
func (rs readings) take(s *session, event, verb, args string, loaded bool) {
	r := reading{s.shell, s.tool.name, event}
	times, err := s.do(verb, args, loaded)
	if s.log == "" {
		rs.add(r, times, err)
	} else if programs, made, err := s.processes(); err == nil {
		n := len(strings.Fields(args))
		rs.processes[r] = fmt.Sprintf("%d / %d", programs/n, made/n)
	}
}

func (rs readings) add(r reading, times []float64, err error) {
	if err != nil {
		rs.void[r] = err
	}
	rs.times[r] = append(rs.times[r], times...)
}

// median returns 0 if there is nothing to be relied on.
func (rs readings) median(shell, tool, event string) float64 {
	r := reading{shell, tool, event}
	times := slices.Sorted(slices.Values(rs.times[r]))
	if rs.void[r] != nil || len(times) == 0 {
		return 0
	}
	return times[len(times)/2]
}

// failed returns why figures are void.
func (rs readings) failed() error {
	var errs []error
	for r, err := range rs.void {
		errs = append(errs, fmt.Errorf("%s, %s, %s: %w", r.shell, r.tool, r.event, err))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// remote tells what remote stores take, and how that stands to the targets.
func (r *report) remote(projects []stores.Project) {
	r.line("\n## Remote stores\n")
	r.line("%s", stores.Table(projects))
	r.line("%s", stores.Targets(projects))
}

// A report is the text of the results, in Markdown.
type report struct{ strings.Builder }

func (r *report) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

func (r *report) row(cells ...string) { r.line("| %s |", strings.Join(cells, " | ")) }

func (r *report) title(cells ...string) {
	r.row(cells...)
	r.row(strings.Split(strings.Repeat("---|", len(cells)-1)+"---", "|")...)
}

func (r *report) head(tools []tool, begin time.Time, load string) {
	versions := []string{}
	for _, shell := range shells {
		versions = append(versions, shell+" "+version(shell, "--version"))
	}
	for _, t := range tools {
		if t.loads {
			versions = append(versions, t.name+" "+version(t.program, "--version"))
		}
	}
	r.line("# What kz costs in a shell\n")
	r.line("Written by `make bench`, %s, in %.0f s. %d cores, %s, %s %s. Load as it went: %s.",
		begin.UTC().Format(time.DateOnly), time.Since(begin).Seconds(), runtime.NumCPU(), processor(), runtime.GOOS,
		version("uname", "-r"), load)
	r.line("%s, %s.\n", strings.Join(versions, ", "), runtime.Version())
	r.line(`Milliseconds, medians; in brackets how many times kz's. The shells take turns, so ratios hold where
absolute figures are noisy. A project has ten variables of 40 bytes, which need no store, and each cd is
followed by a prompt. bash and zsh time themselves with EPOCHREALTIME; fish has no such clock, so its
figures include a pipe there and back, as the line "no hook" shows, at prompts shared by forty (five below).`)
}

var (
	versionText = regexp.MustCompile(`\d+(\.\d+)+`)
	modelLine   = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)
)

func version(program, flag string) string {
	cmd := exec.Command(program, flag)
	cmd.Env = append(os.Environ(), "MISE_OFFLINE=1")
	out, _ := cmd.Output()
	if v := versionText.Find(out); v != nil {
		return string(v)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "kz ")
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if m := modelLine.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(text), " ")
	return load
}

func (r *report) body(b *bench) {
	for _, shell := range shells {
		r.line("\n## %s\n", shell)
		r.title(append([]string{""}, events...)...)
		for _, t := range b.tools {
			cells := []string{t.name}
			for _, event := range events {
				cells = append(cells, cell(b.median(shell, t.name, event), b.median(shell, "kz", event)))
			}
			r.row(cells...)
		}
	}
	r.counts(b)
	r.growths(b)
	r.line("\n## %d shells at once\n\nThe processes that their hooks start when all enter one project at the same moment.\n", crowd)
	r.title("", "all of them, ms")
	for _, t := range b.tools[1:] {
		r.row(t.name, cell(b.median("", t.name, "crowd"), b.median("", "kz", "crowd")))
	}
	r.targets(b)
}

// cell shows a figure and how many times kz's it is.
func cell(ms, kz float64) string {
	switch {
	case ms == 0:
		return "void"
	case ms == kz || kz == 0:
		return figure(ms)
	}
	return fmt.Sprintf("%s (%.2g×)", figure(ms), ms/kz)
}

func figure(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.3f", ms)
	}
	return fmt.Sprintf("%.1f", ms)
}

func (r *report) counts(b *bench) {
	if len(b.processes) == 0 {
		return
	}
	r.line("\n## Programs started / processes made\n\nBy `strace -f -e trace=process`; threads do not count.\n")
	r.title(append([]string{"", ""}, events...)...)
	for _, shell := range shells {
		for _, t := range b.tools {
			cells := []string{shell, t.name}
			for _, event := range events {
				cells = append(cells, b.processes[reading{shell, t.name, event}])
			}
			r.row(cells...)
		}
	}
}

func (r *report) growths(b *bench) {
	r.line("\n## Growth\n\nkz alone. Levels are directories, from that of the project to where the shell is.\n")
	title := []string{""}
	for _, shell := range shells {
		title = append(title, shell+": enter", "prompt", "leave")
	}
	r.title(title...)
	for _, g := range b.sizes {
		cells := []string{fmt.Sprint(g.what, ": ", g.size)}
		for _, shell := range shells {
			for _, event := range []string{enter, promptInside, leave} {
				cells = append(cells, cell(b.median(shell, "kz", g.event(event)), 0))
			}
		}
		r.row(cells...)
	}
}
