package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// earlier is what a shell can have under a name before kz loads a variable of
// that name: the line that makes it. Where there is a second line, that is what
// prints it afterwards, and not the shell's own words for the variable.
var earlier = map[string]map[string]string{
	"bash": {
		"ABSENT":      ``,
		"EXPORTED":    `export EXPORTED=old`,
		"EMPTY":       `export EMPTY=`,
		"NAME_ONLY":   `export NAME_ONLY`,
		"PLAIN":       `PLAIN=old`,
		"PLAIN_EMPTY": `PLAIN_EMPTY=`,
		"DECLARED":    `declare DECLARED`,
		"HOSTILE":     `HOSTILE=$'q\'"` + "`touch pwned`" + `$(touch pwned)\\\n\x01\xff'`,
		"OUT_HOSTILE": `export OUT_HOSTILE=$'q\'"` + "`touch pwned`" + `$(touch pwned)\\\n\x01\xff'`,
		"NEWLINES":    `NEWLINES=$'\n\n'`,
		"ARRAY":       `ARRAY=(a "b c" '' $'d\n'); ARRAY[9]=e`,
		"OUT_ARRAY":   `declare -ax OUT_ARRAY=(a b)`,
		"EMPTY_ARRAY": `EMPTY_ARRAY=()`,
		"TABLE":       `declare -A TABLE=(["k 1"]=v [k2]='$x')`,
		"INTEGER":     `declare -i INTEGER=5`,
		"INT_ARRAY":   `declare -ai INT_ARRAY=(1 2)`,
		"UPPER":       `declare -u UPPER=up`,
		"LOWER":       `declare -l LOWER=LOW`,
		"REFERENCE":   `declare -n REFERENCE=PLAIN`,
	},
	"zsh": {
		"ABSENT":      ``,
		"EXPORTED":    `export EXPORTED=old`,
		"EMPTY":       `export EMPTY=`,
		"PLAIN":       `PLAIN=old`,
		"PLAIN_EMPTY": `PLAIN_EMPTY=`,
		"HOSTILE":     `HOSTILE=$'q\'"` + "`touch pwned`" + `$(touch pwned)\\\n\x01\xff'`,
		"OUT_HOSTILE": `export OUT_HOSTILE=$'q\'"` + "`touch pwned`" + `$(touch pwned)\\\n\x01\xff'`,
		"ARRAY":       `ARRAY=(a "b c" '' $'d\n')`,
		"EMPTY_ARRAY": `EMPTY_ARRAY=()`,
		"UNIQUE":      `typeset -U UNIQUE=(a b)`,
		"TABLE":       `typeset -A TABLE=("k 1" v k2 '$x')`,
		"INTEGER":     `typeset -i INTEGER=5`,
		"BASE":        `typeset -i 16 BASE=255`,
		"FLOAT":       `typeset -F FLOAT=1.5`,
		"UPPER":       `typeset -u UPPER=up`,
		"PADDED":      `typeset -R 8 PADDED=x`,
	},
	"fish": {
		"ABSENT":      ``,
		"EXPORTED":    `set -gx EXPORTED old`,
		"EMPTY":       `set -gx EMPTY ''`,
		"NO_ELEMENT":  `set -gx NO_ELEMENT`,
		"PLAIN":       `set -g PLAIN old`,
		"PLAIN_EMPTY": `set -g PLAIN_EMPTY ''`,
		"NOTHING":     `set -g NOTHING`,
		"HOSTILE":     `set -g HOSTILE 'q\'"` + "`touch pwned`" + `$(touch pwned)\\'\n\x01\xff`,
		"OUT_HOSTILE": `set -gx OUT_HOSTILE 'q\'"` + "`touch pwned`" + `$(touch pwned)\\'\n\x01\xff`,
		"LIST":        `set -g LIST a "b c" '' d\n`,
	},
}

