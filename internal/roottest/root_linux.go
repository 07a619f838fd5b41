package roottest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// As runs f as the user with the number uid, in the group of the same number
// and no other. f stays on its goroutine.
func As(t *testing.T, uid int, f func()) {
	t.Helper()
	AsGroup(t, uid, uid, f)
}

// AsGroup is As in the group with the number gid.
func AsGroup(t *testing.T, uid, gid int, f func()) {
	t.Helper()
	onThread(t, f, func() error {
		u, g := uintptr(uid), uintptr(gid)
		for _, call := range [][4]uintptr{
			{syscall.SYS_SETGROUPS, 0, 0, 0},
			{syscall.SYS_SETRESGID, g, g, g},
			{syscall.SYS_SETRESUID, u, u, u},
		} {
			// Not those of package syscall, which change all threads.
			if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				return errno
			}
		}
		return nil
	})
}

// Tmpfs runs f with an empty file system of that size ("16k") on dir, which
// must exist. Only f sees it. f stays on its goroutine.
func Tmpfs(t *testing.T, dir, size string, f func()) {
	t.Helper()
	onThread(t, f, func() error {
		if err := ownMounts(); err != nil {
			return err
		}
		return syscall.Mount("none", dir, "tmpfs", 0, "mode=0755,size="+size)
	})
}

// Casefold runs f with an empty directory below dir in which names have no case.
// Only f sees it. f stays on its goroutine. Where the kernel has no such file
// system, or the programs to make one are missing, the test is skipped.
func Casefold(t *testing.T, dir string, f func(dir string)) {
	t.Helper()
	image, mounted, folded := filepath.Join(dir, "image"), filepath.Join(dir, "mounted"), filepath.Join(dir, "mounted", "folded")
	missing := ""
	onThread(t, func() {
		if missing == "" {
			f(folded)
		}
	}, func() error {
		if err := errors.Join(ownMounts(), os.Mkdir(mounted, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
			return err
		}
		for _, command := range [][]string{
			{"mkfs.ext4", "-q", "-O", "casefold", image}, {"mount", "-o", "loop", image, mounted}, {"mkdir", folded}, {"chattr", "+F", folded},
		} {
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				missing = fmt.Sprintf("%q: %v %s", command, err, out)
				break
			}
		}
		return nil
	})
	if missing != "" {
		t.Skip("needs a file system without case:", missing)
	}
}

// ReadOnly runs f, and the programs that it starts, with nothing below dir to
// be changed. f stays on its goroutine.
func ReadOnly(t *testing.T, dir string, f func()) {
	t.Helper()
	onThread(t, f, func() error {
		if err := ownMounts(); err != nil {
			return err
		}
		if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
		return syscall.Mount("none", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	})
}

// WithoutProc runs f, and the programs that it starts, where /proc is not
// mounted. f stays on its goroutine.
func WithoutProc(t *testing.T, f func()) {
	t.Helper()
	onThread(t, f, func() error {
		if err := ownMounts(); err != nil {
			return err
		}
		return syscall.Unmount("/proc", syscall.MNT_DETACH)
	})
}

// ownMounts gives the thread file systems of its own, as they are for others now.
func ownMounts() error {
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return err
	}
	return syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
}

// onThread runs prepare and f on a thread that is not used again.
func onThread(t *testing.T, f func(), prepare func() error) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	returned := false
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err = prepare(); err == nil {
			f()
			returned = true
		}
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if !returned {
		t.FailNow() // f did so already, which ended only its goroutine
	}
}
