package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// registered prints where a shell has the hook, and every name that begins like ours.
var registered = map[string]string{
	"bash": `declare -p PROMPT_COMMAND; compgen -v | grep -i '^_*kz_'; compgen -A function | grep -i kz; alias; trap`,
	"zsh":  `print -rl -- $precmd_functions $chpwd_functions ${(k)parameters[(I)(#i)_#kz_*]} ${(k)functions[(I)*kz*]}; alias; trap`,
	"fish": `set -n | string match -ri '^_*kz_.*'; functions -an | string match '*kz*'; functions --handlers | string match -v '*shelltest*'`,
}

const zshGlobs = "setopt extended_glob\n"

// Sourcing the hook again, in a project or outside, changes nothing.
func TestTerminalHookTwice(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles, after: zshGlobs, env: []string{"OUT=outer"}})
		again := strings.TrimSpace(hookLine(shell))
		d.Run("cd app; cd ..")
		before := d.Output(registered[shell])
		for range 3 {
			d.Run(again)
		}
		if got := d.Output(registered[shell]); got != before {
			t.Errorf("after sourcing the hook again the shell has\n%s\nand had\n%s", got, before)
		}
		if shell == "fish" {
			d.Run("set -g PLAIN mine")
		} else {
			d.Run("PLAIN=mine")
		}
		runs := d.count()
		d.expect("cd app", "kz: +PLAIN +TOKEN ~OUT (app)")
		d.calm(runs)
		d.expect(again, "")
		d.has("TOKEN=kz", "OUT=kz")
		if n := runs.reset(); n > 1 {
			t.Errorf("kz ran %d times after the hook was sourced again, want at most 1", n)
		}
		d.expect("cd ~", "kz: ~OUT -PLAIN -TOKEN")
		if n := runs.reset(); n != 1 {
			t.Errorf("kz ran %d times on leaving, want 1", n)
		}
		d.has("TOKEN", "OUT=outer")
		if got := d.Output(`echo "$PLAIN"`); got != "mine\n" {
			t.Errorf("PLAIN is %q", got)
		}
	})
}

// The hook comes first, so that prompts see what was loaded.
func TestTerminalHookIsFirst(t *testing.T) {
	setups := map[string]map[string]seat{
		"bash": {
			"a string": {before: `PROMPT_COMMAND='echo "saw=$TOKEN"'`},
			"an array": {before: `PROMPT_COMMAND=('echo "saw=$TOKEN"' true)`},
			"appended": {after: `PROMPT_COMMAND+=('echo "saw=$TOKEN"')`},
			"joined":   {after: `PROMPT_COMMAND="$PROMPT_COMMAND"$'\n''echo "saw=$TOKEN"'`},
			"joined ;": {after: `PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND; }"'echo "saw=$TOKEN"'`},
		},
		"zsh": {
			"precmd_functions": {before: `see() { echo "saw=$TOKEN" }; precmd_functions=(see)`},
			"precmd":           {before: `precmd() { echo "saw=$TOKEN" }`},
			"add-zsh-hook":     {after: `autoload -Uz add-zsh-hook; see() { echo "saw=$TOKEN" }; add-zsh-hook precmd see`},
		},
		"fish": {
			"a handler": {after: `function see --on-event fish_prompt; echo "saw=$TOKEN"; end`},
		},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, setup := range setups[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				setup.files = nestedFiles
				d := sit(t, shell, setup)
				if got := d.Run("cd app"); !strings.Contains(got, "saw=kz\n") {
					t.Errorf("on entering the prompt says %q", got)
				}
				if got := d.Run("cd .."); !strings.Contains(got, "saw=\n") {
					t.Errorf("on leaving the prompt says %q", got)
				}
			})
		}
	})
}

// _kz_off leaves the shell as it was before the hook, loaded or not.
func TestTerminalOff(t *testing.T) {
	setups := map[string]map[string]string{
		"bash": {"nothing": "", "an array": `PROMPT_COMMAND=(true 'echo hi')`, "a string": `PROMPT_COMMAND=true`, "empty": `PROMPT_COMMAND=`},
		"zsh":  {"nothing": "", "functions": `mine() { true }; precmd_functions=(mine); chpwd_functions=(mine)`},
		"fish": {"nothing": "", "a handler": `function mine --on-event fish_prompt; end`},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, setup := range setups[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles, env: []string{"OUT=outer"}, before: zshGlobs + setup, noHook: true})
				prepare := map[string]string{"fish": "set -g PLAIN mine"}[shell]
				if prepare == "" {
					prepare = "PLAIN=mine"
				}
				d.Run(prepare)
				before := d.Output(registered[shell])
				for _, line := range []string{"", "export TOKEN=hand", "export PLAIN=hand"} {
					d.Run(strings.TrimSpace(hookLine(shell)))
					d.expect("cd app", "kz: +PLAIN +TOKEN ~OUT (app)")
					d.Run(line)
					d.Run("_kz_off")
					d.has("OUT=outer", "__KZ_STATE")
					if line == "" {
						d.has("TOKEN", "PLAIN")
					}
					d.expect("cd deep", "")
					d.expect("cd ~", "")
					if got := withoutEmptyCommand(d.Output(registered[shell])); got != withoutEmptyCommand(before) {
						t.Errorf("after _kz_off the shell has\n%s\nand had\n%s", got, before)
					}
					d.alive()
					if shell == "fish" {
						d.Run("set -e TOKEN; set -e PLAIN; " + prepare)
					} else {
						d.Run("unset TOKEN PLAIN; " + prepare)
					}
				}
			})
		}
	})
}

