package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/getkeyzero/kz/environ"
)

// attend runs the command as a child, for there is something to remove after
// it. It passes on signals and the way in which the child ended.
func (inv *invocation) attend(program string, argv []string, env environ.Env) error {
	cmd := &exec.Cmd{Path: program, Args: argv, Env: env.List(), Stdin: inv.stdin, Stdout: inv.stdout, Stderr: inv.stderr}
	signals := make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT} {
		if !signal.Ignored(s) { // what nohup has kz ignore, the command ignores too
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return inv.startError(argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !fromTerminal(s) {
				_ = cmd.Process.Signal(s)
			}
		case err := <-ended:
			return childStatus(cmd, err)
		}
	}
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

func childStatus(cmd *exec.Cmd, err error) error {
	if cmd.ProcessState == nil {
		return runError{err}
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return status(128 + int(ws.Signal()))
	}
	return status(ws.ExitStatus())
}
