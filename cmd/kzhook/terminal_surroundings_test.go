package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
)

const (
	simpleFiles = "-- app/ --\n[env]\nTOKEN = \"kz\"\n-- app/deep/file --\n-- new/.keyzero.toml --\n[env]\n"
	fileFiles   = "-- app/ --\n[env]\nTOKEN = \"kz\"\n[secrets]\nFILE = { provider = \"dotenv\", ref = \"values#A\", as = \"file\" }\n" +
		"-- app/values --\nA=contents\n-- app/deep/file --\n"
	loadedLine   = "kz: +TOKEN (app)"
	unloadedLine = "kz: -TOKEN"
)

// Where nothing can be written kz loads what it can, and says of the rest why not.
func TestTerminalReadOnlyHome(t *testing.T) {
	const why = ": read-only file system"
	inShells(t, allShells, func(t *testing.T, shell string) {
		s := seat{files: simpleFiles}
		d := furnish(t, shell, s)
		roottest.ReadOnly(t, d.home, func() {
			d.begin(s)
			d.expect("cd app", "kz: HOME/.local/state"+why)
			d.expect("", "")
			d.has("TOKEN", "__KZ_STATE")
			d.alive()
			for _, line := range []string{"kz reload", "kz deny", "kz add B env://X"} {
				if got := d.says(line); !strings.HasSuffix(got, why) || strings.Contains(got, "\n") {
					t.Errorf("at %q kz says %q", line, got)
				}
			}
			d.expect("cd ~/new", "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow")
			d.expect("cd ~", "")
		})
		// Where kz has been before, what it made then is enough.
		d.kz("app", "hook-env", "--shell", "bash")
		roottest.ReadOnly(t, d.home, func() {
			d.begin(s)
			d.expect("cd app", loadedLine)
			for _, line := range []string{"", "cd deep", ""} {
				d.expect(line, "")
				d.has("TOKEN=kz")
			}
			d.expect("cd ~", unloadedLine)
			d.alive()
		})
		if names := temporaryFiles(t, d.home); len(names) > 0 {
			t.Errorf("left over: %q", names)
		}
	})
}

// On a full disk every file is wholly old or wholly new, and the shell goes on.
func TestTerminalFullHome(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		home := t.TempDir()
		roottest.Tmpfs(t, home, "512k", func() {
			d := sit(t, shell, seat{home: home, files: simpleFiles})
			d.Run("")
			fill(t, d.path("filler"))
			d.expect("cd app", "kz: HOME/.local/state/keyzero/session.key: no space left on device")
			d.expect("", "")
			d.has("TOKEN")
			d.alive()
			for _, line := range []string{"kz reload", "kz deny", "kz add B env://X"} {
				if got := d.says(line); !strings.Contains(got, ": no space left on device") || strings.Contains(got, "\n") {
					t.Errorf("at %q kz says %q", line, got)
				}
			}
			if names := temporaryFiles(t, home); len(names) > 0 {
				t.Errorf("left over: %q", names)
			}
			if data, err := os.ReadFile(d.path("app/.keyzero.toml")); err != nil || string(data) != "[env]\nTOKEN = \"kz\"\n" {
				t.Errorf("the configuration is %q, %v", data, err)
			}
			d.remove("filler")
			d.Run("cd ~")
			d.expect("cd app", loadedLine)
			fill(t, d.path("filler"))
			d.expect("cd deep", "")
			d.has("TOKEN=kz")
			d.expect("cd ~", unloadedLine)
			d.expect("cd app", loadedLine)
			d.expect("cd ~", unloadedLine)
			d.alive()
		})
	})
}

// fill writes to a file until there is no more space.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// temporaryFiles returns what a writer that did not finish has left below dir.
func temporaryFiles(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := walkFiles(dir, func(path string) {
		if name := filepath.Base(path); strings.Contains(name, ".kz-") || strings.Contains(name, "session.key.") {
			names = append(names, path)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Whatever the runtime directory is like, projects load, prompts become quiet, and
// nothing lies where others can reach it.
func TestTerminalRuntimeDirectories(t *testing.T) {
	const uid = 47110
	ways := map[string]func(d *desk) error{
		"missing":         func(d *desk) error { return os.RemoveAll(d.path("run")) },
		"unwritable":      func(d *desk) error { return os.Chmod(d.path("run"), 0o500) },
		"not to be read":  func(d *desk) error { return os.Chmod(d.path("run"), 0) },
		"open to all":     func(d *desk) error { return os.Chmod(d.path("run"), 0o777) },
		"open to a group": func(d *desk) error { return os.Chmod(d.path("run"), 0o770) },
		"a file":          func(d *desk) error { d.remove("run"); d.file("run", ""); return nil },
		"a link":          func(d *desk) error { d.rename("run", "run2"); return os.Symlink("run2", d.path("run")) },
		"a link to itself": func(d *desk) error {
			for { // fish makes the directory anew
				d.remove("run")
				if err := os.Symlink("run", d.path("run")); !errors.Is(err, os.ErrExist) {
					return err
				}
			}
		},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, spoil := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				roottest.As(t, uid, func() {
					d := sit(t, shell, seat{files: fileFiles})
					if err := spoil(d); err != nil {
						t.Fatal(err)
					}
					d.age("app", ".config", ".local/share")
					d.expect("cd app", "kz: +FILE +TOKEN (app)")
					if got := d.Output("cat $FILE"); got != "contents" {
						t.Errorf("the file holds %q", got)
					}
					path := d.Env()["FILE"]
					if !strings.HasPrefix(path, d.path(".local/state/")) && (shell != "fish" || name != "missing") { // fish makes it anew
						t.Errorf("the file is %s", path)
					}
					if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
						t.Errorf("the file: %v, %v", info, err)
					}
					d.calm(d.count())
					d.expect("cd ~", "kz: -FILE -TOKEN")
					if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("the file is still there: %v", err)
					}
					if left, _ := filepath.Glob(d.path("run/keyzero/*/*/*")); len(left) > 0 && name != "missing" {
						t.Errorf("the runtime directory has %v", left)
					}
					d.alive()
				})
			})
		}
	})
}

