package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func parseUser(text string) (User, error) {
	return ParseUser(File{Path: testPath, Data: []byte(text)}, "/home/ada")
}

func TestParseUser(t *testing.T) {
	u, err := parseUser(`
[hook]
deadline = "1500ms"
[trust]
prefixes = ["~/work", "/srv/app/", "~", "/a/../b"]
[names]
allow = ["DOCKER_HOST", "ld_preload", "KZ_LOG"]
[providers.op]
type = "command"
command = ["op", "read", "{ref}"]
[providers.mine]
type = "keychain"
`)
	if err != nil {
		t.Fatal(err)
	}
	if u.Path != testPath || u.Deadline != 1500*time.Millisecond {
		t.Errorf("%q, deadline %v", u.Path, u.Deadline)
	}
	if want := []string{"/home/ada/work", "/srv/app", "/home/ada", "/b"}; !slices.Equal(u.Prefixes, want) {
		t.Errorf("the prefixes are %q, want %q", u.Prefixes, want)
	}
	if want := []string{"DOCKER_HOST", "ld_preload", "KZ_LOG"}; !slices.Equal(u.AllowNames, want) {
		t.Errorf("the names are %q, want %q", u.AllowNames, want)
	}
	op, mine := u.Providers["op"], u.Providers["mine"]
	if len(u.Providers) != 2 || op.Type != "command" || !slices.Equal(op.Command, []string{"op", "read", "{ref}"}) || mine.Type != "keychain" || mine.Command != nil || op.Pos.Line != 8 {
		t.Errorf("the providers are %+v", u.Providers)
	}
}

func TestParseUserOfNothing(t *testing.T) {
	for what, f := range map[string]File{"a missing file": {Path: testPath, Missing: true}, "an empty file": {Path: testPath}, "empty tables": {Path: testPath, Data: []byte("[hook]\n[trust]\n[names]\n[providers]\n")}} {
		u, err := ParseUser(f, "/home/ada")
		if err != nil || u.Path != testPath || u.Deadline != 3*time.Second || u.Prefixes != nil || u.AllowNames != nil || len(u.Providers) > 0 || u.Providers == nil {
			t.Errorf("%s: %+v, %v", what, u, err)
		}
	}
}

// A prefix is what it says, and no more than that.
func TestPrefixOfHome(t *testing.T) {
	for text, want := range map[string]string{
		"~": "/home/ada", "~/": "/home/ada", "~/work": "/home/ada/work", "~/a b": "/home/ada/a b", "~/~": "/home/ada/~", "~/~ada": "/home/ada/~ada", "~/./x/": "/home/ada/x",
		"/": "/", "/srv": "/srv", "/srv/~": "/srv/~", "/srv//x/": "/srv/x",
		"~ada": "", "~ada/work": "", "work": "", "./work": "", "": "", ".": "", "$HOME": "", "*": "", "../x": "",
	} {
		u, err := parseUser("[trust]\nprefixes = ['" + text + "']\n")
		switch {
		case want != "" && (err != nil || !slices.Equal(u.Prefixes, []string{want})):
			t.Errorf("the prefix %q is %q, %v, want %q", text, u.Prefixes, err, want)
		case want == "" && (err == nil || len(u.Prefixes) > 0 || !strings.HasPrefix(err.Error(), testPath+":2: trust.prefixes: ")):
			t.Errorf("the prefix %q is %q, %v, want an error", text, u.Prefixes, err)
		}
	}
	u, err := ParseUser(File{Path: testPath, Data: []byte("[trust]\nprefixes = ['~/work']\n")}, "")
	if err == nil || len(u.Prefixes) > 0 {
		t.Errorf("without a home the prefix ~/work is %q, %v, want an error", u.Prefixes, err)
	}
}

func TestParseUserErrors(t *testing.T) {
	for what, test := range map[string]struct {
		text string
		line int
		want string
	}{
		"a key misspelt":               {"\n[tursts]\n", 2, `tursts: unknown key; did you mean "trust"?`},
		"a setting misspelt":           {"[trust]\nprefix = []\n", 2, `trust.prefix: unknown key; did you mean "prefixes"?`},
		"another setting":              {"[hook]\ndeadlin = '1s'\n", 2, `hook.deadlin: unknown key; did you mean "deadline"?`},
		"what is a project's":          {"[env]\nA = '1'\n", 1, "env: unknown key; known here: providers, hook, trust, names"},
		"inherit":                      {"inherit = true\n", 1, "inherit: unknown key; known here: providers, hook, trust, names"},
		"no duration":                  {"[hook]\ndeadline = '3'\n", 2, `hook.deadline: must be a duration such as "15m", or "0"`},
		"a duration below zero":        {"[hook]\ndeadline = '-3s'\n", 2, `hook.deadline: must be a duration such as "15m", or "0"`},
		"no time at all":               {"[hook]\ndeadline = '0'\n", 2, "hook.deadline: must be more than 0"},
		"a name with a star":           {"[names]\nallow = ['LD_*']\n", 2, `names.allow: "LD_*" cannot be allowed`},
		"a name that is none":          {"[names]\nallow = ['A', '9']\n", 2, `names.allow: "9" cannot be allowed`},
		"kz's own state":               {"[names]\nallow = ['__KZ_STATE']\n", 2, `names.allow: "__KZ_STATE" cannot be allowed`},
		"kz's own state in lower case": {"[names]\nallow = ['__kz_state']\n", 2, `names.allow: "__kz_state" cannot be allowed`},
		"a variable of the hook":       {"[names]\nallow = ['_kz_self']\n", 2, `names.allow: "_kz_self" cannot be allowed`},
		"a command without words":      {"[providers.x]\ntype = 'command'\ncommand = []\n", 3, `x.command: goes with type = "command", and that with it`},
		"a command of another type":    {"[providers.x]\ntype = 'env'\ncommand = ['x']\n", 3, `x.command: goes with type = "command", and that with it`},
		"a type without its command":   {"[providers.x]\ntype = 'command'\n", 1, `x.command: goes with type = "command", and that with it`},
		"a path with an escape":        {"[trust]\nprefixes = [\"\\u001b\"]\n", 2, `trust.prefixes: "\x1b" is not an absolute path`},
		"not TOML":                     {"[hook\n", 1, "not TOML: expected ']' to close table name"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := parseUser(test.text)
			checkError(t, what, err, test.line, test.want)
		})
	}
	_, err := parseUser("[zzz]\n[hook]\ndeadline = 'x'\n[names]\nallow = ['9']\n[trust]\nprefixes = ['x']\n[providers.x]\n")
	if got := flat(err); len(got) != 5 {
		t.Errorf("of five things that are wrong these are said: %q", got)
	}
}

// With an error come the settings that narrow, and none that widen.
func TestParseUserWithErrors(t *testing.T) {
	u, err := parseUser("[trust]\nprefixes = ['/srv', 'relative']\n[names]\nallow = ['LD_PRELOAD', '9']\n")
	if err == nil || len(u.Prefixes) > 0 || len(u.AllowNames) > 0 {
		t.Errorf("prefixes %q, names %q, %v, want none and an error", u.Prefixes, u.AllowNames, err)
	}
}
