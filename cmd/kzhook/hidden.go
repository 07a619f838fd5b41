package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// readHidden has ask prompt for a line and reads it from a terminal that does
// not show it. However that ends the terminal is as it was before, and what was
// typed and not read is dropped, so that no prompt after this one shows it.
func readHidden(ctx context.Context, tty *os.File, ask func()) (string, error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.IoctlSetTermios(fd, setTermiosFlush, before) }()
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, unix.SIGCONT)
	defer signal.Stop(resumed)
	var typed <-chan typedLine
	for {
		if err := hide(fd, *before); err != nil {
			return "", err
		}
		ask()
		if typed == nil {
			typed = readLine(tty)
		}
		select {
		case line := <-typed:
			return line.text, line.err
		case <-ctx.Done():
			return "", ctx.Err()
		case <-resumed: // a shell that stopped kz gave the terminal settings of its own
		}
	}
}

func hide(fd int, settings unix.Termios) error {
	settings.Lflag &^= unix.ECHO
	settings.Lflag |= unix.ICANON | unix.ISIG
	settings.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, setTermiosFlush, &settings)
}

type typedLine struct {
	text string
	err  error
}

// errCut is the error for a line that a terminal has not passed on to its end.
var errCut = &refusal{"what was typed is longer than a line of the terminal can be; give it on stdin", ""}

func readLine(tty io.Reader) <-chan typedLine {
	typed := make(chan typedLine, 1)
	go func() {
		text, err := bufio.NewReaderSize(tty, 2*maxLine).ReadString('\n')
		switch {
		case len(text) >= maxLine:
			err = errCut
		case errors.Is(err, io.EOF):
			err = nil
		}
		typed <- typedLine{strings.TrimSuffix(text, "\n"), err}
	}()
	return typed
}
