package shelltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// settings are what a test may put into its rc file, and what the prompt must survive.
var settings = map[string]map[string]string{
	"bash": {
		"PROMPT_COMMAND":        `PROMPT_COMMAND='false'`,
		"PROMPT_COMMAND array":  `PROMPT_COMMAND=('false' 'IFS=x true')`,
		"PS1":                   `PS1='\w$ '; PS0='run '`,
		"allexport":             `set -a`,
		"debug trap":            `shopt -s extdebug; set -T; trap : DEBUG; trap : ERR`,
		"errexit":               `set -e; set -o pipefail`,
		"field separator":       `IFS='kz:<>0123456789'`,
		"hostile aliases":       `alias .=false echo=false builtin=false env=false`,
		"nounset and noclobber": `set -u; set -C`,
		"posix":                 `set -o posix`,
		"syntax error":          `echo )`,
		"xtrace and verbose":    `set -x; set -v`,
	},
	"zsh": {
		"PROMPT":              `PROMPT='%~ '; RPROMPT=right; PROMPT_EOL_MARK=X`,
		"all_export":          `setopt all_export`,
		"csh":                 `setopt csh_junkie_quotes csh_null_glob csh_junkie_history`,
		"emulate ksh":         `emulate ksh`,
		"emulate sh":          `emulate sh`,
		"err_exit":            `setopt err_exit pipe_fail`,
		"err_return":          `setopt err_return`,
		"field separator":     `IFS='kz:<>0123456789'`,
		"hostile aliases":     `alias echo=false setopt=false typeset=false; alias -g true=false`,
		"ksh_arrays":          `setopt ksh_arrays sh_word_split`,
		"no_global_export":    `setopt no_global_export posix_builtins`,
		"nounset, no_clobber": `setopt no_unset no_clobber`,
		"own precmd":          `precmd() { false }; precmd_functions=(precmd)`,
		"prompt_bang":         `setopt prompt_bang no_prompt_percent prompt_sp`,
		"syntax error":        `echo )`,
		"xtrace":              `setopt xtrace extended_glob rc_quotes ignore_braces`,
	},
	"fish": {
		"event handler":   `function own --on-event fish_prompt; false; end`,
		"hostile aliases": `alias source=false; alias env=false; function count; end`,
		"own prompt":      `function fish_prompt; echo '$ '; end; function fish_right_prompt; echo right; end`,
		"syntax error":    `echo )`,
	},
}

func TestPromptSurvives(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		for name, rc := range settings[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := Start(t, Config{Shell: shell, RC: rc})
				s.Run("! /bin/true")
				if got := s.Status(); got != 1 {
					t.Errorf("status of ! true is %d\n%s", got, s.shown())
				}
				s.Run("")
				if got := s.Output("/bin/echo it works"); got != "it works\n" {
					t.Errorf("output is %q\n%s", got, s.shown())
				}
				for name := range s.Env() {
					if strings.Contains(name, "shelltest") {
						t.Errorf("a child sees the harness's %s", name)
					}
				}
			})
		}
	})
}

// A repaint draws the prompt again, and is no new prompt.
func TestRepaint(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		s := Start(t, Config{Shell: shell})
		s.Run("")
		before := s.prompt
		for _, columns := range []int{100, 120, 140} {
			s.Resize(30, columns)
			s.Send("\x0c") // Control-L
			s.AwaitScreen("<kz:")
		}
		s.Send(" ")
		s.AwaitScreen(" ")
		if _, n := s.screen.lastPrompt(); n != before {
			t.Errorf("repaints made prompt %d of %d\n%s", n, before, s.shown())
		}
		if got := s.Run("stty size"); got != "30 140\n" {
			t.Errorf("after Resize the size is %q", got)
		}
	})
}

func TestInterrupt(t *testing.T) {
	// The program says when to interrupt it: see [Session.Interrupt].
	const hook = `own() { test -e slow || return; rm slow; sh -c "echo waiting; exec sleep 1000"; }` + "\n"
	rc := map[string]string{
		"bash": hook + "PROMPT_COMMAND=own",
		"zsh":  hook + "precmd_functions=(own)",
		"fish": `function own --on-event fish_prompt
			test -e slow; or return; rm slow; sh -c "echo waiting; exec sleep 1000"; end`,
	}
	eachShell(t, func(t *testing.T, shell string) {
		s := Start(t, Config{Shell: shell, RC: rc[shell]})

		s.Send("sh -c 'echo going; exec sleep 1000'\r")
		s.AwaitScreen("\ngoing")
		s.Interrupt()
		s.AwaitPrompt()
		if got := s.Status(); got != 130 {
			t.Errorf("status after Control-C is %d", got)
		}

		// And while a hook runs, before the prompt.
		s.Send("touch slow\r")
		s.AwaitScreen("waiting")
		s.Interrupt()
		s.AwaitPrompt()
		if got := s.Run("echo well"); got != "well\n" {
			t.Errorf("after Control-C in a hook: %q\n%s", got, s.shown())
		}

		if shell != "fish" && !drawsForInterrupt(s) {
			t.Errorf("no new prompt for Control-C at a prompt\n%s", s.shown())
		}
	})
}

// drawsForInterrupt reports whether Control-C at a prompt makes a new one. It
// tries again, because the shell may leave one unnoticed until the next.
func drawsForInterrupt(s *Session) bool {
	for range 4 {
		s.Interrupt()
		for timeout := time.After(2 * time.Second); ; {
			if _, n := s.screen.lastPrompt(); n > s.prompt {
				return true
			}
			_, changed := s.screen.contents()
			select {
			case <-changed:
				continue
			case <-timeout:
			}
			break
		}
	}
	return false
}

// The hooks of each shell run as they do for a user, from the first prompt on.
func TestHooksFire(t *testing.T) {
	rc := map[string]string{
		"bash": `PROMPT_COMMAND='echo prompt $PWD >>~/log'`,
		"zsh": `precmd() { echo prompt $PWD >>~/log }
			chpwd() { echo moved $PWD >>~/log }
			preexec() { echo line $1 >>~/log }`,
		"fish": `function p --on-event fish_prompt; echo prompt $PWD >>~/log; end
			function m --on-variable PWD; echo moved $PWD >>~/log; end
			function x --on-event fish_preexec; echo line $argv >>~/log; end`,
	}
	full := "prompt HOME\nline cd /\nmoved /\nprompt /\nline cd ~\nmoved HOME\nprompt HOME\n"
	want := map[string]string{"bash": "prompt HOME\nprompt /\nprompt HOME\n", "zsh": full, "fish": full}
	eachShell(t, func(t *testing.T, shell string) {
		home, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s := Start(t, Config{Shell: shell, Home: home, RC: rc[shell]})
		s.Run("cd /")
		s.Run("cd ~")
		log, err := os.ReadFile(filepath.Join(home, "log"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(string(log), home, "HOME"); got != want[shell] {
			t.Errorf("hooks wrote %q, want %q", got, want[shell])
		}
	})
}
