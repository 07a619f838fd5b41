package main

import (
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
