package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// angle gives every name a value that would change if it were expanded again.
func angle(name string) (string, bool) { return "<" + name + "$(id)${A}\\$>", name != "NONE" }

const angled = "<A$(id)${A}\\$>"

func TestExpand(t *testing.T) {
	const form, command = "only ${NAME} is expanded", "command substitution is not allowed"
	for what, test := range map[string]struct{ text, want, err string }{
		"nothing":                          {"", "", ""},
		"a plain text":                     {"plain", "plain", ""},
		"a name":                           {"${A}", angled, ""},
		"a name in a text":                 {"x${A}y", "x" + angled + "y", ""},
		"two names":                        {"${A}${A}", angled + angled, ""},
		"every kind of letter":             {"${_aZ09}", "<_aZ09$(id)${A}\\$>", ""},
		"a name that is not set":           {"a${NONE}", "", "${NONE} is not set"},
		"without braces":                   {"$A", "$A", ""},
		"without braces, then with":        {"$A${A}", "$A" + angled, ""},
		"a digit":                          {"$1 $0", "$1 $0", ""},
		"two dollars":                      {"$$", "$$", ""},
		"two dollars before a brace":       {"$${A}", "$${A}", ""},
		"three dollars before a brace":     {"$$${A}", "$$" + angled, ""},
		"special parameters":               {"$? $# $! $- $@ $* $_", "$? $# $! $- $@ $* $_", ""},
		"a dollar at the end":              {"cost: 5$", "cost: 5$", ""},
		"a dollar before a space":          {"$ ${A}", "$ " + angled, ""},
		"a dollar before a quote":          {`$"a" $'b'`, `$"a" $'b'`, ""},
		"a dollar before a line feed":      {"$\n${A}", "$\n" + angled, ""},
		"an escaped dollar":                {`\$`, "$", ""},
		"an escaped name":                  {`\${A}`, "${A}", ""},
		"an escaped substitution":          {`\$(id)`, "$(id)", ""},
		"escaped backticks":                {"\\`id\\`", "`id`", ""},
		"a backslash, escaped":             {`\\${A}`, `\\` + angled, ""},
		"a backslash and an escape":        {`\\\${A}`, `\\${A}`, ""},
		"two backslashes and a dollar":     {`\\$`, `\\$`, ""},
		"other escapes":                    {`\n\t\"\'\a\`, `\n\t\"\'\a\`, ""},
		"a backslash at the end of a line": {"a\\\nb${A}", "a\\\nb" + angled, ""},
		"CR LF":                            {"a\r\nb${A}\r\n", "a\r\nb" + angled + "\r\n", ""},
		"CR LF at both ends":               {"\r\n${A}\r\n", "\r\n" + angled + "\r\n", ""},
		"a backslash before CR LF":         {"\\\r\n${A}", "\\\r\n" + angled, ""},
		"CR alone":                         {"a\rb${A}\r", "a\rb" + angled + "\r", ""},
		"blanks":                           {" \t\n${A}\n\t ", " \t\n" + angled + "\n\t ", ""},
		"bytes that are not UTF-8":         {"\xff${A}\xfe", "\xff" + angled + "\xfe", ""},
		"a NUL":                            {"\x00${A}\x00", "\x00" + angled + "\x00", ""},
		"letters of others":                {"é日${A}🔑", "é日" + angled + "🔑", ""},
		"quotes":                           {`'${A}' "${A}"`, `'` + angled + `' "` + angled + `"`, ""},
		"globs, braces, tildes":            {"~/*?[a]{b,c}${A}", "~/*?[a]{b,c}" + angled, ""},
		"what shells act on":               {"a;b|c&d>e<f(g)!h#i${A}", "a;b|c&d>e<f(g)!h#i" + angled, ""},
		"process substitution":             {"<(id)>(id)${A}", "<(id)>(id)" + angled, ""},
		"a here-document":                  {"cat <<EOF\n${A}\nEOF\n", "cat <<EOF\n" + angled + "\nEOF\n", ""},
		"a quoted here-document":           {"<<'EOF'\n${A}\nEOF", "<<'EOF'\n" + angled + "\nEOF", ""},
		"the library's own end mark":       {"a\nMVDAN_CC_SH_SYNTAX_EOF\n${A}", "a\nMVDAN_CC_SH_SYNTAX_EOF\n" + angled, ""},
		"nothing but that mark":            {"MVDAN_CC_SH_SYNTAX_EOF", "MVDAN_CC_SH_SYNTAX_EOF", ""},
		"that mark at the end":             {"${A}\nMVDAN_CC_SH_SYNTAX_EOF\n", angled + "\nMVDAN_CC_SH_SYNTAX_EOF\n", ""},
		"a closing brace more":             {"${A}}", angled + "}", ""},
		"braces around":                    {"{${A}}", "{" + angled + "}", ""},
		"a name that shells compute":       {"${LINENO}${RANDOM}${IFS}", "<LINENO$(id)${A}\\$><RANDOM$(id)${A}\\$><IFS$(id)${A}\\$>", ""},
		"64 KiB":                           {strings.Repeat("x", 64<<10) + "${A}", strings.Repeat("x", 64<<10) + angled, ""},
		"a substitution":                   {"$(id)", "", command},
		"a substitution in a text":         {"a${A}$(touch pwned)", "", command},
		"a substitution that does not end": {"$(", "", command},
		"reading a file":                   {"$(</etc/passwd)", "", command},
		"backticks":                        {"`touch pwned`", "", command},
		"one backtick":                     {"a`", "", command},
		"arithmetic":                       {"$((1))", "", form},
		"arithmetic of old":                {"$[1]", "", form},
		"a default":                        {"${A:-x}", "", form},
		"a default with a command":         {"${A:-$(touch pwned)}", "", form},
		"an assignment":                    {"${A:=x}", "", form},
		"an error":                         {"${A:?x}", "", form},
		"a length":                         {"${#A}", "", form},
		"an indirection":                   {"${!A}", "", form},
		"an element":                       {"${A[0]}", "", form},
		"an element with a command":        {"${A[$(touch pwned)]}", "", form},
		"a slice":                          {"${A:0:1}", "", form},
		"a replacement":                    {"${A/b/c}", "", form},
		"a suffix":                         {"${A%x}", "", form},
		"a transformation":                 {"${A@P}", "", form},
		"a command of ksh":                 {"${ touch pwned;}", "", form},
		"another":                          {"${|touch pwned;}", "", form},
		"a digit in braces":                {"${1}", "", form},
		"a special parameter in braces":    {"${@}", "", form},
		"no name":                          {"${}", "", form},
		"a blank":                          {"${ A}", "", form},
		"a blank after":                    {"${A }", "", form},
		"a line feed in the name":          {"${A\n}", "", form},
		"a joined line in the name":        {"${A\\\n}", "", form},
		"a NUL in the name":                {"${A\x00}", "", form},
		"a letter of others":               {"${é}", "", form},
		"a name that does not end":         {"${A", "", form},
		"a brace that does not end":        {"a${", "", form},
		"a brace that ends much later":     {"${A b}", "", form},
		"a name that is too long":          {"${" + strings.Repeat("A", MaxName+1) + "}", "", form},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := Expand(test.text, angle)
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("Expand(%.60q) = %.90q, %v, want %.90q, %s", test.text, got, err, test.want, test.err)
			}
		})
	}
}

