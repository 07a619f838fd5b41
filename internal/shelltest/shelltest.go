// Package shelltest drives real interactive shells on a pseudo-terminal, for tests.
//
// A Session never sleeps: the prompt carries a number that rises, and each step
// waits for the next one. What the terminal shows is for people and for failure
// messages; results come through files, by Output, Env and Status. All methods
// belong to the test's goroutine, and end the test when the shell does not answer.
package shelltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// Need skips the test if one of the programs is missing; where KZ_NEED_SHELLS
// is 1, a missing program fails it instead.
func Need(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		switch {
		case err == nil:
		case os.Getenv("KZ_NEED_SHELLS") == "1":
			t.Fatalf("%s is needed: %v", name, err)
		default:
			t.Skipf("%s is needed: %v", name, err)
		}
	}
}

// A Config says which shell to start, and in what surroundings.
type Config struct {
	Shell string   // bash, zsh or fish, or a path that ends in one of these
	Args  []string // further arguments of the shell

	// Env has NAME=value strings that add to the few that a session starts with.
	// A PATH among them goes before the fixed one.
	Env []string

	Dir     string        // where the shell starts, HOME if empty
	RC      string        // what the shell reads at its start, as from its rc file
	Home    string        // a temporary directory if empty
	Timeout time.Duration // how long one step may take, 20 s if zero
}

const patience = 20 * time.Second

// size is wide, so that the lines of tests do not wrap.
var size = pty.Winsize{Rows: 40, Cols: 240}

// A Session is a running shell.
type Session struct {
	t        testing.TB
	shell    shell
	cmd      *exec.Cmd
	terminal *os.File
	screen   *screen
	timeout  time.Duration
	scratch  string // holds the start-up files, and the outputs

	prompt  int // number of the last prompt that was waited for
	typed   int // length of the screen when something was last typed
	outputs int

	exited chan struct{}
	close  sync.Once
}

// Start starts the shell and waits for its first prompt. The shell inherits
// nothing of the test's environment and reads none of the user's or the
// system's start-up files (but for zsh's /etc/zshenv, which no option prevents).
// It ends with the test.
func Start(t testing.TB, c Config) *Session {
	t.Helper()
	Need(t, c.Shell)
	path, err := exec.LookPath(c.Shell)
	if err != nil {
		t.Fatal(err)
	}
	sh, ok := shells[filepath.Base(path)]
	if !ok {
		t.Fatalf("unknown shell %q", c.Shell)
	}
	if c.Home == "" {
		c.Home = privateDir(t)
	}
	if c.Dir == "" {
		c.Dir = c.Home
	}
	if c.Timeout == 0 {
		c.Timeout = patience
	}
	s := &Session{t: t, shell: sh, timeout: c.Timeout, scratch: privateDir(t), exited: make(chan struct{})}
	s.write("rc", c.RC)
	start := s.write(sh.startFile, sh.start)

	s.cmd = exec.Command(path, slices.Concat(sh.args(start), c.Args)...)
	s.cmd.Dir = c.Dir
	s.cmd.Env = environment(c, path, privateDir(t), s.scratch)
	unignoreSignals()
	if s.terminal, err = pty.StartWithSize(s.cmd, &size); err != nil {
		t.Fatalf("%s: %v", c.Shell, err)
	}
	s.screen = newScreen(s.terminal)
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // how a shell ends is for the test to say
	}()
	t.Cleanup(s.Close)

	if sh.typed != "" {
		s.await("first output", func(text string) bool { return text != "" })
		s.Send(strings.ReplaceAll(sh.typed, "FILE", start) + "\r")
	}
	s.AwaitPrompt()
	return s
}

// Close kills the shell and all that runs in its session, in the foreground or
// not, and waits until the shell is gone. It may be called more than once.
func (s *Session) Close() {
	s.close.Do(func() {
		killSession(s.Pid())
		<-s.exited
		killSession(s.Pid()) // what the shell had started meanwhile
		_ = s.terminal.Close()
	})
}

// Pid returns the shell's process id, which is its session's and group's, too.
func (s *Session) Pid() int { return s.cmd.Process.Pid }
