package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is a command that says what it was started with, and what it is told.
const server = `#!/bin/sh
trap 'echo "hangs up $(cat "$CERT")"' HUP
trap 'echo ends; exit 7' TERM
echo "begins $TOKEN $(cat "$CERT" 2>/dev/null)$LEVEL pid $$"
while :; do sleep 0.05; done
`

// deafServer does not end when it is asked to, nor does what it starts.
const deafServer = `#!/bin/sh
trap 'echo deaf' TERM
sh -c 'trap "" TERM; echo $$ >~/below; while :; do sleep 0.05; done' &
while ! test -s ~/below; do sleep 0.01; done
echo "begins $TOKEN pid $$"
while :; do sleep 0.05; done
`

// A watched is a kz run --watch under way.
type watched struct {
	*desk
	cmd    *exec.Cmd
	ended  chan struct{}
	stdout safeBuffer
	stderr safeBuffer
}

type safeBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// sitWatching sets up a desk without a shell, where the user agrees to whatever
// lies below trusted.
func sitWatching(t *testing.T, files string) *desk {
	t.Helper()
	buildKZ(t)
	t.Parallel()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, home: home}
	if err := os.Mkdir(d.path("run"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.settings(fmt.Sprintf("[trust]\nprefixes = [%q]\n", d.path("trusted")))
	d.program("bin/store", fmt.Sprintf(changingStore, home))
	d.program("bin/server", server)
	d.program("bin/deaf", deafServer)
	d.file("value", "first\n")
	d.files(files)
	return d
}

// watching starts kz run --watch in a directory, with these arguments.
func (d *desk) watching(dir string, args ...string) *watched {
	d.t.Helper()
	return d.watchingWith(nil, dir, args...)
}

// watchingWith does so with files as its descriptors from 3 on.
func (d *desk) watchingWith(extra []*os.File, dir string, args ...string) *watched {
	d.t.Helper()
	w := &watched{desk: d, ended: make(chan struct{})}
	w.cmd = exec.Command(filepath.Join(built.dir, "kz"), append([]string{"run", "--watch"}, args...)...)
	w.cmd.Dir = d.path(dir)
	w.cmd.Env = []string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=" + d.path("bin") + ":/usr/bin:/bin", "LANG=C.UTF-8"}
	w.cmd.Stdout, w.cmd.Stderr, w.cmd.ExtraFiles = &w.stdout, &w.stderr, extra
	w.cmd.WaitDelay = time.Second
	if err := w.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() { _ = w.cmd.Wait(); close(w.ended) }()
	d.t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		<-w.ended
		for _, pid := range w.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if d.t.Failed() {
			d.t.Logf("stdout:\n%s\nstderr:\n%s", &w.stdout, &w.stderr)
		}
	})
	return w
}

// until waits for a condition.
func (d *desk) until(what string, met func() bool) {
	d.t.Helper()
	for end := time.Now().Add(longest); !met(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("in %v not: %s", longest, what)
		}
	}
}

// begins waits until the command has said at the last of so many starts that it
// begins so, and fails if there were more.
func (w *watched) begins(n int, how string) {
	w.t.Helper()
	w.until(how, func() bool { return strings.Contains(w.stdout.String(), "begins "+how) && w.starts() >= n })
	if got := w.starts(); got != n {
		w.t.Errorf("%s: it was started %d times, want %d", how, got, n)
	}
}

func (w *watched) starts() int { return strings.Count(w.stdout.String(), "begins ") }

// says waits until kz has said exactly these lines.
func (w *watched) says(lines ...string) {
	w.t.Helper()
	want := strings.Join(lines, "\n") + "\n"
	w.until("kz says "+want, func() bool { return len(w.stderr.String()) >= len(want) })
	if got := strings.ReplaceAll(w.stderr.String(), w.home, "HOME"); got != want {
		w.t.Errorf("kz says:\n%swant:\n%s", got, want)
	}
}

// looks waits until kz has asked the store once more.
func (w *watched) looks(f func()) {
	w.t.Helper()
	before := len(w.asked())
	f()
	w.until("kz asks the store", func() bool { return len(w.asked()) > before })
}

