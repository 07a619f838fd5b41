package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What is wrong is said once, and again after leaving and coming back, when it is
// wrong in another way, or when there is another file to allow.
func TestTerminalSaysOnce(t *testing.T) {
	problems := map[string]struct{ files, line, settings string }{
		"not allowed": {"-- app/.keyzero.toml --\n[env]\nA = \"b\"\n",
			"kz: ./.keyzero.toml is not allowed; read it, then run: kz allow", ""},
		"not TOML": {"-- app/.keyzero.toml --\n[env\n",
			"kz: HOME/app/.keyzero.toml:1: not TOML: expected ']' to close table name", "[trust]\nprefixes = [\"~\"]"},
		"a missing secret": {"-- app/.keyzero.toml --\n[secrets]\nA = \"env://NOWHERE\"\n",
			"kz: A: env: NOWHERE is not set; nothing is loaded", "[trust]\nprefixes = [\"~\"]"},
		"an unknown provider": {"-- app/.keyzero.toml --\n[secrets]\nA = \"nowhere://x\"\n",
			"kz: HOME/app/.keyzero.toml:2: A: unknown provider \"nowhere\"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, pass, sops, store, systemd, vault", "[trust]\nprefixes = [\"~\"]"},
		"several": {"-- app/.keyzero.toml --\n[secrets]\nA = \"nowhere://x\"\nLD_PRELOAD = \"env://X\"\nB = \"nowhere://x\"\n",
			"kz: HOME/app/.keyzero.toml:2: A: unknown provider \"nowhere\"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, pass, sops, store, systemd, vault\n" +
				"kz: and 2 more\nkz: hint: kz validate", "[trust]\nprefixes = [\"~\"]"},
		"nothing to inherit": {"-- app/.keyzero.toml --\ninherit = true\n",
			"kz: HOME/app/.keyzero.toml: inherit: there is no .keyzero.toml further up", "[trust]\nprefixes = [\"~\"]"},
		"a refused name": {"-- app/.keyzero.toml --\n[env]\nLD_PRELOAD = \"x\"\n",
			"kz: HOME/app/.keyzero.toml:2: LD_PRELOAD: changes how programs run, so projects may not set it (LD_*)", "[trust]\nprefixes = [\"~\"]"},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, problem := range problems {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: problem.files + "-- app/deep/file --\n", settings: problem.settings})
				for range 2 {
					d.expect("cd app", problem.line)
					for _, line := range []string{"", "true", "cd .", "_kz_hook"} {
						d.expect(line, "")
					}
					d.expect("cd ~", "")
				}
				d.expect("cd app", problem.line)
				// One that nobody allowed is another to read, of which there is the same to say.
				d.file("app/.keyzero.toml", "nonsense = 1\n")
				if got := d.says(""); got == "" || (got == problem.line) != (problem.settings == "") {
					t.Errorf("of another file kz says %q", got)
				}
				d.expect("", "")
				d.alive()
			})
		}
	})
}

// A project that is half right loads what it can, and says the rest once.
func TestTerminalOptionalSecret(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[secrets]\nA = { provider = \"env\", ref = \"NOWHERE\", required = false }\nB = \"dotenv://values#B\"\n" +
			"-- app/values --\nB=b\n"})
		d.expect("cd app", "kz: A: env: NOWHERE is not set\nkz: +B (app)")
		d.has("A", "B=b")
		d.expect("", "")
		d.expect("cd ~", "kz: -B")
	})
}

// KZ_LOG says how much is said, at each moment.
func TestTerminalLog(t *testing.T) {
	const files = "-- app/ --\n[env]\nA = \"b\"\n-- bad/.keyzero.toml --\n[env]\n"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: files, env: []string{"KZ_LOG=none"}})
		for _, line := range []string{"cd app", "", "cd ../bad", "", "cd ~"} {
			if got := d.Run(line); got != "" {
				t.Errorf("with KZ_LOG=none kz says %q", got)
			}
		}
		d.Run("export KZ_LOG=debug")
		if got := d.says("cd app"); !strings.Contains(got, "kz: +A (app)") || !strings.Contains(got, "kz: debug: HOME/app/.keyzero.toml: 1 variables loaded") {
			t.Errorf("with KZ_LOG=debug kz says %q", got)
		}
		d.expect("", "")
		d.expect("export KZ_LOG=normal", "")
		d.expect("cd ~", "kz: -A")
	})
}

// Long lists are cut to the terminal's width.
func TestTerminalWidth(t *testing.T) {
	names := strings.Fields("ALPHA_SECRET BRAVO_SECRET CHARLIE_SECRET DELTA_SECRET ECHO_SECRET FOXTROT_SECRET GOLF_SECRET HOTEL_SECRET " +
		"INDIA_SECRET JULIETT_SECRET KILO_SECRET LIMA_SECRET MIKE_SECRET NOVEMBER_SECRET")
	config := "[env]\n"
	for _, name := range names {
		config += name + " = \"x\"\n"
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n" + config, env: []string{"COLUMNS=7"}})
		for _, columns := range []int{40, 80, 100, 240, 1000} {
			d.Resize(40, columns)
			for _, line := range []string{"cd app", "cd ~"} {
				said := d.says(line)
				all := strings.Count(said, "_SECRET") == len(names)
				if all != (columns >= 240) || all == strings.Contains(said, "more") {
					t.Errorf("in %d columns kz says %q", columns, said)
				}
				if n := utf8.RuneCountInString(said); n > columns {
					t.Errorf("in %d columns kz says %d characters: %q", columns, n, said)
				}
				if columns == 100 && strings.Count(said, "_SECRET") < 4 {
					t.Errorf("in %d columns kz says only %q", columns, said)
				}
			}
		}
	})
}

// With many hooks firing for one change, it is said once; with the terminal gone
// or its reader, nothing breaks.
func TestTerminalOutputElsewhere(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nA = \"b\"\n"})
		if got := d.says("cd app; cd .; cd ../app"); strings.Count(got, "+A") != 1 {
			t.Errorf("kz says %q", got)
		}
		d.Run("cd ~")
		d.Run("cd app 2>/dev/full; _kz_hook 2>/dev/full")
		d.has("A=b")
		d.Run("cd ~ >/dev/full; _kz_hook >/dev/full")
		d.has("A")
	})
}
