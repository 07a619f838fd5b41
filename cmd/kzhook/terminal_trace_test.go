package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A value that occurs nowhere else, in the file that the project's reference names.
const (
	canary      = "Canary-5e41b07d93f2"
	canaryFiles = "-- app/ --\n[secrets]\nTOKEN = \"dotenv://values#TOKEN\"\n-- app/values --\nTOKEN=" + canary + "\n"
)

// copies counts the canary in text: plain, in base64 at each alignment, in hex.
func copies(text string) int {
	n := strings.Count(text, canary) + strings.Count(strings.ToLower(text), hex.EncodeToString([]byte(canary)))
	for shift := range 3 {
		// Less the characters that the bytes before and after have a part in.
		code := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + canary))
		code = code[(shift*8+5)/6 : (shift+len(canary))*8/6]
		for _, text := range []string{text, strings.NewReplacer("+", "-", "/", "_").Replace(text)} {
			if c := strings.Count(text, code); c > 0 {
				n += c
				break
			}
		}
	}
	return n
}

// traces are the ways to have a shell show what it does, and what on the screen
// or in the file ~/trace proves that it does.
var traces = map[string]map[string]struct{ setting, screen, file string }{
	"bash": {
		"-x":              {`set -x`, "+ cd app", ""},
		"-v":              {`set -v`, "\n_kz_hook", ""},
		"-x -v":           {`set -xv`, "+ cd app", ""},
		"DEBUG":           {`trap 'printf "%s\n" "$BASH_COMMAND" >>~/trace' DEBUG`, "", "cd app\n"},
		"DEBUG, -T":       {`set -T; trap 'printf "%s\n" "$BASH_COMMAND" >>~/trace' DEBUG`, "", "local _kz_status"},
		"DEBUG, $_":       {`set -T; trap 'printf "%s\n" "$_" >>~/trace' DEBUG`, "", "app\n"},
		"RETURN, -T":      {`set -T; trap 'printf "%s\n" "$BASH_COMMAND $_" >>~/trace' RETURN`, "", "_kz_status"},
		"extdebug":        {`shopt -s extdebug; trap 'printf "%s\n" "$BASH_COMMAND" "${BASH_ARGV[@]}" >>~/trace' DEBUG`, "", "local _kz_status"},
		"ERR, -E":         {`set -E; trap 'printf "%s\n" "$BASH_COMMAND" >>~/trace' ERR`, "", "exit 3"},
		"-x to a file":    {`exec 9>>~/trace; BASH_XTRACEFD=9; set -x`, "", "+ cd app"},
		"-x with PS4":     {`PS4='+ $BASH_COMMAND $_ '; set -x`, "cd app", ""},
		"all, errexit":    {`set -eEuxvT -o pipefail; trap 'printf "%s\n" "$BASH_COMMAND" >>~/trace' DEBUG ERR RETURN`, "+ cd app", "cd app\n"},
		"a function's -t": {`declare -ft $(compgen -A function _kz_); trap 'printf "%s\n" "$BASH_COMMAND" >>~/trace' DEBUG`, "", "_kz_same"},
	},
	"zsh": {
		"-x":               {`set -x`, "> cd app", ""},
		"-v":               {`set -v`, "cd app\r\n", ""},
		"xtrace, verbose":  {`setopt xtrace verbose`, "> cd app", ""},
		"DEBUG":            {`trap 'print -r -- $ZSH_DEBUG_CMD >>~/trace' DEBUG`, "", "cd app\n"},
		"DEBUG afterwards": {`unsetopt debug_before_cmd; trap 'print -r -- $ZSH_DEBUG_CMD $_ >>~/trace' DEBUG`, "", "app\n"},
		"TRAPDEBUG":        {`TRAPDEBUG() { print -r -- $ZSH_DEBUG_CMD >>~/trace }`, "", "_kz_same"},
		"TRAPDEBUG, local": {`setopt local_traps local_options; TRAPDEBUG() { print -r -- $ZSH_DEBUG_CMD $_ >>~/trace }`, "", "_kz_same"},
		"functions -T":     {`functions -T ${(k)functions[(I)_kz_*]}`, "_kz_hook:1> ", ""},
		"functions -t":     {`functions -t ${(k)functions[(I)_kz_*]}`, "_kz_hook:1> ", ""},
		"ZERR":             {`trap 'print -r -- failed $_ >>~/trace' ZERR`, "", "failed"},
		"PS4":              {`PS4='+ $_ '; setopt prompt_subst xtrace`, " cd app", ""},
	},
	"fish": {
		"fish_trace":          {`set -g fish_trace 1`, "> cd app", ""},
		"fish_trace=all":      {`set -g fish_trace all`, "> _kz_same", ""},
		"fish_trace exported": {`set -gx fish_trace all`, "> _kz_same", ""},
	},
}

// However one has a shell show what it does, no value is among it.
func TestTerminalTraces(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, trace := range traces[shell] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: canaryFiles, after: trace.setting})
				d.Run("cd app")
				d.Run("true; false || true")
				d.Run("cd ..")
				d.Run("_kz_hook")
				d.Run("cd app; _kz_hook")
				d.has("TOKEN=" + canary) // and that value is in a file
				d.Run("_kz_off")
				if !strings.Contains(trace.setting, "-e") {
					d.Run("sh -c 'exit 3'")
				}
				d.alive()
				file, _ := os.ReadFile(d.path("trace"))
				if !strings.Contains(d.Screen(), trace.screen) || !strings.Contains(string(file), trace.file) {
					t.Errorf("no trace of %q and %q in\n%s", trace.screen, trace.file, file)
				}
				if n := copies(d.Screen()) + copies(string(file)); n > 0 {
					t.Errorf("the value shows %d times:\n%s", n, file)
				}
			})
		}
	})
}