// Without /proc everything works.
func TestTerminalWithoutProc(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		roottest.WithoutProc(t, func() {
			d := sit(t, shell, seat{files: fileFiles + "-- slow/ --\n[secrets]\nSLOW = { provider = \"store\", ref = \"x\", ttl = \"2s\" }\n"})
			if got := d.Output("ls /proc"); got != "" {
				t.Fatalf("/proc has %q", got)
			}
			d.store(`echo "value of $1"`)
			d.age("app", ".config", ".local/share")
			d.expect("cd app", "kz: +FILE +TOKEN (app)")
			if got := d.Output("cat $FILE"); got != "contents" {
				t.Errorf("the file holds %q", got)
			}
			path := d.Env()["FILE"]
			d.calm(d.count())
			d.expect("kz reload", "")
			d.expect("cd ~/slow", "kz: +SLOW -FILE -TOKEN (slow)")
			d.has("SLOW=value of x")
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			d.expect("cd ~", "kz: -SLOW")
			d.alive()
		})
	})
}

// limited are limits under which a shell can live, and what kz does under each.
var limited = map[string]struct {
	limit, loads string
	fresh        string // what is said where kz has never been
}{
	"few descriptors":      {"ulimit -n 16", loadedLine, loadedLine},
	"some descriptors":     {"ulimit -n 32", loadedLine, loadedLine},
	"no space in files":    {"ulimit -f 0", loadedLine, "kz: HOME/.local/state/keyzero/session.key: file too large"},
	"a small stack":        {"ulimit -s 256", loadedLine, loadedLine},
	"nothing to be locked": {"ulimit -l 0", loadedLine, loadedLine},
	"no core, little else": {"ulimit -c 0; ulimit -n 24; ulimit -l 0", loadedLine, loadedLine},
	"a minute of its own":  {"ulimit -S -t 60", loadedLine, loadedLine},
}

// Under limits kz loads, or says why not, and leaves no file half written.
func TestTerminalLimits(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, test := range limited {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: simpleFiles})
				d.expect(test.limit, "")
				d.expect("cd app", test.fresh)
				d.expect("", "")
				if d.Run("cd ~"); test.fresh != loadedLine {
					// Another shell, without the limit, makes what is missing.
					d.kz("app", "hook-env", "--shell", "bash")
				}
				d.expect("cd app", test.loads)
				d.hasTyped("TOKEN", "kz")
				d.expect("", "")
				if strings.Contains(name, "space") {
					for _, line := range []string{"kz reload", "kz deny", "kz add B env://X"} {
						if got := d.says(line); !strings.HasSuffix(got, ": file too large") || strings.Contains(got, "\n") {
							t.Errorf("at %q kz says %q", line, got)
						}
					}
				}
				d.expect("cd ~", unloadedLine)
				d.hasTyped("TOKEN", "")
				if names := temporaryFiles(t, d.home); len(names) > 0 {
					t.Errorf("left over: %q", names)
				}
				if strings.Contains(d.Screen(), "goroutine") {
					t.Error("kz crashed")
				}
			})
		}
	})
}

// hasTyped is has where nothing can be written, so that the screen has to show it.
func (d *desk) hasTyped(name, value string) {
	d.t.Helper()
	if got := strings.TrimSpace(d.Run("/usr/bin/printenv " + name)); got != value {
		d.t.Errorf("%s is %q, want %q", name, got, value)
	}
}

// With too few processes kz cannot run, for a program in Go takes several: the
// shell says so, is the same as before, and works once there are more.
func TestTerminalFewProcesses(t *testing.T) {
	uids := map[string]int{"bash": 47111, "zsh": 47112, "fish": 47113}
	inShells(t, allShells, func(t *testing.T, shell string) {
		roottest.As(t, uids[shell], func() {
			d := sit(t, shell, seat{files: simpleFiles})
			d.Run("cd app")
			d.Run("cd ~")
			// The shell, its subshell for kz, and one or two threads of that.
			for _, n := range []int{3, 4} {
				d.Run(fmt.Sprintf("ulimit -S -u %d", n))
				d.Run("cd app")
				for range 3 {
					d.Run("")
				}
				d.Run("cd ~")
				d.Run("")
			}
			d.Run("ulimit -S -u 64")
			d.Run("cd ~/app")
			d.has("TOKEN=kz")
			d.Run("cd ~")
			d.has("TOKEN", "__KZ_STATE")
			d.alive()
			if names := temporaryFiles(t, d.home); len(names) > 0 {
				t.Errorf("left over: %q", names)
			}
		})
	})
}
