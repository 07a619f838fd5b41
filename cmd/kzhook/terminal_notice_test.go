package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// KZ_LOG counts at the very next prompt, and so does its end.
func TestTerminalNoticesLog(t *testing.T) {
	const debug = "kz: debug: HOME/app/.keyzero.toml: 1 variables loaded"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: simpleFiles, after: unsetFunction[shell]})
		d.age("app", ".config", ".local")
		d.expect("cd app", loadedLine)
		d.expect("", "")
		runs := d.count()
		d.calm(runs)
		if got := d.says("export KZ_LOG=debug"); !strings.HasPrefix(got, debug) {
			t.Errorf("at the prompt after KZ_LOG=debug kz says %q", got)
		}
		d.expect("", "")
		d.calm(runs)
		for _, line := range []string{"export KZ_LOG=none", "UNSET KZ_LOG", "export KZ_LOG=normal"} {
			d.expect(line, "")
			if n := runs.reset(); n != 1 {
				t.Errorf("after %q kz ran %d times, want 1", line, n)
			}
			d.has("TOKEN=kz")
			d.calm(runs)
		}
		if got := d.says("export KZ_LOG=debug"); !strings.HasPrefix(got, debug) {
			t.Errorf("at the prompt after KZ_LOG=debug kz says %q", got)
		}
	})
}

// Edits that leave size and second as they were, in a file that was quiet for
// long, show at the very next prompt, each of them.
func TestTerminalNoticesSameSize(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nTOKEN = \"a\"\n", settings: "[trust]\nprefixes = [\"~\"]"})
		d.age("app", ".config")
		d.Run("cd app")
		second := time.Now().Add(-time.Minute).Truncate(time.Second)
		for i, value := range strings.Split("bcdefgh", "") {
			d.calm(d.count())
			d.file("app/.keyzero.toml", "[env]\nTOKEN = \""+value+"\"\n")
			d.setTime("app/.keyzero.toml", second.Add(time.Duration(i+1)*time.Millisecond))
			d.expect("", "kz: ~TOKEN (app)")
			d.has("TOKEN=" + value)
		}
	})
}

// Whenever Control-C comes while kz runs: there is a prompt again in time, the
// terminal is as before, and the shell works.
func TestTerminalInterruptAnyTime(t *testing.T) {
	const deadline = time.Second
	moments := 6
	if cycleCount() > 1000 {
		moments = 100
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: slowFiles, settings: "[hook]\ndeadline = \"" + deadline.String() + "\""})
		d.store(`exec sleep 1000`)
		terminal := d.Run("stty -a")
		for i := range moments {
			d.Send("cd app\r")
			d.AwaitScreen("\n")
			// Between the start of kz, of the store, and of the line about it.
			time.Sleep(time.Duration(i) * 400 * time.Millisecond / time.Duration(moments))
			begun := time.Now()
			d.Interrupt()
			// If no shell heeds it, as while it starts a program, the deadline ends the wait.
			// How many prompts come of it differs, so wait for one after a word. zsh may
			// take the first key together with a Control-C that it has not heeded.
			d.Send("\r")
			d.Send(fmt.Sprintf("echo word'%d'\r", i))
			d.AwaitScreen(fmt.Sprintf("\nword%d\n<kz:", i))
			if took := time.Since(begun); took > 2*deadline+patience {
				t.Errorf("the prompt took %v", took)
			}
			d.Run("")
			d.Run("cd ~")
			d.has("TOKEN", "PLAIN", "__KZ_STATE")
			d.alive()
			d.kz("app", "reload") // or else the next entering would not ask the store
		}
		if after := d.Run("stty -a"); after != terminal {
			t.Errorf("the terminal was\n%s\nand is\n%s", terminal, after)
		}
	})
}
