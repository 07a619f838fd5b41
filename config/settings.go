package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// A setting is a key of a [providers.NAME] table that stores of some types have.
type setting struct {
	key   string
	types []string
	scope scope
	form  func(text string) error // nil for any text of one line
	list  bool                    // a list of texts instead of one
	path  bool                    // of a file: absolute, or ~ and what is below the home directory
}

// settings lists what can be said about stores. A project may say which of the
// user's accounts or regions it means, and that is shown for consent. What names
// files or programs of the user's is the user's alone, and so is how and where one signs
// in: who may choose that can have a credential sent to a server of their own. An
// address that a project names counts only if the user lists it: see [User.Addresses].
var settings = []setting{
	{key: "address", types: []string{"1password", "aws", "azure", "doppler", "gcp", "hashicorp", "infisical"}, scope: inBoth, form: isAddress},
	{key: "ca_file", types: []string{"1password", "aws", "azure", "doppler", "gcp", "hashicorp", "infisical"}, scope: inUser, path: true},

	{key: "account", types: []string{"1password"}, scope: inBoth, form: isWord},
	{key: "profile", types: []string{"aws"}, scope: inBoth, form: isWord},
	{key: "region", types: []string{"aws"}, scope: inBoth, form: isRegion},
	{key: "role_arn", types: []string{"aws"}, scope: inBoth, form: isWord},
	{key: "vault", types: []string{"azure"}, scope: inBoth, form: isHostLabel},
	{key: "cloud", types: []string{"azure"}, scope: inUser, form: oneOf("public", "china", "government")},
	{key: "tenant", types: []string{"azure"}, scope: inBoth, form: isWord},

	{key: "namespace", types: []string{"hashicorp"}, scope: inUser, form: isWord},
	{key: "kv", types: []string{"hashicorp"}, scope: inUser, form: oneOf("1", "2")},
	{key: "auth", types: []string{"hashicorp"}, scope: inUser, form: oneOf("token", "approle", "kubernetes", "jwt", "cert", "aws", "userpass")},
	{key: "auth", types: []string{"infisical"}, scope: inUser, form: oneOf("token", "universal", "kubernetes", "oidc", "aws")},
	{key: "auth", types: []string{"azure"}, scope: inUser, form: oneOf("cli", "environment", "workload", "managed")},
	{key: "auth_mount", types: []string{"hashicorp"}, scope: inUser, form: isWord},
	{key: "role", types: []string{"hashicorp"}, scope: inBoth, form: isWord},
	{key: "role_id", types: []string{"hashicorp"}, scope: inBoth, form: isWord},
	{key: "username", types: []string{"hashicorp"}, scope: inUser, form: isWord},
	{key: "secret_id_file", types: []string{"hashicorp"}, scope: inUser, path: true},
	{key: "password_file", types: []string{"hashicorp"}, scope: inUser, path: true},
	{key: "token_file", types: []string{"hashicorp", "doppler", "infisical"}, scope: inUser, path: true},
	{key: "jwt_file", types: []string{"hashicorp", "infisical"}, scope: inUser, path: true},
	{key: "client_cert", types: []string{"hashicorp"}, scope: inUser, path: true},
	{key: "client_key", types: []string{"hashicorp"}, scope: inUser, path: true},

	{key: "project", types: []string{"bitwarden", "doppler", "gcp", "infisical"}, scope: inBoth, form: isWord},
	{key: "config", types: []string{"doppler"}, scope: inBoth, form: isWord},
	{key: "environment", types: []string{"infisical"}, scope: inBoth, form: isWord},
	{key: "path", types: []string{"infisical"}, scope: inBoth, form: isWord},
	{key: "identity", types: []string{"infisical"}, scope: inUser, form: isWord},
	{key: "client_secret_file", types: []string{"infisical"}, scope: inUser, path: true},

	{key: "through", types: []string{"bitwarden"}, scope: inBoth, form: oneOf("bws", "rbw", "bw")},
	{key: "socket", types: []string{"bitwarden"}, scope: inUser, path: true},
	{key: "store", types: []string{"pass", "gopass"}, scope: inUser, path: true},
	{key: "identities", types: []string{"age"}, scope: inUser, path: true, list: true},
	{key: "recipients", types: []string{"age"}, scope: inBoth, form: isRecipient, list: true},
	{key: "program", types: []string{"1password", "bitwarden", "gopass", "pass", "plugin"}, scope: inUser, path: true},
}

// aliases are other names of types.
var aliases = map[string]string{"vault-server": "hashicorp", "openbao": "hashicorp"}

// Canonical returns the type that a text names.
func Canonical(text string) string {
	if of, ok := aliases[text]; ok {
		return of
	}
	return text
}

