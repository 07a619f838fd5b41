package tool

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	var info unix.Siginfo
	for errors.Is(unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}
