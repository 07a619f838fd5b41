package onepassword

import (
	"slices"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// An item is what op and Connect say of one, as far as fetching needs it.
type item struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Fields   []field   `json:"fields"`
	Sections []section `json:"sections"`
}

type section struct {
	ID    string `json:"id"`
	Label string `json:"label,omitempty"`
}

type field struct {
	ID      string   `json:"id"`
	Label   string   `json:"label"`
	Type    string   `json:"type"`
	Purpose string   `json:"purpose"`
	Value   string   `json:"value"`
	TOTP    string   `json:"totp"`
	Section *section `json:"section"`
}

// find returns the number of the field that a reference means. A reference without a
// section means a field outside of sections before one within.
func (it item) find(r reference) (int, error) {
	var found, outside []int
	for i, f := range it.Fields {
		if !named(r.field, f.ID, f.Label) || r.section != "" && !it.within(f, r.section) {
			continue
		}
		if found = append(found, i); f.outside() {
			outside = append(outside, i)
		}
	}
	if len(outside) > 0 {
		found = outside
	}
	if exact := slices.IndexFunc(found, func(i int) bool { return it.Fields[i].ID == r.field }); exact >= 0 {
		found = found[exact : exact+1]
	}
	switch len(found) {
	case 0:
		return 0, resolve.Errorf(resolve.NotFound, "the item has no field %q", r.field)
	case 1:
		return found[0], nil
	}
	return 0, resolve.Errorf(resolve.Ambiguous, "the item has %d fields %q: name the section", len(found), r.field)
}

// outside reports whether a field is in no section, or the one that 1Password keeps
// fields in which users add without one.
func (f field) outside() bool { return f.Section == nil || f.Section.ID == "add more" }

// section returns the section of a name or an id.
func (it item) section(name string) (section, bool) {
	i := slices.IndexFunc(it.Sections, func(s section) bool { return named(name, s.ID, s.Label) })
	if i < 0 {
		return section{}, false
	}
	return it.Sections[i], true
}

// within reports whether a field is in the section. Of that, fields may have the id alone.
func (it item) within(f field, name string) bool {
	if f.Section == nil {
		return false
	}
	known, ok := it.section(name)
	return named(name, f.Section.ID, f.Section.Label) || ok && known.ID == f.Section.ID
}

// named reports whether a part of a reference is one of the names: 1Password does not
// mind the case.
func named(part string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, part) })
}

func (f field) attribute(name string) (string, error) {
	value := map[string]string{"": f.Value, "type": f.Type, "title": f.Label, "id": f.ID, "purpose": f.Purpose, "otp": f.TOTP}[name]
	switch {
	case value != "":
		return value, nil
	case name == "":
		return "", resolve.Errorf(resolve.NotFound, "the field %q is empty", f.Label)
	}
	return "", resolve.Errorf(resolve.NotFound, "the field %q has no %s", f.Label, name)
}

// A summary is what a list says of an item.
type summary struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Category string `json:"category"`
	Vault    struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"vault"`
}

// references names the items by their titles where those are unique and can be
// written in a reference, else by their ids.
func references(items []summary) []string {
	items = items[:min(len(items), maxItems)]
	count := map[string]int{}
	for _, it := range items {
		count[it.Vault.ID+"/"+strings.ToLower(it.Title)]++
	}
	list := []string{}
	for _, it := range items {
		vault, title := it.Vault.Name, it.Title
		if malformed(vault) {
			vault = it.Vault.ID
		}
		if malformed(title) || count[it.Vault.ID+"/"+strings.ToLower(title)] > 1 {
			title = it.ID
		}
		if !malformed(vault) && !malformed(title) {
			list = append(list, "op://"+vault+"/"+title+"/"+chief(it.Category))
		}
	}
	slices.Sort(list)
	return list
}

// chief is the field that has the secret in items of a category.
func chief(category string) string {
	switch category {
	case "API_CREDENTIAL":
		return "credential"
	case "SECURE_NOTE":
		return "notesPlain"
	case "SSH_KEY":
		return "private key"
	}
	return "password"
}
