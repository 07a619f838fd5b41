package tomledit

import (
	"errors"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// Each case sets K to 9. Texts are cut out of their margin by trim.
func TestSet(t *testing.T) {
	for name, test := range map[string]struct{ table, before, after string }{
		"empty file":                {"secrets", "", "[secrets]\nK = 9\n"},
		"empty file, root":          {"", "", "K = 9\n"},
		"bare key":                  {"secrets", "[secrets]\nK = 1\n", "[secrets]\nK = 9\n"},
		"quoted keys and headers":   {"secrets", "[ 'secrets' ]\n\"\\u004b\"=\t\"a#b\"\t# why\n", "[ 'secrets' ]\n\"\\u004b\"=\t9\t# why\n"},
		"multi-line value":          {"secrets", "[secrets]\nK = '''\n[trust]\nK = 1\n''' # end\nL = 2\n", "[secrets]\nK = 9 # end\nL = 2\n"},
		"array value":               {"secrets", "[secrets]\nK = [ # one\n 1,\n]\nL = 2\n", "[secrets]\nK = 9\nL = 2\n"},
		"inline table value":        {"secrets", "[secrets]\nK   = { provider = \"a\",  ref = \"}\" }#c\n", "[secrets]\nK   = 9#c\n"},
		"dotted header":             {"production.secrets", "[production . \"secrets\"]\nK = 1", "[production . \"secrets\"]\nK = 9"},
		"long header":               {"a.b.c", "[a.b.c]\nK = 1\nL = 2\n", "[a.b.c]\nK = 9\nL = 2\n"},
		"dotted key":                {"production.secrets", "production.secrets.K = 1\n[env]\nK = 2\n", "production.secrets.K = 9\n[env]\nK = 2\n"},
		"dotted key under a header": {"production.secrets", "[production]\n'secrets' . K = 1\n", "[production]\n'secrets' . K = 9\n"},
		"in an inline table":        {"secrets", "secrets = { J = { K = 3 }, K = 1, L = 2 }\n", "secrets = { J = { K = 3 }, K = 9, L = 2 }\n"},
		"in nested inline tables":   {"production.secrets", "production = { secrets = { K = 1 } }\n", "production = { secrets = { K = 9 } }\n"},
		"root key":                  {"", "K = 1\n[secrets]\nK = 1\n", "K = 9\n[secrets]\nK = 1\n"},
		"same name elsewhere":       {"secrets", "[env]\nK = 1\n[secrets]\nK = 2\n[test.secrets]\nK = 3\n", "[env]\nK = 1\n[secrets]\nK = 9\n[test.secrets]\nK = 3\n"},
		"carriage returns":          {"secrets", "[secrets]\r\nK = 1\r\nL = \"\"\"\r\n\r\n\"\"\"\r\n", "[secrets]\r\nK = 9\r\nL = \"\"\"\r\n\r\n\"\"\"\r\n"},
		"byte order mark":           {"secrets", "\ufeff[secrets]\nK = 1\n", "\ufeff[secrets]\nK = 9\n"},
		"dates and NaN around it":   {"secrets", "a = nan\nb = [-nan, inf]\nc = 2020-01-02 03:04:05-07:00\nd = 2020-01-02\ne = 03:04:05\n[secrets]\nK = 2020-01-02\n", "a = nan\nb = [-nan, inf]\nc = 2020-01-02 03:04:05-07:00\nd = 2020-01-02\ne = 03:04:05\n[secrets]\nK = 9\n"},

		"new key after the last":                         {"secrets", "[secrets]\nA = 1 # one\n\n# of env\n[env]\nB = 1\n", "[secrets]\nA = 1 # one\nK = 9\n\n# of env\n[env]\nB = 1\n"},
		"new key before the next header's comment":       {"secrets", "[secrets]\nA = 1\n# of env\n[env]\n", "[secrets]\nA = 1\nK = 9\n# of env\n[env]\n"},
		"new key after comments of its table":            {"secrets", "[secrets]\n# A = 1\n# B = 2\n\n[env]\n", "[secrets]\n# A = 1\n# B = 2\nK = 9\n\n[env]\n"},
		"new key after comments that end the file":       {"secrets", "[secrets]\nA = 1\n# B = 2", "[secrets]\nA = 1\n# B = 2\nK = 9"},
		"new key before an indented comment of a header": {"secrets", "[secrets]\nA = 1\n\t# of env\n\t[env]\n", "[secrets]\nA = 1\nK = 9\n\t# of env\n\t[env]\n"},
		"new key after indented comments":                {"secrets", "[secrets]\n\t# A = 1\n\n[env]\n", "[secrets]\n\t# A = 1\nK = 9\n\n[env]\n"},
		"new key in an empty table":                      {"secrets", "[secrets]\n\n[env]\n", "[secrets]\nK = 9\n\n[env]\n"},
		"new key, indented":                              {"secrets", "  [secrets]\n\t A = 1\n", "  [secrets]\n\t A = 1\n\t K = 9\n"},
		"new key, indented as the header":                {"secrets", "  [secrets]\n", "  [secrets]\n  K = 9\n"},
		"new key after a multi-line value":               {"secrets", "[secrets]\nA = \"\"\"\n\n[env]\"\"\"\n\n[env]\n", "[secrets]\nA = \"\"\"\n\n[env]\"\"\"\nK = 9\n\n[env]\n"},
		"new key with carriage returns":                  {"secrets", "[secrets]\r\nA = 1\r\n", "[secrets]\r\nA = 1\r\nK = 9\r\n"},
		"new key, no final newline":                      {"secrets", "[secrets]\r\nA = 1", "[secrets]\r\nA = 1\r\nK = 9"},
		"new key before a sub-table":                     {"secrets", "[secrets]\nA = 1\n[secrets.B]\nref = 1\n", "[secrets]\nA = 1\nK = 9\n[secrets.B]\nref = 1\n"},
		"new key among dotted keys":                      {"production.secrets", "production.secrets.A.ref = 1\nx = 1\n[env]\nA = 1\n", "production.secrets.A.ref = 1\nproduction.secrets.K = 9\nx = 1\n[env]\nA = 1\n"},
		"new key among dotted keys under a header":       {"production.secrets", "[production]\nsecrets.A = 1\nx = 1\n", "[production]\nsecrets.A = 1\nsecrets.K = 9\nx = 1\n"},
		"new root key":                                   {"", "#:schema x\na = 1\n\n[env]\nb = 1\n", "#:schema x\na = 1\nK = 9\n\n[env]\nb = 1\n"},
		"first root key":                                 {"", "#:schema x\n\n[env]\nb = 1\n", "#:schema x\nK = 9\n\n[env]\nb = 1\n"},
		"first root key before a header":                 {"", "\ufeff# of env\r\n[env]\r\n", "\ufeffK = 9\r\n\r\n# of env\r\n[env]\r\n"},

		"new key in an inline table":                                    {"secrets", "secrets = { A = 1 } # x\n", "secrets = { A = 1, K = 9 } # x\n"},
		"new key in an empty inline table":                              {"secrets", "secrets = {}\n", "secrets = { K = 9 }\n"},
		"new key in a blank inline table":                               {"secrets", "secrets = { }\n", "secrets = { K = 9 }\n"},
		"new key before a trailing comma":                               {"secrets", "secrets = {A = 1,}\n", "secrets = {A = 1, K = 9,}\n"},
		"new table in an inline table":                                  {"production.secrets", "production = { env = { A = 1 } }\n", "production = { env = { A = 1 }, secrets.K = 9 }\n"},
		"new key in an inline table of several lines":                   {"secrets", "secrets = {\n\tA = 1, # one\n\tB = 2 # two, }\n}\n", "secrets = {\n\tA = 1, # one\n\tB = 2, # two, }\n\tK = 9\n}\n"},
		"new key in an inline table with a last comma":                  {"secrets", "secrets = {\n\tA = 1, # one\n}\n", "secrets = {\n\tA = 1, # one\n\tK = 9,\n}\n"},
		"new key in an inline table of several lines, carriage returns": {"secrets", "secrets = {\r\n\tA = 1,\r\n}\r\n", "secrets = {\r\n\tA = 1,\r\n\tK = 9,\r\n}\r\n"},
		"new key after two on a line of an inline table":                {"secrets", "secrets = {\n\tA = 1, B = 2\n}\n", "secrets = {\n\tA = 1, B = 2, K = 9\n}\n"},

		"new table":                              {"production.secrets", "[production.env]\nA = 1\n", "[production.env]\nA = 1\n\n[production.secrets]\nK = 9\n"},
		"new table after a blank line":           {"secrets", "# only this\n\n", "# only this\n\n[secrets]\nK = 9\n"},
		"new table, no final newline":            {"secrets", "[env]\r\nA = 1", "[env]\r\nA = 1\r\n\r\n[secrets]\r\nK = 9"},
		"new table with a name that is not bare": {`a b.x"]`, "", "[\"a b\".\"x\\\"]\"]\nK = 9\n"},
		"new table above existing sub-tables":    {"secrets", "[secrets.A]\nref = 1\n", "[secrets.A]\nref = 1\n\n[secrets]\nK = 9\n"},
		"header inside a string":                 {"secrets", "[env]\nA = '''\n[secrets]\n'''\n", "[env]\nA = '''\n[secrets]\n'''\n\n[secrets]\nK = 9\n"},
		"array of tables elsewhere":              {"secrets", "[[x]]\nsecrets.K = 1\n[[x]]\n[x.secrets]\nK = 2\n", "[[x]]\nsecrets.K = 1\n[[x]]\n[x.secrets]\nK = 2\n\n[secrets]\nK = 9\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Set([]byte(test.before), names(test.table), "K", "9")
			if err != nil || string(got) != test.after {
				t.Errorf("Set(%q) = %q, %v, want %q", test.before, got, err, test.after)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	for name, test := range map[string]struct{ table, before, after string }{
		"a line and its comment":                {"secrets", "# file\n[secrets]\n# above\n K = 1 # same line\nA = 1\n", "# file\n[secrets]\n# above\nA = 1\n"},
		"multi-line value":                      {"secrets", "[secrets]\nK = \"\"\"\n[env]\nK = 1\\\n\"\"\" # c\nA = 1\n", "[secrets]\nA = 1\n"},
		"the last key leaves its header":        {"secrets", "[secrets]\nK = 1\n\n[env]\n", "[secrets]\n\n[env]\n"},
		"no final newline":                      {"secrets", "[secrets]\nK = 1", "[secrets]\n"},
		"carriage returns":                      {"secrets", "[secrets]\r\nK = 1\r\nA = 1\r\n", "[secrets]\r\nA = 1\r\n"},
		"byte order mark":                       {"", "\ufeffK = 1\nA = 1\n", "\ufeffA = 1\n"},
		"the dotted key that implied its table": {"production.secrets", "production.secrets.K = 1\n", ""},
		"one dotted key of two":                 {"production.secrets", "production.secrets.K = 1\nproduction.secrets.L = 1\n", "production.secrets.L = 1\n"},

		"sub-table":                                {"secrets", "[secrets]\nA = 1\n\n[secrets.K]\n# inside\nprovider = 1\n\nref = 1\n\n# of env\n[env]\n", "[secrets]\nA = 1\n\n# of env\n[env]\n"},
		"sub-table that ends the file":             {"secrets", "[secrets]\nA = 1\n\n[secrets.K]\nref = 1\n", "[secrets]\nA = 1\n"},
		"sub-table that ends with an inline table": {"secrets", "[secrets.K]\nref = {\n\tx = 1,\n}\n[env]\n", "[env]\n"},
		"sub-table with a blank line only above":   {"secrets", "[x]\n\n[secrets.K]\nref = 1\n[env]\n", "[x]\n\n[env]\n"},
		"sub-table that implied its table":         {"secrets", "[secrets.K]\nref = 1\n[env]\n", "[env]\n"},
		"sub-table of two levels":                  {"secrets", "[secrets.K]\nref = 1\n[secrets.K.x]\ny = 1\n[env]\n[secrets.K.z]\n", "[env]\n"},
		"array of tables":                          {"secrets", "[[secrets.K]]\nref = 1\n[secrets.K.x]\n[[secrets.K]]\n[env]\n", "[env]\n"},
		"keys of a sub-table":                      {"secrets", "[secrets]\nK.provider = 1\nA = 1\nK . ref = 1\n", "[secrets]\nA = 1\n"},
		"keys and sub-table":                       {"secrets", "[secrets]\nK.provider = 1\nA = 1\n[secrets.K.x]\ny = 1\n", "[secrets]\nA = 1\n"},

		"first of an inline table":                      {"secrets", "secrets = { K = 1, A = 2 } # c\n", "secrets = { A = 2 } # c\n"},
		"middle of an inline table":                     {"secrets", "secrets = { A = 1 , K = 1 , B = 2 }\n", "secrets = { A = 1 , B = 2 }\n"},
		"last of an inline table":                       {"secrets", "secrets = { A = 2020-01-01, K = 1 }\n", "secrets = { A = 2020-01-01 }\n"},
		"only one of an inline table":                   {"secrets", "secrets = { K = 1 }\n", "secrets = { }\n"},
		"nested inline tables":                          {"production.secrets", "production = { secrets = { K = 1 }, K = 2 }\n", "production = { secrets = { }, K = 2 }\n"},
		"dotted keys of an inline table":                {"secrets", "secrets = { K.provider = 1, A = 1, K.ref = 1 }\n", "secrets = { A = 1 }\n"},
		"line of an inline table":                       {"secrets", "secrets = {\n\tA = 1, # one\n\tK = 2, # two, }\n\t# of B\n\tB = 3, # three\n}\n", "secrets = {\n\tA = 1, # one\n\t# of B\n\tB = 3, # three\n}\n"},
		"last line of an inline table":                  {"secrets", "secrets = {\n\tA = 1, # one\n\tK = 2 # two\n}\n", "secrets = {\n\tA = 1, # one\n}\n"},
		"line of an inline table with carriage returns": {"secrets", "secrets = {\r\n\tK = 1,\r\n\tA = 1,\r\n}\r\n", "secrets = {\r\n\tA = 1,\r\n}\r\n"},
		"first of a line of an inline table":            {"secrets", "secrets = {\n\tK = 1, A = 2\n}\n", "secrets = {\n\tA = 2\n}\n"},
		"last of a line of an inline table":             {"secrets", "secrets = {\n\tA = 1, K = 2\n}\n", "secrets = {\n\tA = 1\n}\n"},
		"after a comma of another line":                 {"secrets", "secrets = {\n\tA = 1 # one\n\t, K = 2\n}\n", "secrets = {\n\tA = 1 # one\n\t, \n}\n"},
		"before a comma of another line":                {"secrets", "secrets = {\n\tK = 1 # one\n\t# of B\n\t, B = 2\n}\n", "secrets = {\n\t\t# of B\n\tB = 2\n}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, found, err := Remove([]byte(test.before), names(test.table), "K")
			if err != nil || !found || string(got) != test.after {
				t.Errorf("Remove(%q) = %q, %v, %v, want %q", test.before, got, found, err, test.after)
			}
		})
	}
}

func TestRemoveAbsent(t *testing.T) {
	for _, text := range []string{"", "K = 1\n", "[secrets]\nA = { K = 1 }\n", "secrets = \"K\"\n", "[[secrets]]\nK = 1\n", "[env]\nK = 1\n[x.secrets]\nK = 1\n"} {
		got, found, err := Remove([]byte(text), []string{"secrets"}, "K")
		if err != nil || found || string(got) != text {
			t.Errorf("Remove(%q) = %q, %v, %v, want it unchanged", text, got, found, err)
		}
	}
}

func TestSetOnTable(t *testing.T) {
	for _, text := range []string{"[secrets.K]\nref = 1\n", "[secrets]\nK.ref = 1\n", "secrets.K.ref = 1\n", "[[secrets.K]]\n", "secrets = { K.ref = 1 }\n", "[secrets.K.x]\n"} {
		if got, err := Set([]byte(text), []string{"secrets"}, "K", "9"); got != nil || !errors.Is(err, ErrTable) {
			t.Errorf("Set(%q) = %q, %v, want ErrTable", text, got, err)
		}
	}
	for _, text := range []string{"secrets = 1\n", "[[secrets]]\n", "secrets = [{ K = 1 }]\n"} {
		if got, err := Set([]byte(text), []string{"secrets"}, "K", "9"); got != nil || err == nil {
			t.Errorf("Set(%q) = %q, %v, want an error", text, got, err)
		}
	}
}

// One value is one value: nothing that follows it can become a key.
func TestSetValue(t *testing.T) {
	for _, value := range []string{
		"", " ", " 9", "9 ", "9\n", "9\r\n", "\n9", "9 # c", "#", "9,", "9, L = 1", "9 }", "9\nL = 1", "9\n[trust]", "\"a\"\n[trust]\nx = 1",
		`"a`, `"""a`, `'''a`, `"""a"""b`, `"a""b"`, "'''a''''''", "= 9", "]", "[1", "[1]]", "{ a = 1 }}", "{ a = 1, a = 2 }", "2020-13-45", "1__0",
		"\"\x00\"", "\"\xff\"", "\"\r\"", "bareword",
	} {
		for _, text := range []string{"", "[secrets]\nK = 1\n", "secrets = { K = 1 }\n", "secrets.A = 1\n"} {
			if got, err := Set([]byte(text), []string{"secrets"}, "K", value); got != nil || !errors.Is(err, errValue) {
				t.Errorf("Set(%q, %q) = %q, %v, want errValue", text, value, got, err)
			}
		}
	}
}

// Whatever a name or a string holds, it stands as itself or not at all.
func TestInjection(t *testing.T) {
	texts := []string{"", "[env]\nA = 1", "[secrets]\nA = 1\n", "secrets = { A = 1 }\n", "secrets.A = 1\n", "secrets = {\n  A = 1\n}\n"}
	for _, hostile := range []string{
		"\n[trust]\n", "x\r\n[trust]\r\n", `"""`, `'''`, `"`, `'`, `]`, `[[x]]`, `#`, `# x`, ` `, ``, `.`, `a.b`, `a"."b`, `= 1`, `\`, `\"`, "\\\n", `\u0000`, "\r", "\t",
		"\x1b[2J", "\x7f", "\u0085", "\u202e", "\u2028", "\ufeff", "\U000e0041", "\U0010ffff", "ø", "🔑", "{", "}", ",", "${x}", "$(x)",
	} {
		source, err := String(hostile)
		if err != nil || strings.ContainsAny(source, "\n\r\t\x1b\x7f\u0085\u202e\u2028\ufeff") {
			t.Errorf("String(%q) = %q, %v, want one plain line", hostile, source, err)
		}
		for _, text := range texts {
			before := parse(t, text)
			out, err := Set([]byte(text), []string{"secrets"}, hostile, source)
			if err != nil {
				t.Errorf("Set(%q, %q): %v", text, hostile, err)
				continue
			}
			after := parse(t, string(out))
			secrets := after["secrets"].(map[string]any)
			if secrets[hostile] != hostile {
				t.Errorf("Set(%q, %q) = %q holds %q", text, hostile, out, secrets[hostile])
			}
			if got, want := leaves(after), leaves(before)+1; got != want {
				t.Errorf("Set(%q, %q) = %q has %d keys, want %d", text, hostile, out, got, want)
			}
			header, err := Set([]byte(text), []string{"t", hostile}, "K", source)
			if err != nil || leaves(parse(t, string(header))) != leaves(before)+1 {
				t.Errorf("Set(%q) in table %q = %q, %v", text, hostile, header, err)
			}
		}
	}
	for _, bad := range []string{"\x00", "a\xff", "\xed\xa0\x80"} {
		if s, err := String(bad); err == nil {
			t.Errorf("String(%q) = %q, want an error", bad, s)
		}
		if _, err := Set(nil, nil, bad, "1"); err == nil {
			t.Errorf("Set of key %q: no error", bad)
		}
		if _, err := Set(nil, []string{bad}, "K", "1"); err == nil {
			t.Errorf("Set in table %q: no error", bad)
		}
	}
}

func TestSyntaxError(t *testing.T) {
	for text, line := range map[string]int{
		"A = hunter2\n": 1, "A = 1\n\nA = \"hunter2\"\n": 3, "[a]\nB = 1\n[a]\n": 3, "A = 1\nB = \"hunter2\n": 2, "A = 1\r\nB": 2,
		"A = \"\xff hunter2\"": 1, "A = 1\rB = 2\n": 1, "\ufeffA = 1\n\ufeffB = 2\n": 2, "[secrets\n": 1, "x = 1\nd = 2020-13-45\n": 2,
	} {
		_, setErr := Set([]byte(text), []string{"secrets"}, "K", "9")
		_, _, removeErr := Remove([]byte(text), []string{"secrets"}, "K")
		for _, err := range []error{setErr, removeErr} {
			var at *SyntaxError
			if !errors.As(err, &at) || at.Line != line {
				t.Errorf("%q: error %v, want line %d", text, err, line)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: error %q holds a value", text, err)
			}
		}
	}
}

// The last look at a result catches whatever the code before it got wrong.
func TestCheck(t *testing.T) {
	for text, ok := range map[string]bool{
		"a = [nan]\n[b]\nc = 2020-01-01T00:00:00-07:00": true,
		"a = [nan]\nb.c = 2020-01-01T00:00:00-07:00\n#": true,

		"a = [nan]\n[b]\nc = 2020-01-01T00:00:00-06:00":          false,
		"a = [1.0]\n[b]\nc = 2020-01-01T00:00:00-07:00":          false,
		"a = [nan, nan]\n[b]\nc = 2020-01-01T00:00:00-07:00":     false,
		"a = [nan]\n[b]\nc = 2020-01-01T00:00:00-07:00\nd = 1":   false,
		"a = [nan]\n[b]\nc = 2020-01-01T00:00:00-07:00\n[empty]": false,
		"a = [nan]\n[[b]]\nc = 2020-01-01T00:00:00-07:00":        false,
		"a = [nan]\n[b]": false,
		"a = [nan]":      false,
		"a = [nan]\n[b]\nc = 2020-01-01T00:00:00-07:00\na": false,
	} {
		want := parse(t, "a = [nan]\nb = { c = 2020-01-01T00:00:00-07:00 }")
		if err := check([]byte(text), want, []string{"b"}); (err == nil) != ok {
			t.Errorf("check(%q) = %v, want ok %v", text, err, ok)
		}
	}
}

// Names cost what they are long, once: a long header does not count for each
// of its keys.
func TestScanHostile(t *testing.T) {
	text := "[" + strings.Repeat("a.", 1000) + "a]\nK = { a.a.a.a.a = 1 }\n"
	for _, e := range scan([]byte(text), []string{"a", "K"}).entries {
		if len(e.path) > 3 {
			t.Errorf("an entry of %d names", len(e.path))
		}
	}
}

func names(table string) []string {
	if table == "" {
		return nil
	}
	return strings.Split(table, ".")
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := toml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return m
}

// leaves counts the keys of m, at every depth, that are not tables.
func leaves(m map[string]any) int {
	n := 0
	for _, v := range m {
		if inner, ok := v.(map[string]any); ok {
			n += leaves(inner)
		} else {
			n++
		}
	}
	return n
}
