// Program bench measures what kz costs in a shell, beside direnv, mise, hooks
// that start a program which does nothing, and no hook.
//
//	usage: bench KZ OUT     (in the root of the checkout; make bench)
//
// The report goes to stdout and to the file OUT. Shells with each tool's hook
// run at the same time and take turns, so that whatever else the machine does
// falls on all alike: it is the ratios that count.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/getkeyzero/kz/bench/stores"
)

var shells = []string{"bash", "zsh", "fish"}

// How often the tools take turns.
const (
	rounds      = 5 // 40 prompts at each place, 20 times in and out
	growRounds  = 15
	crowdRounds = 7
	storeRounds = 15
	aloneRounds = 200
	crowd       = 100
)

// A bench is one run.
type bench struct {
	dir   string // thrown away in the end
	own   string // the path of kz, beside which kz-fetch lies
	tools []tool
	homes map[int]*home // by how many records of consent there are
	sizes []growth
	readings
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench KZ OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(kz, out string) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, homes: map[int]*home{}, readings: newReadings()}
	if err := b.findTools(kz); err != nil {
		return err
	}
	begin, load := time.Now(), loadAverage()
	for _, step := range []func() error{b.makeHomes, b.compare, b.grow} {
		if err := step(); err != nil {
			return err
		}
		load += ", " + loadAverage()
	}
	if err := b.gather(); err != nil {
		return err
	}
	remote, err := stores.Measure(b.own, storeRounds)
	if err != nil {
		return err
	}
	var r report
	r.head(b.tools, begin, load)
	r.body(b)
	r.remote(remote)
	fmt.Print(r.String())
	return errors.Join(os.WriteFile(out, []byte(r.String()), 0o644), b.failed())
}

// findTools sets b.tools, peers that cannot be had left out.
func (b *bench) findTools(kz string) error {
	kz, err := filepath.Abs(kz)
	if err != nil {
		return err
	}
	b.own = kz
	empty := filepath.Join(b.dir, "empty")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", empty, "./bench/empty")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	nothing, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	b.tools = []tool{
		{name: "no hook"},
		{name: "`true`", program: nothing},
		{name: "empty Go", program: empty},
		{name: "kz", program: kz, hook: "hook --shell %s", loads: true},
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	peers := exec.Command("bench/peers", filepath.Join(cache, "kz-bench"))
	peers.Stderr = os.Stderr
	paths, err := peers.Output()
	for _, path := range strings.Fields(string(paths)) {
		name := filepath.Base(path)
		b.tools = append(b.tools, tool{name, path, map[string]string{"direnv": "hook %s", "mise": "activate %s"}[name], true})
	}
	return err
}

// makeHomes makes one for each number of records. That of one record has all
// that is allowed, the others what it takes to see whether their number counts.
func (b *bench) makeHomes() error {
	for _, records := range []int{1, 1000, 10000} {
		h, err := newHome(filepath.Join(b.dir, fmt.Sprint("home", records)), b.tools)
		if err != nil {
			return err
		}
		if err := h.consent(records - 1); err != nil {
			return err
		}
		b.homes[records] = h
	}
	return nil
}

// open starts sessions of all shells with all of tools, in the home. With trace
// they run under strace.
func (b *bench) open(tools []tool, h *home, trace bool) (sessions []*session, err error) {
	for _, shell := range shells {
		for i, t := range tools {
			log := ""
			if trace {
				log = filepath.Join(b.dir, fmt.Sprint("strace-", shell, i))
			}
			s, err := start(shell, t, h, log)
			if err != nil {
				return nil, err
			}
			sessions = append(sessions, s)
		}
	}
	return sessions, nil
}

// compare measures all tools in all shells, and then counts the processes, where
// strace is there to see them.
func (b *bench) compare() error {
	for _, trace := range []bool{false, true} {
		turns := rounds
		if trace {
			turns = 1
			if _, err := exec.LookPath("strace"); err != nil {
				continue
			}
		}
		sessions, err := b.open(b.tools, b.homes[1], trace)
		if err != nil {
			return err
		}
		for turn := range turns + 1 {
			for _, s := range sessions {
				b.trip(b.readings.unless(turn == 0), s)
			}
			settle()
		}
		for _, s := range sessions {
			s.close()
		}
	}
	return nil
}

const (
	promptOutside = "prompt outside"
	promptInside  = "prompt inside"
	cdOutside     = "cd outside"
	enter         = "enter"
	leave         = "leave"

	alone      = "alone"
	enterPlain = "enter 20 of [env]"
	enterKept  = "enter 20 kept"
)

var events = []string{promptOutside, promptInside, cdOutside, enter, leave}

