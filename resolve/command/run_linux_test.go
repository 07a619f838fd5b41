package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// patience is how long tool.Runner gives a program to terminate.
const patience = 200 * time.Millisecond

// slack is how much later than its deadline a Fetch may return.
const slack = 500 * time.Millisecond

// A process is what /proc says of one.
type process struct {
	pid, parent, group int
	state              string
}

func processes(t *testing.T) (list []process) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // gone
		}
		// The name, in parentheses, may have anything in it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		number := func(s string) int { n, _ := strconv.Atoi(s); return n }
		pid := number(filepath.Base(filepath.Dir(stat)))
		list = append(list, process{pid, number(fields[1]), number(fields[2]), fields[0]})
	}
	return list
}

// group waits for the number that a program writes to the file, which is its group's.
func group(t *testing.T, file string) int {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(file)
		if n, numErr := strconv.Atoi(strings.TrimSuffix(string(text), "\n")); err == nil && numErr == nil && strings.HasSuffix(string(text), "\n") {
			return n
		}
	}
	t.Fatalf("no program wrote its number to %s", file)
	return 0
}

// gone checks that nothing runs in the group, and that its leader was reaped.
func gone(t *testing.T, group int) {
	t.Helper()
	var left []process
	for end := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) { // a kill takes effect when it takes effect
		left = nil
		for _, p := range processes(t) {
			// Zombies of the group but its leader are for init to reap.
			if p.group == group && (p.state != "Z" || p.parent == os.Getpid()) {
				left = append(left, p)
			}
		}
		if left == nil {
			return
		}
		if time.Now().After(end) {
			t.Errorf("left over: %+v", left)
			return
		}
	}
}

// stubborn are programs that go on. Each writes its number to the file $1 first.
var stubborn = map[string]string{
	"hangs":                       `echo $$ >"$1"; sleep 60`,
	"hangs after its output":      `echo $$ >"$1"; echo ` + canary + `; sleep 60`,
	"closes its output and hangs": `echo $$ >"$1"; exec >&- 2>&-; sleep 60`,
	"drips":                       `echo $$ >"$1"; while :; do printf x; sleep 0.02; done`,
	"ignores TERM":                `trap '' TERM; echo $$ >"$1"; while :; do sleep 60; done`,
	"answers TERM late":           `trap 'sleep 60' TERM; echo $$ >"$1"; while :; do sleep 1; done`,
	"succeeds on TERM":            `trap 'echo ` + canary + `; exit 0' TERM; echo $$ >"$1"; while :; do sleep 0.01; done`,
	"child ignores TERM":          `echo $$ >"$1"; (trap '' TERM; sleep 60; sleep 60) & wait`,
	"is stopped":                  `echo $$ >"$1"; kill -STOP $$`,
	"drips on stderr":             `echo $$ >"$1"; while :; do printf x >&2; sleep 0.02; done`,
	"floods stderr":               `echo $$ >"$1"; exec cat /dev/zero >&2`,
	"many children":               `echo $$ >"$1"; for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait`,
	"asks the terminal":           `echo $$ >"$1"; read -r answer </dev/tty; sleep 60`,
}

// An ending is a context that a test ends, also as a deadline would.
type ending struct {
	context.Context
	done chan struct{}
	err  error
}

func newEnding(err error) *ending { return &ending{context.Background(), make(chan struct{}), err} }

func (e *ending) Done() <-chan struct{} { return e.done }

func (e *ending) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// prompt fails the test if do takes too long, three times in a row: the machine may be
// busy with other tests.
func prompt(t *testing.T, limit time.Duration, do func() time.Duration) {
	t.Helper()
	fastest := time.Duration(1<<63 - 1)
	for range 3 {
		if fastest = min(fastest, do()); fastest <= limit {
			return
		}
	}
	t.Errorf("took %v, more than %v", fastest, limit)
}

// cut fetches, ends the context once the program has written its number to the file that is
// the reference, and returns the program's group and how long Fetch then took.
func cut(t *testing.T, p *Provider, cause error) (result resolve.Result, pid int, late time.Duration) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pid")
	ctx := newEnding(cause)
	results := make(chan []resolve.Result, 1)
	go func() { results <- p.Fetch(ctx, []resolve.Ref{{Path: file}}) }()
	pid = group(t, file)
	began := time.Now()
	close(ctx.done)
	result = (<-results)[0]
	return result, pid, time.Since(began)
}

