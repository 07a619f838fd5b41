package tool

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	var info unix.Siginfo
	for errors.Is(unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// attributes have a program lead a group of its own, or a session, which is one too. It
// ends with kz, be it that kz is killed: nobody else would end it then.
func attributes(alone bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !alone, Setsid: alone, Pdeathsig: syscall.SIGKILL}
}