// lives reports whether a process has not ended, be it that nobody has asked for its status.
func lives(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return len(out) > 0 && out[0] != 'Z'
}

var pidLine = regexp.MustCompile(`pid (\d+)`)

// pids returns the numbers of all commands so far.
func (w *watched) pids() []int {
	var list []int
	for _, m := range pidLine.FindAllStringSubmatch(w.stdout.String(), -1) {
		pid, _ := strconv.Atoi(m[1])
		list = append(list, pid)
	}
	return list
}

// leaves waits for kz to end with a status, with no process and no file left.
func (w *watched) leaves(status int) {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(longest):
		w.t.Fatal("kz does not end")
	}
	if got := w.cmd.ProcessState.ExitCode(); got != status {
		w.t.Errorf("the status is %d, want %d", got, status)
	}
	for _, pid := range w.pids() {
		if lives(pid) {
			w.t.Errorf("the command %d is still there", pid)
		}
	}
	if files, _ := filepath.Glob(w.path("run/keyzero/files/*")); len(files) > 0 {
		w.t.Errorf("there are still %q", files)
	}
}

func (w *watched) terminate() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
}

const uncached = "[secrets]\nTOKEN = { provider = \"store\", ref = \"x\", ttl = \"0\" }\n"

// When the first value is past its time kz asks again; the command is started
// again if that gave another one, and TERM to kz ends both.
func TestWatchValue(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"x\", ttl = \"1s\" }\nCERT = { provider = \"store\", ref = \"y\", as = \"file\" }\n")
	w := d.watching("app", "--", "server")
	w.begins(1, "first of x first of y")
	w.looks(func() {})
	w.looks(func() { d.file("value", "second\n") })
	w.begins(2, "second of x")
	if strings.Count(w.stdout.String(), "ends\n") != 1 {
		t.Error("the first was not asked to end")
	}
	w.says("kz: restarting: ~TOKEN")
	w.terminate()
	w.leaves(7)
	if strings.Count(w.stdout.String(), "ends\n") != 2 {
		t.Error("the second was not asked to end")
	}
}

// However an edit is made, it is seen, and starts the command again once.
func TestWatchEdits(t *testing.T) {
	level := func(l string) string { return "[env]\nLEVEL = \"" + l + "\"\n" + uncached }
	const name = "trusted/app/.keyzero.toml"
	for what, edit := range map[string]func(d *desk){
		"in place":       func(d *desk) { d.file(name, level("new")) },
		"by rename":      func(d *desk) { d.file(name+".swp", level("new")); d.rename(name+".swp", name) },
		"with a backup":  func(d *desk) { d.rename(name, name+"~"); d.file(name, level("new")) },
		"cut, then made": func(d *desk) { d.file(name, ""); time.Sleep(30 * time.Millisecond); d.file(name, level("new")) },
		"removed and made again": func(d *desk) {
			d.remove(name)
			time.Sleep(30 * time.Millisecond)
			d.file(name, level("new"))
		},
		"five rapid ones": func(d *desk) {
			for _, l := range []string{"1", "2", "3", "4", "new"} {
				d.file(name, level(l))
				time.Sleep(30 * time.Millisecond)
			}
		},
		"the whole directory renamed and made again": func(d *desk) {
			d.rename("trusted/app", "trusted/gone")
			d.file(name, level("new"))
		},
		"the local file appears":         func(d *desk) { d.file("trusted/app/.keyzero.local.toml", "[env]\nLEVEL = \"new\"\n") },
		"what it inherits from":          func(d *desk) { d.file("trusted/.keyzero.toml", "[env]\nLOW = \"x\"\nINHERITED = \"new\"\n") },
		"one in between to inherit from": func(d *desk) { d.file("trusted/sub/.keyzero.toml", "[env]\nLEVEL = \"new\"\n"+uncached) },
	} {
		t.Run(what, func(t *testing.T) {
			d := sitWatching(t, "-- "+name+" --\n"+level("old")+"-- trusted/.keyzero.toml --\n[env]\nLOW = \"x\"\nINHERITED = \"old\"\n")
			dir := "trusted/app"
			switch what {
			case "what it inherits from":
				d.file(name, "inherit = true\n[env]\nLEVEL = \"${INHERITED}\"\n"+uncached)
			case "one in between to inherit from":
				d.file("trusted/sub/deep/file", "")
				d.file("trusted/.keyzero.toml", level("old"))
				dir = "trusted/sub/deep"
			}
			w := d.watching(dir, "--", "server")
			w.begins(1, "first of x old")
			edit(d)
			w.begins(2, "first of x new")
			text, err := os.ReadFile(d.path(name))
			if err != nil {
				t.Fatal(err)
			}
			w.looks(func() { d.file(name, "# a comment\n"+string(text)); d.kz(dir, "reload") })
			time.Sleep(quietTime) // for a start too many
			w.begins(2, "first of x new")
			w.terminate()
			w.leaves(7)
		})
	}
}

