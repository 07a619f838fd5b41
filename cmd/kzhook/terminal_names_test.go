package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// hostileNames are names that a directory can have.
var hostileNames = []string{
	"two words", "it's", `"quoted"`, "$(touch pwned)", "`touch pwned`", "a;touch pwned;", "a&touch pwned&", "a|touch pwned",
	"line\nbreak", "ends with a line break\n", "\n", "\x1b]0;title\a", "\x1b[31mred", "\rreturn", "\bback", "$test", "${HOME}", "-n", "--", "-rf",
	"ünïcödé", "\xff\xfe", "\x80", "%(?.x.y)", "%F{red}$(touch pwned)", "%s%n", `back\slash`, `\b`, `\r`, "b", "r", "b/r", "*", "?", "[a-z]", "{a,b}", "~", "#", "!!", "!$", "=",
	"a=b", " leading", "trailing ", "\ttab", "(paren)", "<in>", "\u202egpj.exe", "\u200bzero", "e\u0301", "漢字", "😀", strings.Repeat("long", 50), "_kz_pwd", "|", "\x7f", "\u0085", "'; touch pwned; '",
}

// Whatever a directory is called, its project loads and unloads, nothing is
// executed, and no control character gets to the terminal by way of kz.
func TestTerminalHostileNames(t *testing.T) {
	const part = 8 // of the names, in each test
	inShells(t, allShells, func(t *testing.T, shell string) {
		for begin := 0; begin < len(hostileNames); begin += part {
			names := hostileNames[begin:min(begin+part, len(hostileNames))]
			t.Run(names[0], func(t *testing.T) {
				t.Parallel()
				d := sit(t, shell, seat{settings: "[trust]\nprefixes = [\"~/good\", \"~/wrong\"]"})
				for i, name := range names {
					d.file(filepath.Join("good", name, ".keyzero.toml"), "[env]\nTOKEN = \""+string(rune('a'+i))+"\"\n")
					d.file(filepath.Join("good", name, "deep/file"), "")
					d.file(filepath.Join("bad", name, ".keyzero.toml"), "[env]\nTOKEN = \"bad\"\n")
					d.file(filepath.Join("wrong", name, ".keyzero.toml"), "[env\n")
				}
				d.age("good", "bad", "wrong", ".config")
				runs := d.count()
				for i, name := range names {
					for _, place := range []struct{ dir, token string }{
						{"good/NAME", "TOKEN=" + string(rune('a'+i))}, {"good/NAME/deep", ""}, {"bad/NAME", "TOKEN"}, {"wrong/NAME", "TOKEN"}, {"", ""},
					} {
						where := strings.ReplaceAll(place.dir, "NAME", name)
						d.goTo(where)
						if place.token == "" {
							continue
						}
						runs.reset()
						if d.has(place.token); runs.reset() != 0 {
							t.Errorf("in %q kz runs at each prompt", where)
						}
					}
				}
				d.has("TOKEN")
				d.goTo("")
				for text := range strings.Lines(d.Screen()) {
					if at := strings.Index(text, "kz: "); at >= 0 && hasControl(strings.TrimRight(text[at:], "\r\n")) {
						t.Errorf("kz says %q", text[at:])
					}
				}
				d.nothingExecuted()
			})
		}
	})
}

// goTo changes the directory without typing its name.
func (d *desk) goTo(name string) {
	d.t.Helper()
	d.file("where", d.path(name)+"\x00")
	read := map[string]string{
		"bash": `IFS= read -r -d '' there <~/where; cd -- "$there"`,
		"zsh":  `IFS= read -r -d $'\0' there <~/where; cd -- "$there"`,
		"fish": `read -z there <~/where; cd -- $there`,
	}[d.shell]
	d.Run(read)
	if got, err := os.Readlink("/proc/self/cwd"); err == nil && got != "" {
		cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(d.Pid()), "cwd"))
		if err != nil || cwd != filepath.Clean(d.path(name)) {
			d.t.Fatalf("cd to %q led to %q, %v\n%s", name, cwd, err, d.Screen())
		}
	}
}

// nothingExecuted looks for what commands in names and values would have made.
func (d *desk) nothingExecuted() {
	d.t.Helper()
	err := walkFiles(d.home, func(path string) {
		if filepath.Base(path) == "pwned" {
			d.t.Errorf("something was executed: there is %q", path)
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func hasControl(text string) bool {
	return strings.ToValidUTF8(text, "") != text || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
