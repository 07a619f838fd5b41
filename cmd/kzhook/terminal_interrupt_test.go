package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowStore does not answer while ~/slow exists. Each time it notes its process
// number in ~/asked.
const slowStore = `#!/bin/sh
cd %q
echo $$ >>asked
if test -e slow; then %s fi
echo "value of $1"
`

const slowFiles = "-- app/ --\n[secrets]\nTOKEN = \"store://token\"\n[env]\nPLAIN = \"kz\"\n[other.env]\nPLAIN = \"other\"\n" +
	"-- app/deep/file --\n-- slow --\n-- other/ --\n[env]\nOTHER = \"x\"\n"

// asked returns the processes of the store so far.
func (d *desk) asked() []int {
	d.t.Helper()
	data, err := os.ReadFile(d.path("asked"))
	if err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	var pids []int
	for line := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			d.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// interruptStore types a line at which kz waits for the store, and Control-C
// once it says so. It returns how long the prompt then took.
func (d *desk) interruptStore(line string) time.Duration {
	d.t.Helper()
	d.Send(line + "\r")
	d.AwaitScreen("kz: waiting for store")
	begun := time.Now()
	d.Interrupt()
	d.AwaitPrompt()
	return time.Since(begun)
}

const (
	interruptedLine = "kz: loading was interrupted\nkz: hint: kz reload"
	patience        = 5 * time.Second // far more than it takes, for a machine that has other things to do
)

// Control-C while a store does not answer: the prompt is back, and the next ones
// do not begin the same wait again.
func TestTerminalInterrupt(t *testing.T) {
	stores := map[string]string{
		"that ends":         "exec sleep 1000;",
		"that has children": "sleep 1000 & sleep 1001;",
		"that does not end": "trap '' TERM INT; sleep 1000; sleep 1000;",
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, how := range stores {
			t.Run("a store "+name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: slowFiles, settings: "[hook]\ndeadline = \"1000s\""})
				d.program("bin/store", fmt.Sprintf(slowStore, d.home, how))
				took := d.interruptStore("cd app")
				t.Logf("%s: the prompt is back %v after Control-C", shell, took.Round(time.Millisecond))
				if took > patience {
					t.Errorf("the prompt took %v", took)
				}
				for range 3 {
					d.expect("true", "")
				}
				if n := strings.Count(d.Screen(), strings.ReplaceAll(interruptedLine, "\n", "\r\n")); n != 1 {
					t.Errorf("the interruption is told %d times", n)
				}
				d.has("TOKEN", "PLAIN")
				if pids := d.asked(); len(pids) != 1 {
					t.Errorf("the store was asked %d times", len(pids))
				} else if err := syscall.Kill(pids[0], 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("the store's process outlives the wait: %v", err)
				}

				// Elsewhere and back is a new situation, and no new wait.
				d.expect("cd deep", "")
				d.expect("cd ../../other", "kz: +OTHER (other)")
				d.expect("cd ../app", interruptedLine+"\nkz: -OTHER")
				d.expect("", "")
				if n := len(d.asked()); n != 1 {
					t.Errorf("the store was asked %d times", n)
				}
			})
		}
	})
}

// What ends the effect of a Control-C.
func TestTerminalAfterInterrupt(t *testing.T) {
	ways := map[string]struct {
		line, says string
		act        func(d *desk)
	}{
		"kz reload": {line: "kz reload"},
		"an edit":   {act: func(d *desk) { d.file("app/.keyzero.local.toml", "") }},
		"an environment": {
			line: "export KEYZERO_ENV=other", says: "kz: +PLAIN +TOKEN (app/other)",
		},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, way := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: slowFiles, settings: "[hook]\ndeadline = \"1000s\"\n[trust]\nprefixes = [\"~\"]"})
				d.program("bin/store", fmt.Sprintf(slowStore, d.home, "exec sleep 1000;"))
				d.interruptStore("cd app")
				if way.act != nil {
					way.act(d)
				}
				d.interruptStore(way.line)
				d.expect("", "")
				if n := len(d.asked()); n != 2 {
					t.Errorf("the store was asked %d times, want 2", n)
				}
				d.remove("slow")
				if way.says == "" {
					way.says = "kz: +PLAIN +TOKEN (app)"
				}
				d.expect("kz reload", way.says)
				d.has("TOKEN=value of token")

				// What is loaded stays when a later load is interrupted.
				d.file("slow", "")
				d.interruptStore("kz reload")
				d.expect("", "")
				d.has("TOKEN=value of token")
				d.Run("cd ~")
				d.has("TOKEN", "PLAIN")
			})
		}
	})
}

