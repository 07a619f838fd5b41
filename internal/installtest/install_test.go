// Package installtest tests install.sh in every shell that may be somebody's sh.
package installtest

import (
	"archive/tar"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// source is a kz that tells its version. It imports next to nothing, for the
// build takes longer than all else here.
const source = `package main

import "syscall"

var version = "none"

func main() { syscall.Write(1, []byte("kz "+version+"\n")) }
`

// building makes tests in parallel compile the standard library once, not each
// for itself.
var building sync.Mutex

// checkout makes the source a checkout of kz.
func (m *machine) checkout() {
	m.t.Helper()
	m.write(filepath.Join(m.source, "go.mod"), "module kz.test\n\ngo 1.26\n", 0o644)
	m.write(filepath.Join(m.source, "cmd/kzhook/main.go"), source, 0o644)
}

// repository makes dir a repository with one commit, under this tag.
func (m *machine) repository(dir, tag string) {
	m.t.Helper()
	m.git(dir, "init", "-q")
	m.git(dir, "add", ".")
	m.git(dir, "commit", "-q", "-m", "all")
	m.git(dir, "tag", tag)
}

func (m *machine) git(dir string, args ...string) {
	m.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=kz", "-c", "user.email=kz@kz.test"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
}

func (m *machine) wantVersion(program, want string) {
	m.t.Helper()
	out, err := exec.Command(program, "--version").CombinedOutput()
	if string(out) != want+"\n" || err != nil {
		m.t.Errorf("%s --version is %q, %v; want %q", filepath.Base(program), out, err, want)
	}
}

func TestCheckout(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		// A repository around the checkout is another project's.
		building.Lock()
		defer building.Unlock()
		m.checkout()
		m.repository(m.env["TMPDIR"], "v0.1.0")
		m.want(m.install())
		m.wantVersion(filepath.Join(m.bin(), "kz"), "kz devel")

		// Its own repository names the version; and kz-fetch is built where it
		// has a source.
		m.write(filepath.Join(m.source, "cmd/kzfetch/main.go"), source, 0o644)
		m.repository(m.source, "v1.2.3")
		m.want(m.install("--dir=~/b i n"))
		m.wantVersion(filepath.Join(m.home, "b i n/kz"), "kz v1.2.3")
		m.wantVersion(filepath.Join(m.home, "b i n/kz-fetch"), "kz v1.2.3")
		m.wantVersion(filepath.Join(m.bin(), "kz"), "kz devel")

		// What reads SOPS files is built on request.
		m.write(filepath.Join(m.source, "cmd/kzsops/main.go"), source, 0o644)
		m.want(m.install())
		if _, err := os.Lstat(filepath.Join(m.bin(), "kz-fetch-sops")); err == nil {
			t.Error("kz-fetch-sops was installed, and nobody asked for it")
		}
		m.want(m.install("--sops"))
		m.wantVersion(filepath.Join(m.bin(), "kz-fetch-sops"), "kz v1.2.3")
	})
}

func TestCheckoutThatDoesNotBuild(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		building.Lock()
		defer building.Unlock()
		m.checkout()
		m.write(filepath.Join(m.source, "cmd/kzhook/main.go"), "package main\n\nfunc main() { undefined() }\n", 0o644)
		m.write(filepath.Join(m.bin(), "kz"), "old", 0o755)
		r := m.install()
		if lines := strings.Split(r.stderr, "\n"); r.status != 1 ||
			!strings.HasSuffix(lines[len(lines)-2], "cmd/kzhook: does not build") {
			t.Errorf("install.sh: status %d\n%s", r.status, r.stderr)
		}
		if got := m.read(filepath.Join(m.bin(), "kz")); got != "old" {
			t.Errorf("the kz that was there became %q", got)
		}
		m.wantClean()
	})
}

