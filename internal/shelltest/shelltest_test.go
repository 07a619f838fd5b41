package shelltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// all are the shells, in the order in which they are tested.
var all = []string{"bash", "zsh", "fish"}

// What the machine might have set, none of which may reach a session.
var machine = map[string]string{
	"CLAUDECODE":               "1",
	"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
	"LC_ALL":                   "POSIX",
	"KZ_LOG":                   "debug",
}

func TestMain(m *testing.M) {
	for name, value := range machine {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// eachShell runs f in parallel for each shell that is installed.
func eachShell(t *testing.T, f func(t *testing.T, shell string)) {
	t.Parallel()
	for _, shell := range all {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			Need(t, shell)
			f(t, shell)
		})
	}
}

func TestRun(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		s := Start(t, Config{Shell: shell})
		for line, want := range map[string]string{
			"":                       "",
			"   ":                    "",
			"cd /":                   "",
			"echo hello":             "hello\n",
			"printf abc":             "abc",
			"echo; echo after":       "\nafter\n",
			"printf 'one\\n\\ntwo'":  "one\n\ntwo",
			"printf '\\033[1mbold'":  "bold",
			"echo wrong >&2":         "wrong\n",
			"stty size":              "40 240\n",
			"seq 1 3 | tr '\\n' ' '": "1 2 3 ",
		} {
			if got := s.Run(line); got != want {
				t.Errorf("Run(%q) = %q, want %q", line, got, want)
			}
		}
	})
}

func TestOutput(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		s := Start(t, Config{Shell: shell, Env: []string{"X=one\ntwo\xff\n\n"}})
		if got, want := s.Output("printenv X"), "one\ntwo\xff\n\n\n"; got != want {
			t.Errorf("X is %q, want %q", got, want)
		}
		if got := s.Output("cd /tmp; pwd"); got != "/tmp\n" {
			t.Errorf("cd went to %q", got)
		}
		if got := s.Output("pwd"); got != "/tmp\n" {
			t.Errorf("after Output the directory is %q: it was a subshell's", got)
		}
		if got := s.Output("echo shown >&2"); got != "" {
			t.Errorf("standard error came as output: %q", got)
		}
		if got := s.Output("printf '\\r\\n\\033x'"); got != "\r\n\x1bx" {
			t.Errorf("the terminal had a hand in %q", got)
		}
	})
}

func TestStatus(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		s := Start(t, Config{Shell: shell})
		for _, want := range []int{7, 0, 130} {
			s.Run(fmt.Sprintf("sh -c 'exit %d'", want))
			if got := s.Status(); got != want {
				t.Errorf("status after exit %d is %d", want, got)
			}
		}
		s.Run("sh -c 'exit 3'")
		s.Output("sh -c 'exit 4'")
		if got := s.Status(); got != 4 {
			t.Errorf("status after Output of exit 4 is %d", got)
		}
	})
}

func TestEnv(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		home := t.TempDir()
		s := Start(t, Config{Shell: shell, Home: home, Env: []string{"A=b=c", "PATH=/opt/kz", "LANG=C"}})
		env := s.Env()
		for name, want := range map[string]string{
			"A":               "b=c",
			"HOME":            home,
			"LANG":            "C",
			"PATH":            "/opt/kz:/usr/local/bin:/usr/bin:/bin",
			"TERM":            "xterm",
			"USER":            userName(),
			"XDG_CONFIG_HOME": home + "/.config",
		} {
			if got := env[name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if info, err := os.Stat(env["XDG_RUNTIME_DIR"]); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("XDG_RUNTIME_DIR is %v, %v", info, err)
		}
		// LOGNAME, OLDPWD, PWD, SHLVL and _ are the shells' own.
		known := strings.Fields(`A HOME LANG LOGNAME OLDPWD PATH PWD SHELL SHLVL TERM USER
			XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME ZDOTDIR _`)
		for name := range env {
			if !slices.Contains(known, name) {
				t.Errorf("a child sees %s=%q", name, env[name])
			}
		}
	})
}

