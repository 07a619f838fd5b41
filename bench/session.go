package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A tool is what the hook of a shell starts.
type tool struct {
	name    string
	program string // "" for no hook at all
	hook    string // its arguments to print a hook for a shell; "" if the program is the hook
	loads   bool
}

// init returns the line that sets the hook up in the shell.
func (t tool) init(shell string) string {
	switch {
	case t.program == "":
		return ""
	case t.hook == "":
		return "starts " + t.program
	}
	hook := t.program + " " + fmt.Sprintf(t.hook, shell)
	if shell == "fish" {
		return hook + " | source"
	}
	return `eval "$(` + hook + `)"`
}

// A session is a shell with the hook of a tool, which runs one of the drivers.
type session struct {
	shell string
	tool  tool
	home  *home

	stdin   io.WriteCloser
	replies *bufio.Reader
	process *os.Process
	stderr  bytes.Buffer
	log     string // of strace, if that traces the shell
	seen    int    // bytes of it
	dead    error
}

// start starts a session. With log it runs under strace, which writes there.
func start(shell string, t tool, h *home, log string) (*session, error) {
	driver, err := filepath.Abs("bench/driver." + shell)
	if err != nil {
		return nil, err
	}
	argv := map[string][]string{
		"bash": {"bash", "--norc", "--noprofile", driver},
		"zsh":  {"zsh", "-f", driver},
		"fish": {"fish", "--no-config", driver},
	}[shell]
	argv = append(argv, t.init(shell))
	if log != "" {
		argv = append([]string{"strace", "-f", "-qq", "-e", "trace=process", "-o", log}, argv...)
	}
	s := &session{shell: shell, tool: t, home: h, log: log}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = h.outside, h.env, &s.stderr
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.replies = bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.process = cmd.Process
	return s, nil
}

func (s *session) close() {
	_ = s.stdin.Close()
	_, _ = s.process.Wait()
}

// do has the shell do something, and returns the milliseconds that each time
// took. It is an error if other values are loaded afterwards than are to be.
func (s *session) do(verb, args string, loaded bool) ([]float64, error) {
	if s.dead != nil {
		return nil, s.dead
	}
	hung := time.AfterFunc(30*time.Second, func() { _ = s.process.Kill() })
	defer hung.Stop()
	begin := time.Now()
	_, _ = fmt.Fprintln(s.stdin, verb, args)
	reply, err := s.replies.ReadString('\n')
	took := time.Since(begin)
	if err != nil {
		s.dead = fmt.Errorf("the shell ended: %w", err)
		return nil, s.dead
	}
	words := strings.Fields(reply)
	want := "-"
	if loaded && s.tool.loads {
		want = value(1)
	}
	if len(words) == 0 || words[0] != want {
		return nil, fmt.Errorf("after %s %s the shell has %q, want %s", verb, args, words, want)
	}
	times := make([]float64, len(words)-1)
	for i, word := range words[1:] {
		micro, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		times[i] = float64(micro) / 1000
	}
	if s.shell == "fish" {
		times = []float64{took.Seconds() * 1000 / float64(len(strings.Fields(args)))}
	}
	return times, nil
}

var (
	execLine = regexp.MustCompile(`(?m) execve\(.*( = 0|<unfinished \.\.\.>)$`)
	forkLine = regexp.MustCompile(`(?m) (clone3?|v?fork)\(.*$`)
)

// processes returns how many programs were started and how many processes were
// made, threads not counted, since it was last asked.
func (s *session) processes() (programs, made int, err error) {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return 0, 0, err
	}
	fresh := string(text[s.seen:])
	s.seen = len(text)
	for _, line := range forkLine.FindAllString(fresh, -1) {
		if !strings.Contains(line, "CLONE_THREAD") {
			made++
		}
	}
	return len(execLine.FindAllString(fresh, -1)), made, nil
}
