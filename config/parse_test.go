package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const canary = "KZCANARY"

// flat returns the errors that err joins, one a line.
func flat(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// checkError fails unless err is this one error, at this line of the test's file.
func checkError(t *testing.T, what string, err error, line int, want string) {
	t.Helper()
	prefix := testPath
	if line > 0 {
		prefix += fmt.Sprintf(":%d", line)
	}
	if got := flat(err); len(got) != 1 || got[0] != prefix+": "+want {
		t.Errorf("%s: %q, want %s", what, got, prefix+": "+want)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("%s: the error shows a value: %v", what, err)
	}
}

// show writes an entry down, pointers followed.
func show(e Entry) string {
	text := fmt.Sprintf("%s:%d %s %q %v %s %q %q", e.Pos.Path, e.Pos.Line, e.Dir, e.Text, e.Secret, e.Provider, e.Ref, e.Field)
	if e.Default != nil {
		text += fmt.Sprintf(" default %q", *e.Default)
	}
	if e.TTL != nil {
		text += fmt.Sprintf(" ttl %v", *e.TTL)
	}
	return text + fmt.Sprintf(" optional %v file %v run %v %q", e.Optional, e.AsFile, e.RunOnly, e.Description)
}

func TestParse(t *testing.T) {
	l, err := parse(`#:schema https://keyzero.sh/schema/kz.json
inherit = true

[env]
LOG_LEVEL = "debug"
"PORT" = 8080
DEBUG = true
API_URL = "https://${API_HOST}/v1"
TEXT = """
one
two"""

[secrets]
DATABASE_URL = { provider = "keychain",  ref = "myapp-db-url" }
API_KEY.provider = "1password"
API_KEY.ref = "op://Vault/myapp/api-key"
DSN = { template = "postgres://app:${DB_PASSWORD}@db/app" }
SHORT = "op://Vault/item/field"
FILE = { provider = "vault", ref = "gcp.json", as = "file", hook = false, required = false, description = "for gcp" }

[secrets.STRIPE_KEY]
provider = "aws"
ref = "sm://prod/stripe"
field = "key"
default = ""
ttl = "90s"

[production.secrets]
DATABASE_URL = { provider = "aws", ref = "sm://prod/db-url" }
[production.env]
LOG_LEVEL = "warn"

[staging]

[providers.prod-vault]
type = "keychain"
`)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Inherit || l.Path != testPath {
		t.Errorf("the layer of %q inherits: %v", l.Path, l.Inherit)
	}
	const dir = "/home/ada/work"
	pos := func(line int) Position { return Position{testPath, line} }
	base := map[string]Entry{
		"LOG_LEVEL":    {Pos: pos(5), Text: "debug"},
		"PORT":         {Pos: pos(6), Text: "8080"},
		"DEBUG":        {Pos: pos(7), Text: "true"},
		"API_URL":      {Pos: pos(8), Text: "https://${API_HOST}/v1"},
		"TEXT":         {Pos: pos(9), Text: "one\ntwo"},
		"DATABASE_URL": {Pos: pos(14), Secret: true, Provider: "keychain", Ref: "myapp-db-url"},
		"API_KEY":      {Pos: pos(15), Secret: true, Provider: "1password", Ref: "op://Vault/myapp/api-key"},
		"DSN":          {Pos: pos(17), Secret: true, Text: "postgres://app:${DB_PASSWORD}@db/app"},
		"SHORT":        {Pos: pos(18), Secret: true, Provider: "1password", Ref: "op://Vault/item/field"},
		"FILE":         {Pos: pos(19), Secret: true, Provider: "vault", Ref: "gcp.json", AsFile: true, RunOnly: true, Optional: true, Description: "for gcp"},
		"STRIPE_KEY":   {Pos: pos(21), Secret: true, Provider: "aws", Ref: "sm://prod/stripe", Field: "key", Default: new(""), TTL: new(90 * time.Second)},
	}
	production := map[string]Entry{
		"DATABASE_URL": {Pos: pos(29), Secret: true, Provider: "aws", Ref: "sm://prod/db-url"},
		"LOG_LEVEL":    {Pos: pos(31), Text: "warn"},
	}
	for what, test := range map[string]struct{ got, want map[string]Entry }{
		"base": {l.base, base}, "production": {l.sections["production"], production}, "staging": {l.sections["staging"], nil},
	} {
		for name, e := range test.want {
			e.Name, e.Dir = name, dir
			if got := test.got[name]; got.Name != name || show(got) != show(e) {
				t.Errorf("%s: %s is %s, want %s", what, name, show(got), show(e))
			}
		}
		if len(test.got) != len(test.want) {
			t.Errorf("%s has %d entries, want %d", what, len(test.got), len(test.want))
		}
	}
	if got := Sections([]*Layer{l}); !slices.Equal(got, []string{"production", "staging"}) {
		t.Errorf("the sections are %q", got)
	}
	if p := l.providers["prod-vault"]; p.Name != "prod-vault" || p.Type != "keychain" || p.Pos != pos(35) || p.Command != nil {
		t.Errorf("the provider is %+v", p)
	}
}

func TestParseNothing(t *testing.T) {
	for what, f := range map[string]File{
		"a missing file": {Path: testPath, Missing: true}, "an empty file": {Path: testPath}, "comments": {Path: testPath, Data: []byte("# a\r\n\n#b")},
		"empty tables": {Path: testPath, Data: []byte("[env]\n[secrets]\n[providers]\n")},
	} {
		if l, err := Parse(f); err != nil || l == nil || len(l.base)+len(l.providers)+len(l.sections) > 0 || l.Inherit {
			t.Errorf("%s: %+v, %v", what, l, err)
		}
	}
}

// Lines end as they do on any system, and tables come in any order and spelling.
func TestParseSpellings(t *testing.T) {
	for what, text := range map[string]string{
		"a table":         "[secrets.A]\nprovider = 'env'\nref = 'x'\n",
		"CR LF":           "[secrets.A]\r\nprovider = 'env'\r\nref = 'x'\r\n",
		"inline":          "secrets = { A = { provider = 'env', ref = 'x' } }",
		"over lines":      "secrets = {\n  A = { provider = 'env',\n    ref = 'x', },\n}\n",
		"dotted":          "secrets.A.provider = 'env'\nsecrets.A.ref = 'x'",
		"quoted":          "[ 'secrets' . \"\\u0041\" ]\n'provider' = \"e\\u006ev\"\n\"ref\" = '''\nx'''",
		"below another":   "[secrets.B]\nref = 'env://B'\n[secrets]\nA = 'env://x'\n",
		"reference alone": "[secrets]\nA.ref = 'env://x'\n",
		"trailing comma":  "secrets.A = { provider = 'env', ref = 'x', }",
	} {
		l, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if e := l.base["A"]; e.Provider != "env" || e.Ref != "x" || !e.Secret || e.Pos.Line < 1 {
			t.Errorf("%s: A is %s", what, show(e))
		}
	}
}

// every is a value of each of TOML's types.
var every = map[string]string{
	"text": `"` + canary + `"`, "int": "7", "float": "1.5", "bool": "true", "date": "2020-01-02", "time": "03:04:05", "moment": "2020-01-02T03:04:05Z",
	"list": `["` + canary + `"]`, "numbers": "[1, 2]", "mixed": `["a", 1]`, "table": "{}", "tables": "[{}]", "infinity": "inf",
}

// accepts says which types each key of the schema takes. A key that is added to
// the schema fails the tests below until it stands here.
var accepts = map[string]string{
	"inherit":               "bool",
	"env":                   "table",
	"env.*":                 "text int bool",
	"secrets":               "table",
	"secrets.*":             "text table",
	"secrets.*.provider":    "text",
	"secrets.*.ref":         "text",
	"secrets.*.field":       "text",
	"secrets.*.template":    "text",
	"secrets.*.required":    "bool",
	"secrets.*.default":     "text",
	"secrets.*.ttl":         "text",
	"secrets.*.stale":       "text",
	"secrets.*.as":          "text",
	"secrets.*.hook":        "bool",
	"secrets.*.description": "text",
	"providers":             "table",
	"providers.*":           "table",
	"providers.*.type":      "text",
	"providers.*.ttl":       "text",
	"providers.*.stale":     "text",
	"providers.*.command":   "list",
	"hook":                  "table",
	"hook.deadline":         "text",
	"trust":                 "table",
	"trust.prefixes":        "list",
	"trust.addresses":       "table",
	"trust.addresses.*":     "list",
	"names":                 "table",
	"names.allow":           "list",
}

// spell writes a key of the schema with names for its stars.
func spell(key string) string { return strings.ReplaceAll(key, "*", "A") }

// companions are what must stand beside an option for the value to be at fault.
var companions = map[string]string{
	"secrets.*.provider": "secrets.A.ref = 'x'", "secrets.*.ref": "secrets.A.provider = 'env'", "providers.*.command": "providers.A.type = 'command'",
	"secrets.*.field": "secrets.A.ref = 'env://x'", "secrets.*.required": "secrets.A.ref = 'env://x'", "secrets.*.default": "secrets.A.ref = 'env://x'",
	"secrets.*.ttl": "secrets.A.ref = 'env://x'", "secrets.*.as": "secrets.A.ref = 'env://x'", "secrets.*.hook": "secrets.A.ref = 'env://x'",
	"secrets.*.description": "secrets.A.ref = 'env://x'", "secrets.*.stale": "secrets.A.ref = 'env://x'",
	"providers.*.ttl": "providers.A.type = 'env'", "providers.*.stale": "providers.A.type = 'env'",
}

func TestSchemaIsCovered(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range schema {
		if accepts[k.key] == "" {
			t.Errorf("no test knows which types %q takes", k.key)
		}
		if k.scope == 0 || k.scope&^inBoth != 0 {
			t.Errorf("%q has the scope %d", k.key, k.scope)
		}
		if seen[k.key] {
			t.Errorf("%q is twice in the schema", k.key)
		}
		seen[k.key] = true
		if parent, _, ok := strings.Cut(k.key, "."); ok && !seen[parent] {
			t.Errorf("%q comes before %q", k.key, parent)
		}
	}
	for key := range accepts {
		if !seen[key] {
			t.Errorf("%q is not in the schema", key)
		}
	}
}

// Whatever else stands for a value is an error that names the key and the line.
func TestWrongTypes(t *testing.T) {
	for _, k := range schema {
		for typ, value := range every {
			if slices.Contains(strings.Fields(accepts[k.key]), typ) || accepts[k.key] == "table" && typ == "table" {
				continue
			}
			key := spell(k.key)
			text := companions[k.key] + "\n\n" + key + " = " + value + "\n"
			f := File{Path: testPath, Data: []byte(text)}
			var err error
			if k.scope&inProject != 0 {
				_, err = Parse(f)
			} else {
				_, err = ParseUser(f, "/home/ada")
			}
			var at *Error
			if !errors.As(err, &at) || at.Pos != (Position{testPath, 3}) || at.Key == "" || !strings.HasSuffix(key, at.Key) || !strings.Contains(at.Msg, "must be") {
				t.Errorf("%s of the type %s: %q, want an error at line 3 that says what %s must be", k.key, typ, err, key)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%s of the type %s: the error shows the value: %v", k.key, typ, err)
			}
		}
	}
}

// What is the user's alone is refused in a project's files, by that name.
func TestScopes(t *testing.T) {
	values := map[string]string{"bool": "true", "table": "{}", "text": "'x'", "list": "['x']"}
	const message = "only the user's own configuration may have this"
	for _, k := range schema {
		value := values[strings.Fields(accepts[k.key])[0]]
		text := "\n" + spell(k.key) + " = " + value + "\n"
		mine := func(err error) bool { return err != nil && strings.Contains(err.Error(), message) }
		unknown := func(err error) bool { return err != nil && strings.Contains(err.Error(), "unknown key") }
		for _, name := range []string{Name, LocalName} {
			_, err := Parse(File{Path: "/home/ada/work/" + name, Data: []byte(text)})
			if mine(err) != (k.scope&inProject == 0) || unknown(err) {
				t.Errorf("%s in %s: %v, want that it is the user's: %v", k.key, name, err, k.scope&inProject == 0)
			}
			if mine(err) && !strings.HasPrefix(err.Error(), "/home/ada/work/"+name+":2: ") {
				t.Errorf("%s in %s: %v, want line 2", k.key, name, err)
			}
		}
		_, err := ParseUser(File{Path: testPath, Data: []byte(text)}, "/home/ada")
		if unknown(err) != (k.scope&inUser == 0) || mine(err) {
			t.Errorf("%s in the user's file: %v, want that it is unknown: %v", k.key, err, k.scope&inUser == 0)
		}
	}
	// They are no environments either, whatever they hold.
	for _, name := range []string{"hook", "trust", "names"} {
		_, err := parse("[" + name + ".env]\nA = ''\n")
		checkError(t, "["+name+".env]", err, 1, name+": "+message)
	}
	_, err := parse("[providers.x]\ntype = 'command'\n")
	checkError(t, "a command", err, 2, "x.type: only the user's own configuration may have a provider that runs a program of its own")
}

func TestParseErrors(t *testing.T) {
	long := strings.Repeat("x", 100)
	for what, test := range map[string]struct {
		text string
		line int
		want string
	}{
		"a key misspelt":               {"\ninherti = true", 2, `inherti: unknown key; did you mean "inherit"?`},
		"a key that is like no other":  {"[env]\n[secrets]\n\n[providers]\n[x]\ny = 1\n", 6, "x.y: unknown key; [x] is taken for an environment, which has [x.env] and [x.secrets]"},
		"a value at the top":           {"zzz = 1", 1, "zzz: unknown key; known here: inherit, env, secrets, providers"},
		"a list at the top":            {"[[production]]", 1, "production: unknown key; known here: inherit, env, secrets, providers"},
		"[secret]":                     {"[secret]\nA = 'env://A'\n", 2, "secret.A: unknown key; [secret] is taken for an environment, which has [secret.env] and [secret.secrets]; did you mean [secrets]?"},
		"[Env]":                        {"[Env]\nA = '1'\n", 2, "Env.A: unknown key; [Env] is taken for an environment, which has [Env.env] and [Env.secrets]; did you mean [env]?"},
		"[envs]":                       {"[envs]\nA = '1'\n", 2, "envs.A: unknown key; [envs] is taken for an environment, which has [envs.env] and [envs.secrets]; did you mean [env]?"},
		"an option misspelt":           {"[secrets.A]\nref = 'env://A'\nrequierd = true\n", 3, `secrets.A.requierd: unknown key; did you mean "required"?`},
		"no option":                    {"[secrets]\nA = { ref = 'env://A', value = '" + canary + "' }", 2, "secrets.A.value: unknown key; known here: provider, ref, field, template, required, default, ttl, stale, as, hook, description"},
		"an option of an environment":  {"[production.secrets.A]\nref = 'env://A'\ndefualt = ''\n", 3, `production.secrets.A.defualt: unknown key; did you mean "default"?`},
		"a setting misspelt":           {"[providers.x]\ntpye = 'env'\n", 2, `providers.x.tpye: unknown key; did you mean "type"?`},
		"settings that redirect":       {"[providers.x]\ntype = 'env'\naddress = 'http://evil'\n", 3, "providers.x.address: unknown key; known here: type, ttl, stale"},
		"inherit of an environment":    {"[production]\ninherit = true\n", 2, "production.inherit: unknown key; [production] is taken for an environment, which has [production.env] and [production.secrets]"},
		"an environment with a dot":    {"['../x'.env]\nA = ''\n", 1, "../x: cannot name an environment: letters, digits, dots, hyphens, underscores, at most 64"},
		"an environment with a dash":   {"[-x.env]\nA = ''\n", 1, "-x: cannot name an environment: letters, digits, dots, hyphens, underscores, at most 64"},
		"an environment without name":  {"[''.env]\nA = ''\n", 1, "cannot name an environment: letters, digits, dots, hyphens, underscores, at most 64"},
		"an environment with a NUL":    {"[\"a\\u0000\".env]\nA = ''\n", 1, `a\x00: cannot name an environment: letters, digits, dots, hyphens, underscores, at most 64`},
		"a long environment":           {"[" + long + ".env]\nA = ''\n", 1, long + ": cannot name an environment: letters, digits, dots, hyphens, underscores, at most 64"},
		"a name with a dash":           {"[env]\nA-B = '1'\n", 2, "A-B: not a variable name: letters, digits and underscores, at most 128"},
		"a name twice":                 {"[env]\nA = '1'\n[secrets]\nA = 'env://A'\n", 4, "A: stands in [env] and in [secrets]"},
		"a name twice, in sections":    {"[x.secrets]\nA = 'env://A'\n[x.env]\nA = '1'\n", 2, "A: stands in [env] and in [secrets]"},
		"a value that is no text":      {"[env]\nA = 1.5\n", 2, "A: must be a text: put it in quotes"},
		"a NUL in a value":             {"[env]\nA = \"" + canary + "\\u0000\"\n", 2, "A: has a NUL character, which no environment can hold"},
		"a NUL in a template":          {"[secrets.A]\ntemplate = \"\\u0000\"\n", 1, "A: has a NUL character, which no environment can hold"},
		"a NUL in a default":           {"[secrets.A]\nref = 'env://A'\ndefault = \"" + canary + "\\u0000\"\n", 3, "A.default: has a NUL character, which no environment can hold"},
		"a NUL in a reference":         {"[secrets]\nA = \"env://\\u0000\"\n", 2, "A: the reference has a control character"},
		"a line feed in a reference":   {"[secrets]\nA = { provider = 'env', ref = \"A\\nB\" }\n", 2, "A: the reference has a control character"},
		"an escape in a reference":     {"[secrets]\nA = \"env://\\u001b]0;\"\n", 2, "A: the reference has a control character"},
		"delete in a reference":        {"[secrets]\nA = \"env://\\u007f\"\n", 2, "A: the reference has a control character"},
		"C1 in a reference":            {"[secrets]\nA = \"env://\\u009b\"\n", 2, "A: the reference has a control character"},
		"the first of C1":              {"[secrets]\nA = \"env://\\u0080\"\n", 2, "A: the reference has a control character"},
		"the last of C1":               {"[secrets]\nA = \"env://\\u009f\"\n", 2, "A: the reference has a control character"},
		"a reference over lines":       {"[secrets]\nA = '''env://A\nB'''\n", 2, "A: the reference has a control character"},
		"an empty reference":           {"[secrets]\nA = 'env://'\n", 2, "A: the reference is empty"},
		"an empty reference, apart":    {"[secrets.A]\nprovider = 'env'\nref = ''\n", 1, "A: the reference is empty"},
		"a long reference":             {"[secrets]\nA = 'env://" + strings.Repeat("x", MaxRef+1) + "'\n", 2, "A: the reference has more than 1024 bytes"},
		"a text that is no URI":        {"[secrets]\nA = '" + canary + "'\n", 2, `A: must be a URI such as "keychain://name", or a table`},
		"a URI without a scheme":       {"[secrets]\nA = '://x'\n", 2, `A: must be a URI such as "keychain://name", or a table`},
		"a URI of an odd scheme":       {"[secrets]\nA = '../x://y'\n", 2, `A: must be a URI such as "keychain://name", or a table`},
		"a reference that is no URI":   {"[secrets]\nA = { ref = 'x' }\n", 2, `A: must be a URI such as "keychain://name", or a table`},
		"no reference":                 {"[secrets]\nA = { provider = 'env' }\n", 2, "A.ref: is missing"},
		"an empty table":               {"[secrets]\nA = {}\n", 2, "A.ref: is missing"},
		"an odd provider":              {"[secrets.A]\nprovider = '../x'\nref = 'y'\n", 2, "A.provider: cannot name a provider: letters, digits, dots, hyphens, underscores, at most 64"},
		"template and provider":        {"[secrets.A]\ntemplate = 'x'\nprovider = 'env'\n", 3, "A.provider: does not go with template"},
		"template and reference":       {"[secrets.A]\nref = 'env://A'\ntemplate = 'x'\n", 2, "A.ref: does not go with template"},
		"template and field":           {"[secrets.A]\ntemplate = 'x'\nfield = 'y'\n", 3, "A.field: does not go with template"},
		"template and default":         {"[secrets.A]\ntemplate = 'x'\ndefault = '" + canary + "'\n", 3, "A.default: does not go with template"},
		"template and ttl":             {"[secrets.A]\ntemplate = 'x'\nttl = '1m'\n", 3, "A.ttl: does not go with template"},
		"a command in a value":         {"[env]\nA = '" + canary + "$(id)'\n", 2, "A: command substitution is not allowed; write \\$ or \\` for the character itself"},
		"a command in a template":      {"[secrets]\nA = { template = '" + canary + "`id`' }\n", 2, "A: command substitution is not allowed; write \\$ or \\` for the character itself"},
		"an expansion of shells":       {"[env]\nA = '${B:-" + canary + "}'\n", 2, "A: only ${NAME} is expanded; write \\$ for a dollar sign that stands for itself"},
		"a ttl that is no duration":    {"[secrets.A]\nref = 'env://A'\nttl = '" + canary + "'\n", 3, `A.ttl: must be a duration such as "15m", or "0"`},
		"a ttl without a unit":         {"[secrets.A]\nref = 'env://A'\nttl = '15'\n", 3, `A.ttl: must be a duration such as "15m", or "0"`},
		"a ttl below zero":             {"[secrets.A]\nref = 'env://A'\nttl = '-1s'\n", 3, `A.ttl: must be a duration such as "15m", or "0"`},
		"an odd as":                    {"[secrets.A]\nref = 'env://A'\nas = 'File'\n", 3, `A.as: must be "env" or "file"`},
		"an odd provider table":        {"[providers.'../x']\ntype = 'env'\n", 1, "providers.../x: cannot name a provider: letters, digits, dots, hyphens, underscores, at most 64"},
		"a provider without a type":    {"[providers.x]\n", 1, "x.type: is missing"},
		"a provider of an odd type":    {"[providers.x]\ntype = 'keychian'\n", 2, `providers.x: unknown type "keychian"; did you mean "keychain"?`},
		"a provider of no type at all": {"[providers.x]\ntype = 'zzz'\n", 2, `providers.x: unknown type "zzz"; there are: 1password, age, aws, azure, bitwarden, command, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, pass, plugin, sops, systemd, vault`},
		"a store under another's name": {"[providers.dotenv]\ntype = 'keychain'\n", 2, `dotenv.type: must be "dotenv", which is what the name says`},
		"not TOML":                     {"[env]\nA = " + canary + "\n", 2, "not TOML: unexpected character U+004B 'K' at start of value"},
		"a text that does not end":     {"[env]\nA = \"" + canary + "\nB = 1\n", 2, "not TOML: basic strings cannot have new lines"},
		"a text over lines, unended":   {"[env]\nA = '''" + canary + "\n", 2, "not TOML: multiline literal string not terminated by '''"},
		"two texts":                    {"[env]\nA = 'a' '" + canary + "'\n", 2, "not TOML: expected newline but got U+0027 '''"},
		"a quote at the end":           {"[env]\nA = \"", 2, "not TOML: unterminated basic string"},
		"a text at the end":            {"[env]\nA = \"" + canary, 2, "not TOML: unterminated basic string"},
		"a backslash at the end":       {"[env]\nA = \"" + canary + "\\", 2, "not TOML: need a character after \\"},
		"three quotes at the end":      {"[env]\nA = \"\"\"", 2, `not TOML: multiline basic string not terminated by """`},
		"a number that is too large":   {"[env]\nA = 1234567e8901\n", 2, "not TOML: unable to parse float"},
		"a key twice":                  {"[env]\nA = '1'\nA = '" + canary + "'\n", 3, "A: not TOML: key A is already defined"},
		"a table twice":                {"[env]\n[secrets]\n[env]\n", 3, "env: not TOML: table env already exists"},
		"a byte order mark":            {"\ufeff[env]\n", 1, "not TOML: invalid character at start of key: U+00EF 'ï'"},
		"a control character":          {"[env]\nA = '\x1b'\n", 2, "not TOML: literal strings cannot have control characters"},
	} {
		t.Run(what, func(t *testing.T) {
			l, err := parse(test.text)
			checkError(t, what, err, test.line, test.want)
			if err == nil {
				t.Errorf("the layer is %+v", l)
			}
		})
	}
}

// All that is wrong is said at once, in the order of the lines.
func TestParseErrorsAreInOrder(t *testing.T) {
	_, err := parse("zzz = 1\n[secrets]\nB = 'x'\nA = 'y'\n[x.env]\nC = 1.5\n[providers.p]\n[env]\n'D-E' = 1\n[y]\nq = 1\n")
	var lines []string
	for _, e := range flat(err) {
		var joined interface{ Unwrap() []error }
		if !errors.As(err, &joined) || len(joined.Unwrap()) != 7 {
			t.Fatalf("the error joins %v", err)
		}
		lines = append(lines, strings.SplitN(e, ":", 3)[1])
	}
	if got := strings.Join(lines, " "); got != "1 3 4 6 7 9 11" {
		t.Errorf("the errors are at lines %s:\n%v", got, err)
	}
}

func TestShorthand(t *testing.T) {
	for uri, want := range map[string]string{
		"keychain://name":                      "keychain name",
		"keychain://service/name":              "keychain service/name",
		"env://HOME":                           "env HOME",
		"op://Vault/item/field":                "1password op://Vault/item/field",
		"sm://prod/db":                         "aws sm://prod/db",
		"ssm:///prod/db":                       "aws ssm:///prod/db",
		"env://a b\u00a0é日~":                   "env a b\u00a0é日~",
		"my-vault://a/b?c#d":                   "my-vault a/b?c#d",
		"x.y_z-9://a://b":                      "x.y_z-9 a://b",
		"dotenv://../.env#KEY":                 "dotenv ../.env#KEY",
		"env://" + strings.Repeat("x", MaxRef): "env " + strings.Repeat("x", MaxRef),
	} {
		for _, text := range []string{"[secrets]\nA = '" + uri + "'\n", "[secrets.A]\nref = '" + uri + "'\n"} {
			l, err := parse(text)
			if err != nil || l.base["A"].Provider+" "+l.base["A"].Ref != want {
				t.Errorf("%.60q: %v, %v, want %.60q", text, l, err, want)
			}
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "15m": 15 * time.Minute, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond} {
		l, err := parse("[secrets.A]\nref = 'env://A'\nttl = '" + text + "'\n")
		if err != nil || l.base["A"].TTL == nil || *l.base["A"].TTL != want {
			t.Errorf("ttl = %q: %v, %v, want %v", text, l, err, want)
		}
	}
}

func TestVariableNames(t *testing.T) {
	for name, want := range map[string]bool{
		"A": true, "a": true, "_": true, "_A9": true, "AWS_ACCESS_KEY_ID": true, strings.Repeat("A", MaxName): true,
		"": false, "9A": false, "A B": false, "A=B": false, "A-B": false, "A.B": false, "É": false, "А": false /* Cyrillic */, "A\n": false, "A\x00": false,
		"BASH_FUNC_x%%": false, "BASH_FUNC_ls()": false, "$A": false, "A[0]": false, "A/B": false, "../A": false, strings.Repeat("A", MaxName+1): false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
		for _, table := range []string{"env", "secrets", "x.env", "x.secrets"} {
			_, err := parse(fmt.Sprintf("[%s]\n%q = 'env://x'\n", table, name))
			if name == "A\x00" {
				_, err = parse(fmt.Sprintf("[%s]\n\"A\\u0000\" = 'env://x'\n", table))
			}
			if (err == nil) != want || err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("[%s] %q: %v, want it taken: %v", table, name, err, want)
			}
		}
	}
}

func TestLabels(t *testing.T) {
	for label, want := range map[string]bool{
		"a": true, "z": true, "A": true, "Z": true, "0": true, "9": true, "xz-XZ.09_": true, "production": true, strings.Repeat("a", 64): true,
		"": false, ".": false, "..": false, "../x": false, "-x": false, "_x": false, ".x": false, "a/b": false, `a\b`: false, "a b": false, "~": false,
		"%00": false, "a\x00": false, "é": false, "a\xe9": false, "--": false, strings.Repeat("a", 65): false,
	} {
		if got := validLabel(label); got != want {
			t.Errorf("validLabel(%q) = %v, want %v", label, got, want)
		}
	}
}

func TestLocalFile(t *testing.T) {
	f := File{Path: "/home/ada/work/" + LocalName, Data: []byte("\ninherit = true\n[env]\nA = '1'\n")}
	l, err := Parse(f)
	if want := f.Path + ":2: inherit: belongs in .keyzero.toml"; err == nil || err.Error() != want {
		t.Errorf("inherit in the local file: %v, want %s", err, want)
	}
	if l.base["A"].Text != "1" || l.base["A"].Pos != (Position{f.Path, 4}) {
		t.Errorf("the local file has %s", show(l.base["A"]))
	}
}
