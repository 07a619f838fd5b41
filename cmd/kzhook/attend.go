package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/getkeyzero/kz/internal/process"
)

// attend runs the command as a child, for there is something to remove after
// it. It passes on signals and the way in which the child ended.
func (inv *invocation) attend(ctx context.Context, c task) error {
	signals, stop := passedOn()
	defer stop()
	if err := ctx.Err(); err != nil { // interrupted before signals went to the child
		return err
	}
	child, err := inv.start(c)
	if err != nil {
		return err
	}
	for {
		select {
		case s := <-signals:
			child.pass(s)
		case <-child.done:
			return child.status()
		}
	}
}

// passedOn are the signals that the command is to get, from now on until stop.
func passedOn() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT} {
		if !signal.Ignored(s) { // what nohup has kz ignore, the command ignores too
			signal.Notify(signals, s)
		}
	}
	return signals, func() { signal.Stop(signals) }
}

// A child is a command that was started.
type child struct {
	*exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of waiting for that
}

func (inv *invocation) start(c task) (*child, error) {
	cmd := &exec.Cmd{Path: c.program, Args: c.argv, Env: c.env.List(), Stdin: inv.stdin, Stdout: inv.stdout, Stderr: inv.stderr}
	if err := cmd.Start(); err != nil {
		return nil, inv.startError(c.argv[0], err)
	}
	child := &child{Cmd: cmd, done: make(chan struct{})}
	go func() {
		child.err = cmd.Wait()
		close(child.done)
	}()
	return child, nil
}

// pass sends the child a signal that kz got, unless it has got it too.
func (c *child) pass(s os.Signal) {
	if !fromTerminal(s) {
		_ = c.Process.Signal(s)
	}
}

// status returns the way in which the child ended.
func (c *child) status() error {
	if c.ProcessState == nil {
		return runError{c.err}
	}
	ws := c.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return status(128 + int(ws.Signal()))
	}
	return status(ws.ExitStatus())
}

// end asks the child to terminate, and then those of its descendants that it
// leaves behind, as a shell does. It returns when all have ended; what has not
// done so after grace is killed.
func (c *child) end(grace time.Duration) (killed bool) {
	late, stop := context.WithTimeout(context.Background(), grace)
	defer stop()
	tree := process.Tree(c.Process.Pid)
	_ = c.Process.Signal(unix.SIGTERM)
	_ = c.Process.Signal(unix.SIGCONT) // who is stopped hears nothing else
	select {
	case <-c.done:
		signalAll(tree, unix.SIGTERM)
	case <-late.Done():
		tree = append(tree, process.Tree(c.Process.Pid)...) // with those that came since
	}
	if gone(late, tree) {
		return false
	}
	signalAll(tree, unix.SIGKILL)
	<-c.done
	return true
}

func signalAll(tree []process.ID, s syscall.Signal) {
	for _, id := range tree {
		id.Signal(s)
	}
}

// gone waits until all of tree have ended, for as long as ctx lasts.
func gone(ctx context.Context, tree []process.ID) bool {
	for _, id := range tree {
		for id.Running() {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return true
}

// fromTerminal reports whether the terminal sent s, in which case the child, of
// the same process group, has got it too.
func fromTerminal(s os.Signal) bool {
	switch s {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGWINCH:
	default:
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// regain brings the terminal, if there is one, to where a killed command found
// it. A shell leaves it to a process group of its own that has ended with it.
func regain(stdin *os.File, modes *term.State) {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	own := unix.Getpgrp()
	if err != nil || group != own && unix.Kill(-group, 0) != unix.ESRCH {
		return // it is somebody else's now, as when kz runs in the background
	}
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, own)
	if modes != nil {
		_ = term.Restore(int(stdin.Fd()), modes)
	}
}
