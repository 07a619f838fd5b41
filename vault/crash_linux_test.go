package vault

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/shelltest"
	"github.com/getkeyzero/kz/seal"
)

// killed runs another process that is killed before the n-th of these calls of
// the system, and reports whether it came so far.
func killed(t *testing.T, what, path, calls, n string) bool {
	t.Helper()
	cmd := process(what, path)
	cmd.Args = []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":signal=SIGKILL:when=" + n, cmd.Path}
	strace, err := exec.LookPath("strace")
	must(t, err)
	cmd.Path = strace
	out, err := cmd.CombinedOutput()
	exit := &exec.ExitError{}
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && (exit.Sys().(syscall.WaitStatus).Signaled() || exit.ExitCode() == 128+9):
		return true
	}
	t.Fatalf("before call %s of %s: %v, %s", n, calls, err, out)
	return false
}

// Killed before any step, a writer leaves the vault wholly old or wholly new, a
// backup that opens, no lock, and nothing that the next writer does not remove.
func TestKilled(t *testing.T) {
	shelltest.Need(t, "strace")
	outcomes := map[string]int{}
	// The least is what an update takes itself: the rest is the runtime's.
	for calls, least := range map[string]int{
		"openat": 6, "read": 2, "write": 2, "pwrite64": 1, "flock": 1, "ftruncate": 2, "fchmod": 2, "fsync": 4, "close": 6,
		"?rename,?renameat,?renameat2": 2, "?fstat,?newfstatat,?statx": 2, "getdents64": 2, "?mkdir,?mkdirat,?unlink,?unlinkat": 0,
	} {
		t.Run(calls, func(t *testing.T) {
			n := killedBefore(t, calls, outcomes)
			if n < least || n > 60 {
				t.Errorf("%d processes were killed, want at least %d", n, least)
			}
		})
	}
	if outcomes["a=before"] == 0 || outcomes["a=after"] == 0 {
		t.Errorf("the vaults were %v: not every step was tried", outcomes)
	}
}

func killedBefore(t *testing.T, calls string, outcomes map[string]int) (n int) {
	for ; n <= 60; n++ {
		path, key := create(t, "a", "before")
		if !killed(t, "change", path, calls, strconv.Itoa(n+1)) {
			break
		}
		got := show(t, open(t, path), key)
		outcomes[got]++
		if got != "a=before" && got != "a=after" {
			t.Errorf("killed before call %d of %s: the vault holds %q", n+1, calls, got)
		}
		if _, err := open(t, path+Backup).Entries(key); err != nil {
			t.Errorf("killed before call %d of %s: the backup: %v", n+1, calls, err)
		}
		checkFiles(t, path)
		must(t, set(path, key, "b", "next"))
		if want := got + " b=next"; show(t, open(t, path), key) != want || files(t, filepath.Dir(path)) != "vault.kz vault.kz.bak vault.kz.lock" {
			t.Errorf("killed before call %d of %s: next the vault holds %q and the directory %q", n+1, calls, show(t, open(t, path), key), files(t, filepath.Dir(path)))
		}
	}
	return n
}

// checkFiles fails if a file beside the vault can be read by others.
func checkFiles(t *testing.T, path string) {
	t.Helper()
	for _, name := range strings.Fields(files(t, filepath.Dir(path))) {
		if info, err := os.Lstat(filepath.Join(filepath.Dir(path), name)); err != nil || info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
}

// A slot that is being removed is there or not, in the vault; once the process
// was not killed, not in the backup either.
func TestKilledWhileRemovingASlot(t *testing.T) {
	shelltest.Need(t, "strace")
	counts := map[int]int{}
	for n := range 60 {
		path, key := create(t, "a", "1")
		must(t, AddSlot(t.Context(), path, key, KeychainSlot("second", seal.NewKey())))
		ended := !killed(t, "remove", path, "fsync", strconv.Itoa(n+1))
		counts[len(open(t, path).Slots())]++
		checkHolds(t, path, key, "a=1")
		checkHolds(t, path+Backup, key, "a=1")
		if ended {
			if got := len(open(t, path+Backup).Slots()); got != 1 {
				t.Errorf("the backup has %d slots", got)
			}
			break
		}
	}
	if counts[1] < 2 || counts[2] < 1 {
		t.Errorf("slots, and how often: %v", counts)
	}
}