// Values are put in as they are, whatever they are.
func TestExpandTakesValuesAsTheyAre(t *testing.T) {
	for _, value := range []string{"", " ", "a b", "*", "~", "a\nb\n", "\r\n", `\`, `\$`, `"'`, "$(touch pwned)", "`touch pwned`", "${A}", "\x00\xff", strings.Repeat("x", 1<<20)} {
		got, err := Expand("<${A}>", func(string) (string, bool) { return value, true })
		if err != nil || got != "<"+value+">" {
			t.Errorf("Expand(<${A}>) for %.20q = %.30q, %v", value, got, err)
		}
	}
}

func TestExpandRunsNothing(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	pwned := filepath.Join(dir, "pwned")
	for _, text := range []string{"$(touch pwned)", "`touch pwned`", "${A:-$(touch pwned)}", "${A:=`touch pwned`}", "$((`touch pwned`))", "$(( $(touch pwned) ))",
		"${A[$(touch pwned)]}", "<(touch pwned)", ">(touch pwned)", "${ touch pwned;}", "${|touch pwned;}", "\\\\$(touch pwned)", "$(touch ${A})", "EOF\n$(touch pwned)\n", "MVDAN_CC_SH_SYNTAX_EOF\ntouch pwned\n${A}", "${A}"} {
		for _, value := range []string{"", "$(touch pwned)", "`touch pwned`", "x[$(touch pwned)]"} {
			_, _ = Expand(text, func(string) (string, bool) { return value, true })
			_, _ = References(text)
		}
	}
	if _, err := os.Lstat(pwned); err == nil {
		t.Error("a command was run")
	}
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"plain $A":              "",
		"${A}":                  "A",
		"${B} ${A}${B}":         "B A B",
		`\${A} $${B} \\${C}`:    "C",
		"${LINENO}\r\n${HOME}/": "LINENO HOME",
	} {
		if got, err := References(text); err != nil || strings.Join(got, " ") != want {
			t.Errorf("References(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := References("${A}$(id)"); err == nil {
		t.Error("References takes a command substitution")
	}
}

// The grammar once more, as one would write it down: what stands for something
// else, and what may not stand anywhere.
var (
	special   = regexp.MustCompile("(?s)\\\\[\\\\$`]|\\$\\$|\\$\\{[A-Za-z_][A-Za-z0-9_]{0,127}\\}")
	forbidden = regexp.MustCompile("`|\\$[({\\[]")
)

func FuzzExpand(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzExpand")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		var names []string
		start := time.Now()
		got, err := Expand(text, func(name string) (string, bool) { names = append(names, name); return value, true })
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Expand takes %v for %d bytes", took, len(text))
		}
		bad := forbidden.MatchString(special.ReplaceAllString(text, " "))
		if bad != (err != nil) || err != nil && !errors.Is(err, errForm) && !errors.Is(err, errCommand) {
			t.Fatalf("Expand(%q) = %v, want an error: %v", text, err, bad)
		}
		if i := slices.IndexFunc(names, func(n string) bool { return !ValidName(n) }); i >= 0 {
			t.Errorf("Expand(%q) looks for %q", text, names[i])
		}
		if err != nil {
			return
		}
		want := special.ReplaceAllStringFunc(text, func(s string) string {
			switch {
			case strings.HasPrefix(s, "${"):
				return value
			case s == `\\` || s == "$$":
				return s
			}
			return s[1:]
		})
		if got != want {
			t.Errorf("Expand(%q) for %q = %q, want %q", text, value, got, want)
		}
		if again, err := References(text); err != nil || !slices.Equal(again, names) {
			t.Errorf("References(%q) = %q, %v, want %q", text, again, err, names)
		}
	})
}