// withoutEmptyCommand takes different ways to have the same PROMPT_COMMAND, or
// none, for one.
func withoutEmptyCommand(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "declare -"); ok {
			value = value[strings.IndexByte(value, ' ')+1:]
			line = strings.NewReplacer("[0]=", "", "[1]=", "", "[2]=", "", `"`, "", "(", "", ")", "").Replace(value)
		}
		if strings.TrimSpace(line) != "PROMPT_COMMAND=" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// What others joined to the hook in PROMPT_COMMAND goes on without it.
func TestTerminalOffJoined(t *testing.T) {
	joined := map[string]string{
		"after ;":         `PROMPT_COMMAND="$PROMPT_COMMAND; see"`,
		"after a newline": `PROMPT_COMMAND=$PROMPT_COMMAND$'\nsee'`,
		"before":          `PROMPT_COMMAND="see; $PROMPT_COMMAND"`,
		"both":            `PROMPT_COMMAND="true;${PROMPT_COMMAND};see"`,
		"as in old bash":  `PROMPT_COMMAND=$'_kz_hook && \\builtin true\nsee'`,
	}
	inShells(t, "bash", func(t *testing.T, shell string) {
		for name, line := range joined {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles, after: "see() { echo seen; }\n" + line})
				d.Run("_kz_off")
				for range 2 {
					if got := d.Run("cd app"); got != "seen\n" {
						t.Errorf("after _kz_off the prompt says %q", got)
					}
					d.Run("cd ~; " + strings.TrimSpace(hookLine(shell)))
					d.Run("_kz_off")
				}
				if got := d.Output("declare -p PROMPT_COMMAND"); strings.Contains(got, "_kz") {
					t.Errorf("left is %s", got)
				}
			})
		}
	})
}

// Scripts may call the hook, and so load and unload.
func TestTerminalHookInScripts(t *testing.T) {
	options := map[string][]string{"bash": {"", "set -eu -o pipefail", "set -e", "set -o posix"}, "zsh": {"", "setopt errexit nounset pipefail", "emulate sh"}, "fish": {""}}
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles})
		for _, option := range options[shell] {
			script := option + "\n" + hookLine(shell) + `
cd app; _kz_hook
printenv TOKEN
cd ..; _kz_hook
printenv TOKEN || echo none
cd app; _kz_hook
_kz_off
printenv TOKEN || echo none
`
			d.file("script", script)
			flags := map[string][]string{"zsh": {"-f"}, "bash": {"--norc"}, "fish": {"--no-config"}}[shell]
			cmd := exec.Command(shell, append(flags, d.path("script"))...)
			cmd.Dir = d.home
			cmd.Env = []string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=" + d.path("bin") + ":/usr/bin:/bin", "LANG=C.UTF-8"}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || string(out) != "kz\nnone\nnone\n" {
				t.Errorf("with %q the script prints %q, %v\n%s", option, out, err, stderr.String())
			}
		}
	})
}

// The first prompt of a shell calls kz where there is something to load or to
// check, once, and elsewhere not at all.
func TestTerminalFirstPrompt(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles})
		d.age("app", ".config", ".local")
		runs := d.count()
		for _, place := range []struct {
			dir, says string
			runs      int
		}{{"~", "", 0}, {"~/app", "kz: +OUT +PLAIN +TOKEN (app)", 1}, {".", "", 1}, {"deep", "", 1}} {
			d.expect("exec "+d.nestedStart(shell, "cd "+place.dir), place.says)
			d.expect("", "")
			if n := runs.reset(); n != place.runs {
				t.Errorf("in a shell that starts in %s kz ran %d times, want %d", place.dir, n, place.runs)
			}
		}
		d.has("TOKEN=kz")
	})
}

// A hook that is sourced in a shell that has a project's variables already, and
// one that is sourced in the project's directory.
func TestTerminalHookInside(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles, dir: "app"})
		d.has("TOKEN=kz")
		if n := strings.Count(d.Screen(), "kz: +OUT +PLAIN +TOKEN (app)"); n != 1 {
			t.Errorf("a shell that starts in a project says so %d times", n)
		}
		// As after exec, which leaves nothing but the environment.
		env := d.Env()
		state := fmt.Sprintf("export __KZ_STATE=%s TOKEN=kz OUT=kz PLAIN=kz", env["__KZ_STATE"])
		e := sit(t, shell, seat{noHook: true})
		e.Run("export HOME=" + d.home + " XDG_STATE_HOME=" + d.path(".local/state") + " XDG_DATA_HOME=" + d.path(".local/share"))
		e.Run(state)
		e.expect(strings.TrimSpace(hookLine(shell)), "kz: -OUT -PLAIN -TOKEN")
		e.has("TOKEN", "OUT", "__KZ_STATE")
	})
}
