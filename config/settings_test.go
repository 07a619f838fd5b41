package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// good has a value that each setting takes.
var good = map[string]string{
	"address": "https://store.example.com:8443/v1", "ca_file": "/etc/ca.pem", "account": "my.1password.com", "profile": "dev", "region": "eu-central-1",
	"role_arn": "arn:aws:iam::123456789012:role/app", "vault": "team-kv", "cloud": "china", "tenant": "contoso.onmicrosoft.com", "namespace": "team/a",
	"kv": "2", "auth_mount": "kubernetes/prod", "role": "app", "role_id": "6b1c", "username": "ada", "secret_id_file": "~/.secret-id",
	"password_file": "/run/password", "token_file": "~/.token", "jwt_file": "/run/jwt", "client_cert": "/etc/c.pem", "client_key": "/etc/k.pem",
	"project": "web", "config": "dev_personal", "environment": "dev", "path": "/db", "identity": "0f3c", "client_secret_file": "/run/secret",
	"through": "rbw", "socket": "/run/bw.sock", "store": "~/.password-store", "program": "/usr/bin/op", "recipients": "age1abc", "identities": "~/.config/age/keys.txt",
}

var goodAuth = map[string]string{"hashicorp": "approle", "infisical": "universal", "azure": "cli"}

func sample(s setting, typ string) string {
	value := good[s.key]
	if s.key == "auth" {
		value = goodAuth[typ]
	}
	if s.list {
		return fmt.Sprintf("[%q, %q]", value, value)
	}
	return fmt.Sprintf("%q", value)
}

// table is a [providers.x] of the type with one more line, which is the third.
func table(typ, line string) string {
	text := "[providers.x]\ntype = '" + typ + "'\n" + line + "\n"
	if typ == "plugin" && !strings.HasPrefix(line, "program") {
		text += "program = '/opt/kz-provider-x'\n"
	}
	return text
}

// Each setting stands in the user's file, and in a project's only if it names neither
// files nor programs.
func TestSettings(t *testing.T) {
	for _, s := range settings {
		for _, typ := range s.types {
			what, text := typ+"."+s.key, table(typ, s.key+" = "+sample(s, typ))
			user, err := ParseUser(File{Path: testPath, Data: []byte(text)}, "/home/ada")
			if got := user.Providers["x"].Settings[s.key]; err != nil || !strings.Contains(strings.ReplaceAll(sample(s, typ), "~", "/home/ada"), strings.Split(got, "\n")[0]) || got == "" {
				t.Errorf("%s in the user's file: %q, %v", what, got, err)
			}
			if s.list && strings.Count(user.Providers["x"].Settings[s.key], "\n") != 1 {
				t.Errorf("%s: a list of two became %q", what, user.Providers["x"].Settings[s.key])
			}
			_, err = parse(text)
			if s.scope&inProject == 0 {
				if typ != "plugin" {
					checkError(t, what, err, 3, "x."+s.key+": only the user's own configuration may have this")
				}
			} else if err != nil {
				t.Errorf("%s in a project's file: %v", what, err)
			}
		}
	}
}

// What a setting cannot be is an error that names the line, in every file.
func TestSettingsRefuse(t *testing.T) {
	for _, s := range settings {
		typ := s.types[0]
		bad := []string{"7", "true", `""`, `"a\u001bb"`, `"a\nb"`, `"` + strings.Repeat("a", MaxRef+1) + `"`}
		if !s.list {
			bad = append(bad, `["a"]`)
		}
		if s.form != nil || s.path {
			bad = append(bad, `"$(id)"`, `"-x;y"`)
		}
		for _, value := range bad {
			if s.list && strings.HasPrefix(value, `"`) {
				value = "[" + value + "]"
			}
			_, err := ParseUser(File{Path: testPath, Data: []byte(table(typ, s.key+" = "+value))}, "/home/ada")
			if err == nil || !strings.HasPrefix(err.Error(), testPath+":3: x."+s.key+": ") && !strings.HasPrefix(err.Error(), testPath+":3: providers.x."+s.key+": ") {
				t.Errorf("%s.%s = %.40s: %v, want an error at line 3", typ, s.key, value, err)
			}
		}
	}
}

func TestSettingsOfAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://vault.example.com": true, "https://vault.example.com:8200/v1": true, "https://[::1]:8200": true,
		"http://127.0.0.1:8200": true, "http://localhost:1": true, "http://[::1]:8200": true,
		"http://vault.example.com": false, "http://127.example.com": false, "http://127.0.0.1.example.com": false, "https://": false,
		"https://user:pass@example.com": false, "https://example.com?x=y": false, "https://example.com#x": false, "ftp://example.com": false,
		"example.com": false, "//example.com": false, "http://169.254.169.254": false, "https://exa mple.com": false,
	} {
		_, err := parse(table("hashicorp", fmt.Sprintf("address = %q", address)))
		if (err == nil) != ok {
			t.Errorf("address %q: %v, want that it is accepted: %v", address, err, ok)
		}
	}
	for region, ok := range map[string]bool{
		"eu-central-1": true, "us-gov-west-1": false, "cn-north-1": false, "us-iso-east-1": false, "evil.example.com": false, "eu-central-1.evil.com": false, "eu-central-1/": false,
		"x@evil-1": false, "eu": false, "-eu-1": false, "eu-central-1#": false,
	} {
		_, err := parse(table("aws", fmt.Sprintf("region = %q", region)))
		if (err == nil) != ok {
			t.Errorf("region %q: %v, want that it is accepted: %v", region, err, ok)
		}
	}
}

// The ways to sign in are of the types that have them, and on their pages.
func TestSettingsOfAuth(t *testing.T) {
	ways := map[string][]string{
		"azure":     {"cli", "environment", "workload", "managed"},
		"hashicorp": {"token", "approle", "kubernetes", "jwt", "cert", "aws", "userpass"},
		"infisical": {"token", "universal", "kubernetes", "oidc", "aws"},
	}
	for typ, its := range ways {
		page, err := os.ReadFile("../docs/providers/" + typ + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range slices.Concat(ways["azure"], ways["hashicorp"], ways["infisical"], []string{"gcp"}) {
			_, err := ParseUser(File{Path: testPath, Data: []byte(table(typ, fmt.Sprintf("auth = %q", way)))}, "/home/ada")
			if want := slices.Contains(its, way); (err == nil) != want || want && !strings.Contains(string(page), "`"+way+"`") {
				t.Errorf("%s: auth %q: %v, want that it is accepted, and on the page: %v", typ, way, err, want)
			}
		}
	}
}

func TestSettingsUnknown(t *testing.T) {
	_, err := parse(table("aws", "regoin = 'eu-central-1'"))
	checkError(t, "a typing error", err, 3, `providers.x.regoin: unknown key; did you mean "region"?`)
	_, err = parse(table("gcp", "region = 'eu-central-1'"))
	checkError(t, "another type's", err, 3, "providers.x.region: unknown key; known here: type, ttl, stale, address, project")
	_, err = parse("[providers.x]\ntype = 'plugin'\n")
	checkError(t, "a project's plug-in", err, 2, "x.type: only the user's own configuration may have a provider that runs a program of its own")
	user, err := ParseUser(File{Path: testPath, Data: []byte(table("plugin", "realm = 'emea'"))}, "/home/ada")
	if got := user.Providers["x"].Settings; err != nil || got["realm"] != "emea" || got["program"] == "" {
		t.Errorf("a plug-in's own setting: %v, %v", got, err)
	}
	_, err = ParseUser(File{Path: testPath, Data: []byte("[providers.x]\ntype = 'plugin'\n")}, "/home/ada")
	if err == nil || !strings.Contains(err.Error(), "x.program: is missing") {
		t.Errorf("a plug-in without a program: %v", err)
	}
}

// Every type that kz-fetch or kz asks is one, and each setting is of types that there are.
func TestSettingsAreOfTypes(t *testing.T) {
	for _, s := range settings {
		if s.scope != inUser && s.scope != inBoth {
			t.Errorf("%s has the scope %d", s.key, s.scope)
		}
		for _, typ := range s.types {
			if !slices.Contains(Types, typ) {
				t.Errorf("%s is of the type %q, which does not exist", s.key, typ)
			}
		}
	}
	for alias, typ := range aliases {
		if !slices.Contains(Types, typ) || slices.Contains(Types, alias) {
			t.Errorf("%q is another name of %q", alias, typ)
		}
	}
}

// Only the origin that the user lists gets the user's credentials.
func TestVouches(t *testing.T) {
	user, err := ParseUser(File{Path: testPath, Data: []byte(
		"[trust.addresses]\nvault-server = ['https://vault.example.com', 'https://b.example.com:8200/x']\nopenbao = ['https://mine.example.com']\n")}, "/home/ada")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"https://vault.example.com": true, "https://VAULT.example.com:443/v1": true, "https://b.example.com:8200": true, "https://mine.example.com": true,
		"https://b.example.com": false, "https://vault.example.com:8443": false, "https://vault.example.com.evil.com": false, "https://evil.com/vault.example.com": false,
		"https://a.vault.example.com": false, "http://vault.example.com": false, "https://vault.example.com.": false, "": false,
	} {
		p := Provider{Name: "mine", Type: "hashicorp", Settings: map[string]string{"address": address}}
		if got := user.Vouches(p); got != want {
			t.Errorf("Vouches(%q) = %v, want %v", address, got, want)
		}
	}
	if user.Vouches(Provider{Name: "x", Type: "infisical", Settings: map[string]string{"address": "https://vault.example.com"}}) {
		t.Error("an address that is listed for one type counts for another")
	}
	_, err = ParseUser(File{Path: testPath, Data: []byte("[trust.addresses]\naws = ['http://example.com']\n")}, "/home/ada")
	if err == nil || !strings.Contains(err.Error(), ":2: trust.addresses.aws: must begin with https://") {
		t.Errorf("plain http: %v", err)
	}
	// A name is of the project's choosing, and would be a store of any type.
	_, err = ParseUser(File{Path: testPath, Data: []byte("[trust.addresses]\nmine = ['https://example.com']\n")}, "/home/ada")
	if err == nil || !strings.Contains(err.Error(), ":2: trust.addresses.mine: is not a type of store") {
		t.Errorf("a name: %v", err)
	}
}

