package dotenv

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	tests := map[string]struct{ value, want string }{
		"empty":                      {"", "V=\n"},
		"plain":                      {"a-B_9/x.y:z@h%20+,=", "V=a-B_9/x.y:z@h%20+,=\n"},
		"blank":                      {"a b", "V='a b'\n"},
		"comment":                    {"#x", "V='#x'\n"},
		"dollar":                     {"$A${B}$$", "V='$A${B}$$'\n"},
		"backslash":                  {`a\n`, `V='a\n'` + "\n"},
		"double quote":               {`a"b`, `V='a"b'` + "\n"},
		"lines":                      {"a\nb\n", "V='a\nb\n'\n"},
		"not UTF-8":                  {"\xff", "V='\xff'\n"},
		"not ASCII":                  {"é", "V='é'\n"},
		"single quote":               {"it's", `V="it's"` + "\n"},
		"single quote and the rest":  {"'\"\\$`\n", `V="'\"\\\$\0140` + "\n\"\n"},
		"backslash at the end":       {`a b\`, `V="a b\\"` + "\n"},
		"two backslashes at the end": {`a b\\`, `V='a b\\'` + "\n"},
		"carriage return":            {"a\r\nb", `V="a\r` + "\nb\"\n"},
		"escape":                     {"\x1b[1m7\x7f", `V="\0033[1m7\0177"` + "\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Format("V", test.value)
			if err != nil || got != test.want {
				t.Errorf("Format(V, %q) = %q, %v; want %q", test.value, got, err, test.want)
			}
			checkFormat(t, "V", test.value)
		})
	}
}

func TestFormatRefuses(t *testing.T) {
	tests := map[string]struct{ name, value string }{
		"empty name":       {"", canary},
		"digit":            {"1A", canary},
		"equals sign":      {"A=B", canary},
		"dot":              {"A.B", canary},
		"letter not ASCII": {"É", canary},
		"newline":          {"A\nB", canary},
		"NUL in a name":    {"A\x00", canary},
		"NUL":              {"A", canary + "\x00"},
		"too long":         {"A", canary + strings.Repeat("x", MaxSize)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Format(test.name, test.value)
			if err == nil || got != "" || strings.Contains(err.Error(), canary) {
				t.Errorf("Format(%q, …) = %q, %v", test.name, got, err)
			}
		})
	}
}

// checkFormat states the law: what Format writes, Parse reads back.
func checkFormat(t *testing.T, name, value string) {
	t.Helper()
	line, err := Format(name, value)
	if err != nil {
		if exportable(name) && len(value) < MaxSize/5 {
			t.Errorf("Format(%q, %q): %v", name, value, err)
		}
		return
	}
	// The neighbours would be swallowed if the assignment were not closed.
	entries, err := Parse([]byte("BEFORE=1\n"+line+"AFTER=2"), testEnv)
	if err != nil || len(entries) != 3 || entries[1].Name != name || entries[1].Value != value || entries[2].Name != "AFTER" {
		t.Errorf("Format(%q, %q) = %q, which reads as %+v, %v", name, value, line, entries, err)
	}
}

var hostile = []string{
	"'", `"`, `\`, `\\`, "`", "$", "$$", "${", "}", "${A}", "$A", "$(", ")", "#", " #", " ", "\t", "\n", "\r", "\r\n", "=", ":", ";", "&", "|",
	"~", "!", "*", "A", "0", "140", "\x01", "\x1b[", "\x7f", "\u0085", "\u00a0", "\u2028", "\u202e", "\ufeff", "é", "\xff", "\xc3", "\x80", "export ",
}

func randomValue(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(10) {
		b.WriteString(hostile[r.IntN(len(hostile))])
	}
	return b.String()
}

func TestFormatReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		if checkFormat(t, "V", randomValue(r)); t.Failed() {
			return
		}
	}
}

// What needs no escape but those that shells have, a shell reads as it was.
func TestFormatMeansTheSameToShells(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var file, want strings.Builder
	compared := 0
	for range 20_000 {
		value := randomValue(r)
		line, err := Format("V", value)
		if err != nil {
			t.Fatal(err)
		}
		backquoted := !singleQuotable(value) && strings.Contains(value, "`")
		if backquoted || strings.ContainsFunc(value, func(r rune) bool { return r == '\r' || fragile(r) }) {
			continue
		}
		compared++
		file.WriteString(line + "printf '%s\\0' \"$V\"\n")
		want.WriteString(value + "\x00")
	}
	if compared < 10_000 {
		t.Errorf("only %d values were compared", compared)
	}
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"sh", "bash"} {
		cmd := exec.Command(shell, path)
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", shell, err)
		}
		got, want := strings.Split(string(out), "\x00"), strings.Split(want.String(), "\x00")
		if len(got) != len(want) {
			t.Errorf("%s reads %d values of %d", shell, len(got), len(want))
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s reads %q as %q", shell, want[i], got[i])
				break
			}
		}
	}
}

// People source such files, whatever one tells them.
func TestFormatRunsNothing(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	commands := []string{"$(>ran)", "`>ran`", "${X:=$(>ran)}", ";>ran;", "\n>ran\n", "&&>ran", "'>ran'", `">ran"`, `\`, "'", `"`}
	var file strings.Builder
	for range 2000 {
		var value strings.Builder
		for range 1 + r.IntN(5) {
			value.WriteString(commands[r.IntN(len(commands))] + randomValue(r))
		}
		line, err := Format("V", value.String())
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(line)
	}
	file.WriteString("echo end\n")
	if err := os.WriteFile(filepath.Join(dir, "env"), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", ". ./env")
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "end\n" {
		t.Errorf("sourcing the file gives %v and prints %.200q", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("sourcing the file ran a command")
	}
}
