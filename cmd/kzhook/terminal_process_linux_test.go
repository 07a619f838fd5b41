package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/shelltest"
)

var (
	execLine = regexp.MustCompile(`execve\("([^"]*)".*( = 0|<unfinished \.\.\.>)$`)
	forkLine = regexp.MustCompile(`(clone3?|v?fork)\(.*`)
	openLine = regexp.MustCompile(`open(?:at2?)?\([^"]*"([^"]*)"`)
)

// trace returns what strace sees of the shell and its children while f runs.
func (d *desk) trace(what string, f func()) string {
	d.t.Helper()
	log := filepath.Join(d.t.TempDir(), "strace")
	cmd := exec.Command("strace", "-f", "-e", "trace="+what, "-o", log, "-p", strconv.Itoa(d.Pid()))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil || !strings.Contains(line, "attached") {
		_ = cmd.Wait()
		d.t.Skipf("strace cannot trace the shell: %s %v", line, err)
	}
	f()
	end(cmd)
	text, err := os.ReadFile(log)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// end has strace let go of the shell. It may miss a signal that comes just before it
// waits for the shell's next call, which an idle shell does not make.
func end(strace *exec.Cmd) {
	ended := make(chan struct{})
	go func() {
		_ = strace.Wait()
		close(ended)
	}()
	for {
		_ = strace.Process.Signal(syscall.SIGINT)
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
		}
	}
}

// processes returns the programs that the shell and its children start while f
// runs, and how many processes it takes. Threads do not count.
func (d *desk) processes(f func()) (programs []string, forks int) {
	d.t.Helper()
	for line := range strings.Lines(d.trace("process", f)) {
		line = strings.TrimSpace(line)
		if m := execLine.FindStringSubmatch(line); m != nil {
			programs = append(programs, filepath.Base(m[1]))
		}
		if m := forkLine.FindString(line); m != "" && !strings.Contains(m, "CLONE_THREAD") && !strings.Contains(m, "resumed>") {
			forks++
		}
	}
	return programs, forks
}

// While nothing changes no process is started, and one per change.
func TestTerminalProcesses(t *testing.T) {
	steps := []struct {
		what  string
		lines []string
		kz    int
	}{
		{"at prompts outside", []string{"", "", "true", ""}, 0},
		{"on cd outside", []string{"cd other", "cd deep", "cd ../..", "cd /", "cd /usr/bin", "cd", ""}, 0},
		{"on entering", []string{"cd app"}, 1},
		{"at prompts inside", []string{"", "", "true", ""}, 0},
		{"on cd inside", []string{"cd deep", "cd ..", "cd .", "cd deep", ""}, 0},
		{"on leaving", []string{"cd ~"}, 1},
		{"at prompts after that", []string{"", "", "cd other", "cd ..", ""}, 0},
		{"on entering a project that is not allowed", []string{"cd bad"}, 1},
		{"at prompts there", []string{"", "", ""}, 0},
		{"on leaving that", []string{"cd ~"}, 1},
		{"on entering one that cannot be read", []string{"cd wrong"}, 1},
		{"at prompts there", []string{"", "", "cd deep", "cd ..", ""}, 0},
		{"on leaving that", []string{"cd ~"}, 1},
		{"on going from one to another", []string{"cd app", "cd ../app2", "cd ~"}, 3},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		shelltest.Need(t, "strace")
		d := sit(t, shell, seat{files: nestedFiles + "-- other/deep/file --\n-- bad/.keyzero.toml --\n[env]\nX = \"y\"\n" +
			"-- wrong/ --\n-- wrong/deep/file --\n-- app2/ --\n[env]\nTOKEN = \"2\"\n"})
		d.file("wrong/.keyzero.toml", "[env\n")
		d.age("app", "app2", "bad", "wrong", ".config", ".local")
		for _, step := range steps {
			programs, forks := d.processes(func() {
				for _, line := range step.lines {
					d.Run(line)
				}
			})
			if len(programs) != step.kz || strings.Count(strings.Join(programs, " "), "kz") != step.kz {
				t.Errorf("%s (%q) the shell starts %q, want kz %d times", step.what, step.lines, programs, step.kz)
			}
			if forks < step.kz || forks > 2*step.kz {
				t.Errorf("%s (%q) the shell takes %d processes, for %d programs", step.what, step.lines, forks, step.kz)
			}
			t.Logf("%s: %s: %d programs, %d processes", shell, step.what, len(programs), forks)
		}
	})
}

// At an unchanged prompt no file of kz's, nor of a project, is opened, not even to
// find out that there is none.
func TestTerminalOpensNothing(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		shelltest.Need(t, "strace")
		d := sit(t, shell, seat{files: nestedFiles + "-- other/deep/file --\n"})
		d.age("app", ".config", ".local")
		d.Run("cd app")
		d.Run("")
		opens := func(lines ...string) (list []string) {
			seen := d.trace("open,openat,openat2,execve", func() {
				for _, line := range lines {
					d.Run(line)
				}
			})
			for line := range strings.Lines(seen) {
				if strings.Contains(line, "keyzero") || strings.Contains(line, "/kz") {
					list = append(list, line)
				}
			}
			return list
		}
		if list := opens("", "true", "cd deep", "cd ..", ""); len(list) > 0 {
			t.Errorf("inside: %q", list)
		}
		if list := opens("cd ~"); len(list) == 0 {
			t.Error("on leaving nothing is seen, and so nothing would have been before")
		}
		if list := opens("", "true", "cd other", "cd deep", "cd ~", ""); len(list) > 0 {
			t.Errorf("outside: %q", list)
		}
	})
}

// In a directory that was not allowed nothing is started, nothing is asked, and
// nothing is opened but the two files that consent would be about.
func TestTerminalTouchesNothing(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		shelltest.Need(t, "strace")
		d := sit(t, shell, seat{})
		names := strings.Fields(".keyzero.toml .keyzero.local.toml .env .envrc .rvmrc mise.toml values")
		for _, name := range names {
			d.file("bad/"+name, "[secrets]\nTOKEN = \"dotenv://values#TOKEN\"\nOTHER = \"op://vault/item/field\"\nA = \"keychain://a\"\n")
		}
		for _, name := range strings.Fields("op vault aws age sops kz-fetch store sh") {
			d.program("bad/"+name, "#!/bin/sh\ntouch ~/pwned\n")
		}
		d.Run("export PATH=.:$PATH")
		seen := d.trace("execve,connect,openat,openat2,open", func() { d.Run("cd bad"); d.Run(""); d.Run("cd ~") })
		var opened []string
		for line := range strings.Lines(seen) {
			switch _, path, _ := strings.Cut(line, d.path("bad")+"/"); {
			case strings.Contains(line, "connect("):
				t.Errorf("something connects: %s", line)
			case strings.Contains(line, "execve(") && !strings.Contains(line, d.path("bin/kz")+`"`):
				t.Errorf("something is started: %s", line)
			case path != "":
				opened = append(opened, path[:strings.IndexByte(path, '"')])
			default: // from within the directory, or by its descriptor
				m := openLine.FindStringSubmatch(line)
				if m != nil && !filepath.IsAbs(m[1]) && slices.Contains(names, filepath.Base(m[1])) {
					t.Errorf("a file is opened: %s", line)
				}
			}
		}
		if len(opened) == 0 {
			t.Fatalf("not even the configuration is opened:\n%s", seen)
		}
		for _, name := range opened {
			if name != ".keyzero.toml" && name != ".keyzero.local.toml" {
				t.Errorf("%s is opened", name)
			}
		}
		d.nothingExecuted()
	})
}
