package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/shelltest"
)

// A desk is a person's place: a home, in it kz, a store and a shell with the hook.
type desk struct {
	*shelltest.Session
	t     *testing.T
	shell string
	home  string // without symbolic links
	// nested is where the numbers of prompts begin in the shell last started in this one.
	nested int
}

// A seat says how a desk is set up, beyond what all have.
type seat struct {
	before, after string   // what the shell reads before the hook, and after it
	env           []string // what the shell inherits
	files         string   // see [desk.files]
	settings      string   // in the user's configuration
	dir           string   // where it starts, below home
	home          string   // an empty directory of the test's own if empty
	noHook        bool
	args          []string
}

// inShells runs f for each shell, in parallel.
func inShells(t *testing.T, shells string, f func(t *testing.T, shell string)) {
	buildKZ(t)
	t.Parallel()
	for _, shell := range strings.Fields(shells) {
		t.Run(shell, func(t *testing.T) {
			shelltest.Need(t, shell)
			t.Parallel()
			f(t, shell)
		})
	}
}

const allShells = "bash zsh fish"

// A program that tests share: built for the first, removed after the last.
var built struct {
	sync.Mutex
	users int
	dir   string
}

// buildKZ builds kz, as it is installed, for the time of the test. What the tests
// themselves are built of would start slower, with the race detector in it.
func buildKZ(t *testing.T) {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.users == 0 {
		dir, err := os.MkdirTemp("", "kz-terminal")
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
		if err := os.Chmod(dir, 0o755); err != nil { // for tests as other users
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "kz"), ".").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	built.users++
	t.Cleanup(func() {
		built.Lock()
		defer built.Unlock()
		if built.users--; built.users == 0 {
			_ = os.RemoveAll(built.dir)
		}
	})
}

// sit sets up a desk and starts the shell.
func sit(t *testing.T, shell string, s seat) *desk {
	t.Helper()
	d := furnish(t, shell, s)
	d.begin(s)
	return d
}

// furnish sets up a desk without a shell.
func furnish(t *testing.T, shell string, s seat) *desk {
	t.Helper()
	if s.home == "" {
		s.home = t.TempDir()
	}
	home, err := filepath.EvalSymlinks(s.home)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, shell: shell, home: home}
	for _, dir := range []string{"bin", "run"} {
		if err := os.Mkdir(d.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(built.dir, "kz"), d.path("bin/kz")); err != nil {
		t.Fatal(err)
	}
	d.settings(s.settings)
	d.files(s.files)
	return d
}

// begin starts a shell, in place of an earlier one if there is any.
func (d *desk) begin(s seat) {
	t, shell := d.t, d.shell
	t.Helper()
	hook := hookLine(shell)
	if s.noHook {
		hook = ""
	}
	d.Session = shelltest.Start(t, shelltest.Config{
		Shell: shell, Home: d.home, Dir: d.path(s.dir), Args: s.args, RC: s.before + "\n" + hook + s.after + "\n",
		Env: append([]string{"PATH=" + d.path("bin"), "XDG_RUNTIME_DIR=" + d.path("run")}, s.env...),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen of %s:\n%s", shell, d.Screen())
		}
	})
}

// hookLine is what users have in their startup file, proof against aliases.
func hookLine(shell string) string {
	if shell == "fish" {
		return "command kz hook --shell fish | builtin source\n"
	}
	return `\builtin \eval "$(\kz "hook" "--shell" "` + shell + `")"` + "\n"
}

// settings writes the user's configuration, with a store that is the program bin/store.
func (d *desk) settings(more string) {
	d.t.Helper()
	d.file(".config/keyzero/config.toml", fmt.Sprintf("%s\n[providers.store]\ntype = \"command\"\ncommand = [%q, \"{ref}\"]\n", more, d.path("bin/store")))
}

func (d *desk) path(name string) string { return filepath.Join(d.home, name) }

