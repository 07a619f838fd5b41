package main

import (
	"os"
	"strings"
	"testing"
)

// matrix are the options, aliases and functions under which a hook must work.
var matrix = map[string]map[string]string{
	"bash": {
		"errexit":       `set -e`,
		"nounset":       `set -u`,
		"strict":        `set -eu -o pipefail`,
		"strict, -E":    `set -eEuo pipefail; trap : ERR`,
		"noclobber":     `set -o noclobber`,
		"posix":         `set -o posix`,
		"posix, strict": `set -eu -o posix`,
		"IFS e":         `IFS=e`,
		"IFS":           `IFS='_kz/.:=0123456789'`,
		"IFS unset":     `unset IFS`,
		"IFS empty":     `IFS=`,
		"allexport":     `set -a`,
		"noglob":        `set -f`,
		"physical":      `set -P`,
		"nocasematch":   `shopt -s nocasematch`,
		"extdebug":      `shopt -s extdebug`,
		"extdebug trap": `shopt -s extdebug; trap : DEBUG`,
		"globs":         `shopt -s failglob nullglob dotglob globstar extglob nocaseglob`,
		"assoc":         `shopt -s assoc_expand_once execfail lastpipe localvar_inherit localvar_unset`,
		"compat":        `shopt -s compat42; BASH_COMPAT=4.2`,
		"no history":    `set +o history +H`,
		"aliases": `alias local=false eval=false export=false unset=false printf=false declare=false builtin=false test=false ` +
			`return=false break=false true=false typeset=false set=false`,
		"PROMPT_COMMAND unset":  `unset PROMPT_COMMAND`,
		"PROMPT_COMMAND empty":  `PROMPT_COMMAND=`,
		"PROMPT_COMMAND array":  `PROMPT_COMMAND=(true false)`,
		"PROMPT_COMMAND fails":  `PROMPT_COMMAND='false'`,
		"PROMPT_COMMAND export": `export PROMPT_COMMAND=true`,
		"functions":             `test() { false; }; printf() { false; }; cd() { builtin cd "$@"; }; true() { return 1; }`,
		"restricted hash":       `set +h; hash -r`,
	},
	"zsh": {
		"nounset":         `setopt nounset`,
		"errexit":         `setopt errexit`,
		"errreturn":       `setopt errreturn`,
		"strict":          `setopt errexit nounset pipefail errreturn`,
		"arrays":          `setopt ksh_arrays sh_word_split glob_subst`,
		"globs":           `setopt no_nomatch csh_null_glob extended_glob glob_assign ksh_glob`,
		"global warnings": `setopt warn_create_global warn_nested_var`,
		"builtins":        `setopt posix_builtins posix_identifiers posix_strings posix_traps posix_aliases`,
		"no exports":      `setopt no_global_export`,
		"quotes":          `setopt csh_junkie_quotes rc_quotes csh_junkie_history csh_junkie_loops`,
		"rc_quotes":       `setopt rc_quotes`,
		"all_export":      `setopt all_export`,
		"sh":              `emulate sh`,
		"ksh":             `emulate ksh`,
		"csh":             `emulate csh`,
		"functions":       `setopt no_function_argzero no_multi_func_def local_options local_traps; setopt no_short_loops`,
		"interaction":     `setopt no_clobber correct_all auto_cd cdable_vars chase_links pushd_silent no_bad_pattern`,
		"ignore braces":   `setopt ignore_braces no_equals magic_equal_subst no_bare_glob_qual`,
		"IFS":             `IFS='_kz/.:=0123456789'`,
		"IFS empty":       `IFS=`,
		"aliases": `alias local=false eval=false export=false unset=false print=false typeset=false builtin=false emulate=false setopt=false ` +
			`trap=false return=false break=false unfunction=false`,
		"global aliases": `alias -g kz=false true=false hook=false zsh=false DEBUG=false shell=false TOKEN=false in=x local=false typeset=false eval=false`,
		"suffix aliases": `alias -s toml=false`,
		"function":       `chpwd() { true }; precmd() { false }; cd() { builtin cd "$@" }; print() { false }; typeset -a precmd_functions`,
		"arrays unset":   `unset precmd_functions chpwd_functions`,
		"hook arrays":    `autoload -Uz add-zsh-hook; mine() { false }; add-zsh-hook precmd mine; add-zsh-hook chpwd mine`,
		"no aliases":     `setopt no_aliases`,
		"typeset silent": `setopt typeset_silent no_unset`,
	},
	"fish": {
		"nothing":        ``,
		"source":         `function source; false; end`,
		"aliases":        `alias source=false; alias echo=false; alias math=false`,
		"functions":      `function echo; end; function math; end; function cd; builtin cd $argv; end; function contains; false; end; function count; end; function functions; end`,
		"more functions": `function printf; end; function true; false; end; function string_; end; function emit; end; function eval; end`,
		"fish_trace":     `set -g fish_trace`,
		"IFS":            `set -g IFS _kz`,
		"handler of PWD": `function mine --on-variable PWD; false; end; function more --on-event fish_prompt; false; end`,
	},
}

// Under every setting loading, moving and unloading work, and the shell lives on.
func TestTerminalMatrix(t *testing.T) {
	const files = "-- app/ --\n[env]\nTOKEN = '''it's $x `y`'''\nOUT = \"kz\"\nPLAIN = \"kz\"\nARRAY = \"kz\"\n-- app/deep/file --\n"
	own := map[string]string{
		"bash": `PLAIN=mine; ARRAY=(a 'b c')`, "zsh": `PLAIN=mine; ARRAY=(a 'b c')`, "fish": `set -g PLAIN mine; set -g ARRAY a 'b c'`,
	}
	const loaded, unloaded = "kz: +ARRAY +PLAIN +TOKEN ~OUT (app)", "kz: ~OUT -ARRAY -PLAIN -TOKEN"
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, setting := range matrix[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				// Before the setting, for under all_export they would be exported.
				d := sit(t, shell, seat{files: strings.ReplaceAll(files, "`", "\\`"), before: own[shell] + "\n" + setting, env: []string{"OUT=outer"}})
				ours := d.Output(ourVariables[shell])
				d.expect("cd app", loaded)
				d.has("TOKEN=it's $x `y`", "OUT=kz", "PLAIN=kz", "ARRAY=kz")
				d.expect("cd deep", "")
				d.expect("cd ~", unloaded)
				d.has("TOKEN", "OUT=outer", "PLAIN", "ARRAY")
				if got := d.Output(ourVariables[shell]); got != ours {
					t.Errorf("PLAIN and ARRAY are\n%s\nwant\n%s", got, ours)
				}
				for name := range d.Env() {
					if strings.HasPrefix(strings.ToLower(strings.TrimLeft(name, "_")), "kz_") {
						t.Errorf("outside a child sees %s", name)
					}
				}
				d.alive()
				d.Run("! true")
				d.Run("_kz_off")
				d.alive()
				if _, err := os.Lstat(d.path("pwned")); err == nil {
					t.Error("something was executed")
				}
			})
		}
	})
}

var ourVariables = map[string]string{
	"bash": `declare -p PLAIN ARRAY`, "zsh": `builtin \typeset -p PLAIN ARRAY`, "fish": `set --show PLAIN ARRAY`,
}
