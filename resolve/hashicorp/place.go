package hashicorp

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

const maxRef = 1 << 10

// A place is what a reference names.
type place struct {
	path    string // the mount's and the secret's within it, which only the server can tell apart
	field   string // "" if the reference leaves it out
	version string // "" for the newest
}

// queried is what may follow a path or a field.
var queried = regexp.MustCompile(`^(.*)\?version=([1-9][0-9]{0,8})$`)

// parse reads MOUNT/PATH[#FIELD][?version=N]; the version may also stand before the field.
func parse(ref string) (place, error) {
	path, field, hasField := strings.Cut(ref, "#")
	pl := place{path: path, field: field}
	if m := queried.FindStringSubmatch(path); m != nil {
		pl.path, pl.version = m[1], m[2]
	} else if m := queried.FindStringSubmatch(field); m != nil {
		pl.field, pl.version = m[1], m[2]
	}
	switch {
	case len(ref) > maxRef:
		return place{}, resolve.Errorf(resolve.Malformed, "the reference has more than %d bytes", maxRef)
	case strings.ContainsFunc(ref, unicode.IsControl) || !utf8.ValidString(ref):
		return place{}, resolve.Errorf(resolve.Malformed, "the reference has a control character or is not UTF-8")
	case strings.ContainsRune(pl.path, '?'):
		return place{}, resolve.Errorf(resolve.Malformed, "all that can be asked for after a path is ?version=N")
	case hasField && pl.field == "":
		return place{}, resolve.Errorf(resolve.Malformed, "no field behind the #")
	case !isPath(pl.path):
		return place{}, resolve.Errorf(resolve.Malformed, "not of the form MOUNT/PATH#FIELD")
	case isSystem(pl.path):
		return place{}, resolve.Errorf(resolve.Malformed, "the server's own paths have no secrets for kz")
	}
	return pl, nil
}

// isPath reports whether a path has a mount and something in it, and no step that a
// server or something before it might take as one to elsewhere.
func isPath(path string) bool {
	steps := strings.Split(path, "/")
	return len(steps) > 1 && !slices.ContainsFunc(steps, func(s string) bool { return s == "" || s == "." || s == ".." })
}

// isSystem reports whether a path is below one of those that every server has and that hold
// no engine of secrets: what a token can do there is not a project's to ask for.
func isSystem(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{"sys", "auth", "identity", "cubbyhole"}, first)
}

// document returns the reference without the field: what one request gets.
func (pl place) document() string {
	if pl.version == "" {
		return pl.path
	}
	return pl.path + "?version=" + pl.version
}

// escape returns the path as a part of an address.
func escape(path string) string {
	steps := strings.Split(path, "/")
	for i, s := range steps {
		steps[i] = url.PathEscape(s)
	}
	return strings.Join(steps, "/")
}