// The user's own traps and options outlive a Control-C that ends the hook.
func TestTerminalInterruptKeepsSettings(t *testing.T) {
	setups := map[string]map[string]string{
		"bash": {
			"options": `set -o noclobber; set -aeuET; trap : ERR; shopt -s extglob`, "a trap": `trap 'echo "trapped"' INT; trap : EXIT`,
			"no trap": ``, "INT is ignored": `trap '' QUIT`,
		},
		"zsh":  {"options": `setopt no_clobber nounset all_export`, "a trap": `trap 'print trapped' INT`, "a function": `TRAPINT() { print trapped; return $((128+$1)) }`, "no trap": ``},
		"fish": {"a trap": `trap 'echo trapped' INT`, "no trap": ``},
	}
	state := map[string]string{"bash": `trap -p; set +o; shopt -p; echo $-`, "zsh": `trap; set -o; functions TRAPINT; echo $-`, "fish": `trap; functions --handlers; set -q fish_trace; echo $status`}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, setup := range setups[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: slowFiles, after: setup, settings: "[hook]\ndeadline = \"1000s\""})
				d.program("bin/store", fmt.Sprintf(slowStore, d.home, "exec sleep 1000;"))
				before := d.Output(state[shell])
				d.interruptStore("cd app")
				d.Run("")
				if after := d.Output(state[shell]); after != before {
					t.Errorf("after Control-C the shell has\n%s\nand had\n%s", after, before)
				}
				if n := len(d.asked()); n != 1 {
					t.Errorf("the store was asked %d times", n)
				}
				d.alive()
			})
		}
	})
}

// A store that is too slow for the user's patience: one line, no second wait,
// and what was loaded before stays.
func TestTerminalDeadline(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: slowFiles, settings: "[hook]\ndeadline = \"300ms\""})
		d.program("bin/store", fmt.Sprintf(slowStore, d.home, "exec sleep 1000;"))
		late := func(line, end string) {
			t.Helper()
			begun := time.Now()
			got := d.says(line)
			t.Logf("%s: at %q the prompt is back after %v", shell, line, time.Since(begun).Round(time.Millisecond))
			if !strings.HasPrefix(got, "kz: TOKEN: store: ") || !strings.HasSuffix(got, end+"\nkz: hint: kz reload") || strings.Count(got, "\n") > 1 {
				t.Errorf("at %q kz says:\n%s", line, got)
			}
		}
		late("cd app", "; nothing is loaded")
		d.has("TOKEN", "PLAIN")
		d.expect("", "")
		d.expect("cd deep", "")
		if n := len(d.asked()); n != 1 {
			t.Errorf("the store was asked %d times", n)
		}

		d.Run("cd ~")
		d.expect("cd app", "kz: loading took too long\nkz: hint: kz reload")
		if n := len(d.asked()); n != 1 {
			t.Errorf("the store was asked %d times", n)
		}

		d.remove("slow")
		d.expect("kz reload", "kz: +PLAIN +TOKEN (app)")
		d.file("slow", "")
		late("kz reload", "; what was loaded before stays")
		d.has("TOKEN=value of token", "PLAIN=kz")
		d.expect("", "")
		if n := len(d.asked()); n != 3 {
			t.Errorf("the store was asked %d times, want 3", n)
		}
		d.expect("cd ~", "kz: -PLAIN -TOKEN")
	})
}
