package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// hostileValues are what a store may hold.
var hostileValues = []string{
	"plain", "two words", " leading", "trailing ", "it's", `"double"`, "$HOME", "${HOME}", "$(touch pwned)", "`touch pwned`", "a$$b", "!!", "!$", "!x",
	"one\ntwo", "\n", "\n\n", "ends\n", "tab\there", "cr\rx", "crlf\r\nx", "\x1b[31m", "\a\b\x01\x7f", "ünï", "漢字😀", "\xff\xfe", "a\x80b", "\u2028", "\u202e",
	"-n", "-e", "--", "*", "?", "[a-z]", "{a,b}", "~", "~root", "%s%n", "%(?.x.y)", "100%", `back\slash`, `\`, `\n`, `\\`, `\'`, `'\''`, "a:b:c", "a||b", "a&&b;c", "(paren)",
	"() { :; }; touch pwned", "() { touch pwned; }", "=x", "#x", "a=b", "a[$(touch pwned)]", "<(touch pwned)", ">pwned", "^x^y", "a\\\nb", "'; touch pwned; '", `"; touch pwned; "`,
	strings.Repeat("long $(touch pwned) ", 3000), "{\"json\": [1, \"2\"]}", "-----BEGIN KEY-----\nabc\n-----END KEY-----",
}

// Every value arrives in the shell's children as the store has it.
func TestTerminalValues(t *testing.T) {
	config := "[secrets]\n"
	for i := range hostileValues {
		config += fmt.Sprintf("V%d = \"store://%d\"\n", i, i)
	}
	config += "[env]\nEMPTY = \"\"\n"
	inShells(t, allShells, func(t *testing.T, shell string) {
		for _, locale := range []string{"C.UTF-8", "C"} {
			t.Run(locale, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: "-- app/ --\n" + config, env: []string{"LANG=" + locale, "LC_ALL=" + locale}})
				d.program("bin/store", fmt.Sprintf("#!/bin/sh\ncat '%s/values/'$1; echo\n", d.home))
				var want, absent []string
				for i, value := range hostileValues {
					d.file(fmt.Sprintf("values/%d", i), value)
					want = append(want, fmt.Sprintf("V%d=%s", i, value))
					absent = append(absent, fmt.Sprintf("V%d", i))
				}
				for range 2 {
					d.Run("cd app")
					d.has(append(want, "EMPTY=")...)
					if got := d.Output("bash -c 'compgen -A function'; sh -c 'echo well'"); got != "well\n" {
						t.Errorf("a value became a function: %q", got)
					}
					d.Run("cd ~")
					d.has(append(absent, "EMPTY")...)
				}
				d.nothingExecuted()
			})
		}
	})
}

// A state that kz did not make counts as none, and that is said once.
func TestTerminalForgedState(t *testing.T) {
	const said = "kz: __KZ_STATE is not readable; what it stood for stays as it is"
	states := map[string]string{"garbage": "garbage", "empty": "''", "hostile": `'$(touch pwned)'`, "large": "", "another user's": ""}
	inShells(t, allShells, func(t *testing.T, shell string) {
		other := sit(t, shell, seat{files: nestedFiles})
		other.Run("cd app")
		foreign := other.Env()["__KZ_STATE"]
		for name, state := range states {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles, env: []string{"BIG=" + strings.Repeat("A", 120<<10)}})
				switch name {
				case "large":
					state = `"$BIG"`
				case "another user's":
					state = foreign
				}
				d.Run("cd app; export __KZ_STATE=" + state)
				d.Run("cd ~")
				if got := d.Screen(); strings.Count(got, said) != 1 && name != "empty" {
					t.Errorf("the state is told %d times", strings.Count(got, said))
				}
				d.expect("", "")
				d.alive()
				d.Run("cd app")
				d.has("TOKEN=kz")
				d.nothingExecuted()
			})
		}
	})
}

// What kz keeps on disk does not grow with the prompts.
func TestTerminalLeavesNoFiles(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: canaryFiles + "-- app/deep/file --\n"})
		count := func() (n int) {
			for _, dir := range []string{"run/keyzero", ".local/state/keyzero", ".local/share/keyzero", "app"} {
				_ = walkFiles(d.path(dir), func(path string) {
					n++
					if data, err := os.ReadFile(path); err == nil && !strings.HasSuffix(path, "/values") && copies(string(data)) > 0 {
						t.Errorf("%s has the value", path)
					}
				})
			}
			return n
		}
		d.Run("cd app")
		d.Run("cd ~")
		before := count()
		for range 5 {
			d.Run("cd app")
			d.Run("cd deep")
			d.Run("kz reload")
			d.setTime("app/.keyzero.toml", time.Now())
			d.Run("")
			d.Run("cd ~")
		}
		if after := count(); after > before+2 { // the mark of a reload, and its twin
			t.Errorf("there were %d files, and now are %d", before, after)
		}
	})
}
