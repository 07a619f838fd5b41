package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// layer is a file of the directory /NAME.
func layer(t *testing.T, name, text string) *Layer {
	t.Helper()
	file := Name
	if strings.HasSuffix(name, "local") {
		file = LocalName
	}
	l, err := Parse(File{Path: "/" + name + "/" + file, Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func texts(p Plan) string {
	var list []string
	for _, e := range p.Entries {
		list = append(list, e.Name+"="+e.Text+e.Ref)
	}
	return strings.Join(list, " ")
}

// Each layer, and in it each of its two steps, has the name that all have, and
// one that the next step has too.
func TestMergeOrder(t *testing.T) {
	steps := []string{"inherited", "inherited section", "inherited local", "inherited local section", "project", "section", "local", "local section"}
	layers := []*Layer{nil, nil, nil, nil}
	for i := range layers {
		text := ""
		for j, table := range []string{"env", "production.env"} {
			step := 2*i + j
			text += fmt.Sprintf("[%s]\nALL = %q\nN%d = %q\nN%d = %q\n", table, steps[step], step, steps[step], step+1, steps[step])
		}
		text += "[staging.env]\nALL = 'staging'\nS = 'staging'\n"
		layers[i] = layer(t, strings.Fields("inherited inherited-local project local")[i], text)
	}
	plan, err := Merge(User{}, layers, "production")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ALL=local section", "N0=inherited"}
	for i, step := range steps {
		want = append(want, fmt.Sprintf("N%d=%s", i+1, step))
	}
	// Of N1, which two steps have, the later is there.
	for i := range steps[1:] {
		want[i+2] = fmt.Sprintf("N%d=%s", i+1, steps[i+1])
	}
	if got := texts(plan); got != strings.Join(want, " ") {
		t.Errorf("in production the plan has\n%s, want\n%s", got, strings.Join(want, " "))
	}
	plan, err = Merge(User{}, layers, "")
	if got := texts(plan); err != nil || !strings.HasPrefix(got, "ALL=local N0=inherited N1=inherited ") || strings.Contains(got, "section") || strings.Contains(got, "S=") {
		t.Errorf("without an environment the plan has %s, %v", got, err)
	}
	if plan.Environment != "" || !slices.Equal(plan.Sections, []string{"production", "staging"}) {
		t.Errorf("the plan is for %q of %q", plan.Environment, plan.Sections)
	}
	for i := 1; i < len(layers); i++ {
		plan, err := Merge(User{}, layers[:i], "production")
		if want := "ALL=" + steps[2*i-1]; err != nil || !strings.HasPrefix(texts(plan), want+" ") {
			t.Errorf("with %d layers: %s, %v, want %s", i, texts(plan), err, want)
		}
	}
}

// A name is one thing: an entry replaces the one below it, options and all.
func TestMergeReplacesWhole(t *testing.T) {
	plan, err := Merge(User{}, []*Layer{
		layer(t, "project", "[secrets.A]\nref = 'env://a'\nfield = 'f'\ndefault = 'd'\nhook = false\n[env]\nB = 'plain'\n"),
		layer(t, "local", "[env]\nA = 'plain'\n[secrets]\nB = 'env://b'\n"),
	}, "")
	if err != nil || len(plan.Entries) != 2 {
		t.Fatalf("the plan is %v, %v", plan, err)
	}
	a, b := plan.Entries[0], plan.Entries[1]
	if a.Text != "plain" || a.Secret || a.Provider+a.Ref+a.Field != "" || a.Default != nil || a.RunOnly || a.Dir != "/local" {
		t.Errorf("A is %s", show(a))
	}
	if b.Text != "" || !b.Secret || b.Provider != "env" || b.Ref != "b" {
		t.Errorf("B is %s", show(b))
	}
}

func TestMergeDoesNotChangeItsArguments(t *testing.T) {
	user := User{Providers: map[string]Provider{"mine": {Name: "mine", Type: "keychain"}}}
	layers := []*Layer{layer(t, "project", "[env]\nA = '1'\n[providers.x]\ntype = 'env'\n[p.env]\nA = '2'\n")}
	for range 2 {
		for environment, want := range map[string]string{"": "A=1", "p": "A=2"} {
			if plan, err := Merge(user, layers, environment); err != nil || texts(plan) != want || len(plan.Providers) != 2 {
				t.Errorf("Merge(%q) = %v, %v, want %s", environment, plan, err, want)
			}
		}
	}
	if len(user.Providers) != 1 {
		t.Errorf("the user's providers are now %v", user.Providers)
	}
}

func TestMergeProviders(t *testing.T) {
	user := User{Providers: map[string]Provider{
		"mine":      {Name: "mine", Type: "keychain"},
		"op":        {Name: "op", Type: "command", Command: []string{"op"}},
		"1password": {Name: "1password", Type: "command", Command: []string{"op"}},
	}}
	for what, test := range map[string]struct{ text, want string }{
		"types have their names":       {"[secrets]\nA = 'env://A'\nB = 'keychain://b'\nC = 'dotenv://c#d'\n", ""},
		"the project's own":            {"[secrets]\nA = 'x://A'\n[providers.x]\ntype = 'env'\n", ""},
		"the user's":                   {"[secrets]\nA = 'mine://A'\n", ""},
		"the user's command":           {"[secrets]\nA = 'op://a/b'\nB = { provider = 'op', ref = 'x' }\n", ""},
		"the user's, said again":       {"[secrets]\nA = 'mine://A'\n[providers.mine]\ntype = 'keychain'\n", ""},
		"the user's, of another type":  {"[secrets]\nA = 'mine://A'\n[providers.mine]\ntype = 'env'\n", `3: providers.mine: is of type "keychain" in the user's own configuration`},
		"the user's, made a local one": {"[providers.op]\ntype = 'env'\n", `1: providers.op: is of type "command" in the user's own configuration`},
		"one misspelt":                 {"[secrets]\nA = 'keychian://A'\n", `2: A: unknown provider "keychian"; did you mean "keychain"?`},
		"the user's, misspelt":         {"[secrets]\nA = 'mien://A'\n", `2: A: unknown provider "mien"; did you mean "mine"?`},
		"none like it":                 {"[secrets]\nA = 'zzzzzz://A'\n", `2: A: unknown provider "zzzzzz"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, mine, op, pass, sops, systemd, vault`},
		"a command that nobody named":  {"[secrets]\nA = 'command://A'\n", `2: A: unknown provider "command"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, mine, op, pass, sops, systemd, vault`},
		"a plug-in that nobody named":  {"[secrets]\nA = 'plugin://A'\n", `2: A: unknown provider "plugin"; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, mine, op, pass, sops, systemd, vault`},
		"another name of a type":       {"[secrets]\nA = 'vault-server://a/b#c'\nB = 'openbao://a/b#c'\n", ""},
		"only in another environment":  {"[x.secrets]\nA = 'zzzzzz://A'\n", ""},
		"a template needs none":        {"[secrets]\nA = { template = 'x' }\n", ""},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := Merge(user, []*Layer{layer(t, "project", test.text)}, "")
			want := ""
			if test.want != "" {
				want = "/project/.keyzero.toml:" + test.want
			}
			if got := strings.Join(flat(err), "\n"); got != want {
				t.Errorf("Merge = %q, want %q", got, want)
			}
		})
	}
}

// The keys under which kz itself seals are not a project's.
func TestMergeKeepsOwnKeysBack(t *testing.T) {
	user := User{Providers: map[string]Provider{"mine": {Name: "mine", Type: "keychain"}}}
	for ref, refused := range map[string]bool{
		"{ provider = 'keychain', ref = 'keyzero-holder/cache' }": true,
		"{ provider = 'mine', ref = 'keyzero-holder/vault' }":     true,
		"'keychain://keyzero-holder/cache'":                       true,
		"'keychain://keyzero-holders/x'":                          false,
		"'env://keyzero-holder/x'":                                false,
	} {
		_, err := Merge(user, []*Layer{layer(t, "project", "[secrets]\nA = "+ref+"\n")}, "")
		if (err != nil) != refused {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// Each name is named once, whoever has it.
func TestMergeNamesProvidersOnce(t *testing.T) {
	user := User{Providers: map[string]Provider{"env": {Name: "env", Type: "env"}}}
	_, err := Merge(user, []*Layer{layer(t, "project", "[secrets]\nA = 'zzzzzz://A'\n")}, "")
	if err == nil || !strings.HasSuffix(err.Error(), "; there are: 1password, age, aws, azure, bitwarden, doppler, dotenv, env, gcp, gopass, hashicorp, infisical, keychain, pass, sops, systemd, vault") {
		t.Errorf("Merge = %v", err)
	}
}

func TestMergeManyEntries(t *testing.T) {
	for _, n := range []int{MaxEntries, MaxEntries + 1, 2 * MaxEntries} {
		main := layer(t, "project", "[env]\n"+repeat(min(n, 300), "A%04d = '1'\n"))
		local := layer(t, "local", "[x.env]\n"+repeat(n-300, "B%04d = '1'\n"))
		plan, err := Merge(User{}, []*Layer{main, local}, "x")
		want := ""
		if n > MaxEntries {
			want = fmt.Sprintf("/local/.keyzero.local.toml:%d: more than 512 variables", MaxEntries-300+2)
		}
		if got := strings.Join(flat(err), "\n"); got != want || len(plan.Entries) > MaxEntries {
			t.Errorf("Merge of %d entries = %d entries, %q, want %q", n, len(plan.Entries), got, want)
		}
	}
	// Where the last layer has no file the error names one that has.
	missing, _ := Parse(File{Path: "/project/" + LocalName, Missing: true})
	_, err := Merge(User{}, []*Layer{layer(t, "project", "[env]\n"+repeat(513, "A%d = '1'\n")), missing}, "")
	if err == nil || !strings.HasPrefix(err.Error(), "/project/.keyzero.toml:") {
		t.Errorf("Merge of 513 entries = %v", err)
	}
}

func TestMergeCycles(t *testing.T) {
	for what, test := range map[string]struct{ text, want string }{
		"none":                    {"[env]\nA = '${B}${C}'\nB = '${C}'\nC = '${HOME}'\n", ""},
		"itself":                  {"[env]\nA = '${A}:x'\n", ""},
		"itself and another":      {"[env]\nA = '${A}${B}'\nB = 'x'\n", ""},
		"two":                     {"[env]\nA = '${B}'\nB = '${A}'\n", "2: A: needs itself: A → B → A"},
		"three, with a way there": {"[env]\nA = '${B}'\nB = '${C}'\nC = '${D}'\nD = '${B}'\n", "3: B: needs itself: B → C → D → B"},
		"over a template":         {"[env]\nA = '${B}'\n[secrets]\nB = { template = '${A}' }\n", "2: A: needs itself: A → B → A"},
		"ended by a store":        {"[env]\nA = '${B}'\n[secrets]\nB = { ref = 'env://A' }\n", ""},
		"a long way":              {"[env]\n" + chain(500), ""},
		"many ways to many":       {"[env]\n" + doubled(200), ""},
		"a long way round":        {"[env]\n" + chain(500) + "A500 = '${A0}'\n", "2: A0: needs itself: A0 → A1 → A2 → A3"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := Merge(User{}, []*Layer{layer(t, "project", test.text)}, "")
			got := strings.TrimPrefix(strings.Join(flat(err), "\n"), "/project/.keyzero.toml:")
			if !strings.HasPrefix(got, test.want) || (test.want == "") != (err == nil) {
				t.Errorf("Merge = %.200q, want %q", got, test.want)
			}
		})
	}
}

// doubled is n entries of which each needs the next twice.
func doubled(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("A%d = '${A%d}${A%d}'\n", i, i+1, i+1)
	}
	return text
}

// chain is n entries of which each needs the next.
func chain(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("A%d = '${A%d}'\n", i, i+1)
	}
	return text
}

func TestSelect(t *testing.T) {
	sections := []string{"development", "production", "test"}
	for what, test := range map[string]struct {
		chosen string
		env    map[string]string
		want   string
		err    string
	}{
		"nothing":                       {"", nil, "", ""},
		"the command line":              {"test", nil, "test", ""},
		"the command line first":        {"test", map[string]string{"KEYZERO_ENV": "production", "NODE_ENV": "development"}, "test", ""},
		"KEYZERO_ENV":                   {"", map[string]string{"KEYZERO_ENV": "production"}, "production", ""},
		"KEYZERO_ENV before the others": {"", map[string]string{"KEYZERO_ENV": "production", "NODE_ENV": "test"}, "production", ""},
		"NODE_ENV":                      {"", map[string]string{"NODE_ENV": "test"}, "test", ""},
		"RAILS_ENV":                     {"", map[string]string{"RAILS_ENV": "test"}, "test", ""},
		"APP_ENV":                       {"", map[string]string{"APP_ENV": "test"}, "test", ""},
		"NODE_ENV before RAILS_ENV":     {"", map[string]string{"NODE_ENV": "test", "RAILS_ENV": "production"}, "test", ""},
		"RAILS_ENV before APP_ENV":      {"", map[string]string{"RAILS_ENV": "test", "APP_ENV": "production"}, "test", ""},
		"the next that there is":        {"", map[string]string{"NODE_ENV": "ci", "RAILS_ENV": "", "APP_ENV": "production"}, "production", ""},
		"none that there is":            {"", map[string]string{"NODE_ENV": "ci", "APP_ENV": "staging"}, "", ""},
		"in other letters":              {"", map[string]string{"NODE_ENV": "Production"}, "", ""},
		"the command line, misspelt":    {"prodution", nil, "", `--env: there is no environment "prodution"; did you mean "production"?`},
		"KEYZERO_ENV, misspelt":         {"", map[string]string{"KEYZERO_ENV": "tset"}, "", `KEYZERO_ENV: there is no environment "tset"; did you mean "test"?`},
		"one like no other":             {"xyz", nil, "", `--env: there is no environment "xyz"; there are: development, production, test`},
		"one that would be a path":      {"../x", nil, "", `--env: there is no environment "../x"; there are: development, production, test`},
		"one that would ring":           {"\x1b]0;x\a", nil, "", `--env: there is no environment "\x1b]0;x\a"; there are: development, production, test`},
		"one with an override":          {"\u202ex", nil, "", `--env: there is no environment "\u202ex"; there are: development, production, test`},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := Select(sections, test.chosen, func(name string) string { return test.env[name] })
			if got != test.want || fmt.Sprint(err) != test.err && (err != nil || test.err != "") {
				t.Errorf("Select(%q, %v) = %q, %v, want %q, %s", test.chosen, test.env, got, err, test.want, test.err)
			}
		})
	}
	_, err := Select(nil, "x", nil)
	if want := `--env: there is no environment "x"; the configuration has none`; err == nil || err.Error() != want {
		t.Errorf("Select of no sections = %v, want %s", err, want)
	}
}

