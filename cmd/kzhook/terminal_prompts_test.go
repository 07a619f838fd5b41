package main

import (
	"os"
	"strings"
	"testing"
)

// thousand is a loop that does what a thousand prompts do, on its way through
// directories with a project and without.
var thousand = map[string]string{
	"bash": `prompts() { for ((prompts_i = 0; prompts_i < 1000; prompts_i++)); do
  if ((prompts_i % 100 == 10)); then cd ~/app; elif ((prompts_i % 100 == 40)); then cd ~/app/deep; elif ((prompts_i % 100 == 70)); then cd ~; fi
  for prompts_c in "${PROMPT_COMMAND[@]}"; do eval "$prompts_c"; done
done; unset prompts_i prompts_c; }`,
	// A change of directory calls the functions in chpwd_functions by itself.
	"zsh": `prompts() { local prompts_i prompts_f; for prompts_i in {1..1000}; do
  case $prompts_i in (*10) cd ~/app;; (*40) cd ~/app/deep;; (*70) cd ~;; esac
  for prompts_f in "${precmd_functions[@]}"; do "$prompts_f"; done
done }`,
	"fish": `function prompts; for i in (seq 1000)
  switch $i; case '*10'; cd ~/app; case '*40'; cd ~/app/deep; case '*70'; cd ~; end
  emit fish_prompt
end; end`,
}

// prompting are the options under which the prompts come.
var prompting = map[string]map[string]string{
	"bash": {"as they are": "", "strict": "set -eu -o pipefail", "IFS": `set -u; IFS='_kz/.:=0123456789'`},
	"zsh":  {"as they are": "", "strict": "setopt err_exit no_unset pipefail", "arrays": `setopt ksh_arrays sh_word_split; IFS='_kz/.:=0123456789'`},
	"fish": {"as they are": "", "IFS": "set -g IFS _kz"},
}

// A shell that has seen a thousand prompts is as it was: nothing piles up.
func TestTerminalThousandPrompts(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, options := range prompting[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{
					files:  nestedFiles,
					before: settledFunctions[shell] + settings[shell] + "\n" + thousand[shell],
					after:  options,
				})
				d.age("app", ".config", ".local")
				d.Run("cd app")
				d.Run("cd ~")
				before := d.Output(settled[shell])
				runs := d.count()
				d.Run("prompts")
				if n := runs.reset(); n < 20 || n > 60 {
					t.Errorf("on the way through ten visits kz ran %d times", n)
				}
				after := d.Output(settled[shell])
				if gone, added := differences(before, after); gone != "" || added != "" || strings.Count(before, "\n") < 100 {
					t.Errorf("the shell is not as it was: gone is\n%s\nadded is\n%s", gone, added)
				}
				d.has("TOKEN")
				d.alive()
			})
		}
	})
}

// looking has _kz_same say when it is called.
var looking = map[string]string{
	"bash": `looked=$(declare -f _kz_same); eval "looked${looked#_kz_same}"; _kz_same() { echo "kz: looks"; looked; }`,
	"zsh":  `functions[looked]=$functions[_kz_same]; _kz_same() { echo "kz: looks"; looked }`,
}

// At a prompt at which nothing has changed, bash and zsh make one test of what
// could have, wherever they have been before, and only when it fails they look
// more closely.
func TestTerminalCalmPrompts(t *testing.T) {
	const files = nestedFiles + "-- other/sub/file --\n-- timed/ --\n[secrets]\nTIMED = { provider = \"store\", ref = \"x\", ttl = \"1h\" }\n"
	changes := map[string]struct{ does, undo string }{
		"the environment":   {"export KEYZERO_ENV=other", "unset KEYZERO_ENV"},
		"a nearer one":      {"touch .keyzero.toml", "rm .keyzero.toml"},
		"a nearer link":     {"ln -s nowhere .keyzero.toml", "rm .keyzero.toml"},
		"another directory": {"cd ..", ""},
	}
	inShells(t, "bash zsh", func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: files})
		d.program("bin/store", "#!/bin/sh\necho timed\n")
		d.age("app", "other", "timed", ".config", ".local")
		runs := d.count()
		d.Run(looking[shell])
		for _, dir := range []string{"other/sub", "app", "app/deep", "timed"} {
			for change, test := range changes {
				if _, err := os.Lstat(d.path(dir + "/.keyzero.toml")); err == nil && strings.HasPrefix(change, "a nearer") {
					continue
				}
				d.Run("cd ~/" + dir)
				d.calm(runs)
				if got := d.says(test.does); !strings.HasPrefix(got, "kz: looks") {
					t.Errorf("in %s, %s: kz says %q", dir, change, got)
				}
				d.Run(test.undo)
			}
		}
	})
}

// None of the places above HOME counts, and HOME may be changed.
func TestTerminalHome(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- .keyzero.toml --\n[env]\nA = \"1\"\n-- in/x/y/file --\n"})
		d.age(".keyzero.toml", ".config")
		d.Run(map[bool]string{true: "set -gx HOME $HOME/in", false: "export HOME=$HOME/in"}[shell == "fish"])
		d.Run("cd /") // out of what was found below the other home
		runs := d.count()
		for _, line := range []string{"cd ~/x", "", "cd y", "", "cd ~", ""} {
			d.expect(line, "")
		}
		if n := runs.reset(); n != 0 {
			t.Errorf("below another home kz ran %d times", n)
		}
	})
}

// Under nocasematch bash takes names for the same that are not.
func TestTerminalNoCaseMatch(t *testing.T) {
	inShells(t, "bash", func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles + "-- APP/file --\n", after: "shopt -s nocasematch"})
		d.age("app", ".config", ".local")
		d.expect("cd app", "kz: +OUT +PLAIN +TOKEN (app)")
		d.calm(d.count())
		d.expect("cd ../APP", "kz: -OUT -PLAIN -TOKEN")
	})
}
