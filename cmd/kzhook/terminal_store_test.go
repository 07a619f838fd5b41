package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// badStores are what a program that is a store can do instead of answering, and
// what kz says of that. Each has noted its process number before.
var badStores = map[string]struct{ does, says string }{
	"hangs":                      {`exec sleep 1000`, "no answer in time"},
	"drips":                      {`while :; do printf x; sleep 0.05; done`, "no answer in time"},
	"floods":                     {`exec cat /dev/zero`, "the program printed more than 1048576 bytes"},
	"floods stderr":              {`exec cat /dev/zero >&2`, "no answer in time"},
	"crashes":                    {`printf half; kill -SEGV $$`, "the program ended with signal: segmentation fault"},
	"is killed":                  {`printf half; kill -KILL $$`, "the program ended with signal: killed"},
	"ignores TERM":               {`trap '' TERM INT HUP; printf half; while :; do sleep 1000; done`, "no answer in time"},
	"stops":                      {`kill -STOP $$`, "no answer in time"},
	"asks the terminal":          {`read -r answer </dev/tty; echo "$answer"`, ""},
	"closes its output":          {`exec >&-; sleep 1000`, "no answer in time"},
	"fails, its output held":     {`sleep 1000 & exit 3`, "the program ended with exit status 3"},
	"hangs beside one that left": {`setsid sh -c 'cd "$1"; echo $$ >>asked; exec sleep 1000' sh "$PWD" & sleep 1001`, "no answer in time"},
}

// goodStores answer, if in their own way.
var goodStores = map[string]string{
	"holds its output":         `echo "value of $1"; sleep 1000 &`,
	"holds it, ignoring TERM":  `echo "value of $1"; (trap '' TERM; sleep 1000; sleep 1000) &`,
	"holds it out of reach":    `echo "value of $1"; setsid sh -c 'cd "$1"; echo $$ >>asked; exec sleep 1000' sh "$PWD" &`,
	"answers, and says a lot":  `head -c 300000 /dev/zero >&2; echo "value of $1"`,
	"answers at its last word": `printf 'value of'; sleep 0.1; echo " $1"`,
}

// sitBeside starts a shell in which a store has given its value once, with a
// fresh project for each way in which it goes on.
func sitBeside(t *testing.T, shell, deadline string, names []string) *desk {
	t.Helper()
	const config = "[secrets]\nTOKEN = \"store://token\"\n[env]\nPLAIN = \"kz\"\n"
	d := sit(t, shell, seat{settings: "[trust]\nprefixes = [\"~\"]\n[hook]\ndeadline = \"" + deadline + "\""})
	d.file("app/.keyzero.toml", config)
	for i := range names {
		d.file("fresh"+strconv.Itoa(i)+"/.keyzero.toml", config)
	}
	d.store(`echo "value of $1"`)
	d.expect("cd app", "kz: +PLAIN +TOKEN (app)")
	t.Cleanup(func() {
		for _, pid := range d.asked() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // those that left the group
		}
	})
	return d
}

// store has the store note its process number and then do something.
func (d *desk) store(does string) {
	d.t.Helper()
	d.program("bin/store", fmt.Sprintf("#!/bin/sh\ncd '%s'\necho $$ >>asked\n%s\n", d.home, does))
}

// gone fails unless the program that was asked last has ended.
func (d *desk) gone() {
	d.t.Helper()
	pids := d.asked()
	if err := syscall.Kill(pids[len(pids)-1], 0); !errors.Is(err, syscall.ESRCH) {
		d.t.Errorf("the store's process outlives the wait: %v", err)
	}
}

// Whatever a store does instead of answering: the prompt is back in time, with one
// line. What was loaded stays, and of what was not, nothing is.
func TestTerminalBadStores(t *testing.T) {
	const deadline = 400 * time.Millisecond
	names := slices.Sorted(maps.Keys(badStores))
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitBeside(t, shell, deadline.String(), names)
		for i, name := range names {
			store := badStores[name]
			d.store(store.does)
			say := func(line, end string) {
				t.Helper()
				begun := time.Now()
				got := d.says(line)
				took := time.Since(begun)
				if took > deadline+patience {
					t.Errorf("with a store that %s the prompt took %v", name, took)
				}
				first, hint, _ := strings.Cut(got, "\n")
				if !strings.HasPrefix(first, "kz: TOKEN: store: "+store.says) || !strings.HasSuffix(first, end) || strings.Contains(strings.TrimPrefix(hint, "kz: hint: "), "\n") {
					t.Errorf("at %q with a store that %s kz says:\n%s", line, name, got)
				}
				if name != "hangs beside one that left" {
					d.gone()
				}
				n := len(d.asked())
				d.expect("", "")
				if got := len(d.asked()); got != n {
					t.Errorf("the next prompt asks the store that %s again", name)
				}
			}
			say("kz reload", "; what was loaded before stays")
			d.has("TOKEN=value of token", "PLAIN=kz")
			d.expect("cd ~", "kz: -PLAIN -TOKEN")
			say("cd fresh"+strconv.Itoa(i), "; nothing is loaded")
			d.has("TOKEN", "PLAIN", "__KZ_STATE")

			d.store(`echo "value of $1"`)
			d.Run("cd ~/app")
			d.expect("kz reload", "kz: +PLAIN +TOKEN (app)")
			if t.Failed() {
				return
			}
		}
		d.alive()
	})
}

