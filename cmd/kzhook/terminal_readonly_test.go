package main

import (
	"strings"
	"testing"
)

// A variable that is readonly in the shell costs that one variable.
func TestTerminalReadonly(t *testing.T) {
	const files = "-- app/ --\n[env]\nA = \"kz\"\nB = \"kz\"\nC = \"kz\"\n-- app/deep/file --\n"
	const notice = "kz: B is readonly in this shell and stays as it is"
	tests := map[string]struct {
		declare  string // typed before entering
		env      []string
		in, out  string // what kz says then
		b, after string // what a child sees of B inside, and after leaving
	}{
		"a plain one": {
			declare: `readonly B=mine`, in: "kz: +A +B +C (app)", out: "kz: -A -C\nkz: changed by hand, left as it is: B", b: "B", after: "B",
		},
		"an exported one": {
			declare: `readonly B`, env: []string{"B=mine"}, in: "kz: +A +C ~B (app)", out: "kz: -A -C\nkz: changed by hand, left as it is: B", b: "B=mine", after: "B=mine",
		},
		"an integer": {
			declare: `typeset -ir B=5`, in: "kz: +A +B +C (app)", out: "kz: -A -C\nkz: changed by hand, left as it is: B", b: "B", after: "B",
		},
		"one that is empty": {
			declare: `readonly B`, in: "kz: +A +B +C (app)", out: "kz: -A -C\nkz: changed by hand, left as it is: B", b: "B", after: "B",
		},
	}
	inShells(t, "bash zsh", func(t *testing.T, shell string) {
		for name, test := range tests {
			for _, options := range []string{"", "set -eu"} {
				t.Run(name+" "+options, func(t *testing.T) {
					t.Parallel()
					d := sit(t, shell, seat{files: files, env: test.env})
					d.Run(test.declare)
					d.Run(options)
					for range 2 {
						d.expect("cd app", test.in+"\n"+notice)
						d.has("A=kz", test.b, "C=kz")
						d.expect("", "")
						d.expect("cd deep", "")
						d.has("A=kz", test.b, "C=kz")
						d.Run("cd ~")
						d.has("A", test.after, "C")
						d.alive()
					}
					if t.Failed() {
						return
					}
					d.Run("cd app")
					d.expect("cd ~", test.out)
				})
			}
		}
	})
}

// One that becomes readonly while it is loaded stays, and the rest unloads.
func TestTerminalReadonlyInside(t *testing.T) {
	const files = "-- app/ --\n[env]\nA = \"kz\"\nB = \"kz\"\nC = \"kz\"\n"
	inShells(t, "bash zsh", func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: files})
		d.Run("cd app")
		d.Run("readonly B")
		d.expect("cd ~", "kz: -A -B -C\nkz: B is readonly in this shell and stays as it is")
		d.has("A", "B=kz", "C")
		d.expect("", "")
		d.alive()
	})
}

// Names that mean something to a shell, which users may allow, cost at most themselves.
func TestTerminalSpecialNames(t *testing.T) {
	names := strings.Fields("RANDOM SECONDS LINENO UID EUID PPID GROUPS FUNCNAME BASH_ARGV EPOCHSECONDS OPTIND DIRSTACK " +
		"status version history argv HOSTNAME i n name reply REPLY MATCH pipestatus umask signals COLUMNS")
	config := "[env]\nFIRST = \"kz\"\nlast = \"kz\"\n"
	for _, name := range names {
		config += name + " = \"7\"\n"
	}
	settings := "[names]\nallow = [\"" + strings.Join(names, "\", \"") + "\"]"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/.keyzero.toml --\n" + config, settings: "[trust]\nprefixes = [\"~\"]\n" + settings})
		for range 2 {
			d.Run("cd app")
			d.has("FIRST=kz", "last=kz", "n=7")
			d.expect("", "")
			d.Run("cd ~")
			d.has("FIRST", "last", "n")
			d.expect("", "")
			d.alive()
		}
		d.Run("_kz_off")
		d.alive()
	})
}
