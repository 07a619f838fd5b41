package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fileProjects = `
-- app/ --
[secrets]
CERT = { provider = "dotenv", ref = "values#CERT", as = "file" }
-- app/values --
CERT=certificate
-- app/deep/file --
-- other/ --
[secrets]
CERT = { provider = "dotenv", ref = "values#CERT", as = "file" }
-- other/values --
CERT=another
`

// delivered checks that the shell's CERT names a file which holds want, and that
// nobody else can read or enter. It returns its path.
func (d *desk) delivered(want string) string {
	d.t.Helper()
	path := d.Env()["CERT"]
	data, err := os.ReadFile(path)
	if err != nil || string(data) != want {
		d.t.Errorf("CERT is %q, which holds %q, %v; want %q", path, data, err, want)
		return path
	}
	for p, mode := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir, filepath.Dir(filepath.Dir(path)): 0o700 | fs.ModeDir} {
		if info, err := os.Stat(p); err != nil || info.Mode() != mode {
			d.t.Errorf("%s has mode %v, %v; want %v", p, info.Mode(), err, mode)
		}
	}
	if !strings.HasPrefix(path, d.path("run")+"/") {
		d.t.Errorf("%s is not in the runtime directory", path)
	}
	return path
}

// noFile checks that nothing is left of what was delivered at path.
func (d *desk) noFile(path string) {
	d.t.Helper()
	for _, p := range []string{path, filepath.Dir(path)} {
		if _, err := os.Lstat(p); !os.IsNotExist(err) {
			d.t.Errorf("%s is still there: %v", p, err)
		}
	}
}

// A secret that is delivered as a file is there as long as the project is loaded.
func TestTerminalFiles(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: fileProjects})
		d.age("app", ".config", ".local")
		runs := d.count()
		d.expect("cd app", "kz: +CERT (app)")
		path := d.delivered("certificate")
		d.expect("cd deep", "")
		if shell != "fish" {
			d.expect("(cd ~; _kz_hook)", "kz: -CERT")
		}
		if again := d.delivered("certificate"); again != path {
			t.Errorf("the file has moved from %s to %s", path, again)
		}

		// No prompt looks whether it is there, but each that calls kz does.
		for _, line := range []string{"touch ~/app/.keyzero.toml", "kz reload"} {
			d.calm(runs)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			d.expect("", "")
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("a prompt at which nothing changed gives the file back")
			}
			d.expect(line, "")
			d.delivered("certificate")
		}
		d.expect("cd ~", "kz: -CERT")
		d.noFile(path)

		d.expect("cd app", "kz: +CERT (app)")
		path = d.delivered("certificate")
		d.expect("cd ../other", "kz: ~CERT (other)")
		d.noFile(path)
		path = d.delivered("another")
		d.Run("_kz_off")
		d.has("CERT")
		d.noFile(path)
	})
}
