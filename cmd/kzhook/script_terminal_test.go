package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a program for scripts: terminal DIALOGUE PROGRAM [ARG...] runs a
// program on a terminal of its own, talks to it as the file says, prints what the
// terminal showed, and ends as the program does. The lines of a dialogue are
//
//	wait TEXT      until the terminal shows that, after what was last waited for
//	type TEXT      and the return key
//	send TEXT      without it; in the form of a Go string, so "\x03" is Control-C
//	repeat N TEXT  that many times, without it
//	signal NAME    to the program, as in: signal TERM
//	run COMMAND    in sh, with the number of the program in $PID
//	hang up        closes the terminal
func terminal() {
	d, err := newDialogue(os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "terminal: %v\n", err)
		os.Exit(99)
	}
	err = d.follow(os.Args[1])
	status := d.end()
	fmt.Print(strings.ReplaceAll(d.shown(), "\r\n", "\n"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "terminal: %v\n", err)
		status = 99
	}
	os.Exit(status)
}

// longest is how long a program may take for what it is waited for.
const longest = 20 * time.Second

type dialogue struct {
	cmd   *exec.Cmd
	tty   *os.File
	ended chan struct{}

	mu    sync.Mutex
	text  strings.Builder
	heard int // how much of text was waited for
}

func newDialogue(argv []string) (*dialogue, error) {
	d := &dialogue{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	tty, err := pty.StartWithSize(d.cmd, &pty.Winsize{Rows: 40, Cols: 240})
	if err != nil {
		return d, err
	}
	// In the poller's hands, for a terminal that is being read would not be closed.
	fd, err := unix.Dup(int(tty.Fd()))
	if err == nil {
		err = errors.Join(unix.SetNonblock(fd, true), tty.Close())
	}
	d.tty = os.NewFile(uintptr(fd), tty.Name())
	go func() {
		_, _ = io.Copy(d, d.tty)
		close(d.ended)
	}()
	return d, err
}

// Write notes what the terminal shows.
func (d *dialogue) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *dialogue) shown() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func (d *dialogue) follow(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if err := d.step(word, rest); err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
	}
	return nil
}

func (d *dialogue) step(word, rest string) error {
	switch word {
	case "wait":
		return d.wait(rest)
	case "type":
		_, err := d.tty.WriteString(rest + "\r")
		return err
	case "send":
		text, err := strconv.Unquote(rest)
		if err == nil {
			_, err = d.tty.WriteString(text)
		}
		return err
	case "repeat":
		number, text, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err == nil {
			_, err = d.tty.WriteString(strings.Repeat(text, n))
		}
		return err
	case "signal":
		return d.cmd.Process.Signal(unix.SignalNum("SIG" + rest))
	case "run":
		cmd := exec.Command("sh", "-c", rest)
		cmd.Env = append(os.Environ(), "PID="+strconv.Itoa(d.cmd.Process.Pid))
		cmd.Stdout, cmd.Stderr = d, os.Stderr
		return cmd.Run()
	case "hang":
		return d.tty.Close()
	}
	return fmt.Errorf("unknown word")
}

func (d *dialogue) wait(text string) error {
	for end := time.Now().Add(longest); time.Now().Before(end); time.Sleep(time.Millisecond) {
		shown := d.shown()
		if i := strings.Index(shown[d.heard:], text); i >= 0 {
			d.heard += i + len(text)
			return nil
		}
	}
	_ = d.cmd.Process.Kill()
	return fmt.Errorf("not shown within %v", longest)
}

// end waits for the program and returns its status as a shell would have it.
func (d *dialogue) end() int {
	late := time.AfterFunc(longest, func() { _ = d.cmd.Process.Kill() })
	defer late.Stop()
	_ = d.cmd.Wait()
	select {
	case <-d.ended:
	case <-time.After(time.Second): // something that the program left behind has the terminal
	}
	ws := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