// quietTime is more than what kz takes from an event to what comes of it.
const quietTime = 400 * time.Millisecond

// An edit that nobody has agreed to leaves the command as it is and is told
// once; one that changes nothing of the values does too, when it is agreed to.
func TestWatchConsent(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n"+uncached)
	w := d.watching("app", "--", "server")
	w.begins(1, "first of x")
	const blocked = "kz: ./.keyzero.toml has changed since it was allowed; read it, then run: kz allow; the command keeps what it has"
	d.file("app/.keyzero.toml", "# a comment\n"+uncached)
	w.says(blocked)
	d.file("app/.keyzero.toml", "# another comment\n"+uncached)
	time.Sleep(quietTime)
	w.looks(func() { d.allow("app") })
	time.Sleep(quietTime)
	w.says(blocked)
	w.begins(1, "first of x")

	d.file("app/.keyzero.toml", uncached+"[env]\nLEVEL = \"new\"\n")
	w.says(blocked, blocked)
	d.allow("app")
	w.begins(2, "first of x new")
	d.file("app/.keyzero.toml", "nonsense")
	w.says(blocked, blocked, "kz: restarting: +LEVEL", blocked)
	d.kz("app", "deny")
	const denied = "kz: ./.keyzero.toml is denied; to lift that, run: kz allow; the command keeps what it has"
	w.says(blocked, blocked, "kz: restarting: +LEVEL", blocked, denied)
	d.remove("app/.keyzero.toml")
	w.says(blocked, blocked, "kz: restarting: +LEVEL", blocked, denied, "kz: there is no .keyzero.toml in HOME/app or above it; the command keeps what it has")
	w.terminate()
	w.leaves(7)
}

// A store that fails leaves the command as it is, and is asked again; what is
// optional does not go for that.
func TestWatchFailure(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"x\", ttl = \"1s\" }\nOTHER = { provider = \"store\", ref = \"y\", required = false, ttl = \"1s\" }\n")
	w := d.watching("app", "--", "server")
	w.begins(1, "first of x")
	d.file("failure", "not signed in\n")
	const failed = "kz: OTHER TOKEN: store: not signed in; the command keeps what it has"
	w.says(failed)
	before := len(d.asked())
	w.until("kz tries again", func() bool { return len(d.asked()) >= before+2 })
	time.Sleep(quietTime) // until it has its answers
	w.says(failed)
	d.file("value", "second\n")
	d.remove("failure")
	d.kz("app", "reload")
	w.begins(2, "second of x")
	w.says(failed, "kz: restarting: ~OTHER ~TOKEN")
	if strings.Contains(w.stderr.String(), "first") || strings.Contains(w.stderr.String(), "second") {
		t.Error("a value is in what kz says")
	}
	w.terminate()
	w.leaves(7)
}

