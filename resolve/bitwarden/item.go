package bitwarden

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// An item is what bw and rbw say of one, in the words of both.
type item struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Notes  string  `json:"notes"`
	Login  login   `json:"login"` // of bw
	Data   login   `json:"data"`  // of rbw
	Fields []field `json:"fields"`
}

type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
	URIs     []struct {
		URI string `json:"uri"`
	} `json:"uris"`
}

type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// split returns the item and the field of a reference.
func split(ref string) (name, field string) {
	at := strings.LastIndexByte(ref, '#')
	if at < 0 {
		return ref, "password"
	}
	return ref[:at], ref[at+1:]
}

// checkItem returns an error if a reference to an item's field is not of the form.
func checkItem(ref string) error {
	name, field := split(ref)
	switch {
	case name == "" || field == "" || strings.HasPrefix(name, "-"):
		return resolve.Errorf(resolve.Malformed, "not of the form ITEM or ITEM#FIELD")
	case field == "totp":
		return resolve.Errorf(resolve.Malformed, "kz fetches no one-time codes")
	}
	return nil
}

// value returns what a field of the item has. The names that every item knows come
// before those that a user gave.
func (it item) value(field string) (resolve.Secret, error) {
	text, err := it.text(field)
	if err == nil && text == "" {
		err = resolve.Errorf(resolve.NotFound, "the item has no %q", field)
	}
	return resolve.NewSecret(text), err
}

func (it item) text(field string) (string, error) {
	switch field {
	case "password":
		return cmp.Or(it.Login.Password, it.Data.Password), nil
	case "username":
		return cmp.Or(it.Login.Username, it.Data.Username), nil
	case "notes":
		return it.Notes, nil
	case "uri":
		for _, u := range append(it.Login.URIs, it.Data.URIs...) {
			return u.URI, nil
		}
	}
	var found []string
	for _, f := range it.Fields {
		if f.Name == field {
			found = append(found, f.Value)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", resolve.Errorf(resolve.Ambiguous, "the item has %d fields %q", len(found), field)
}

// is reports whether a reference's part names the item.
func (it item) is(name string) bool {
	return it.Name == name || uuid.MatchString(name) && strings.EqualFold(it.ID, name)
}

// choose returns the number of the item that is named, by its id before its name.
func choose(items []item, name string) (int, error) {
	if uuid.MatchString(name) { // and not what somebody in the organization calls so
		i := slices.IndexFunc(items, func(it item) bool { return strings.EqualFold(it.ID, name) })
		if i < 0 {
			return 0, resolve.Errorf(resolve.NotFound, "no item %q", name)
		}
		return i, nil
	}
	found, count := 0, 0
	for i, it := range items {
		if it.Name == name {
			found, count = i, count+1
		}
	}
	switch count {
	case 0:
		return 0, resolve.Errorf(resolve.NotFound, "no item %q", name)
	case 1:
		return found, nil
	}
	return 0, resolve.Errorf(resolve.Ambiguous, "%d items are called %q: use an id", count, name)
}

// pick answers references from the items.
func pick(items []item, refs []string) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	for n, ref := range refs {
		name, field := split(ref)
		i, err := choose(items, name)
		if results[n].Err = err; err == nil {
			results[n].Secret, results[n].Err = items[i].value(field)
		}
	}
	return results
}

// names returns the references to the passwords of items, by id where a name is not theirs alone.
func names(items []item) []string {
	list := []string{}
	for _, it := range items {
		name := it.Name
		if _, err := choose(items, name); err != nil || checkItem(name) != nil || strings.Contains(name, "#") || unprintable(name) {
			name = it.ID
		}
		if it.Login.Password != "" && checkItem(name) == nil {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// read reads what a program printed, one document of JSON in UTF-8 and nothing else.
func read(out []byte, v any) error {
	if !utf8.Valid(out) || json.Unmarshal(bytes.TrimPrefix(out, []byte("\ufeff")), v) != nil {
		return resolve.Errorf(resolve.Malformed, "the program printed something else than JSON")
	}
	return nil
}
