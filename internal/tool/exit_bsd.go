//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package tool

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the child has ended, and leaves it to be reaped. Not with waitid,
// which on macOS returns for a child that has merely stopped (golang/go#19314).
func awaitExit(pid int) {
	queue, err := unix.Kqueue()
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(queue) }()
	var change [1]unix.Kevent_t
	unix.SetKevent(&change[0], pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	change[0].Fflags = unix.NOTE_EXIT
	var event [1]unix.Kevent_t
	// ESRCH: it has ended already.
	for {
		if _, err := unix.Kevent(queue, change[:], event[:], nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// attributes have a program lead a group of its own, or a session, which is one too.
func attributes(alone bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !alone, Setsid: alone}
}
