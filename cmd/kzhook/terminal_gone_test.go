package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// When kz is not there any more, what it loaded goes on leaving, and that is
// said once. Earlier values that were exported only kz could give back.
func TestTerminalWithoutKZ(t *testing.T) {
	const said = "kz: HOME/bin/kz: not found; what it had loaded is unset"
	ways := map[string]func(d *desk){
		"deleted":        func(d *desk) { d.remove("bin/kz") },
		"not executable": func(d *desk) { d.remove("bin/kz"); d.file("bin/kz", "#!/bin/sh\n") },
		"a link to nothing": func(d *desk) {
			d.remove("bin/kz")
			d.link("nowhere", "bin/kz")
		},
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, lose := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles + "-- other/ --\n[env]\nTOKEN = \"kz\"\n", env: []string{"OUT=outer"}})
				d.Run(map[string]string{"fish": "set -g PLAIN mine"}[shell])
				if shell != "fish" {
					d.Run("PLAIN=mine")
				}
				d.Run("cd app")
				d.Run("")
				lose(d)
				d.expect("cd deep", "")
				d.has("TOKEN=kz", "OUT=kz", "PLAIN=kz")
				d.expect("cd ~", said)
				d.has("TOKEN", "OUT", "PLAIN", "__KZ_STATE")
				if got := d.Output(`echo "$PLAIN"`); got != "mine\n" {
					t.Errorf("PLAIN is %q", got)
				}
				for _, line := range []string{"", "cd app", "cd other", "cd", ""} {
					d.expect(line, "")
				}
				d.alive()

				d.expect("cd app", "")
				d.remove("bin/kz")
				d.link(built.dir+"/kz", "bin/kz")
				d.expect("", "kz: +OUT +PLAIN +TOKEN (app)")
				d.expect("cd", "kz: -OUT -PLAIN -TOKEN")
			})
		}
	})
}

// What stands in kz's place may do what it likes: the shell lives, and does not
// try more than twice in a directory.
func TestTerminalBrokenKZ(t *testing.T) {
	programs := map[string]string{
		"crashes":          `kill -SEGV $$`,
		"is killed":        `kill -KILL $$`,
		"fails":            `exit 1`,
		"says nothing":     `exit 0`,
		"prints garbage":   `head -c 3000 /dev/zero | tr '\0' ')'; echo '"(`,
		"prints half":      `echo "_kz_config='x"; exit 3`,
		"closes its ends":  `exec >&- 2>&- <&-; exit 9`,
		"prints and fails": `echo "_kz_names=("; exit 77`,
	}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, program := range programs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles + "-- other/ --\n[env]\nTOKEN = \"other\"\n"})
				d.Run("cd app")
				runs := &counter{t: t, log: d.path("bin/log")}
				d.program("bin/kz", fmt.Sprintf("#!/bin/sh\nprintf x >>'%s'\n%s\n", runs.log, program))
				for _, dir := range []string{"~", "app", "~"} {
					for _, line := range []string{"cd " + dir, "", "", ""} {
						d.Run(line)
					}
					if n := runs.reset(); n > 2 {
						t.Errorf("in %s the shell ran it %d times", dir, n)
					}
				}
				d.alive()
				d.remove("bin/kz")
				d.link(built.dir+"/kz", "bin/kz")
				d.Run("cd other")
				d.has("TOKEN=other", "OUT", "PLAIN")
				d.Run("cd ~")
				d.has("TOKEN", "OUT", "PLAIN")
			})
		}
	})
}

// One that hangs gives the prompt back at the second Control-C, and is left alone
// until the directory changes. The first ends only the first attempt: zsh and fish
// make one for the change of directory and one for the prompt, and bash begins its
// prompt anew.
func TestTerminalHangingKZ(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles})
		d.Run("cd app")
		runs := &counter{t: t, log: d.path("bin/log")}
		d.program("bin/kz", fmt.Sprintf("#!/bin/sh\nprintf x >>'%s'\necho hanging >&2\nexec sleep 1000\n", runs.log))
		for _, dir := range []string{"~", "/", "~"} {
			d.Send("cd " + dir + "\r")
			for range 2 {
				d.AwaitScreen("hanging")
				d.Interrupt()
			}
			d.AwaitPrompt()
			for range 3 {
				d.Run("")
			}
			if n := runs.reset(); n != 2 {
				t.Errorf("in %s the shell ran it %d times, want 2", dir, n)
			}
			d.alive()
		}
		d.has("TOKEN=kz")
		d.remove("bin/kz")
		d.link(built.dir+"/kz", "bin/kz")
		d.Run("cd /")
		d.has("TOKEN")
	})
}

// A directory that is removed while one is in it.
func TestTerminalRemovedDirectory(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles + "-- other/deep/file --\n"})
		d.Run("cd app/deep")
		d.remove("app")
		d.expect("", "kz: -OUT -PLAIN -TOKEN")
		d.has("TOKEN")
		d.expect("", "")
		d.expect("_kz_hook", "")
		d.expect("cd ~", "")
		d.Run("cd other/deep")
		d.remove("other")
		d.expect("", "")
		d.expect("kz status >/dev/null", "")
		d.expect("cd ..", "")
		d.expect("cd ~", "")
		d.alive()
	})
}

// Without HOME, and with a strange one, prompts come and unloading works.
func TestTerminalStrangeHome(t *testing.T) {
	homes := map[string]string{"unset": "UNSET HOME", "empty": "export HOME=", "relative": "export HOME=.", "with a slash": "export HOME=$HOME/", "the root": "export HOME=/"}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, line := range homes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{files: nestedFiles, after: unsetFunction[shell]})
				d.Run("cd app")
				d.Run(line)
				d.has("TOKEN=kz")
				d.Run("cd deep")
				d.Run("")
				d.has("TOKEN=kz")
				d.Run("cd /")
				d.has("TOKEN")
				if screen := d.Screen(); strings.Contains(screen, "panic") || strings.Contains(screen, "unbound") {
					t.Errorf("without HOME:\n%s", screen)
				}
				d.Run("cd " + d.path("app"))
				d.has("TOKEN=kz")
			})
		}
	})
}

// What kz cannot write costs time and nothing else.
func TestTerminalNowhereToWrite(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: nestedFiles})
		d.remove("run")
		d.file("run", "")
		d.remove(".local/state")
		d.file(".local/state", "")
		d.Run("cd app")
		d.expect("", "")
		if err := os.Remove(d.path(".local/state")); err != nil {
			t.Fatal(err)
		}
		d.expect("cd deep", "kz: +OUT +PLAIN +TOKEN (app)")
		d.expect("", "")
		d.expect("cd ~", "kz: -OUT -PLAIN -TOKEN")
	})
}
