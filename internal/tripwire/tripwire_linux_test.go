package tripwire

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The program is killed before the call, wherever that is, and not otherwise.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writes := func(c Call) bool { return c.Number == unix.SYS_WRITE && c.Args[0] == 1 }
	for n, want := range map[int]string{0: "a b c ", 1: "", 2: "a ", 3: "a b ", 4: "a b c "} {
		out, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", `printf "a "; printf "b "; printf "c "`)
		cmd.Stdout = out
		err = Run(cmd, n, writes)
		_ = out.Close()
		if got, _ := os.ReadFile(file); string(got) != want || errors.Is(err, ErrKilled) != (n > 0 && n < 4) {
			t.Errorf("killed before write %d: %v, and it wrote %q, want %q", n, err, got, want)
		}
	}
}

func TestRunTellsOfFailure(t *testing.T) {
	for script, want := range map[string]string{"exit 3": "status", "kill -TERM $$": "terminated", "kill -KILL $$": "killed"} {
		cmd := exec.Command("/bin/sh", "-c", script)
		if err := Run(cmd, 0, func(Call) bool { return true }); err == nil || errors.Is(err, ErrKilled) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
	}
	if err := Run(exec.Command("/no/such/program"), 0, nil); err == nil {
		t.Error("a program that is not there runs")
	}
}

// Threads count, too.
func TestRunWithThreads(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	cmd := exec.Command(self, "-test.run", "^TestRunTellsOfFailure$", "-test.v")
	if err := Run(cmd, 0, func(Call) bool { calls++; return true }); err != nil || calls < 100 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