// What goes because one leaves its project is not past its time.
func TestTerminalFromProjectToBadStore(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitBeside(t, shell, "1000s", []string{"fails"})
		d.store(`exit 3`)
		d.expect("cd ~/fresh0", "kz: TOKEN: store: the program ended with exit status 3; nothing is loaded\nkz: -PLAIN -TOKEN")
		d.expect("", "")
		d.has("TOKEN", "PLAIN", "__KZ_STATE")
	})
}

// A store that answers is not held against what it leaves behind.
func TestTerminalOddStores(t *testing.T) {
	names := slices.Sorted(maps.Keys(goodStores))
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitBeside(t, shell, "1000s", names)
		for i, name := range names {
			d.store(goodStores[name])
			begun := time.Now()
			d.Run("cd ~/fresh" + strconv.Itoa(i))
			if took := time.Since(begun); took > patience {
				t.Errorf("with a store that %s the prompt took %v", name, took)
			}
			d.has("TOKEN=value of token", "PLAIN=kz")
			d.Run("cd ~")
		}
	})
}

// By default kz waits no longer than three seconds, whatever the store does.
func TestTerminalDefaultDeadline(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[secrets]\nTOKEN = \"store://token\"\n"})
		d.store(badStores["ignores TERM"].does)
		begun := time.Now()
		d.expect("cd app", "kz: TOKEN: store: no answer in time; nothing is loaded\nkz: hint: kz reload")
		took := time.Since(begun)
		t.Logf("%s: with a store that ignores TERM the prompt is back after %v", shell, took.Round(time.Millisecond))
		if took < 2500*time.Millisecond || took > 3*time.Second+patience {
			t.Errorf("the prompt took %v", took)
		}
		d.gone()
		d.expect("", "")
		d.has("TOKEN")
	})
}

// shown returns what is left to see of what a terminal printed: a line that was
// begun anew, and wiped, is gone.
func shown(text string) string {
	var screen, line []rune
	at := 0
	for runes := []rune(text); len(runes) > 0; runes = runes[1:] {
		switch {
		case strings.HasPrefix(string(runes[:min(3, len(runes))]), "\x1b[K"):
			line, runes = line[:at], runes[2:]
		case runes[0] == '\r':
			at = 0
		case runes[0] == '\n':
			screen, line, at = append(append(screen, line...), '\n'), nil, 0
		default:
			line = append(line[:at], append([]rune{runes[0]}, line[min(at+1, len(line)):]...)...)
			at++
		}
	}
	return string(append(screen, line...))
}

// After a moment a line tells what kz waits for, and is wiped once the wait is
// over, however that ends. A store that is quick shows no such line.
func TestTerminalProgress(t *testing.T) {
	const line = "kz: waiting for store"
	ends := map[string]struct{ does, says string }{
		"an answer":    {`sleep 0.6; echo "value of $1"`, "kz: +PLAIN +TOKEN (fresh"},
		"a failure":    {`sleep 0.6; exit 3`, "kz: TOKEN: store: the program ended with exit status 3"},
		"the deadline": {`sleep 1000`, "kz: TOKEN: store: no answer in time"},
		"Control-C":    {`sleep 1000`, "kz: loading was interrupted"},
	}
	names := slices.Sorted(maps.Keys(ends))
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitBeside(t, shell, "1500ms", names)
		if strings.Contains(d.Screen(), line) {
			t.Logf("%s: a store that answers at once took more than 300 ms", shell)
		}
		for i, name := range names {
			d.store(ends[name].does)
			from := len(d.Screen())
			begun := time.Now()
			d.Send("cd ~/fresh" + strconv.Itoa(i) + "\r")
			d.AwaitScreen(line)
			if took := time.Since(begun); took < 300*time.Millisecond {
				t.Errorf("the line comes after %v", took)
			}
			if name == "Control-C" {
				d.Interrupt()
			}
			d.AwaitPrompt()
			printed := d.Screen()[from:]
			if !strings.Contains(printed, line) {
				t.Errorf("ended by %s: no line in %q", name, printed)
			}
			if left := shown(printed); strings.Contains(left, "waiting") || !strings.Contains(left, ends[name].says) {
				t.Errorf("ended by %s, the screen shows\n%s\nof %q", name, left, printed)
			}
			d.Run("")
			if left := shown(d.Screen()[from:]); strings.Contains(left, "waiting") {
				t.Errorf("ended by %s, the screen later shows\n%s", name, left)
			}
		}
		if shell == "fish" {
			return // whose hooks write where the shell does
		}
		// Who does not look at a terminal gets no such line.
		d.Run("cd ~")
		d.store(ends["an answer"].does)
		d.Run("kz cache clear; cd ~/app 2>~/errors; _kz_hook 2>>~/errors")
		if text := d.Output("cat ~/errors"); strings.Contains(text, "waiting") || !strings.Contains(text, "+TOKEN") {
			t.Errorf("in a file kz says %q", text)
		}
	})
}