// Installing anew must not write into a program that runs: the system would
// refuse, or the program would crash.
func TestWhileRunning(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		kz := filepath.Join(m.bin(), "kz")
		m.write(kz, m.read(cat), 0o755)
		cmd := m.command()
		cmd.Path, cmd.Args = kz, []string{"kz"}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}

		m.want(m.install())
		m.wantVersion(kz, "kz 2")
		if _, err := io.WriteString(stdin, "still here"); err != nil {
			t.Error(err)
		}
		stdin.Close()
		if err := cmd.Wait(); err != nil || out.String() != "still here" {
			t.Errorf("the running kz ended with %v and said %q", err, out.String())
		}
	})
}

func TestArchive(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		m.want(m.install())
		for _, name := range []string{"kz", "kz-fetch"} {
			path := filepath.Join(m.bin(), name)
			m.wantVersion(path, "kz 2")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o755 {
				t.Errorf("%s has mode %v", name, got)
			}
		}
		if entries, _ := os.ReadDir(m.bin()); len(entries) != 2 {
			t.Errorf("more than kz and kz-fetch was installed: %v", entries)
		}
		for _, name := range []string{".profile", ".bashrc", ".zshrc", ".config/fish"} {
			if _, err := os.Stat(filepath.Join(m.home, name)); err == nil {
				t.Errorf("install.sh wrote %s", name)
			}
		}
	})
}

func TestArchiveForms(t *testing.T) {
	name := archiveName("2")
	tests := map[string]func(m *machine){
		"members that begin with ./": func(m *machine) {
			m.release(tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "./kz"})
		},
		"checksum in a file of its own": func(m *machine) {
			data := m.read(filepath.Join(m.source, name))
			m.write(filepath.Join(m.source, name+".sha256"), sumLine(data, "*"+name), 0o644)
			os.Remove(filepath.Join(m.source, "SHA256SUMS"))
		},
		"checksum without a name or a line end": func(m *machine) {
			data := m.read(filepath.Join(m.source, name))
			m.write(filepath.Join(m.source, name+".sha256"), sumLine(data, "")[:64], 0o644)
			os.Remove(filepath.Join(m.source, "SHA256SUMS"))
		},
		"checksums of other archives": func(m *machine) {
			sums := filepath.Join(m.source, "SHA256SUMS")
			m.write(sums, sumLine("", "kz_2_plan9_mips.tar.gz")+m.read(sums)+sumLine("", "x"+name), 0o644)
		},
		"only shasum": func(m *machine) { m.path("shasum", "perl") },
	}
	for name, arrange := range tests {
		t.Run(name, func(t *testing.T) {
			inEachShell(t, func(t *testing.T, m *machine) {
				m.release()
				arrange(m)
				m.want(m.install())
				m.wantVersion(filepath.Join(m.bin(), "kz"), "kz 2")
			})
		})
	}
}

// path leaves the machine the programs that install.sh always needs, and these.
func (m *machine) path(programs ...string) {
	m.t.Helper()
	bin := filepath.Join(m.env["TMPDIR"], "tools")
	if err := os.Mkdir(bin, 0o755); err != nil {
		m.t.Fatal(err)
	}
	always := []string{"sh", "uname", "tr", "mkdir", "mktemp", "rm", "mv", "cp", "cat", "chmod", "grep", "sed", "tar", "gzip"}
	for _, name := range append(always, programs...) {
		path, err := exec.LookPath(name)
		if err != nil {
			m.t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			m.t.Fatal(err)
		}
	}
	m.env["PATH"] = bin
}