// Every variable of a project is checked, wherever it stands.
func TestDangerousNamesInAPlan(t *testing.T) {
	for _, text := range []string{"[env]\nLD_PRELOAD = 'x'\n", "[secrets]\nLD_PRELOAD = 'env://x'\n", "[secrets]\nLD_PRELOAD = { template = 'x' }\n",
		"[p.env]\nLD_PRELOAD = 'x'\n", "[p.secrets]\nLD_PRELOAD = 'env://x'\n", "[secrets]\nLD_PRELOAD = { ref = 'env://x', hook = false }\n"} {
		for _, name := range []string{"project", "local"} {
			layers := []*Layer{layer(t, name, text), layer(t, "other", "")}
			_, err := Merge(User{Path: "/user"}, layers, "p")
			var dangerous *DangerousError
			if !errors.As(err, &dangerous) || dangerous.Pattern != "LD_*" || dangerous.UserPath != "/user" || dangerous.Entry.Name != "LD_PRELOAD" {
				t.Fatalf("%q in /%s: %v, want a *DangerousError", text, name, err)
			}
			if want := fmt.Sprintf("%s:2: LD_PRELOAD: changes how programs run, so projects may not set it (LD_*)", layers[0].Path); err.Error() != want {
				t.Errorf("the error reads %q, want %q", err, want)
			}
			for allow, want := range map[string]bool{"LD_PRELOAD": true, "LD_*": false, "ld_preload": false, "LD_PRELOAD2": false, "*": false, "": false} {
				if _, err := Merge(User{AllowNames: []string{"PATH", allow}}, layers, "p"); (err == nil) != want {
					t.Errorf("with names.allow = %q: %v, want it allowed: %v", allow, err, want)
				}
			}
		}
	}
	// What is replaced by a lower layer's betters is not there any more.
	if _, err := Merge(User{}, []*Layer{layer(t, "project", "[p.env]\nLD_PRELOAD = 'x'\n")}, ""); err != nil {
		t.Errorf("a name of another environment: %v", err)
	}
}
