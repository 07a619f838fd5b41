//go:build !linux

package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootID is the session number of the boot, which changes with each one.
func bootID() string {
	id, _ := unix.Sysctl("kern.bootsessionuuid")
	return id
}

// sinceBoot goes by CLOCK_MONOTONIC, which on Darwin counts sleep.
func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}