// file writes a file below home.
func (d *desk) file(name, text string) {
	d.t.Helper()
	path := d.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// program writes a program below home, under a new inode: the old may be running.
func (d *desk) program(name, text string) {
	d.t.Helper()
	d.file(name+".new", text)
	if err := os.Chmod(d.path(name+".new"), 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.rename(name+".new", name)
}

func (d *desk) rename(from, to string) {
	d.t.Helper()
	if err := os.Rename(d.path(from), d.path(to)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) remove(name string) {
	d.t.Helper()
	if err := os.RemoveAll(d.path(name)); err != nil {
		d.t.Fatal(err)
	}
}

// files writes what is between lines like "-- NAME --". A name that ends in a
// slash is a directory, and the text a configuration to which the user has agreed.
func (d *desk) files(text string) {
	d.t.Helper()
	for part := range strings.SplitSeq("\n"+text, "\n-- ") {
		name, text, ok := strings.Cut(part+"\n", " --\n")
		switch {
		case !ok:
		case strings.HasSuffix(name, "/"):
			d.project(name, text)
		default:
			d.file(name, text)
		}
	}
}

// project writes a configuration, to which the user has agreed.
func (d *desk) project(dir, config string) {
	d.t.Helper()
	d.file(filepath.Join(dir, ".keyzero.toml"), config)
	d.allow(dir)
}

// allow agrees to a configuration, away from the shell.
func (d *desk) allow(dir string) {
	d.t.Helper()
	var report statusReport
	if err := json.Unmarshal([]byte(d.kz(dir, "status", "--json")), &report); err != nil {
		d.t.Fatal(err)
	}
	d.kz(dir, "allow", "--digest", report.Digest)
}

// kz runs kz in a directory below home, in no terminal, and returns its output.
func (d *desk) kz(dir string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(filepath.Join(built.dir, "kz"), args...)
	cmd.Dir = d.path(dir)
	cmd.Env = []string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PWD=" + cmd.Dir}
	out, err := cmd.Output()
	if err != nil {
		stderr := ""
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = string(exit.Stderr)
		}
		d.t.Fatalf("kz %q: %v\n%s", args, err, stderr)
	}
	return string(out)
}

// says types a line and returns what kz said until the next prompt.
func (d *desk) says(line string) string {
	d.t.Helper()
	var said []string
	for text := range strings.Lines(d.Run(line)) {
		text = strings.TrimPrefix(text, "kz: waiting for store") // which was wiped
		if strings.HasPrefix(text, "kz: ") {
			said = append(said, strings.TrimSpace(strings.ReplaceAll(text, d.home, "HOME")))
		}
	}
	return strings.Join(said, "\n")
}

// expect types a line and compares what kz said.
func (d *desk) expect(line, want string) {
	d.t.Helper()
	if got := d.says(line); got != want {
		d.t.Errorf("at %q kz says:\n%s\nwant:\n%s", line, got, want)
	}
}

// has compares variables that a child of the shell sees, each NAME=value, or
// NAME if it is not to see it.
func (d *desk) has(want ...string) {
	d.t.Helper()
	env := d.Env()
	for _, entry := range want {
		name, value, set := strings.Cut(entry, "=")
		if got, ok := env[name]; ok != set || got != value {
			d.t.Errorf("%s is %q (set: %v), want %q (set: %v)", name, got, ok, value, set)
		}
	}
}

// alive checks that the shell still does what shells do.
func (d *desk) alive() {
	d.t.Helper()
	if got := d.Output("/bin/echo well"); got != "well\n" {
		d.t.Errorf("the shell is unwell: %q", got)
	}
}

// calm returns once prompts do not call kz any more: a file that changed a
// moment ago has it look twice.
func (d *desk) calm(runs *counter) {
	d.t.Helper()
	for range 100 {
		if runs.reset(); d.Run("") == "" && runs.reset() == 0 {
			return
		}
	}
	d.t.Fatal("kz runs at each prompt")
}

// A counter tells how often the hook called kz.
type counter struct {
	t    *testing.T
	log  string
	seen int
}

// count puts a script in kz's place that counts and then becomes kz.
func (d *desk) count() *counter {
	d.t.Helper()
	shelltest.Need(d.t, "bash")
	c := &counter{t: d.t, log: d.path("bin/log")}
	d.program("bin/kz", fmt.Sprintf("#!/bin/bash\n[[ $1 != hook-env ]] || printf x >>%q\nexec -a \"$0\" %q \"$@\"\n", c.log, filepath.Join(built.dir, "kz")))
	return c
}

// reset returns the number of calls since the last reset.
func (c *counter) reset() int {
	c.t.Helper()
	log, err := os.ReadFile(c.log)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	n := len(log) - c.seen
	c.seen = len(log)
	return n
}

// age makes files and all below them an hour older, as those are that nobody
// touched lately.
func (d *desk) age(names ...string) {
	d.t.Helper()
	for _, name := range names {
		err := walkFiles(d.path(name), func(path string) {
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(path, old, old); err != nil {
				d.t.Fatal(err)
			}
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// walkFiles calls f for each file below dir that is one. Fish keeps a FIFO.
func walkFiles(dir string, f func(path string)) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			f(path)
		}
		return err
	})
}