func TestRefusals(t *testing.T) {
	const integrity = 10
	name := archiveName("2")
	tests := map[string]struct {
		arrange func(m *machine)
		status  int
		message string
	}{
		"wrong checksum": {
			func(m *machine) {
				m.write(filepath.Join(m.source, "SHA256SUMS"), sumLine("other", name), 0o644)
			}, integrity, "its SHA-256 is",
		},
		"no checksum file": {
			func(m *machine) { os.Remove(filepath.Join(m.source, "SHA256SUMS")) },
			integrity, "no SHA256SUMS beside it",
		},
		"checksum of another archive": {
			func(m *machine) {
				data := m.read(filepath.Join(m.source, name))
				m.write(filepath.Join(m.source, "SHA256SUMS"), sumLine(data, "x"+name), 0o644)
			}, integrity, "SHA256SUMS does not name it",
		},
		"checksum without a name among others": {
			func(m *machine) {
				data := m.read(filepath.Join(m.source, name))
				m.write(filepath.Join(m.source, "SHA256SUMS"), sumLine(data, ""), 0o644)
			}, integrity, "SHA256SUMS does not name it",
		},
		"two checksums": {
			func(m *machine) {
				sums := filepath.Join(m.source, "SHA256SUMS")
				m.write(sums, sumLine("", name)+m.read(sums), 0o644)
			}, integrity, "twice",
		},
		"a checksum that is cut off": {
			func(m *machine) {
				m.write(filepath.Join(m.source, "SHA256SUMS"), "e3b0c442  "+name+"\n", 0o644)
			}, integrity, "no SHA-256",
		},
		"nothing to compute checksums with": {
			func(m *machine) { m.path() },
			integrity, "neither sha256sum nor shasum",
		},
		"path that leads out": {
			func(m *machine) { m.release(tar.Header{Name: "kz"}, tar.Header{Name: "../evil"}) },
			integrity, "leads out",
		},
		"path that leads out further on": {
			func(m *machine) { m.release(tar.Header{Name: "kz"}, tar.Header{Name: "a/../../evil"}) },
			integrity, "leads out",
		},
		"absolute path": {
			func(m *machine) {
				m.release(tar.Header{Name: "kz"}, tar.Header{Name: filepath.Join(m.env["TMPDIR"], "evil")})
			}, integrity, "leads out",
		},
		"link in place of the program": {
			func(m *machine) {
				m.release(tar.Header{Name: "kz", Typeflag: tar.TypeSymlink, Linkname: "/bin/sh"})
			}, integrity, "no program kz",
		},
		"no program in the archive": {
			func(m *machine) { m.release(tar.Header{Name: "sub/kz"}) },
			integrity, "no program kz",
		},
		"two programs of one name": {
			func(m *machine) { m.release(tar.Header{Name: "kz"}, tar.Header{Name: "./kz"}) },
			integrity, "no program kz",
		},
		"program that does not run": {
			func(m *machine) {
				data := archive(m.t, "#!/bin/sh\nexit 3\n", tar.Header{Name: "kz"})
				m.write(filepath.Join(m.source, name), data, 0o644)
				m.write(filepath.Join(m.source, "SHA256SUMS"), sumLine(data, name), 0o644)
			}, 1, "does not run on this machine",
		},
		"no archive at all": {
			func(m *machine) {
				m.write(filepath.Join(m.source, name), "kz", 0o644)
				m.write(filepath.Join(m.source, "SHA256SUMS"), sumLine("kz", name), 0o644)
			}, integrity, "not a .tar.gz",
		},
		"archive for another system": {
			func(m *machine) {
				os.Rename(filepath.Join(m.source, name), filepath.Join(m.source, "kz_2_plan9_mips.tar.gz"))
			}, 1, "nor an archive for " + runtime.GOOS + "/" + runtime.GOARCH,
		},
		"two archives": {
			func(m *machine) { m.write(filepath.Join(m.source, archiveName("3")), "", 0o644) },
			1, "more than one archive",
		},
		"checkout without Go": {
			func(m *machine) { m.checkout(); m.path() },
			1, "go: not found",
		},
		"HOME that is not set": {
			func(m *machine) { delete(m.env, "HOME") },
			1, "HOME is not set",
		},
		"target that is a file": {
			func(m *machine) {
				m.env["KZ_INSTALL_DIR"] = filepath.Join(m.home, "file")
				m.write(m.env["KZ_INSTALL_DIR"], "", 0o644)
			}, 1, "file",
		},
		"directory where kz should be": {
			func(m *machine) {
				m.env["KZ_INSTALL_DIR"] = filepath.Join(m.home, "taken")
				m.write(filepath.Join(m.home, "taken/kz/file"), "", 0o644)
			}, 1, "taken/kz: is a directory",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inEachShell(t, func(t *testing.T, m *machine) {
				m.release()
				old := filepath.Join(m.bin(), "kz")
				m.write(old, "old", 0o755)
				test.arrange(m)
				m.wantRefusal(m.install(), test.status, test.message)
				if got := m.read(old); got != "old" {
					t.Errorf("the kz that was there became %q", got)
				}
			})
		})
	}
}

