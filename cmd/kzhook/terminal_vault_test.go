package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const vaultFiles = "-- pass --\nKZCpass\n-- app/ --\n[secrets]\nTOKEN = \"vault://shared\"\n-- other/ --\n[secrets]\nSAME = \"vault://shared\"\n"

// elsewhere runs a line of sh in another process than the shell, with kz and the
// vault's passphrase on descriptor 3.
func (d *desk) elsewhere(line string) {
	d.t.Helper()
	cmd := exec.Command("sh", "-c", "exec 3<pass; "+line)
	cmd.Dir = d.home
	cmd.Env = []string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=" + built.dir + ":/usr/bin:/bin", "LANG=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// A prompt that meets a locked vault says so once, asks nothing, and loads when it
// is unlocked elsewhere. What is loaded stays when it is locked.
func TestTerminalVault(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: vaultFiles})
		d.elsewhere("kz vault init --passphrase-fd 3")
		d.elsewhere("cd app; printf KZCvalue | kz put TOKEN; kz vault lock")
		const locked = "kz: TOKEN: vault: the vault is locked; nothing is loaded\nkz: hint: kz vault unlock"
		d.expect("cd app", locked)
		d.expect("", "")
		d.expect("true", "")
		d.has("TOKEN")

		d.elsewhere("kz vault unlock --passphrase-fd 3")
		d.expect("", "kz: +TOKEN (app)")
		d.has("TOKEN=KZCvalue")
		d.elsewhere("kz vault lock")
		d.expect("", "")
		d.has("TOKEN=KZCvalue")
		d.expect("cd ~", "kz: -TOKEN")
		d.expect("cd app", locked)
		d.has("TOKEN")
	})
}

// A command under kz run --watch gets what other projects store in the vault, and
// keeps what it has while that is locked.
func TestWatchVault(t *testing.T) {
	d := sitWatching(t, vaultFiles)
	d.elsewhere("kz vault init --passphrase-fd 3; cd app; printf one | kz put TOKEN")
	w := d.watching("app", "--", "server")
	w.begins(1, "one")
	d.elsewhere("cd other; printf two | kz put SAME")
	w.begins(2, "two")
	d.elsewhere("kz vault lock")
	w.until("kz says that it is locked", func() bool { return strings.Contains(w.stderr.String(), "the vault is locked") })
	d.elsewhere("cd other; printf three | kz put --passphrase-fd 3 SAME")
	d.elsewhere("kz vault unlock --passphrase-fd 3")
	w.begins(3, "three")
	w.terminate()
	w.leaves(7)
	w.says("kz: restarting: ~TOKEN",
		"kz: TOKEN: vault: the vault is locked; the command keeps what it has",
		"kz: restarting: ~TOKEN")
}

// A passphrase that came with the command lasts as long as that, whatever else
// has the descriptor since.
func TestWatchVaultWithPassphrase(t *testing.T) {
	d := sitWatching(t, vaultFiles)
	d.elsewhere("kz vault init --passphrase-fd 3; cd app; printf one | kz put TOKEN; kz vault lock")
	pass, err := os.Open(d.path("pass"))
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	w := d.watchingWith([]*os.File{pass}, "app", "--passphrase-fd", "3", "--", "server")
	w.begins(1, "one")
	d.elsewhere("cd other; printf two | kz put --passphrase-fd 3 SAME")
	w.begins(2, "two")
	w.terminate()
	w.leaves(7)
	w.says("kz: restarting: ~TOKEN")
}
