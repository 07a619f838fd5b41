package shelltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/creack/pty"
)

// Run types a line, waits for the next prompt, and returns what was printed in
// between, without escape sequences and carriage returns.
func (s *Session) Run(line string) string {
	s.t.Helper()
	_, s.prompt = s.screen.lastPrompt()
	s.Send(line + "\r")
	typed := s.typed
	s.AwaitPrompt()
	return s.printed(typed)
}

// printed returns what the shell printed after the line typed when the screen
// had from bytes, up to the prompt that came last.
func (s *Session) printed(from int) string {
	end, _ := s.screen.lastPrompt()
	echo, output, ok := strings.Cut(s.Screen()[from:end], "\n")
	if !ok {
		return plain(echo)
	}
	return plain(output)
}

// Send types raw, as it is: the return key is "\r".
func (s *Session) Send(raw string) {
	s.t.Helper()
	s.typed = len(s.Screen())
	if _, err := s.terminal.WriteString(raw); err != nil {
		s.t.Fatalf("%s: typing %q: %v\n%s", s.name(), raw, err, s.shown())
	}
}

// Interrupt types Control-C. It is for a program that has itself shown that it
// runs. One that a shell is just starting may never learn of it; at a prompt,
// bash and zsh may heed it no sooner than at the next key, and fish draws no new
// prompt for it when the line is empty.
func (s *Session) Interrupt() {
	s.t.Helper()
	s.Send("\x03")
}

// AwaitPrompt waits for a prompt later than the last one waited for.
// One that was drawn meanwhile counts; a repaint does not.
func (s *Session) AwaitPrompt() {
	s.t.Helper()
	s.await(fmt.Sprintf("prompt after <kz:%d>", s.prompt), func(string) bool {
		_, number := s.screen.lastPrompt()
		return number > s.prompt
	})
	_, s.prompt = s.screen.lastPrompt()
}

// AwaitScreen waits until text has been printed since something was last typed.
// Mind that the terminal echoes what is typed.
func (s *Session) AwaitScreen(text string) {
	s.t.Helper()
	s.await(strconv.Quote(text), func(screen string) bool {
		return strings.Contains(plain(screen[s.typed:]), text)
	})
}

// await waits until the screen satisfies ok; what says for what, if it fails.
func (s *Session) await(what string, ok func(screen string) bool) {
	s.t.Helper()
	timeout := time.After(s.timeout)
	for {
		text, changed := s.screen.contents()
		switch {
		case ok(text):
			return
		case changed == nil:
			s.t.Fatalf("%s: ended before %s\n%s", s.name(), what, s.shown())
		}
		select {
		case <-changed:
		case <-timeout:
			s.t.Fatalf("%s: no %s within %v\n%s", s.name(), what, s.timeout, s.shown())
		}
	}
}

// Output runs a line with its standard output to a file, in the shell itself
// and not a subshell, and returns the bytes of the file.
func (s *Session) Output(line string) string {
	s.t.Helper()
	s.outputs++
	file := filepath.Join(s.scratch, "out"+strconv.Itoa(s.outputs))
	s.Run(fmt.Sprintf(s.shell.redirect, line, file))
	data, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatalf("%s: %s: %v\n%s", s.name(), line, err, s.shown())
	}
	return string(data)
}

// Env returns the environment of a child process of the shell.
func (s *Session) Env() map[string]string {
	s.t.Helper()
	env := map[string]string{}
	for entry := range strings.SplitSeq(s.Output("/usr/bin/env -0"), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	if len(env) == 0 {
		s.t.Fatalf("%s: no environment\n%s", s.name(), s.shown())
	}
	return env
}

// Status returns the exit status of the last command. It is 0 afterwards.
func (s *Session) Status() int {
	s.t.Helper()
	out := s.Output(s.shell.status)
	status, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		s.t.Fatalf("%s: status is %q\n%s", s.name(), out, s.shown())
	}
	return status
}

// Screen returns all that was printed so far, escape sequences and all.
func (s *Session) Screen() string {
	text, _ := s.screen.contents()
	return text
}

// Resize changes the size of the terminal, of which the shell gets a signal.
func (s *Session) Resize(rows, columns int) {
	s.t.Helper()
	if err := pty.Setsize(s.terminal, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)}); err != nil {
		s.t.Fatal(err)
	}
}

// shown is the screen as it goes into failure messages.
func (s *Session) shown() string {
	return "--- screen ---\n" + plain(s.Screen()) + "\n--- end of screen ---"
}

func (s *Session) name() string { return filepath.Base(s.cmd.Path) }

// write puts a file into the scratch directory and returns its path.
func (s *Session) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.scratch, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}
