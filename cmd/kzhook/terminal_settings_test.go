package main

import (
	"strings"
	"testing"
)

// settled prints what a shell has besides variables, and the names of these.
var settled = map[string]string{
	"bash": `trap -p; set +o; shopt -p; printf %q "$IFS"; umask; echo; fds; jobs -l; declare -p PROMPT_COMMAND; bind -p; stty -a; ` +
		`alias; pwd; ulimit -a; hash -r; compgen -v | own; compgen -A function; complete -p; enable -a; declare -p DIRSTACK`,
	"zsh": `trap; set -o; printf %q "$IFS"; umask; echo; fds; jobs -l; print -rl -- "$precmd_functions" "$chpwd_functions"; bindkey -L; ` +
		`stty -a; alias -L; pwd; ulimit -a; print -rl -- ${(k)parameters} | own; print -rl -- ${(ok)functions}; dirs`,
	"fish": `trap; umask; fds; jobs; bind; stty -a; abbr; pwd; ulimit -a; set -n | own; functions -an | string match -rv '^(__fish|fish_|_shelltest)'; functions --handlers; complete`,
}

// Variables that change by themselves, ours, and the harness's.
const own = `LC_ALL=C sort | grep -Ev '^(_|__KZ_STATE|_kz_.*|BASH_.*|RANDOM|SRANDOM|EPOCH.*|SECONDS|LINENO|COLUMNS|LINES|OLDPWD|PIPESTATUS|_shelltest.*|` +
	`history|status|CMD_DURATION|pipestatus|fish_.*|REPLY|MATCH|M(BEGIN|END)|match|mbegin|mend|BUFFER|argv|TTYIDLE|SAVEHIST)$'`

// Globs, because a program that lists the descriptors sees those of its own start.
var settledFunctions = map[string]string{
	"bash": `fds() { echo /proc/$$/fd/*; }; own() { ` + own + `; }` + "\n",
	"zsh":  `fds() { echo /proc/$$/fd/* }; own() { ` + own + ` }` + "\n",
	"fish": `function fds; echo /proc/$fish_pid/fd/*; end` + "\n" +
		`function own; ` + strings.ReplaceAll(own, "LC_ALL=C sort", "env LC_ALL=C sort") + `; end` + "\n",
}

// settings are what users have, which no prompt may change.
var settings = map[string]string{
	"bash": `trap 'echo interrupted' INT; trap : EXIT; trap : DEBUG; trap : ERR; trap : RETURN; trap '' QUIT; trap : USR1
set -o noclobber -o physical; shopt -s extglob nullglob autocd; IFS=$' \t\n,'; umask 027; exec 7>/dev/null; alias ll='ls -l'
PROMPT_COMMAND+=('true one'); bind '"\C-x1": "x"'; sleep 1000 & disown -r; sleep 1001 &`,
	"zsh": `TRAPINT() { print interrupted; return 130 }; trap : EXIT; trap : USR1; TRAPDEBUG() { : }; trap : ZERR; trap '' QUIT
setopt no_clobber extended_glob null_glob; IFS=$' \t\n\0,'; umask 027; exec 7>/dev/null; alias ll='ls -l'; alias -g G='| grep'
mine() { true }; precmd_functions+=(mine); chpwd_functions+=(mine); bindkey '^X1' beep; sleep 1001 &`,
	"fish": `trap 'echo interrupted' INT; trap true USR1; trap true EXIT; umask 027; alias ll='ls -l'; abbr -a g git
function mine --on-event fish_prompt; end; bind \cx beep; sleep 1001 &`,
}

// Whatever the user has set up is as it was, after many prompts and visits.
func TestTerminalLeavesSettingsAlone(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		for _, where := range []string{"before", "after"} {
			t.Run("set "+where+" the hook", func(t *testing.T) {
				t.Parallel()
				s := seat{files: nestedFiles, before: settledFunctions[shell]}
				if where == "before" {
					s.before += settings[shell]
				} else {
					s.after = settings[shell]
				}
				d := sit(t, shell, s)
				d.Run("cd app")
				d.Run("cd ..")
				before := d.Output(settled[shell])
				if strings.Count(before, "\n") < 100 {
					t.Fatalf("%s says only\n%s", shell, before)
				}
				for range 5 {
					d.expect("cd app", "kz: +OUT +PLAIN +TOKEN (app)")
					d.Run("")
					d.Run("cd deep")
					d.expect("cd ~", "kz: -OUT -PLAIN -TOKEN")
					d.Run("")
				}
				after := d.Output(settled[shell])
				if gone, added := differences(before, after); gone != "" || added != "" {
					t.Errorf("the shell is not as it was: gone is\n%s\nadded is\n%s", gone, added)
				}
				d.alive()
			})
		}
	})
}

