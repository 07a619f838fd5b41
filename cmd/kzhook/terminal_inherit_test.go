package main

import (
	"strings"
	"testing"
)

const inheritFiles = `
-- top/ --
[env]
TOKEN = "top"
TOP = "top"
-- top/middle/ --
inherit = true
[env]
TOKEN = "middle"
MIDDLE = "middle"
-- top/middle/low/ --
inherit = true
[env]
TOKEN = "low"
-- top/middle/low/deep/file --
`

// A configuration that builds on others sees their changes, and waits for
// consent to these.
func TestTerminalInherits(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: inheritFiles})
		d.walk([]step{
			{"cd top/middle/low/deep", "kz: +MIDDLE +TOKEN +TOP (low)", "low"},
			{"cd ../..", "kz: ~TOKEN (middle)", "middle"},
			{"cd ..", "kz: ~TOKEN -MIDDLE (top)", "top"},
			{"cd middle/low", "kz: +MIDDLE ~TOKEN (low)", "low"},
		})
		runs := d.count()
		d.calm(runs)
		text := "[env]\nTOKEN = \"top\"\nTOP = \"new\"\n"
		d.file("top/.keyzero.toml", text)
		if got := d.says(""); !strings.Contains(got, "inherits from a file that has changed") && !strings.Contains(got, "has changed since it was allowed") {
			t.Errorf("after a change further up kz says %q", got)
		}
		d.has("TOKEN", "TOP", "MIDDLE")
		d.expect("", "")
		d.calm(runs)
		d.allow("top")
		d.allow("top/middle")
		d.allow("top/middle/low")
		d.expect("", "kz: +MIDDLE +TOKEN +TOP (low)")
		d.has("TOKEN=low", "TOP=new", "MIDDLE=middle")
		d.remove("top/.keyzero.toml")
		if got := d.says(""); !strings.HasSuffix(got, "kz: -MIDDLE -TOKEN -TOP") {
			t.Errorf("without the file further up kz says %q", got)
		}
		d.expect("", "")
	})
}

// A directory that one reaches by a link has the parents that its name shows.
func TestTerminalLogicalParents(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: moveFiles + "-- two/deep/file --\n"})
		d.link("../two/deep", "one/link")
		runs := d.count()
		d.walk([]step{{"cd one/link", "kz: +TOKEN (one)", "first"}, {"", "", "first"}})
		d.calm(runs)
		if shell != "fish" {
			d.walk([]step{{"cd -P .", "kz: +OTHER ~TOKEN (two)", "second"}, {"cd ..", "", "second"}})
			d.calm(runs)
		}
		d.walk([]step{{"cd ~", map[bool]string{true: "kz: -TOKEN", false: "kz: -OTHER -TOKEN"}[shell == "fish"], ""}})
	})
}

// What a file says of itself does not count before it is allowed, and what lies
// around never.
func TestTerminalSaysOfItself(t *testing.T) {
	files := map[string]string{
		"trusted":         "-- app/.keyzero.toml --\n[trust]\nprefixes = [\"/\"]\n[env]\nTOKEN = \"x\"\n",
		"quiet":           "-- app/.keyzero.toml --\nquiet = true\nallow = true\n[env]\nTOKEN = \"x\"\n",
		"names":           "-- app/.keyzero.toml --\n[names]\nallow = [\"TOKEN\"]\n[env]\nTOKEN = \"x\"\n",
		"code for a name": "-- app/.keyzero.toml --\n[env]\n\"TOKEN=x; touch pwned; #\" = \"$(touch pwned)\"\n",
		"other tools":     "-- app/.env --\nTOKEN=x\n-- app/.envrc --\nexport TOKEN=x; touch pwned\n-- app/mise.toml --\n[env]\nTOKEN = \"x\"\n",
		"a local file":    "-- app/.keyzero.local.toml --\n[env]\nTOKEN = \"x\"\n",
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, text := range files {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: text})
				want := "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow"
				if !strings.Contains(text, "app/.keyzero.toml") {
					want = ""
				}
				d.walk([]step{{"cd app", want, ""}, {"", "", ""}})
				if want != "" && name != "names" {
					d.settings("[trust]\nprefixes = [\"~\"]")
					if got := d.says(""); !strings.Contains(got, "kz: HOME/app/.keyzero.toml") {
						t.Errorf("once it is allowed kz says %q", got)
					}
					d.has("TOKEN")
				}
				d.nothingExecuted()
			})
		}
	})
}
