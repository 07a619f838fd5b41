// Package tooltest has a test's own binary stand in for the programs of stores.
package tooltest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const variable = "KZ_TEST_STANDS_IN_FOR"

// Main is the whole of a TestMain. In a process that was started as a stand-in it runs
// that one, and ends with the status that it returns.
func Main(m *testing.M, programs map[string]func(args []string) int) {
	if run := programs[os.Getenv(variable)]; run != nil {
		os.Exit(run(os.Args[1:]))
	}
	syscall.Umask(0o022) // for programs that others may write to are not run
	os.Exit(m.Run())
}

// Program writes a program that is the stand-in of the name, and returns its path.
func Program(t testing.TB, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	// A child that another test forks now would hold the file open for writing, and
	// the kernel would not run it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	// The race detector would otherwise make each of its processes a second longer.
	script := "#!/bin/sh\nGORACE=atexit_sleep_ms=0 " + variable + "=" + name + " exec " + self + " \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Record notes in a directory how a stand-in was called.
func Record(dir string, args []string) {
	line, err := json.Marshal(args)
	f, openErr := os.OpenFile(filepath.Join(dir, "calls"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || openErr != nil {
		os.Exit(99)
	}
	_, _ = f.Write(append(line, '\n'))
	_ = f.Close()
}

// Calls returns how stand-ins were called, one line of arguments for each.
func Calls(t testing.TB, dir string) (calls []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, strings.Join(args, " "))
	}
	return calls
}

// Behave does what programs of stores were seen to do besides their work, before it or
// in its place. It reports whether the program is to go on.
func Behave(mode, canary string) (status int, goes bool) {
	switch mode {
	case "hangs":
		time.Sleep(time.Minute)
	case "asks the terminal":
		if tty, err := os.Open("/dev/tty"); err == nil {
			_, _ = tty.Read(make([]byte, 1))
		}
		time.Sleep(time.Minute)
	case "says nothing":
		return 0, false
	case "chatters":
		_, _ = os.Stdout.WriteString("A new version is available. " + canary + "\n")
	case "floods":
		_, _ = os.Stdout.WriteString(strings.Repeat(canary, 1300<<10))
		return 0, false
	case "not UTF-8":
		_, _ = os.Stdout.WriteString(canary + "\xff\xfe")
		return 0, false
	}
	return 0, true
}
