package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/getkeyzero/kz/internal/keyringtest"
	"github.com/getkeyzero/kz/internal/tripwire"
)

// changes reports whether a call of the system could change a file, or is one by
// which kz speaks to a store.
func changes(c tripwire.Call) bool {
	switch c.Number {
	case unix.SYS_WRITE, unix.SYS_SENDMSG, unix.SYS_SENDTO, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FSYNC, unix.SYS_FTRUNCATE,
		unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_UTIMENSAT, unix.SYS_FLOCK:
		return true
	case unix.SYS_OPENAT:
		return c.Args[2]&unix.O_CREAT != 0
	}
	return false
}

// A fate is what kz was doing when it was killed.
type fate struct {
	args   []string
	stdin  string
	stored bool     // the value of TOKEN changes, too
	again  []string // what is to be run next, besides the same again
}

const killFiles = "-- app/.keyzero.toml --\n[secrets]\nTOKEN = \"keychain://kz-test-token\"\n[env]\nPLAIN = \"x\"\n"

// Killed before any of its system calls that count, kz leaves every file wholly old or
// wholly new, and the next run removes what else it left.
func TestKilledAnywhere(t *testing.T) {
	buildKZ(t)
	t.Parallel()
	counts := changes
	if os.Getenv("KZ_LONG") == "1" {
		counts = func(tripwire.Call) bool { return true } // which takes minutes
	}
	for name, f := range map[string]fate{
		"allow":     {args: []string{"allow", "--digest", "DIGEST"}},
		"deny":      {args: []string{"deny"}},
		"add":       {args: []string{"add", "NEW", "env://HOME"}, again: []string{"allow", "--digest", "DIGEST"}},
		"reload":    {args: []string{"reload"}},
		"first use": {args: []string{"hook-env", "--shell", "bash"}},
		"put":       {args: []string{"put", "TOKEN"}, stdin: "new value", stored: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var env []string
			if name == "put" {
				for _, entry := range keyringtest.Start(t) {
					if strings.HasPrefix(entry, "DBUS_SESSION_BUS_ADDRESS=") {
						env = append(env, entry)
					}
				}
			}
			d := furnish(t, "bash", seat{files: killFiles})
			if name == "first use" {
				d.file("app/.keyzero.toml", "[env]\nPLAIN = \"x\"\n")
			}
			if name != "allow" {
				d.allow("app")
			}
			sweepKills(t, d, env, f, counts)
		})
	}
}

// sweepKills kills kz before the first, the second and so on of its calls, until
// it comes to its end.
func sweepKills(t *testing.T, d *desk, env []string, f fate, counts func(tripwire.Call) bool) {
	if f.stored {
		d.mustRun(env, []string{"put", "TOKEN"}, "old value")
	}
	before := d.contents(env, f)
	d.mustRun(env, f.args, f.stdin)
	after := d.contents(env, f)
	killed, ends, old, new := 0, 0, 0, 0
	for n := 1; ; n++ {
		d.restore(before)
		if f.stored {
			d.mustRun(env, []string{"put", "TOKEN"}, "old value")
		}
		err := tripwire.Run(d.command(env, f.args, f.stdin), n, counts)
		if err == nil {
			if ends++; ends < 5 { // how many calls there are differs a little from run to run
				continue
			}
			t.Logf("killed %d times; %d files were old and %d new", killed, old, new)
			if killed < 5 || old == 0 || new == 0 {
				t.Error("not every step was tried")
			}
			return
		}
		killed++
		ends = 0
		if !errors.Is(err, tripwire.ErrKilled) {
			t.Fatalf("before call %d: %v", n, err)
		}
		now := d.contents(env, f)
		for name, text := range now {
			if !isTemporary(name) && !isTwin(name) && text != before[name] && text != after[name] {
				t.Errorf("killed before call %d, %s holds %q, and held %q before, %q after", n, name, text, before[name], after[name])
			}
		}
		for name := range before {
			if _, ok := now[name]; !ok && !isTwin(name) {
				t.Errorf("killed before call %d, %s is gone", n, name)
			}
		}
		for name, text := range after {
			switch {
			case isTwin(name), text == before[name]:
			case text == now[name]:
				new++
			default:
				old++
			}
		}
		d.mustRun(env, f.args, f.stdin)
		if f.again != nil { // what the user is told to do
			d.mustRun(env, f.again, "")
		}
		for name, text := range d.contents(env, f) {
			if isTemporary(name) {
				t.Errorf("killed before call %d, the next run leaves %s", n, name)
			} else if text != after[name] && !isTwin(name) {
				t.Errorf("killed before call %d, after the next run %s holds %q, want %q", n, name, text, after[name])
			}
		}
		if t.Failed() {
			return
		}
	}
}

// command is a run of kz below app. Of DIGEST in the arguments it makes that of
// the configuration.
func (d *desk) command(env, args []string, stdin string) *exec.Cmd {
	d.t.Helper()
	cmd := exec.Command(filepath.Join(built.dir, "kz"))
	for _, arg := range args {
		if arg == "DIGEST" {
			_, rest, _ := strings.Cut(d.kz("app", "status", "--json"), `"digest": "`)
			arg, _, _ = strings.Cut(rest, `"`)
		}
		cmd.Args = append(cmd.Args, arg)
	}
	cmd.Dir = d.path("app")
	cmd.Env = append([]string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=/usr/bin:/bin", "PWD=" + cmd.Dir}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

func (d *desk) mustRun(env, args []string, stdin string) string {
	d.t.Helper()
	var stderr strings.Builder
	cmd := d.command(env, args, stdin)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("kz %q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// contents is a snapshot, with what the store has as if it were a file.
func (d *desk) contents(env []string, f fate) map[string]string {
	d.t.Helper()
	files := d.snapshot()
	if f.stored {
		files["TOKEN"] = d.mustRun(env, []string{"get", "-n", "TOKEN"}, "")
	}
	return files
}

// passing is what differs between two runs that do the same.
var passing = regexp.MustCompile(`(\ntime )[0-9TZ:-]+|(reload )[A-Z2-7]{26}`)

// snapshot returns the contents of all files below home, by their names there.
func (d *desk) snapshot() map[string]string {
	d.t.Helper()
	files := map[string]string{}
	err := walkFiles(d.home, func(path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		text := passing.ReplaceAllString(string(data), "$1$2…")
		if name := filepath.Base(path); name == "session.key" || strings.HasSuffix(name, "generation") {
			text = fmt.Sprintf("a text of %d bytes", len(data))
		}
		files[strings.TrimPrefix(path, d.home)] = text
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return files
}

// restore makes home what it was, with times and marks that may differ.
func (d *desk) restore(files map[string]string) {
	d.t.Helper()
	err := filepath.WalkDir(d.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if _, ok := files[strings.TrimPrefix(path, d.home)]; !ok {
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for name, text := range files {
		if !strings.HasSuffix(name, "session.key") && !strings.HasSuffix(name, "generation") && name != "TOKEN" {
			d.file(name, strings.ReplaceAll(text, "\ntime …", "\ntime 2026-01-01T00:00:00Z"))
		}
	}
}

func isTwin(name string) bool { return strings.Contains(name, "/watch/") }

func isTemporary(name string) bool {
	base := filepath.Base(name)
	return strings.Contains(base, ".kz-") || strings.HasPrefix(base, "session.key.")
}