// What the shell had before under the name of a project's variable may be a secret
// as well: it is taken away and comes back, and neither shows.
func TestTerminalTracesOfEarlierValue(t *testing.T) {
	const files = "-- app/ --\n[env]\nTOKEN = \"x\"\n"
	inShells(t, allShells, func(t *testing.T, shell string) {
		own := "TOKEN=" + canary
		if shell == "fish" {
			own = "set -g TOKEN " + canary
		}
		for what, earlier := range map[string]struct {
			seat seat
			back string
		}{
			"inherited":    {seat{files: files, env: []string{"TOKEN=" + canary}}, "TOKEN=" + canary},
			"not exported": {seat{files: files, before: own}, "TOKEN"},
		} {
			for name, trace := range traces[shell] {
				t.Run(what+", "+name, func(t *testing.T) {
					t.Parallel()
					s := earlier.seat
					s.after = trace.setting
					d := sit(t, shell, s)
					d.Run("cd app")
					d.has("TOKEN=x")
					d.Run("cd ..")
					d.has(earlier.back)
					d.Run("cd app; _kz_hook")
					d.Run("_kz_off")
					d.has(earlier.back)
					d.alive()
					file, _ := os.ReadFile(d.path("trace"))
					if n := copies(d.Screen()) + copies(string(file)); n > 0 {
						t.Errorf("the value shows %d times:\n%s", n, file)
					}
					if got := d.Output("echo $TOKEN"); !strings.Contains(got, canary) {
						t.Errorf("the shell has not its value again: %s", got)
					}
				})
			}
		}
	})
}

// An earlier value is in no child's environment while a project's is in its place.
func TestTerminalEarlierValueIsAway(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nOUT = \"x\"\n-- app/deep/file --\n", env: []string{"OUT=" + canary}})
		for _, place := range []struct {
			dir  string
			want int
		}{{"~", 1}, {"app", 0}, {"deep", 0}, {"~", 1}} {
			d.Run("cd " + place.dir)
			if got := d.Output("/usr/bin/env -0"); copies(got) != place.want {
				t.Errorf("in %s a child sees the value %d times, want %d:\n%s", place.dir, copies(got), place.want, got)
			}
			d.has("OUT=" + map[int]string{0: "x", 1: canary}[place.want])
		}
	})
}

// A value is in its variable, and nowhere else in the shell; its children see it
// once; and what they see of kz besides is small.
func TestTerminalValueIsOnce(t *testing.T) {
	dumps := map[string][]string{
		"bash": {"set", "declare -p", "export -p", "typeset -xp"},
		"zsh":  {"set", "typeset", "typeset -p", "export -p"},
		"fish": {"set", "set --show", "set -gx"},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		// An earlier TOKEN gives the hook something to keep.
		d := sit(t, shell, seat{files: canaryFiles + "-- app/deep/file --\n", after: map[string]string{"fish": "set -g TOKEN x"}[shell]})
		if shell != "fish" {
			d.Run("TOKEN=x")
		}
		for _, place := range []struct {
			dir  string
			want int
		}{{"app", 1}, {"deep", 1}, {"~", 0}} {
			d.Run("cd " + place.dir)
			for _, line := range append(dumps[shell], "/usr/bin/env -0", "history", "_kz_hook") {
				want := place.want
				if line == "history" || line == "_kz_hook" {
					want = 0
				}
				if got := d.Output(line); copies(got) != want {
					t.Errorf("in %s %s prints the value %d times, want %d:\n%s", place.dir, line, copies(got), want, got)
				}
			}
		}
	})
}

func TestTerminalStateIsSmall(t *testing.T) {
	var config, values strings.Builder
	config.WriteString("[secrets]\n")
	for i, name := range strings.Fields("DATABASE_URL REDIS_URL STRIPE_KEY STRIPE_WEBHOOK_SECRET SENTRY_DSN " +
		"AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY SLACK_BOT_TOKEN SESSION_SECRET SMTP_PASSWORD") {
		fmt.Fprintf(&config, "%s = \"dotenv://values#V%d\"\n", name, i)
		fmt.Fprintf(&values, "V%d=%s-%s-%d\n", i, canary, canary, i)
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n" + config.String() + "-- app/values --\n" + values.String()})
		d.Run("cd app")
		env := d.Env()
		if !strings.HasPrefix(env["SMTP_PASSWORD"], canary) {
			t.Fatalf("SMTP_PASSWORD is %q", env["SMTP_PASSWORD"])
		}
		for name, value := range env {
			if strings.Contains(name, "KZ") && len(value) > 1<<10 {
				t.Errorf("%s has %d bytes: %s", name, len(value), value)
			}
		}
		if copies(env["__KZ_STATE"]) > 0 || env["__KZ_STATE"] == "" {
			t.Errorf("the state is %q", env["__KZ_STATE"])
		}
	})
}
