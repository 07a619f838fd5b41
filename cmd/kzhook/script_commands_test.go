package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/getkeyzero/kz/internal/keyringtest"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/trust"
)

// scriptCommands are what scripts can say besides testscript's own commands.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"allow": allowHere, "digest": digest, "exits": exits, "keychain": startKeychain, "leak": leak, "mode": mode,
	"need": need, "printable": isPrintable, "unseen": unseen,
}

// A script is what the commands of one have to remember.
type script struct {
	test     testing.TB
	keychain []string
}

type scriptKey struct{}

// digest NAME sets the variable to the digest of the configuration here.
func digest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: digest NAME")
	}
	p, _ := reviewed(ts, ts.MkAbs("."))
	ts.Setenv(args[0], p.Digest)
}

// allow [DIR] agrees to the configuration of a directory as it is. It is not kz
// that does so, which takes longer: what kz allow does is for other scripts to say.
func allowHere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: allow [DIR]")
	}
	p, store := reviewed(ts, ts.MkAbs(strings.Join(args, "")))
	ts.Check(store.Allow(p.TrustFiles(), false))
}

func reviewed(ts *testscript.TestScript, dir string) (*project.Project, trust.Store) {
	home := ts.Getenv("HOME")
	inv := &invocation{dir: dir, places: places{home: home, userConfig: filepath.Join(home, ".config/keyzero/config.toml")}}
	path, err := inv.nearest(nil)
	ts.Check(err)
	p, _, err := inv.reviewAll(path)
	ts.Check(err)
	return p, trust.Store{Dir: filepath.Join(home, ".local/share/keyzero/trust")}
}

// exits STATUS PROGRAM [ARG...] runs a program that must end with the status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || len(args) < 2 || err != nil {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG...]")
	}
	if got := statusOf(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func statusOf(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

// mode FILE PERM fails unless the file has these permissions.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().Perm().String(); (got == args[1]) == neg {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// need NAME... skips the script unless all programs are there, and fails it
// where KZ_NEED_SHELLS is 1. The name root stands for being that user.
func need(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		if name == "root" {
			if os.Geteuid() != 0 {
				ts.Value(scriptKey{}).(*script).test.Skip("needs root")
			}
			continue
		}
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("KZ_NEED_SHELLS") == "1" {
				ts.Fatalf("%s is needed", name)
			}
			ts.Value(scriptKey{}).(*script).test.Skip(name, "is needed")
		}
	}
}

// startKeychain starts a real keychain of the script's own; keychain lock locks it,
// and keychain hang puts one in its place that never answers.
func startKeychain(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(scriptKey{}).(*script)
	if slices.Equal(args, []string{"lock"}) {
		keyringtest.Lock(s.test, s.keychain)
		return
	}
	if slices.Equal(args, []string{"hang"}) {
		s.keychain = keyringtest.StartHanging(s.test)
	} else {
		s.keychain = keyringtest.Start(s.test)
	}
	for _, entry := range s.keychain {
		if name, value, _ := strings.Cut(entry, "="); name == "DBUS_SESSION_BUS_ADDRESS" {
			ts.Setenv(name, value)
		}
	}
}

// ! leak VALUE PLACE... fails if the value occurs in any of the places, be it as it is, in
// base64 or in hex. A place is stdout, stderr, a file, or a directory with all below it.
func leak(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: leak VALUE PLACE...")
	}
	found := ""
	for _, place := range args[1:] {
		if place == "stdout" || place == "stderr" {
			if leaks(ts.ReadFile(place), args[0]) {
				found = place
			}
			continue
		}
		ts.Check(filepath.WalkDir(ts.MkAbs(place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() && path != ts.MkAbs(place) {
				return err
			}
			if d.IsDir() {
				return nil
			}
			data, err := os.ReadFile(path)
			if leaks(path+string(data), args[0]) {
				found = path
			}
			return err
		}))
	}
	if (found == "") != neg {
		ts.Fatalf("%q occurs in: %q", args[0], found)
	}
}

// leaks reports whether text has value in any of the forms in which it might
// hide by accident.
func leaks(text, value string) bool {
	if strings.Contains(text, value) {
		return true
	}
	for _, encoded := range []string{hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value)))} {
		if strings.Contains(text, encoded) {
			return true
		}
	}
	// What stands around a value shifts its base64, so the ends, which depend on
	// the neighbours, do not count.
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + value))
		if strings.Contains(text, encoded[(shift*8+5)/6:len(encoded)-2]) {
			return true
		}
	}
	return false
}

// printable PLACE... fails if there is a byte in stdout, stderr or a file that
// could do anything to a terminal but show.
func isPrintable(ts *testscript.TestScript, neg bool, args []string) {
	bad := false
	for _, place := range args {
		for at, r := range ts.ReadFile(place) {
			if r == '\n' || r == ' ' || unicode.IsPrint(r) && r != unicode.ReplacementChar {
				continue
			}
			bad = true
			if !neg {
				ts.Fatalf("%s: %U at byte %d", place, r, at)
			}
		}
	}
	if bad != neg {
		ts.Fatalf("all of it is printable")
	}
}

// unseen VALUE PROGRAM [ARG...] runs a program, and fails if the value shows in
// the arguments of any process meanwhile.
func unseen(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: unseen VALUE PROGRAM [ARG...]")
	}
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		ts.Value(scriptKey{}).(*script).test.Skip("needs /proc")
	}
	done, seen := make(chan struct{}), make(chan string)
	go func() {
		found := ""
		for {
			select {
			case <-done:
				seen <- found
				return
			case <-time.After(time.Millisecond):
			}
			files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, f := range files {
				if data, err := os.ReadFile(f); err == nil && leaks(string(data), args[0]) {
					found = string(data)
				}
			}
		}
	}()
	err := ts.Exec(args[1], args[2:]...)
	close(done)
	if found := <-seen; (found != "") != neg {
		ts.Fatalf("the arguments of a process: %q", found)
	}
	ts.Check(err)
}
