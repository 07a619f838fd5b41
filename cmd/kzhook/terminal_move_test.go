package main

import "testing"

// A step is what somebody types, what kz says to that, and what programs see
// of TOKEN then, if they are to see any.
type step struct{ line, says, token string }

func (d *desk) walk(steps []step) {
	d.t.Helper()
	for _, s := range steps {
		d.expect(s.line, s.says)
		if s.token == "" {
			d.has("TOKEN")
		} else {
			d.has("TOKEN=" + s.token)
		}
		if d.t.Failed() {
			d.t.FailNow()
		}
	}
}

const moveFiles = `
-- one/ --
[env]
TOKEN = "first"
-- one/deep/er/file --
-- one/inner/ --
[env]
TOKEN = "nested"
-- one/inner/empty/ --
-- one/blocked/.keyzero.toml --
[env]
TOKEN = "not allowed"
-- one/blocked/deep/file --
-- two/ --
[env]
TOKEN = "second"
OTHER = "x"
`

var moves = map[string][]step{
	"in, down, up, out": {
		{"cd one", "kz: +TOKEN (one)", "first"},
		{"cd deep", "", "first"},
		{"cd er", "", "first"},
		{"cd ../..", "", "first"},
		{"cd ..", "kz: -TOKEN", ""},
		{"cd one/deep/er", "kz: +TOKEN (one)", "first"},
	},
	"back and forth": {
		{"cd one", "kz: +TOKEN (one)", "first"},
		{"cd -", "kz: -TOKEN", ""},
		{"cd -", "kz: +TOKEN (one)", "first"},
		{"pushd /", "kz: -TOKEN", ""},
		{"popd", "kz: +TOKEN (one)", "first"},
		{"pushd ../two", "kz: +OTHER ~TOKEN (two)", "second"},
		{"popd", "kz: ~TOKEN -OTHER (one)", "first"},
		{"cd", "kz: -TOKEN", ""},
	},
	"project to project": {
		{"cd one", "kz: +TOKEN (one)", "first"},
		{"cd ../two", "kz: +OTHER ~TOKEN (two)", "second"},
		{"cd ../one/deep", "kz: ~TOKEN -OTHER (one)", "first"},
		{"cd /", "kz: -TOKEN", ""},
	},
	"the nearest wins": {
		{"cd one", "kz: +TOKEN (one)", "first"},
		{"cd inner", "kz: ~TOKEN (inner)", "nested"},
		{"cd empty", "kz: -TOKEN", ""},
		{"cd ..", "kz: +TOKEN (inner)", "nested"},
		{"cd ..", "kz: ~TOKEN (one)", "first"},
	},
	"a nested one that is not allowed": {
		{"cd one", "kz: +TOKEN (one)", "first"},
		{"cd blocked", "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow\nkz: -TOKEN", ""},
		{"", "", ""},
		{"cd deep", "", ""},
		{"cd ..", "", ""},
		{"cd ..", "kz: +TOKEN (one)", "first"},
		{"cd blocked", "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow\nkz: -TOKEN", ""},
	},
}

func TestTerminalMoves(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, steps := range moves {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				sit(t, shell, seat{files: moveFiles}).walk(steps)
			})
		}
	})
}

// Several changes of directory in one line: bash sees the last of them at the
// prompt, the others see each.
func TestTerminalMovesInOneLine(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: moveFiles})
		all := map[string]string{"bash": "kz: +TOKEN (one)"}[shell]
		if all == "" {
			all = "kz: +TOKEN (one)\nkz: +OTHER ~TOKEN (two)\nkz: -OTHER -TOKEN\nkz: +TOKEN (one)"
		}
		d.walk([]step{{"cd one; cd ../two; cd; cd one", all, "first"}})
		if shell != "bash" {
			if got := d.Output("cd ../two; printenv OTHER; cd"); got != "x\n" {
				t.Errorf("within a line OTHER is %q", got)
			}
		}
	})
}

// The consent that kz asks for at a terminal, typed.
func TestTerminalAllow(t *testing.T) {
	const notAllowed = "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{})
		d.file("app/.keyzero.toml", "[env]\nTOKEN = \"loaded\"\n")
		d.expect("cd app", notAllowed)

		d.Send("kz allow\r")
		d.AwaitScreen("allow this? [y/N] ")
		d.expect("n", "kz: not allowed")
		d.expect("", "")
		d.has("TOKEN")

		d.Send("kz allow\r")
		d.AwaitScreen("+ TOKEN")
		d.AwaitScreen("allow this? [y/N] ")
		d.expect("y", "kz: +TOKEN (app)")
		d.has("TOKEN=loaded")

		d.expect("kz deny", "kz: ./.keyzero.toml is denied\nkz: ./.keyzero.toml is denied; to lift that, run: kz allow\nkz: -TOKEN")
		d.has("TOKEN")
	})
}
