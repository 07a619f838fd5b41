package main

import (
	"fmt"
	"strings"
	"testing"
)

// nested is what a shell reads that a shell starts, and how it is started. Its
// prompts have higher numbers, so that they count as new ones.
var nested = map[string]struct{ file, text, start string }{
	"bash": {"nested/bashrc", `_shelltest=(%d); PS1='<kz:$((_shelltest[0]+=1))> '; `, "bash --rcfile ~/nested/bashrc -i"},
	"zsh": {
		"nested/.zshrc", `setopt prompt_subst; unsetopt prompt_sp prompt_cr; typeset -gA _shelltest; _shelltest[n]=%d;
PROMPT='<kz:$((_shelltest[n] += 1))> '; `, "env ZDOTDIR=$HOME/nested zsh -o no_global_rcs -i",
	},
	"fish": {
		"nested/fishrc", `set -g _shelltest (seq %d); set -g fish_greeting; function fish_title; end
function _shelltest_count --on-event fish_prompt; set -ga _shelltest x; end
function fish_prompt; echo -n "<kz:"(count $_shelltest)"> "; end
`, "fish -C 'source ~/nested/fishrc' -i",
	},
}

// bump makes the prompts of a shell begin at a higher number.
var bump = map[string]string{
	"bash": "_shelltest[0]=%d", "zsh": "_shelltest[n]=%d", "fish": "set -g _shelltest (seq %d)",
}

// nest starts a shell in the shell of the desk, or in its place.
func (d *desk) nest(shell string, replace bool) string {
	d.t.Helper()
	start := d.nestedStart(shell, "")
	if replace {
		return d.says("exec " + start)
	}
	return d.says(fmt.Sprintf(bump[d.shell], d.nested+500) + "; " + start)
}

// nestedStart returns the line that starts another shell, which reads first and
// then the hook. The outer one's prompts are to go on 500 later.
func (d *desk) nestedStart(shell, first string) string {
	d.t.Helper()
	d.nested += 1000
	n := nested[shell]
	d.file(n.file, first+"\n"+fmt.Sprintf(n.text, d.nested)+"\n"+hookLine(shell))
	return n.start
}

const nestedFiles = "-- app/ --\n[env]\nTOKEN = \"kz\"\nOUT = \"kz\"\nPLAIN = \"kz\"\n-- app/deep/file --\n"

// A shell started in a project knows what is loaded, and both can leave.
func TestTerminalShellInShell(t *testing.T) {
	pairs := map[string][]string{"bash": {"bash", "zsh"}, "zsh": {"zsh", "bash"}, "fish": {"fish"}}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for _, inner := range pairs[shell] {
			t.Run(inner+" in "+shell, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles, env: []string{"OUT=outer"}})
				d.Run(map[string]string{"fish": "set -g PLAIN mine"}[shell] + map[bool]string{true: "PLAIN=mine"}[shell != "fish"])
				d.expect("cd app", "kz: +PLAIN +TOKEN ~OUT (app)")

				if said := d.nest(inner, false); said != "" {
					t.Errorf("the inner shell begins with %q", said)
				}
				d.has("TOKEN=kz", "OUT=kz", "PLAIN=kz")
				d.expect("cd deep", "")
				d.expect("cd ~", "kz: ~OUT -PLAIN -TOKEN")
				d.has("TOKEN", "OUT=outer", "PLAIN")
				d.expect("cd app", "kz: +PLAIN +TOKEN ~OUT (app)")
				d.expect("export TOKEN=hand", "")
				d.Run("exit")

				d.has("TOKEN=kz", "OUT=kz", "PLAIN=kz")
				d.expect("cd ~", "kz: ~OUT -PLAIN -TOKEN")
				d.has("TOKEN", "OUT=outer", "PLAIN")
				if got := d.Output(`echo "$PLAIN"`); got != "mine\n" {
					t.Errorf("PLAIN is %q afterwards", got)
				}
			})
		}
	})
}

// A shell that takes the place of another, and one that begins outside while
// its parent is inside.
func TestTerminalExec(t *testing.T) {
	pairs := map[string][]string{"bash": {"bash", "zsh"}, "zsh": {"zsh", "bash"}, "fish": {"fish"}}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for _, inner := range pairs[shell] {
			t.Run(inner+" for "+shell, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles, env: []string{"OUT=outer"}})
				d.expect("cd app", "kz: +PLAIN +TOKEN ~OUT (app)")
				if said := d.nest(inner, true); said != "" {
					t.Errorf("the new shell begins with %q", said)
				}
				d.has("TOKEN=kz", "OUT=kz", "PLAIN=kz")
				d.expect("cd ~", "kz: ~OUT -PLAIN -TOKEN")
				d.has("TOKEN", "OUT=outer", "PLAIN")
			})
		}
	})
}

// A shell whose first directory is not the project's unloads at its first prompt.
func TestTerminalShellElsewhere(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles, env: []string{"OUT=outer"}})
		d.Run("cd app")
		d.expect("exec "+d.nestedStart(shell, "cd ~"), "kz: ~OUT -PLAIN -TOKEN")
		d.has("TOKEN", "OUT=outer", "PLAIN")
	})
}

// A subshell, a script and a program have what is loaded, and no hook.
func TestTerminalChildren(t *testing.T) {
	inShells(t, "bash zsh", func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles})
		d.Run("cd app")
		for _, line := range []string{"(printenv TOKEN)", shell + " -c 'cd ~; printenv TOKEN'", "sh -c 'cd ~; printenv TOKEN'", "printenv TOKEN | cat"} {
			if got := d.Output(line); got != "kz\n" {
				t.Errorf("%s prints %q", line, got)
			}
		}
		d.Run("cd ~")
		// zsh runs the hook on each change of directory, bash at prompts.
		want := map[string]string{"bash": "", "zsh": "kz\n"}[shell]
		if got := d.Output("(cd app; printenv TOKEN)"); got != want {
			t.Errorf("in a subshell TOKEN is %q, want %q", got, want)
		}
		d.has("TOKEN")
	})
}

// Universal variables of fish show again, and nothing shadows them.
func TestTerminalUniversalVariables(t *testing.T) {
	inShells(t, "fish", func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nU = \"kz\"\nUX = \"kz\"\nUL = \"kz\"\nBOTH = \"kz\"\n"})
		d.nest(shell, true) // the harness starts one that has no universal variables
		d.Run("set -U U old; set -Ux UX old; set -U UL a b; set -U BOTH universal; set -g BOTH global")
		show := "set --show U UX UL BOTH"
		before := d.Output(show)
		if !strings.Contains(before, "$U: set in universal scope") {
			t.Fatalf("fish knows no universal variables:\n%s", before)
		}
		for range 2 {
			d.Run("cd app")
			d.has("U=kz", "UX=kz", "UL=kz", "BOTH=kz")
			d.Run("cd ~")
			d.has("U", "UX=old", "UL", "BOTH")
			if got := d.Output(show); got != before {
				t.Errorf("after leaving:\n%s\nwant\n%s", got, before)
			}
		}
		// Changed elsewhere meanwhile, it has that value.
		d.Run("cd app")
		d.Run("set -U U new")
		d.Run("cd ~")
		if got := d.Output("echo $U"); got != "new\n" {
			t.Errorf("U is %q", got)
		}
	})
}