// settingsOf returns what a store of a type has, by key.
func settingsOf(typ string) map[string]setting {
	of := map[string]setting{}
	for _, s := range settings {
		if slices.Contains(s.types, typ) {
			of[s.key] = s
		}
	}
	return of
}

// settings reads what table says about a store of the type. Keys of the schema are not settings.
func (o *options) settings(s scope, typ string) map[string]string {
	values := map[string]string{}
	of := settingsOf(typ)
	for _, key := range o.d.names(o.table, o.at...) {
		if slices.Contains(known(inBoth, "providers.*"), key) || slices.Contains(known(inUser, "providers.*"), key) {
			continue
		}
		known, ok := of[key]
		switch {
		case o.err != nil:
		case !ok && typ == "" && isSetting(key): // of which type, the file does not say
		case !ok && typ == "plugin":
			values[key] = o.setting(key, setting{})
		case !ok:
			o.err = o.d.unknown(keysOf(of, s), append(slices.Clone(o.at), key)...)
		case known.scope&s == 0:
			o.fail(key, "only the user's own configuration may have this")
		case key == "region" && s == inProject && !isPublic(o.table[key]):
			o.fail(key, "only the user's own configuration may have a region that is not of the public cloud")
		default:
			values[key] = o.setting(key, known)
		}
	}
	if len(values) == 0 {
		return nil
	}
	return values
}

func isSetting(key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.key == key })
}

func keysOf(of map[string]setting, s scope) []string {
	keys := known(s, "providers.*")
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if of[key].scope&s != 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// setting reads one text, or the lines of a list.
func (o *options) setting(key string, s setting) string {
	var lines []string
	if s.list {
		lines, o.err = o.d.textList(o.table[key], append(slices.Clone(o.at), key)...)
	} else {
		line, _ := o.text(key)
		lines = []string{line}
	}
	for i, line := range lines {
		if o.err == nil {
			o.checkLine(key, line, s)
		}
		if rest, ok := strings.CutPrefix(line, "~/"); ok && s.path {
			lines[i] = filepath.Join(o.d.home, rest)
		}
	}
	return strings.Join(lines, "\n")
}

func (o *options) checkLine(key, line string, s setting) {
	switch {
	case line == "":
		o.fail(key, "is empty")
	case len(line) > MaxRef:
		o.fail(key, "has more than %d bytes", MaxRef)
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 }):
		o.fail(key, "has a control character")
	case s.path && !filepath.IsAbs(line) && !(strings.HasPrefix(line, "~/") && o.d.home != ""):
		o.fail(key, "%q is not an absolute path", line)
	case s.form != nil:
		if err := s.form(line); err != nil {
			o.fail(key, "%v", err)
		}
	}
}

func isWord(text string) error {
	if len(text) > MaxName || strings.HasPrefix(text, "-") || strings.Contains(text, "..") || strings.ContainsAny(text, " ?#%\\\"'`$&;|<>*") {
		return fmt.Errorf("%q is not a name", text)
	}
	return nil
}

// isRegion keeps the text, which becomes a part of a host's name, to what such parts are of.
func isRegion(text string) error {
	if !isLabel(text) || !strings.Contains(text, "-") {
		return fmt.Errorf("%q is not a region such as eu-central-1", text)
	}
	return nil
}

// isPublic reports whether a region is one of the partition that most accounts are in.
// The others have operators and hosts of their own.
func isPublic(region any) bool {
	text, _ := region.(string)
	return !strings.HasPrefix(text, "cn-") && !strings.HasPrefix(text, "us-gov-") && !strings.Contains(text, "-iso")
}

// isRecipient accepts recipients of age, its plug-ins among them, and SSH keys.
func isRecipient(text string) error {
	name, key, ssh := strings.Cut(text, " ")
	body := name
	if ssh {
		body = key
	}
	if !strings.HasPrefix(text, "age1") && !(ssh && strings.HasPrefix(name, "ssh-")) || strings.Trim(body, keyLetters) != "" {
		return fmt.Errorf("%q is not a recipient such as age1…", text)
	}
	return nil
}

const keyLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-"

func isHostLabel(text string) error {
	if !isLabel(text) {
		return fmt.Errorf("%q is not a name of letters, digits and hyphens", text)
	}
	return nil
}

func isLabel(text string) bool {
	return len(text) <= 63 && !strings.HasPrefix(text, "-") && strings.IndexFunc(text, func(r rune) bool {
		return !(r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}) < 0
}

func oneOf(words ...string) func(string) error {
	return func(text string) error {
		if !slices.Contains(words, text) {
			return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}

// isAddress accepts https://HOST[:PORT][/PATH], and http for the machine itself.
func isAddress(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, keyLetters+"._~") != "":
		return fmt.Errorf("want https://HOST")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("must begin with https://")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
