package main

import (
	"testing"

	"github.com/getkeyzero/kz/internal/keyringtest"
)

// What kz is for, from the first cd to the last, with a keychain as people have it.
func TestTerminalFromTheBeginning(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{env: append(keyringtest.Start(t)[:1], "LEVEL=info")})
		d.file("app/.keyzero.toml", "[env]\nLEVEL = \"debug\"\n[secrets]\nTOKEN = \"keychain://app-token\"\n")
		d.file("app/sub/dir/file", "")
		prints := func(name, want string) {
			t.Helper()
			if got := d.Output("printenv " + name); got != want {
				t.Errorf("printenv %s prints %q, want %q", name, got, want)
			}
		}
		d.expect("cd app", "kz: ./.keyzero.toml is not allowed; read it, then run: kz allow")
		prints("TOKEN", "")

		d.answer("kz allow", "allow this? [y/N] ", "y")
		prints("TOKEN", "")
		d.answer("kz put TOKEN", "value for TOKEN: ", "it's a $ecret")
		prints("TOKEN", "it's a $ecret\n")
		prints("LEVEL", "debug\n")
		d.expect("cd sub/dir", "")
		prints("TOKEN", "it's a $ecret\n")
		d.expect("cd ~", "kz: ~LEVEL -TOKEN")
		prints("TOKEN", "")
		prints("LEVEL", "info\n")
	})
}

// answer types a line, and the answer to what it asks.
func (d *desk) answer(line, question, answer string) {
	d.t.Helper()
	d.Send(line + "\r")
	d.AwaitScreen(question)
	d.Send(answer + "\r")
	d.AwaitPrompt()
}
