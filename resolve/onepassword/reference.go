package onepassword

import (
	"slices"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// A reference is op://vault/item[/section]/field[?attribute=…].
type reference struct {
	vault, item, section, field string
	attribute                   string // "" for the value
	sshFormat                   bool   // a key as OpenSSH has it
}

// attributes are what a reference can ask for besides a field's value.
var attributes = []string{"type", "value", "title", "id", "purpose", "otp"}

// parse reads a reference. Its parts are of the letters that op allows in one, so
// that they mean nothing in a template, a filter or a URL.
func parse(ref resolve.Ref) (reference, error) {
	path, query, asks := strings.Cut(strings.TrimPrefix(ref.Path, "op://"), "?")
	parts := strings.Split(path, "/")
	if len(parts) < 3 || len(parts) > 4 || slices.ContainsFunc(parts, malformed) {
		return reference{}, resolve.Errorf(resolve.Malformed, "not of the form op://VAULT/ITEM[/SECTION]/FIELD in letters, digits, spaces and -_. (else use ids)")
	}
	r := reference{vault: parts[0], item: parts[1], field: parts[len(parts)-1]}
	if len(parts) == 4 {
		r.section = parts[2]
	}
	key, value, _ := strings.Cut(query, "=")
	switch {
	case !asks:
	case (key == "attribute" || key == "attr") && slices.Contains(attributes, value):
		r.attribute = strings.TrimPrefix(value, "value")
	case key == "ssh-format" && value == "openssh":
		r.sshFormat = true
	default:
		return reference{}, resolve.Errorf(resolve.Malformed, "a reference ends in ?attribute=%s or ?ssh-format=openssh", strings.Join(attributes, "|"))
	}
	return r, nil
}

// malformed reports whether a part would be taken for an option, or a step in a path.
func malformed(part string) bool {
	return part == "" || part == "." || part == ".." || part[0] == '-' || strings.TrimSpace(part) != part || strings.ContainsFunc(part, foreign)
}

func foreign(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_. ", r))
}

// String returns the reference as op takes it.
func (r reference) String() string {
	parts := []string{r.vault, r.item, r.section, r.field}
	text := "op://" + strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "/")
	switch {
	case r.sshFormat:
		text += "?ssh-format=openssh"
	case r.attribute != "":
		text += "?attribute=" + r.attribute
	}
	return text
}

// writable returns an error unless the reference names a field and no more.
func (r reference) writable() error {
	if r.attribute != "" || r.sshFormat {
		return resolve.Errorf(resolve.Malformed, "only a field can be written, not an attribute of it")
	}
	return nil
}
