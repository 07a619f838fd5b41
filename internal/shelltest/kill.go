package shelltest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// killSession kills every process of the session. A hangup would not do: it
// reaches the group in the foreground only, and a job that the shell has just
// forked may still have the shell's own handlers.
func killSession(id int) {
	killed := map[int]bool{}
	for again := true; again; {
		again = false
		for _, pid := range processes() {
			if sid, err := unix.Getsid(pid); err == nil && sid == id && !killed[pid] {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				killed[pid], again = true, true // it may have had a child since
			}
		}
	}
}

// processes lists the numbers of all processes.
func processes() []int {
	var names []string
	entries, err := os.ReadDir("/proc")
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil { // as on macOS
		out, _ := exec.Command("ps", "-A", "-o", "pid=").Output()
		names = strings.Fields(string(out))
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