func TestStart(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s := Start(t, Config{Shell: shell, Dir: dir, RC: "echo from the rc file\nfalse\ncd .\n"})
		if got := s.Output("pwd"); got != dir+"\n" {
			t.Errorf("started in %q, want %q", got, dir)
		}
		if !strings.Contains(s.Screen(), "from the rc file\r\n") {
			t.Errorf("the rc file was not read:\n%s", s.Screen())
		}
		if err := syscall.Kill(s.Pid(), 0); err != nil {
			t.Errorf("Pid() = %d: %v", s.Pid(), err)
		}
	})
}

func TestArgs(t *testing.T) {
	Need(t, "zsh")
	t.Parallel()
	s := Start(t, Config{Shell: "zsh", Args: []string{"-o", "extended_glob"}})
	if got := s.Output("print $options[extendedglob]"); got != "on\n" {
		t.Errorf("extended_glob is %q", got)
	}
}

// Some shells ask the terminal what it is, and wait for the answer.
func TestTerminalAnswers(t *testing.T) {
	t.Parallel()
	Need(t, "bash")
	s := Start(t, Config{Shell: "bash"})
	s.Run(`printf '\033[0c'; read -rsd c answer`)
	if got := s.Output(`printf %s "$answer"`); got != "\x1b[?1;2" {
		t.Errorf("the terminal calls itself %q", got)
	}
}

// No process of a session outlives it: each of these holds the pipe open.
func TestClose(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		s := Start(t, Config{Shell: shell})
		open := make(chan *os.File)
		go func() {
			f, _ := os.Open(fifo)
			open <- f
		}()
		s.Run("sh -c 'trap \"\" HUP TERM; sleep 1000' >'" + fifo + "' &")
		s.Send("sh -c 'echo begun; trap \"\" HUP; sleep 1001' 3>'" + fifo + "'\r")
		s.AwaitScreen("\nbegun")
		f := <-open
		defer f.Close()

		s.Close()
		s.Close()
		if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Errorf("a job outlived the shell: %d, %v", n, err)
		}
		if err := syscall.Kill(s.Pid(), 0); err != syscall.ESRCH {
			t.Errorf("the shell is still there: %v", err)
		}
	})
}

func TestFailures(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		got := failure(t, func(t testing.TB) {
			s := Start(t, Config{Shell: shell, Timeout: 200 * time.Millisecond})
			s.Run("echo before; sleep 1000")
		})
		for _, want := range []string{shell, "<kz:1>", "200ms", "\nbefore\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("the message of a timeout lacks %q:\n%s", want, got)
			}
		}
		got = failure(t, func(t testing.TB) {
			s := Start(t, Config{Shell: shell})
			s.Run("echo farewell; exit")
		})
		for _, want := range []string{shell + ": ended before", "\nfarewell\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("the message of a shell's end lacks %q:\n%s", want, got)
			}
		}
	})
}

func TestNeed(t *testing.T) {
	for needed, want := range map[string]string{"": "skip", "1": "fail"} {
		t.Setenv("KZ_NEED_SHELLS", needed)
		got := failure(t, func(t testing.TB) { Need(t, "sh", "no-such-shell") })
		if !strings.HasPrefix(got, want+": no-such-shell is needed") {
			t.Errorf("with KZ_NEED_SHELLS=%q: %q, want %s", needed, got, want)
		}
	}
	if got := failure(t, func(t testing.TB) { Need(t, "sh") }); got != "" {
		t.Errorf("sh is there, and yet: %s", got)
	}
}

// failure returns how f ended the test that it was given, or "".
func failure(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.message
}

// A recorder is a test whose end is only noted.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) end(how, format string, args ...any) {
	r.message = how + ": " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) { r.end("fail", format, args...) }
func (r *recorder) Skipf(format string, args ...any)  { r.end("skip", format, args...) }
