package main

import (
	"strings"
	"testing"
)

// What the hook remembers in a shell stays there: a child sees the state, and no
// other variable of kz's, even where all that is assigned is exported.
func TestTerminalMarkersStayInside(t *testing.T) {
	exportAll := map[string]string{"bash": "set -a", "zsh": "setopt all_export", "fish": "true"}
	inShells(t, allShells, func(t *testing.T, shell string) {
		for name, setup := range map[string]seat{
			"set before the hook": {before: exportAll[shell]},
			"set after the hook":  {after: exportAll[shell]},
			"set inside":          {},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				setup.files = nestedFiles
				setup.before = ownPlain[shell] + "\n" + setup.before // which is kept while PLAIN is loaded
				d := sit(t, shell, setup)
				for _, line := range []string{"", "cd app", "", exportAll[shell], "cd deep", "_kz_hook", "cd ~", "cd app", "mv ../bin/kz ../bin/gone", "cd ~", ""} {
					d.Run(line)
					for name := range d.Env() {
						if strings.HasPrefix(strings.ToLower(strings.TrimLeft(name, "_")), "kz_") && name != "__KZ_STATE" {
							t.Errorf("after %q a child sees %s", line, name)
						}
					}
				}
				d.alive()
			})
		}
	})
}

var ownPlain = map[string]string{"bash": "PLAIN=mine", "zsh": "PLAIN=mine", "fish": "set -g PLAIN mine"}
