// Package process tells whether a process lives.
package process

import (
	"errors"
	"syscall"
)

// Alive reports whether there is a process with the number pid, be it another user's.
func Alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