// trip does all that is measured in one session, ending where it began.
func (b *bench) trip(into readings, s *session) {
	h := s.home
	into.take(s, promptOutside, "prompt", ones(40), false)
	for range 10 {
		into.take(s, cdOutside, "cd", h.beside, false)
		into.take(s, cdOutside, "cd", h.outside, false)
	}
	for turn := range 20 {
		into.take(s, enter, "cd", h.project, true)
		if turn == 0 {
			into.take(s, promptInside, "prompt", ones(40), true)
		}
		into.take(s, leave, "cd", h.outside, false)
	}
}

func ones(n int) string { return strings.TrimSpace(strings.Repeat("1 ", n)) }

// A growth is one size of something that grows.
type growth struct {
	what string
	size int
	home *home
	dir  string
}

func (g growth) event(event string) string { return fmt.Sprint(event, ", ", g.size, " ", g.what) }

// growths makes the projects of the growth tables.
func (b *bench) growths() (all []growth, err error) {
	h, only := b.homes[1], []tool{b.kz()}
	for _, n := range []int{10, 100, 500} {
		dir := filepath.Join(h.dir, fmt.Sprint("work/variables", n))
		err = errors.Join(err, h.addProject(dir, n, only))
		all = append(all, growth{"variables", n, h, dir})
	}
	for _, n := range []int{1, 1000, 10000} {
		all = append(all, growth{"records", n, b.homes[n], b.homes[n].project})
	}
	top := filepath.Join(h.dir, "work/levels")
	err = errors.Join(err, h.addProject(top, 10, only), os.MkdirAll(top+strings.Repeat("/d", 63), 0o700))
	for _, n := range []int{1, 8, 64} {
		all = append(all, growth{"levels", n, h, top + strings.Repeat("/d", n-1)})
	}
	return all, err
}

// grow measures how kz takes more of everything.
func (b *bench) grow() error {
	all, err := b.growths()
	if err != nil {
		return err
	}
	b.sizes = all
	sessions := map[*home][]*session{}
	for _, h := range b.homes {
		if sessions[h], err = b.open([]tool{b.kz()}, h, false); err != nil {
			return err
		}
		for _, s := range sessions[h] {
			defer s.close()
		}
	}
	plain, kept := filepath.Join(b.homes[1].dir, "work/plain"), filepath.Join(b.homes[1].dir, "work/kept")
	if err := errors.Join(b.homes[1].addProject(plain, 20, []tool{b.kz()}), b.homes[1].addKept(kept, 20, b.kz().program)); err != nil {
		return err
	}
	settle()
	for turn := range growRounds + 1 {
		for _, s := range sessions[b.homes[1]] {
			for range 2 {
				for dir, event := range map[string]string{plain: enterPlain, kept: enterKept} {
					b.readings.unless(turn == 0).take(s, event, "cd", dir, true)
					b.readings.unless(true).take(s, event, "cd", b.homes[1].outside, false)
				}
			}
		}
		into := b.readings.unless(turn == 0)
		for _, g := range all {
			for _, s := range sessions[g.home] {
				into.take(s, g.event(enter), "cd", g.dir, true)
				into.take(s, g.event(promptInside), "prompt", ones(5), true)
				into.take(s, g.event(leave), "cd", g.home.outside, false)
			}
		}
	}
	return nil
}

// gather has a crowd of shells enter one project at the same moment, and before
// that one. Only what they start is started, for a hundred shells would hide it.
func (b *bench) gather() error {
	h := b.homes[1]
	arguments := map[string][]string{
		"kz": {"hook-env", "--shell", "bash"}, "direnv": {"export", "bash"}, "mise": {"hook-env", "-s", "bash"},
	}
	for range aloneRounds {
		for _, t := range []tool{b.tools[2], b.kz()} {
			begin := time.Now()
			err := h.command(h.project, t.program, arguments[t.name]...).Run()
			b.add(reading{"", t.name, alone}, []float64{time.Since(begin).Seconds() * 1000}, err)
		}
	}
	for range crowdRounds {
		for _, t := range b.tools[1:] {
			took, err := h.startCrowd(t, arguments[t.name])
			b.add(reading{"", t.name, "crowd"}, []float64{took}, err)
		}
	}
	return nil
}

// startCrowd returns how many milliseconds the crowd takes. It is an error if
// one fails, or loads nothing although it is to.
func (h *home) startCrowd(t tool, args []string) (float64, error) {
	var wg sync.WaitGroup
	errs := make([]error, crowd)
	begin := time.Now()
	for i := range crowd {
		wg.Go(func() {
			out, err := h.command(h.project, t.program, args...).Output()
			if err == nil && t.loads && !strings.Contains(string(out), value(1)) {
				err = errors.New("does not load")
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return time.Since(begin).Seconds() * 1000, errors.Join(errs...)
}

func (b *bench) kz() tool { return b.tools[3] }