func TestContextEnds(t *testing.T) {
	for name, body := range stubborn {
		for kind, cause := range map[string]error{"deadline": context.DeadlineExceeded, "cancel": context.Canceled} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				p := of(t, body)
				prompt(t, slack, func() time.Duration {
					got, pid, late := cut(t, p, cause)
					if !errors.Is(got.Err, cause) || got.Secret.Reveal() != "" {
						t.Errorf("leads to %q, %v; want %v", got.Secret.Reveal(), got.Err, cause)
					}
					gone(t, pid)
					return late
				})
			})
		}
	}
}

// A program that wants to put something in order first has the time for it.
func TestAskedFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ended")
	p := of(t, `trap 'sleep 0.05; echo >"`+file+`"; exit' TERM; echo $$ >"$1"; while :; do sleep 0.01; done`)
	for range 3 { // on a busy machine it may need longer than it has
		_, pid, _ := cut(t, p, context.Canceled)
		gone(t, pid)
		if _, err := os.Stat(file); err == nil {
			return
		}
	}
	t.Error("the program was not asked, or not given time")
}

// One that terminates when asked is not waited for longer than that.
func TestTerminatesWhenAsked(t *testing.T) {
	p := of(t, `echo $$ >"$1"; exec sleep 60`)
	prompt(t, patience-1, func() time.Duration {
		_, _, late := cut(t, p, context.Canceled)
		return late
	})
}

// A stopped program has not ended.
func TestStoppedForAWhile(t *testing.T) {
	want(t, "a stop", fetch(t, of(t, `(sleep 0.5; kill -CONT $$) & kill -STOP $$; echo v; wait`), "a"), "v", "")
}

// Output that ends soon after the program is not waited for longer than that.
func TestOutputEndsLater(t *testing.T) {
	p := of(t, `printf v; sleep 0.02 &`)
	prompt(t, patience-1, func() time.Duration {
		began := time.Now()
		want(t, "a helper's short life", fetch(t, p, "a"), "v", "")
		return time.Since(began)
	})
}

func TestFlood(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	want(t, "1 GiB", fetch(t, of(t, `echo $$ >"$1"; head -c 1073741824 /dev/zero; sleep 60`), file), "", resolve.Malformed)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	gone(t, group(t, file))
}

// A program may leave something behind that still has its output. The value is there
// all the same, and what is left in the group goes.
func TestOutputHeld(t *testing.T) {
	for name, tt := range map[string]struct {
		body, value string
		escapes     bool
	}{
		"in the group":           {`echo $$ >"$1"; sleep 60 & echo v`, "v", false},
		"in the group, TERM":     {`echo $$ >"$1"; (trap '' TERM; sleep 60; sleep 60) & echo v`, "v", false},
		"out of the group":       {`echo $$ >"$1"; setsid sh -c 'echo $$ >"$0.out"; exec sleep 60' "$1" & echo v; while ! test -s "$1.out"; do sleep 0.01; done`, "v", true},
		"without the output":     {`echo $$ >"$1"; sleep 60 >&- 2>&- & echo v`, "v", false},
		"and stderr":             {`echo $$ >"$1"; sleep 60 >&- & echo v`, "v", false},
		"after a failure":        {`echo $$ >"$1"; setsid sh -c 'echo $$ >"$0.out"; exec sleep 60' "$1" & while ! test -s "$1.out"; do sleep 0.01; done; exit 3`, "", true},
		"and writes on a bit":    {`echo $$ >"$1"; printf v; (sleep 0.03; echo w) &`, "vw", false},
		"and writes on for ever": {`echo $$ >"$1"; printf v; (while :; do sleep 10; echo w; done) &`, "v", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			p := of(t, tt.body)
			began := time.Now()
			got := fetch(t, p, file)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if got.Secret.Reveal() != tt.value || (got.Err == nil) != (tt.value != "") {
				t.Errorf("leads to %q, %v", got.Secret.Reveal(), got.Err)
			}
			gone(t, group(t, file))
			if tt.escapes {
				_ = syscall.Kill(group(t, file+".out"), syscall.SIGKILL)
			}
		})
	}
}