// differences returns the lines that only one of two texts has.
func differences(before, after string) (gone, added string) {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]++
	}
	for line := range strings.Lines(after) {
		if count[line]--; count[line] < 0 {
			added += line
		}
	}
	for line := range strings.Lines(before) {
		if count[line]--; count[line] >= 0 {
			gone += line
		}
	}
	return gone, added
}

// What the user's own functions see at a prompt is what the last line left.
func TestTerminalKeepsStatus(t *testing.T) {
	const note = `seen="$seen $?:${PIPESTATUS[*]}"`
	setups := map[string]map[string]seat{
		"bash": {
			"an array":       {before: `note() { ` + note + `; }; PROMPT_COMMAND=(note)`},
			"a string":       {before: `note() { ` + note + `; }; PROMPT_COMMAND=note`},
			"set afterwards": {after: `note() { ` + note + `; }; PROMPT_COMMAND+=(note)`},
			// As older shells have it, $? is what counts.
			"after the hook": {after: `note() { seen="$seen $?:3 1 7"; }; PROMPT_COMMAND=$'_kz_hook\nnote'`},
		},
		"zsh": {
			"functions":      {before: `note() { seen="$seen $?:$pipestatus" }; precmd_functions=(note)`},
			"precmd":         {before: `precmd() { seen="$seen $?:$pipestatus" }`},
			"set afterwards": {after: `note() { seen="$seen $?:$pipestatus" }; precmd_functions+=(note)`},
		},
		"fish": {
			"before": {before: `function note --on-event fish_prompt; set -g seen "$seen $status:$pipestatus"; end`},
			"after":  {after: `function note --on-event fish_prompt; set -g seen "$seen $status:$pipestatus"; end`},
		},
	}
	line := map[string]string{"fish": "set seen; cd DIR; sh -c 'exit 3' | false | sh -c 'exit 7'"}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, setup := range setups[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				setup.files = nestedFiles
				d := sit(t, shell, setup)
				for _, dir := range []string{"app", ".", ".."} { // loading, nothing to do, unloading
					typed := line[shell]
					if typed == "" {
						typed = "seen=; cd DIR; (exit 3) | false | (exit 7)"
					}
					d.Run(strings.ReplaceAll(typed, "DIR", dir))
					if got := strings.TrimSpace(d.Output("echo $seen")); got != "7:3 1 7" {
						t.Errorf("at the prompt after cd %s the user's function sees %q", dir, got)
					}
					d.Run(strings.ReplaceAll(typed, "DIR", "."))
					if got := d.Status(); got != 7 {
						t.Errorf("the status after cd %s is %d", dir, got)
					}
				}
			})
		}
	})
}

// A trap of the user's runs as often as it would without kz.
func TestTerminalTrapsRunOnce(t *testing.T) {
	traps := map[string]map[string]string{
		"bash": {
			"ERR":        `trap 'errs=$((errs+1))' ERR`,
			"ERR, -E":    `set -E; trap 'errs=$((errs+1))' ERR`,
			"after hook": ``,
		},
		"zsh": {
			"ZERR":     `trap 'errs=$((errs+1))' ZERR`,
			"TRAPZERR": `TRAPZERR() { errs=$((errs+1)) }`,
		},
	}
	inShells(t, "bash zsh", func(t *testing.T, shell string) {
		for name, trap := range traps[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := seat{files: nestedFiles, before: trap}
				if trap == "" {
					s.after = traps[shell]["ERR"]
				}
				d := sit(t, shell, s)
				for _, line := range []string{"cd app; errs=0; false", "errs=0; false", "cd; errs=0; false"} {
					d.Run(line)
					if got := d.Output(`echo "$errs"`); got != "1\n" {
						t.Errorf("after %q the trap has run %q times", line, got)
					}
				}
			})
		}
	})
}