// dump is a line that prints all that the shell knows of a variable.
var dump = map[string]string{
	"bash": `declare -p %s 2>/dev/null || echo none`,
	"zsh":  `typeset -p %s 2>/dev/null || echo none`,
	"fish": `set --show %s`,
}

// Whatever the shell had under a name is there again after leaving.
func TestTerminalGivesBack(t *testing.T) {
	const hostile = `a[$(touch pwned)]`
	inShells(t, allShells, func(t *testing.T, shell string) {
		config := "[env]\n"
		for name := range earlier[shell] {
			config += name + " = '" + strings.ReplaceAll(hostile, "$", `\$`) + "'\n"
		}
		d := sit(t, shell, seat{files: "-- app/ --\n" + config + "-- app/deep/file --\n"})
		var show, loaded []string
		for name, line := range earlier[shell] {
			d.Run(line)
			show = append(show, fmt.Sprintf(dump[shell], name))
			loaded = append(loaded, name+"="+hostile)
		}
		before := d.Output(strings.Join(show, "; "))
		for range 2 {
			d.Run("cd app")
			d.has(loaded...)
			d.Run("cd deep")
			d.Run("cd ~")
			after := d.Output(strings.Join(show, "; "))
			if gone, added := differences(before, after); gone != "" || added != "" {
				t.Errorf("after leaving there is not\n%s\nand there is\n%s", gone, added)
			}
		}
		d.nothingExecuted()
	})
}

// What the user changes while inside is the user's, until the project is
// entered anew.
func TestTerminalChangedByHand(t *testing.T) {
	const config = "[env]\nA = \"kz\"\nB = \"kz\"\nC = \"kz\"\nD = \"kz\"\nE = \"kz\"\n"
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{
			files: "-- app/ --\n" + config + "-- app/deep/file --\n", settings: "[trust]\nprefixes = [\"~\"]",
			after: unsetFunction[shell], env: []string{"A=outer", "B=outer"},
		})
		d.Run(map[string]string{"fish": "set -g C plain"}[shell])
		if shell != "fish" {
			d.Run("C=plain")
		}
		d.expect("cd app", "kz: +C +D +E ~A ~B (app)")
		d.expect("export A=mine; UNSET B; export C=mine; UNSET D", "")
		d.expect("cd deep", "")
		d.has("A=mine", "B", "C=mine", "D", "E=kz")

		// Another edition of the same project leaves them alone, too.
		d.file("app/.keyzero.toml", strings.ReplaceAll(config, "kz", "new"))
		d.expect("", "kz: ~E (app)")
		d.has("A=mine", "B", "C=mine", "D", "E=new")
		d.expect("cd ~", "kz: -E\nkz: changed by hand, left as it is: A B C D")
		d.has("A=mine", "B", "C=mine", "D", "E")

		// From now on these values are those of before.
		d.expect("cd app", "kz: +B +D +E ~A ~C (app)")
		d.has("A=new", "B=new", "C=new", "D=new", "E=new")
		d.expect("cd ~", "kz: ~A ~C -B -D -E")
		d.has("A=mine", "B", "C=mine", "D", "E")

		// Nothing of an earlier visit comes back later.
		d.Run("UNSET C")
		d.expect("cd app", "kz: +B +C +D +E ~A (app)")
		d.expect("cd ~", "kz: ~A -B -C -D -E")
		d.has("C")
		if got := d.Output(fmt.Sprintf(dump[shell], "C")); slices.Contains([]string{"", "none\n"}, got) != true {
			t.Errorf("C, which was unset, is %q", got)
		}
	})
}

// A value put back by hand to what kz had set is kz's again.
func TestTerminalChangedAndBack(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, shell string) {
		d := sit(t, shell, seat{files: "-- app/ --\n[env]\nA = \"kz\"\n", env: []string{"A=outer"}})
		d.Run("cd app")
		d.Run("export A=mine")
		d.Run("export A=kz")
		d.expect("cd", "kz: ~A")
		d.has("A=outer")
	})
}
