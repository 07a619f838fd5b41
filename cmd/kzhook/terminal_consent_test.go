package main

import (
	"os"
	"testing"
	"time"
)

// What is decided in one terminal acts in the others, at the next prompt.
func TestTerminalConsentFromElsewhere(t *testing.T) {
	const notAllowed = "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow"
	const changed = "kz: ./.keyzero.toml has changed since it was allowed; read it, then run: kz allow"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{})
		d.file("app/.keyzero.toml", "[env]\nTOKEN = \"one\"\n")
		runs := d.count()
		d.walk([]step{{"cd app", notAllowed, ""}, {"", "", ""}})
		d.calm(runs)

		d.allow("app")
		d.walk([]step{{"", "kz: +TOKEN (app)", "one"}})
		d.calm(runs)

		d.kz("app", "deny")
		d.walk([]step{{"", "kz: ./.keyzero.toml is denied; to lift that, run: kz allow\nkz: -TOKEN", ""}, {"", "", ""}})
		d.calm(runs)

		d.allow("app")
		d.walk([]step{{"", "kz: +TOKEN (app)", "one"}})
		d.file("app/.keyzero.toml", "[env]\nTOKEN = \"two\"\n")
		d.walk([]step{{"", changed + "\nkz: -TOKEN", ""}, {"", "", ""}})
		d.calm(runs)

		d.file("app/.keyzero.toml", "[env]\nTOKEN = \"one\"\n")
		d.walk([]step{{"", "kz: +TOKEN (app)", "one"}})
		d.file("app/.keyzero.local.toml", "")
		d.walk([]step{{"", changed + "\nkz: -TOKEN", ""}})
		d.allow("app")
		d.walk([]step{{"", "kz: +TOKEN (app)", "one"}})
		d.calm(runs)

		d.remove(".local/share/keyzero/trust")
		d.walk([]step{{"", notAllowed + "\nkz: -TOKEN", ""}})
	})
}

// Variables that say that nobody is there to ask consent to nothing.
func TestTerminalConsentUnderCI(t *testing.T) {
	const notAllowed = "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{env: []string{"CI=1", "GITHUB_ACTIONS=true", "GITLAB_CI=true", "BUILDKITE=true"}})
		d.file("app/.keyzero.toml", "[env]\nTOKEN = \"one\"\n")
		d.walk([]step{
			{"cd app", notAllowed, ""},
			{"", "", ""},
			{"kz run -- touch ran", notAllowed, ""},
			{"kz export", notAllowed, ""},
		})
		if _, err := os.Lstat(d.path("app/ran")); err == nil {
			t.Error("a command ran in a directory that is not allowed")
		}
		d.allow("app")
		d.walk([]step{{"", "kz: +TOKEN (app)", "one"}})
		d.file("app/.keyzero.toml", "[env]\nTOKEN = \"two\"\n")
		d.walk([]step{{"", "kz: ./.keyzero.toml has changed since it was allowed; read it, then run: kz allow\nkz: -TOKEN", ""}})
	})
}

// A directory that one enters through a link, and one that is itself renamed.
func TestTerminalConsentIsForAPlace(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nTOKEN = \"one\"\n"})
		d.link("app", "link")
		d.walk([]step{
			{"cd link", "kz: +TOKEN (app)", "one"},
			{"cd ../app", "", "one"},
			{"mv ../app ../moved; cd ../moved", "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow\nkz: -TOKEN", ""},
			{"cd ..; cp -Rp moved app; cd app", "kz: +TOKEN (app)", "one"},
		})
	})
}

// What is no business of kz's costs nothing, or a look.
func TestTerminalUnrelatedFiles(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nTOKEN = \"one\"\n-- app/deep/file --\n"})
		runs := d.count()
		d.walk([]step{{"cd app/deep", "kz: +TOKEN (app)", "one"}})
		d.calm(runs)
		for _, name := range []string{"app/deep/new", "app/.env", "app/.envrc", "app/.keyzero.toml~", "file", ".config/other"} {
			d.file(name, "TOKEN=wrong")
			d.has("TOKEN=one")
			d.remove(name)
			d.has("TOKEN=one")
		}
		if n := runs.reset(); n != 0 {
			t.Errorf("kz ran %d times because of files that are not its own", n)
		}

		// Touching the configuration makes it look once, and once more if the
		// touch was so recent that another edit could hide behind it.
		d.setTime("app/.keyzero.toml", time.Now().Add(-time.Minute))
		d.expect("", "")
		if n := runs.reset(); n != 1 {
			t.Errorf("after the configuration was touched kz ran %d times, want 1", n)
		}
		d.Run("")
		d.has("TOKEN=one")
		if n := runs.reset(); n != 0 {
			t.Errorf("long after the configuration was touched kz ran %d times", n)
		}
	})
}

// The user's own configuration counts, too, wherever it is kept.
func TestTerminalOwnSettings(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[secrets]\nTOKEN = \"store://x\"\n-- dot/a --\n" +
			"[providers.store]\ntype = \"command\"\ncommand = [\"/bin/echo\", \"from a\"]\n" +
			"-- dot/b --\n[providers.store]\ntype = \"command\"\ncommand = [\"/bin/echo\", \"from b\"]\n"})
		const config = ".config/keyzero/config.toml"
		d.setTime("dot/a", time.Now().Add(-time.Hour))
		d.remove(config)
		d.link("../../dot/a", config)
		d.walk([]step{{"cd app", "kz: +TOKEN (app)", "from a x"}})
		d.remove(config)
		d.link("../../dot/b", config)
		// The project is the same, and its store is another.
		d.walk([]step{{"", "kz: ~TOKEN (app)", "from b x"}, {"", "", "from b x"}})

		d.remove(config)
		d.file(config, "[hook\n")
		d.walk([]step{{"", "kz: HOME/.config/keyzero/config.toml:1: not TOML: expected ']' to close table name\nkz: -TOKEN", ""}, {"", "", ""}})
		d.remove(config)
		d.walk([]step{{"", "kz: HOME/app/.keyzero.toml:2: TOKEN: unknown provider \"store\"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, pass, sops, systemd, vault", ""}, {"", "", ""}})
	})
}
