package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// changingStore notes that it was asked and gives what is in ~/value, or fails
// with the words in ~/failure.
const changingStore = `#!/bin/sh
cd %q
echo $$ >>asked
if test -e failure; then cat failure >&2; exit 1; fi
echo "$(cat value) of $1"
`

func sitWithStore(t *testing.T, shell, files string) *desk {
	t.Helper()
	d := sit(t, shell, seat{files: files + "-- value --\nfirst\n-- other/ --\n[env]\nOTHER = \"x\"\n"})
	d.program("bin/store", fmt.Sprintf(changingStore, d.home))
	return d
}

// wantAsked compares how often the store has been asked.
func (d *desk) wantAsked(what string, want int) {
	d.t.Helper()
	if n := len(d.asked()); n != want {
		d.t.Errorf("%s: the store was asked %d times, want %d", what, n, want)
	}
}

// What a remote store gave is not asked for again at the next entering, nor in
// another shell; it is after kz reload, in kz run, and when the cache was cleared.
func TestTerminalCache(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitWithStore(t, shell, "-- app/ --\n[secrets]\nTOKEN = \"store://token\"\n")
		d.expect("cd app", "kz: +TOKEN (app)")
		d.file("value", "second\n")
		d.expect("cd ~/other", "kz: +OTHER -TOKEN (other)")
		d.expect("cd ~/app", "kz: +TOKEN -OTHER (app)")
		d.has("TOKEN=first of token")
		d.wantAsked("entering again", 1)
		if out := d.kz("app", "export", "--format", "json"); !strings.Contains(out, "first of token") {
			t.Errorf("kz export: %s", out)
		}
		d.wantAsked("kz export", 1)

		if out := d.kz("app", "run", "--", "printenv", "TOKEN"); out != "second of token\n" {
			t.Errorf("kz run: %q", out)
		}
		d.wantAsked("kz run", 2)
		d.expect("cd ~", "kz: -TOKEN")
		d.expect("cd app", "kz: +TOKEN (app)")
		d.has("TOKEN=second of token")
		d.wantAsked("after kz run", 2)

		d.file("value", "third\n")
		d.expect("kz reload", "kz: ~TOKEN (app)")
		d.has("TOKEN=third of token")
		d.wantAsked("kz reload", 3)
		if out := d.Output("kz cache list"); !strings.Contains(out, "store token") || strings.Contains(out, "third") {
			t.Errorf("kz cache list: %s", out)
		}
		d.expect("kz cache clear", "kz: forgot all that was kept")
		d.Run("cd ~")
		d.Run("cd app")
		d.wantAsked("kz cache clear", 4)
		d.project("app", "[secrets]\nTOKEN = \"store://token\" # edited\n")
		d.Run("")
		d.wantAsked("another consent", 5)
	})
}

// When a value is past its time the next prompt brings it anew.
func TestTerminalExpiry(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitWithStore(t, shell, "-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"token\", ttl = \"2s\" }\nLONG = \"store://long\"\n[env]\nURL = \"x${TOKEN}\"\n")
		d.expect("cd app", "kz: +LONG +TOKEN +URL (app)")
		begun := time.Now()
		d.file("value", "second\n")
		d.expect("", "")
		if time.Since(begun) < 2*time.Second { // else the machine was too slow to tell
			d.has("TOKEN=first of token")
		}
		time.Sleep(time.Until(begun.Add(3200 * time.Millisecond))) // shells count whole seconds
		d.expect("", "kz: ~TOKEN ~URL (app)")
		d.has("TOKEN=second of token", "URL=xsecond of token", "LONG=first of long")

		// What cannot be had again goes, and only that.
		d.file("failure", "not signed in\n")
		time.Sleep(3200 * time.Millisecond)
		d.expect("", "kz: TOKEN: store: not signed in; what was loaded before is past its time\nkz: URL: needs TOKEN, which has no value\nkz: -TOKEN -URL (app)")
		d.has("TOKEN", "URL", "LONG=first of long")
		d.expect("", "")
		d.remove("failure")
		d.expect("kz reload", "kz: +TOKEN +URL ~LONG (app)")
		d.expect("cd ~", "kz: -LONG -TOKEN -URL")
	})
}

// Whatever was tested where the shell has been before, and whatever the user calls
// EPOCHSECONDS: a time that has passed shows.
func TestTerminalExpiryElsewhere(t *testing.T) {
	const files = "-- plain/ --\n[env]\nPLAIN = \"1\"\n-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"token\", ttl = \"2s\" }\n"
	inShells(t, "bash zsh", func(t *testing.T, shell string) {
		for name, before := range map[string]string{"plain": "", "a clock of one's own": "unset EPOCHSECONDS; EPOCHSECONDS=1"} {
			if shell == "bash" && before != "" {
				continue // whose users may stop their clock
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: files, before: before})
				d.program("bin/store", "#!/bin/sh\ncat ~/value\n")
				d.file("value", "first\n")
				d.age("app", "plain", ".config", ".local")
				d.Run("cd plain")
				d.calm(d.count())
				d.expect("cd ~/app", "kz: +TOKEN -PLAIN (app)")
				d.Run("")
				d.file("value", "second\n")
				time.Sleep(3200 * time.Millisecond)
				d.expect("", "kz: ~TOKEN (app)")
			})
		}
	})
}

// A value past its time lives on while its store cannot be reached, if that is allowed.
func TestTerminalStale(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitWithStore(t, shell, "-- app/ --\n[secrets]\nTOKEN = { provider = \"store\", ref = \"token\", ttl = \"1s\", stale = \"24h\" }\n")
		d.expect("cd app", "kz: +TOKEN (app)")
		d.file("failure", "dial tcp: lookup example.test: no such host\n")
		time.Sleep(2200 * time.Millisecond)
		const said = "kz: TOKEN: the store cannot be reached; its last answer is used, which is past its time"
		d.expect("", said)
		d.has("TOKEN=first of token")
		d.expect("", "")
		d.expect("cd ~", "kz: -TOKEN")
		d.expect("cd app", said+"\nkz: +TOKEN (app)")
		if out := d.kz("app", "run", "--", "printenv", "TOKEN"); out != "first of token\n" {
			t.Errorf("kz run: %q", out)
		}
		d.file("failure", "not signed in\n")
		d.Run("cd ~")
		time.Sleep(3200 * time.Millisecond) // a failure is remembered that long
		d.expect("cd app", "kz: TOKEN: store: not signed in; nothing is loaded")
		d.has("TOKEN")
	})
}

// Of what is loaded and kept no file shows anything.
func TestTerminalLeavesNoValue(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sitWithStore(t, shell, "-- app/ --\n[secrets]\nTOKEN = \"store://token\"\n")
		d.program("bin/store", "#!/bin/sh\nprintf '"+canary[:3]+"%s\\n' "+canary[3:]+"\n")
		d.Run("cd app")
		d.has("TOKEN=" + canary)
		d.Run("cd ~")
		d.Run("cd app")
		if kept, _ := filepath.Glob(d.path("run/keyzero/cache/*.kz")); len(kept) != 1 {
			t.Fatalf("the cache has %v", kept)
		}
		err := walkFiles(d.home, func(path string) {
			// What a child sees of its environment the test itself has written down.
			data, err := os.ReadFile(path)
			if err == nil && copies(string(data)) > 0 && !strings.Contains(path, "out") {
				t.Errorf("%s shows the value", path)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