func TestTargetThatCannotBeWritten(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		if err := os.MkdirAll(m.bin(), 0o555); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 { // without its capabilities, root obeys modes too
			need(t, "setpriv")
			m.shell = append([]string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}, m.shell...)
		}
		m.wantRefusal(m.install(), 1, ".local/bin: cannot be written to")
		m.wantRefusal(m.install("--dir", filepath.Join(m.bin(), "deeper")), 1, "ermission denied")
	})
}

// A link is replaced, and what it leads to is left alone.
func TestLinkInTheTarget(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		other := filepath.Join(m.home, "other")
		m.write(other, "other", 0o755)
		m.write(filepath.Join(m.bin(), "file"), "", 0o644)
		if err := os.Symlink(other, filepath.Join(m.bin(), "kz")); err != nil {
			t.Fatal(err)
		}
		m.want(m.install())
		m.wantVersion(filepath.Join(m.bin(), "kz"), "kz 2")
		if got := m.read(other); got != "other" {
			t.Errorf("what the link led to became %q", got)
		}
	})
}

func TestArguments(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.wantRefusal(m.install("--frob"), 2, `unknown argument "--frob"`)
		m.wantRefusal(m.install("--dir"), 2, "--dir: it takes a directory")
		r := m.install("--help")
		if m.want(r); !strings.HasPrefix(r.stdout, "usage: install.sh [--dir DIR] [--sops]\n") {
			t.Errorf("--help says %q", r.stdout)
		}

		m.release()
		m.env["KZ_INSTALL_DIR"] = "/nowhere"
		m.want(m.install("--dir", "-relative host:dir"))
		m.wantVersion(filepath.Join(m.home, "-relative host:dir/kz"), "kz 2")
	})
}

// Piped into a shell it does nothing, for there is nothing beside it then.
func TestPipe(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		script, err := os.Open(filepath.Join(m.source, "install.sh"))
		if err != nil {
			t.Fatal(err)
		}
		defer script.Close()
		cmd := m.command(m.shell[1:]...)
		cmd.Dir, cmd.Stdin = m.source, script
		m.wantRefusal(m.run(cmd), 1, "run it as a file")
	})
}

// Cut off before its last line, it does nothing.
func TestCutOff(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		path := filepath.Join(m.source, "install.sh")
		lines := strings.SplitAfter(m.read(path), "\n")
		for i := len(lines) - 2; i >= 0; i -= 7 {
			m.write(path, strings.Join(lines[:i], ""), 0o755)
			if r := m.install(); r.stdout != "" {
				t.Errorf("the first %d lines print %q", i, r.stdout)
			}
			if _, err := os.Stat(filepath.Join(m.home, ".local")); err == nil {
				t.Fatalf("the first %d lines install", i)
			}
		}
		m.wantClean()
	})
}

func TestInterrupted(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.checkout()
		m.path("sleep")
		started := filepath.Join(m.env["TMPDIR"], "started")
		m.write(filepath.Join(m.env["PATH"], "go"), "#!/bin/sh\n: >\"$TMPDIR/started\"\nsleep 60\n", 0o755)
		cmd := m.command(append(m.shell[1:len(m.shell):len(m.shell)], filepath.Join(m.source, "install.sh"))...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, started)
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
			t.Errorf("interrupted, install.sh ends with %v", cmd.ProcessState)
		}
		m.wantClean()
	})
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}
