package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// edits are what can happen to files while a shell is in the project app, which
// has loaded TOKEN=one, and what kz says at the next prompt.
var edits = map[string]struct {
	edit  func(d *desk)
	says  string
	token string
	after func(d *desk) // leads back to where it began
	back  string
}{
	"edited": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "[env]\nTOKEN = \"two\"\n") },
		says: "kz: ~TOKEN (app)", token: "two",
	},
	"another variable": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "[env]\nOTHER = \"two\"\n") },
		says: "kz: +OTHER -TOKEN (app)",
	},
	"replaced by an older one": {
		edit: func(d *desk) {
			d.file("old", "[env]\nTOKEN = \"old\"\n")
			d.setTime("old", time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC))
			d.rename("old", "app/.keyzero.toml")
		},
		says: "kz: ~TOKEN (app)", token: "old",
	},
	"copied over with the time of an older one": {
		edit: func(d *desk) {
			d.file("app/.keyzero.toml", "[env]\nTOKEN = \"old\"\n")
			d.setTime("app/.keyzero.toml", time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
		},
		says: "kz: ~TOKEN (app)", token: "old",
	},
	"from the future": {
		edit: func(d *desk) {
			d.file("app/.keyzero.toml", "[env]\nTOKEN = \"later\"\n")
			d.setTime("app/.keyzero.toml", time.Now().Add(1000*time.Hour))
		},
		says: "kz: ~TOKEN (app)", token: "later",
	},
	"deleted": {
		edit: func(d *desk) { d.remove("app/.keyzero.toml") },
		says: "kz: -TOKEN",
	},
	"a directory": {
		edit: func(d *desk) { d.remove("app/.keyzero.toml"); d.file("app/.keyzero.toml/file", "") },
		says: "kz: HOME/app/.keyzero.toml: not a regular file\nkz: -TOKEN",
	},
	"a FIFO": {
		edit: func(d *desk) {
			d.remove("app/.keyzero.toml")
			if err := syscall.Mkfifo(d.path("app/.keyzero.toml"), 0o600); err != nil {
				d.t.Fatal(err)
			}
		},
		says: "kz: HOME/app/.keyzero.toml: not a regular file\nkz: -TOKEN",
	},
	"a link that leads nowhere": {
		edit: func(d *desk) { d.remove("app/.keyzero.toml"); d.link("nowhere", "app/.keyzero.toml") },
		says: "kz: HOME/app/.keyzero.toml: is a symbolic link; kz reads regular files only\nkz: -TOKEN",
	},
	"a link": {
		edit: func(d *desk) {
			d.file("real", "[env]\n")
			d.remove("app/.keyzero.toml")
			d.link("../real", "app/.keyzero.toml")
		},
		says: "kz: HOME/app/.keyzero.toml: is a symbolic link; kz reads regular files only\nkz: -TOKEN",
	},
	"ten megabytes": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "[env]\n"+strings.Repeat("# comment\n", 1<<20)) },
		says: "kz: HOME/app/.keyzero.toml: larger than 64 KiB\nkz: -TOKEN",
	},
	"not TOML": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "[env\n") },
		says: "kz: HOME/app/.keyzero.toml:1: not TOML: expected ']' to close table name\nkz: -TOKEN",
	},
	"a provider that is unknown": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "[secrets]\nTOKEN = \"nowhere://x\"\n") },
		says: "kz: HOME/app/.keyzero.toml:2: TOKEN: unknown provider \"nowhere\"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, pass, sops, store, systemd, vault\nkz: -TOKEN",
	},
	"a secret that is missing": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "[secrets]\nTOKEN = \"env://NOWHERE\"\n") },
		says: "kz: TOKEN: env: NOWHERE is not set; what was loaded before stays", token: "one",
	},
	"empty": {
		edit: func(d *desk) { d.file("app/.keyzero.toml", "") },
		says: "kz: -TOKEN",
	},
	"a local file": {
		edit:  func(d *desk) { d.file("app/.keyzero.local.toml", "[env]\nTOKEN = \"mine\"\n") },
		says:  "kz: ~TOKEN (app)",
		token: "mine",
		after: func(d *desk) { d.remove("app/.keyzero.local.toml") },
	},
	"a nearer one": {
		edit:  func(d *desk) { d.file("app/deep/.keyzero.toml", "[env]\nTOKEN = \"near\"\n") },
		says:  "kz: ~TOKEN (deep)",
		token: "near",
		after: func(d *desk) { d.remove("app/deep/.keyzero.toml") },
	},
	"a nearer link to nothing": {
		edit:  func(d *desk) { d.link("nowhere", "app/deep/.keyzero.toml") },
		says:  "kz: HOME/app/deep/.keyzero.toml: is a symbolic link; kz reads regular files only\nkz: -TOKEN",
		after: func(d *desk) { d.remove("app/deep/.keyzero.toml") },
	},
	"touched": {
		edit:  func(d *desk) { d.setTime("app/.keyzero.toml", time.Now()) },
		token: "one",
		after: func(*desk) {},
	},
}

func (d *desk) setTime(name string, at time.Time) {
	d.t.Helper()
	if err := os.Chtimes(d.path(name), at, at); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) link(to, name string) {
	d.t.Helper()
	if err := os.Symlink(to, d.path(name)); err != nil {
		d.t.Fatal(err)
	}
}

// What happens to the files shows at the next prompt, and so does its end.
func TestTerminalEdits(t *testing.T) {
	const config = "[env]\nTOKEN = \"one\"\n"
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, test := range edits {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{
					files:    "-- app/ --\n" + config + "-- app/deep/file --\n",
					settings: "[trust]\nprefixes = [\"~\"]",
				})
				d.walk([]step{{"cd app/deep", "kz: +TOKEN (app)", "one"}})
				runs := d.count()
				d.calm(runs)

				test.edit(d)
				d.walk([]step{{"", test.says, test.token}, {"", "", test.token}})
				d.calm(runs)
				if test.after == nil {
					test.after = func(d *desk) { d.remove("app/.keyzero.toml"); d.file("app/.keyzero.toml", config) }
				}
				test.after(d)
				d.Run("")
				d.walk([]step{{"", "", "one"}, {"cd", "kz: -TOKEN", ""}})
			})
		}
	})
}

// However fast one edits, and however little the edit shows: the last one counts.
func TestTerminalQuickEdits(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n", settings: "[trust]\nprefixes = [\"~\"]"})
		d.Run("cd app")
		for i := range 12 {
			d.file("app/.keyzero.toml", fmt.Sprintf("[env]\nTOKEN = \"%02d\"\n", i))
			d.Run("")
			if i%2 == 0 { // else the next edit comes at once
				d.has(fmt.Sprintf("TOKEN=%02d", i))
			}
		}
		d.has("TOKEN=11")
		for range 4 { // while the file is too young to have a twin
			d.file("app/.keyzero.toml", "[env]\nTOKEN = \"12\"\n")
			d.Run("")
			d.remove("app/.keyzero.toml")
			d.link("nowhere", "app/.keyzero.toml")
			d.Run("")
			d.has("TOKEN")
			d.remove("app/.keyzero.toml")
		}
	})
}
