// Package tripwire kills a program before one of its calls of the system, for
// tests of what it leaves then. Unlike strace it counts those of all threads as
// one sequence, so that none is missed.
package tripwire

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Call is a call of the system that is about to be made.
type Call struct {
	Number uint64
	Args   [6]uint64
}

// ErrKilled says that the program was killed, as was asked.
var ErrKilled = errors.New("killed")

// Run runs cmd, which was not started, and kills it before the n-th call of
// those that count. The error is ErrKilled then, nil if the program came to a
// good end before that, and any other if to a bad one.
func Run(cmd *exec.Cmd, n int, counts func(Call) bool) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel knows one thread as the tracer
		defer runtime.UnlockOSThread()
		done <- run(cmd, n, counts)
	}()
	return <-done
}

func run(cmd *exec.Cmd, n int, counts func(Call) bool) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid, killed := cmd.Process.Pid, false
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	for first := true; ; first = false {
		var status syscall.WaitStatus
		// Of its group alone, for others wait for what else this process started.
		tid, err := syscall.Wait4(-pid, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return err
		case tid == pid && (status.Exited() || status.Signaled()):
			return ended(cmd, status, killed)
		case !status.Stopped():
			continue // a thread that ended
		}
		if first {
			if err := syscall.PtraceSetOptions(pid, options); err != nil {
				return err
			}
		}
		signal := 0
		switch s := status.StopSignal(); {
		case s == syscall.SIGTRAP|0x80:
			if c, ok := entered(tid); ok && counts(c) {
				if n--; n == 0 {
					killed = true
					_ = syscall.Kill(pid, syscall.SIGKILL)
					continue
				}
			}
		case s != syscall.SIGTRAP && s != syscall.SIGSTOP: // what a new thread begins with
			signal = int(s)
		}
		_ = syscall.PtraceSyscall(tid, signal) // fails for a thread that was killed
	}
}

// ended has the rest of the program's end, of which the kernel told us, done.
func ended(cmd *exec.Cmd, status syscall.WaitStatus, killed bool) error {
	_ = cmd.Wait() // waits for its output, too, and does not find the process
	switch {
	case killed:
		return ErrKilled
	case status.Signaled():
		return errors.New(status.Signal().String())
	case status.ExitStatus() != 0:
		return errors.New("ended with a status other than 0")
	}
	return nil
}

// entered returns the call that a stopped thread is about to make.
func entered(tid int) (c Call, ok bool) {
	var info struct {
		op   uint8
		_    [3]uint8
		arch uint32
		_    [2]uint64 // where it is
		Call
	}
	const entry = 1 // PTRACE_SYSCALL_INFO_ENTRY
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return info.Call, errno == 0 && info.op == entry
}
