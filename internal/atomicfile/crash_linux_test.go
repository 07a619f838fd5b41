package atomicfile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/shelltest"
)

const before, after = "what was there before", "what is written"

// tripped has another process write after to a file that holds before, while
// something is done to the n-th of its calls of the system. It returns the
// file, the output and the exit status, which is -1 if the process was killed.
func tripped(t *testing.T, calls, fault string, n int) (path, output string, status int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	put(t, path, before)
	inject := fmt.Sprintf("inject=%s:%s:when=%d", calls, fault, n)
	cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls, "-e", inject, os.Args[0])
	cmd.Env = []string{"KZ_TEST_WRITE=" + path + ":" + after, "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0"}
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		status = exit.ExitCode()
		if w := exit.Sys().(syscall.WaitStatus); w.Signaled() || status == 128+9 {
			status = -1
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return path, string(out), status
}

// Killed before any of the steps, the process leaves the file wholly old or
// wholly new, and the next Write removes what else it left.
func TestWriteKilled(t *testing.T) {
	shelltest.Need(t, "strace")
	outcomes := map[string]int{}
	for calls, least := range map[string]int{"openat": 1, "write": 1, "fchmod": 1, "fsync": 2, "?rename,?renameat,?renameat2": 1, "close": 2} {
		t.Run(calls, func(t *testing.T) {
			killed := 0
			for n := 1; ; n++ {
				path, output, status := tripped(t, calls, "signal=SIGKILL", n)
				if status == 0 {
					break // there are no more such calls
				}
				if status > 0 || n > 40 {
					t.Fatalf("before call %d of %s: status %d, %s", n, calls, status, output)
				}
				killed++
				if calls == "fchmod" {
					checkClosed(t, filepath.Dir(path))
				}
				got := read(t, path)
				outcomes[got]++
				if got != before && got != after {
					t.Errorf("killed before call %d of %s, the file holds %q", n, calls, got)
				}
				if err := Write(path, []byte("next"), 0o600); err != nil || read(t, path) != "next" || files(t, filepath.Dir(path)) != "file" {
					t.Errorf("killed before call %d of %s: the next Write = %v, and the directory has %q", n, calls, err, files(t, filepath.Dir(path)))
				}
			}
			if killed < least {
				t.Errorf("%d processes were killed before %s, want at least %d", killed, calls, least)
			}
		})
	}
	if outcomes[before] == 0 || outcomes[after] == 0 {
		t.Errorf("of the files %d were old and %d new: not every step was tried", outcomes[before], outcomes[after])
	}
}

// checkClosed fails unless all files in dir are closed to others from the start.
func checkClosed(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("there are %v, %v, want the file and a temporary one", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", e.Name(), info.Mode(), err)
		}
	}
}

func TestWriteClosesWhatItOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	open := func() int { return len(strings.Fields(files(t, "/proc/self/fd"))) }
	before := open()
	for range 20 {
		if err := Write(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if after := open(); after > before+5 {
		t.Errorf("there were %d open files and are %d", before, after)
	}
}

// When a step fails, the file is the old one, nothing else is left, and the
// error says why. Only the last step, the sync of the directory, comes too late for that.
func TestWriteFails(t *testing.T) {
	shelltest.Need(t, "strace")
	for what, test := range map[string]struct {
		calls, fault string
		n            int
		want         string // what the file holds
		message      string
	}{
		"a full disk":                     {"write", "error=ENOSPC", 1, before, "no space left on device"},
		"a quota":                         {"write", "error=EDQUOT", 1, before, "disk quota exceeded"},
		"a disk that fails":               {"write", "error=EIO", 1, before, "input/output error"},
		"permissions that cannot be set":  {"fchmod", "error=EPERM", 1, before, "operation not permitted"},
		"a sync that fails":               {"fsync", "error=EIO", 1, before, "input/output error"},
		"a disk that is full at the sync": {"fsync", "error=ENOSPC", 1, before, "no space left on device"},
		"a rename that fails":             {"?rename,?renameat,?renameat2", "error=EIO", 1, before, "input/output error"},
		"a disk that was made read-only":  {"?rename,?renameat,?renameat2", "error=EROFS", 1, before, "read-only file system"},
		"a directory that is not synced":  {"fsync", "error=EIO", 2, after, ""},
	} {
		t.Run(what, func(t *testing.T) {
			path, output, status := tripped(t, test.calls, test.fault, test.n)
			if got := read(t, path); got != test.want || files(t, filepath.Dir(path)) != "file" {
				t.Errorf("the file holds %q, the directory has %q", got, files(t, filepath.Dir(path)))
			}
			want := ""
			if test.message != "" {
				want = "write " + path + ": " + test.message
			}
			if got := strings.TrimSpace(output); got != want || (status == 0) != (want == "") {
				t.Errorf("the process ends with %d and says %q, want %q", status, got, want)
			}
		})
	}
}