// The same, when the context ends while the output is held.
func TestOutputHeldAtTheEnd(t *testing.T) {
	p := of(t, `setsid sh -c 'echo $$ >"$0"; exec sleep 60' "$1" & sleep 60`)
	prompt(t, slack, func() time.Duration {
		_, escaped, late := cut(t, p, context.Canceled)
		_ = syscall.Kill(escaped, syscall.SIGKILL)
		return late
	})
}

func TestClose(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	p := of(t, stubborn["ignores TERM"])
	results := make(chan resolve.Result, 1)
	go func() { results <- p.Fetch(context.Background(), []resolve.Ref{{Path: file}})[0] }()
	pid := group(t, file)
	p.Close()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Close the program is there: %v", err)
	}
	gone(t, pid)
	if got := <-results; !errors.Is(got.Err, context.Canceled) {
		t.Errorf("Fetch leads to %v", got.Err)
	}
	p.Close()
	if got := fetch(t, p, filepath.Join(t.TempDir(), "again")); !errors.Is(got.Err, context.Canceled) {
		t.Errorf("Fetch after Close leads to %v", got.Err)
	}
}

// As resolve.All does: nobody waits for Fetch after the deadline. Close does not
// leave the program the rest of its time.
func TestCloseAfterTheEnd(t *testing.T) {
	prompt(t, patience/2, func() time.Duration {
		file := filepath.Join(t.TempDir(), "pid")
		p := of(t, stubborn["ignores TERM"])
		ctx := newEnding(context.DeadlineExceeded)
		go p.Fetch(ctx, []resolve.Ref{{Path: file}})
		pid := group(t, file)
		close(ctx.done)
		time.Sleep(20 * time.Millisecond) // for Fetch to ask the program
		began := time.Now()
		p.Close()
		took := time.Since(began)
		gone(t, pid)
		return took
	})
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	p := of(t, `cd "${1%/*}" && mkdir "in.${1##*/}" && sleep 0.1; ls -d in.* | wc -l; rmdir "in.${1##*/}"`)
	var refs []resolve.Ref
	for i := range 3 * parallel {
		refs = append(refs, resolve.Ref{Path: filepath.Join(dir, strconv.Itoa(i))})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	most := 0
	for i, got := range p.Fetch(ctx, refs) {
		n, err := strconv.Atoi(strings.TrimSpace(got.Secret.Reveal()))
		if got.Err != nil || err != nil {
			t.Fatalf("reference %d leads to %v, %v", i, got.Err, err)
		}
		most = max(most, n)
	}
	if most > parallel || most < 2 {
		t.Errorf("%d ran at once, want up to %d", most, parallel)
	}
}

// Those that wait for their turn do not prolong the end.
func TestDeadlineOfABatch(t *testing.T) {
	const patience = 200 * time.Millisecond
	p := of(t, `trap '' TERM; while :; do sleep 60; done`)
	refs := make([]resolve.Ref, 5*parallel)
	for i := range refs {
		refs[i].Path = fmt.Sprint("r", i)
	}
	prompt(t, slack, func() time.Duration {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		began := time.Now()
		for i, r := range p.Fetch(ctx, refs) {
			if !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Errorf("reference %d leads to %v", i, r.Err)
			}
		}
		return time.Since(began) - patience
	})
}

// Where and how the program finds itself.
func TestSurroundings(t *testing.T) {
	t.Chdir(t.TempDir())
	p := of(t, `pwd; wc -c; set -- $(cat /proc/self/stat); echo "$(($5 == $$))"`)
	got := fetch(t, p, "a")
	if value, want := strings.Join(strings.Fields(got.Secret.Reveal()), " "), "/ 0 1"; got.Err != nil || value != want {
		t.Errorf("the program finds %q, %v; want %q (directory, bytes of input, own group)", value, got.Err, want)
	}
}

func TestNoZombies(t *testing.T) {
	p := of(t, `exit "$1"`)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	p.Fetch(ctx, []resolve.Ref{{Path: "0"}, {Path: "1"}, {Path: "2"}})
	p.Close()
	for _, proc := range processes(t) {
		if proc.parent == os.Getpid() && proc.state == "Z" {
			t.Errorf("not reaped: %+v", proc)
		}
	}
}