// With a signal the files are rewritten before it, and nothing is started again.
func TestWatchSignal(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"x\", ttl = \"0\" }\nCERT = { provider = \"store\", ref = \"y\", as = \"file\", ttl = \"0\" }\n")
	w := d.watching("app", "--signal", "HUP", "--", "server")
	w.begins(1, "first of x first of y")
	d.file("value", "second\n")
	d.kz("app", "reload")
	w.until("it is told", func() bool { return strings.Contains(w.stdout.String(), "hangs up second of y") })
	w.says("kz: sending HUP: ~CERT ~TOKEN", "kz: the environment of a running command stays as it is: TOKEN")
	w.looks(func() { d.kz("app", "reload") })
	time.Sleep(quietTime)
	if n := strings.Count(w.stdout.String(), "hangs up"); n != 1 || w.starts() != 1 {
		t.Errorf("it was told %d times and started %d times", n, w.starts())
	}
	w.terminate()
	w.leaves(7)
}

// What does not end is killed, with what it has started.
func TestWatchGrace(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n"+uncached)
	w := d.watching("app", "--grace", "500ms", "--", "deaf")
	w.begins(1, "first of x")
	below, err := os.ReadFile(d.path("below"))
	if err != nil {
		t.Fatal(err)
	}
	d.remove("below")
	d.file("value", "second\n")
	begun := time.Now()
	d.kz("app", "reload")
	w.begins(2, "second of x")
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("it was killed after %v", took)
	}
	w.says("kz: restarting: ~TOKEN", "kz: the command did not end within 500ms and was killed")
	pid, err := strconv.Atoi(strings.TrimSpace(string(below)))
	if err != nil {
		t.Fatal(err)
	}
	if lives(pid) {
		t.Error("what the command had started is still there")
	}

	// Whoever asks for the end while it is being started again, gets it.
	d.file("value", "third\n")
	d.kz("app", "reload")
	w.until("it is asked to end", func() bool { return strings.Count(w.stderr.String(), "restarting") == 2 })
	w.terminate()
	w.leaves(137)
	if w.starts() != 2 {
		t.Error("it was started again")
	}
}

// A shell that ends at once does not leave behind what it runs.
func TestWatchDescendants(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n"+uncached)
	w := d.watching("app", "--", "sh", "-c", "server; true")
	w.begins(1, "first of x")
	d.file("value", "second\n")
	d.kz("app", "reload")
	w.begins(2, "second of x")
	if lives(w.pids()[0]) {
		t.Error("the first server is still there")
	}
	if i, j := strings.Index(w.stdout.String(), "ends"), strings.Index(w.stdout.String(), "begins second"); i < 0 || i > j {
		t.Error("the second one was started before the first had ended")
	}
}

// What is optional does not go because its store gives no answer.
func TestWatchOptional(t *testing.T) {
	d := sitWatching(t, "-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"x\", required = false, ttl = \"1s\" }\n")
	w := d.watching("app", "--", "server")
	w.begins(1, "first of x")
	d.file("failure", "not signed in\n")
	w.says("kz: TOKEN: store: not signed in; the command keeps what it has")
	w.begins(1, "first of x")
	w.terminate()
	w.leaves(7)
}

// A configuration nearer by, and the settings of the user behind a link, count
// from when they appear.
func TestWatchElsewhere(t *testing.T) {
	d := sitWatching(t, "-- trusted/.keyzero.toml --\n"+uncached+"-- trusted/sub/file --\n")
	d.rename(".config/keyzero/config.toml", "settings")
	if err := os.Symlink(d.path("settings"), d.path(".config/keyzero/config.toml")); err != nil {
		t.Fatal(err)
	}
	w := d.watching("trusted/sub", "--", "server")
	w.begins(1, "first of x")
	d.file("trusted/sub/.keyzero.toml", "[secrets]\nTOKEN = \"store://nearer\"\n")
	w.begins(2, "first of nearer")
	settings, err := os.ReadFile(d.path("settings"))
	if err != nil {
		t.Fatal(err)
	}
	d.file("settings", strings.Replace(string(settings), "\"{ref}\"", "\"{ref} by others\"", 1))
	w.begins(3, "first of nearer by others")
	d.remove("trusted/sub/.keyzero.toml")
	w.begins(4, "first of x by others")
	w.terminate()
	w.leaves(7)
}