// A table whose name is a type is of that type if it says no other.
func TestTypeFromName(t *testing.T) {
	for name, want := range map[string]string{"aws": "aws", "openbao": "hashicorp", "hashicorp": "hashicorp"} {
		user, err := ParseUser(File{Path: testPath, Data: []byte("[providers." + name + "]\nttl = '1h'\n")}, "/home/ada")
		if got := user.Providers[name].Type; err != nil || got != want {
			t.Errorf("%s is of the type %q, %v, want %q", name, got, err, want)
		}
	}
	_, err := parse("[providers.command]\nttl = '1h'\n")
	checkError(t, "a command", err, 1, "command.type: only the user's own configuration may have a provider that runs a program of its own")
}

// Each store that another program asks has a page, with an example and every setting.
func TestSettingsAreDocumented(t *testing.T) {
	for _, typ := range Types {
		if slices.Contains([]string{"command", "plugin", "dotenv", "env", "keychain", "vault"}, typ) {
			continue
		}
		page := map[string]string{"gopass": "pass"}[typ]
		if page == "" {
			page = typ
		}
		data, err := os.ReadFile("../docs/providers/" + page + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		for key := range settingsOf(typ) {
			if !strings.Contains(string(data), "`"+key+"`") {
				t.Errorf("docs/providers/%s.md says nothing of %s", page, key)
			}
		}
		if !strings.Contains(string(data), "```toml") || !strings.Contains(string(data), typ) {
			t.Errorf("docs/providers/%s.md has no example of %s", page, typ)
		}
	}
}

// What the pages show can be written so, in a project's file or in the user's.
func TestExamplesOfPages(t *testing.T) {
	pages, err := filepath.Glob("../docs/providers/*.md")
	if err != nil || len(pages) < 12 {
		t.Fatalf("there are %d pages, %v", len(pages), err)
	}
	blocks := 0
	for _, page := range append(pages, "../README.md", "../docs/config.md", "../docs/provider-protocol.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(data), "```toml\n")[1:] {
			block, _, _ := strings.Cut(part, "```")
			blocks++
			project, perr := parse(block)
			if perr == nil {
				_, perr = Merge(User{}, []*Layer{project}, "")
			}
			_, uerr := ParseUser(File{Path: testPath, Data: []byte(block)}, "/home/ada")
			if perr != nil && uerr != nil {
				t.Errorf("%s, example %d:\n%s\nin a project: %v\nin the user's file: %v", page, i+1, block, perr, uerr)
			}
		}
	}
	if blocks < 20 {
		t.Errorf("only %d examples were found", blocks)
	}
}
