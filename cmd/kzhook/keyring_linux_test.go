package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownKeyring gives the tests, and what they start, a session keyring of their
// own, so that neither the keys of whoever runs them count nor theirs are left
// behind. A keyring is that of a thread, so the program starts anew from the one
// that has it. Where the kernel keeps no keys there is nothing to guard.
func ownKeyring() {
	const done = "KZ_TEST_KEYRING"
	if os.Getenv(done) != "" || !strings.HasSuffix(os.Args[0], ".test") { // kz itself, in the tests of scripts
		return
	}
	runtime.LockOSThread()
	// unix.KeyctlJoinSessionKeyring passes a name even if that is empty.
	_, _, errno := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if errno != 0 || os.Setenv(done, "1") != nil {
		return
	}
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, os.Environ())
	}
	panic(err)
}
