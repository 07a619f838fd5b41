package pass

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

const (
	maxRef  = 1 << 10
	maxLine = 1000
)

// A reference names a line of an entry: by its number from 1 or, if that is 0, by its key.
type reference struct {
	path string
	line int
	key  string
}

// parse reads a reference, which is split at its last #. An error is Malformed.
func parse(text string) (reference, error) {
	r := reference{path: text, line: 1}
	if at := strings.LastIndexByte(text, '#'); at >= 0 {
		r = reference{path: text[:at], key: text[at+1:]}
		if n, err := strconv.Atoi(r.key); err == nil {
			r.line, r.key = n, ""
		}
	}
	switch {
	case len(text) > maxRef:
		return r, resolve.Errorf(resolve.Malformed, "the reference has %d bytes, more than %d", len(text), maxRef)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return r, resolve.Errorf(resolve.Malformed, "reference %q: has control characters or is not UTF-8", text)
	case !isPath(r.path):
		return r, resolve.Errorf(resolve.Malformed, "%q is not the path of an entry", r.path)
	case r.key == "" && (r.line < 1 || r.line > maxLine):
		return r, resolve.Errorf(resolve.Malformed, "reference %q: lines are counted from 1", text)
	case strings.TrimSpace(r.key) != r.key || strings.Contains(r.key, ":"):
		return r, resolve.Errorf(resolve.Malformed, "reference %q: the key is not one", text)
	}
	return r, nil
}

// isPath accepts what lies in the store under exactly this name, and is not an option.
func isPath(path string) bool {
	return !strings.HasPrefix(path, "-") && !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool {
		return part == "" || part == "." || part == ".."
	})
}

// find returns the line of an entry that r names.
func find(entry resolve.Secret, r reference) resolve.Result {
	lines := split(entry.Reveal())
	if len(lines) == 0 {
		return resolve.Result{Err: resolve.Errorf(resolve.Malformed, "the entry is empty")}
	}
	at := r.at(lines)
	switch {
	case at < len(lines) && r.key == "":
		return resolve.Result{Secret: resolve.NewSecret(strings.TrimSuffix(lines[at], "\r"))}
	case at < len(lines):
		_, value, _ := strings.Cut(lines[at], ":")
		return resolve.Result{Secret: resolve.NewSecret(strings.TrimSuffix(strings.TrimLeft(value, " \t"), "\r"))}
	case r.key == "":
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "the entry has no line %d", r.line)}
	}
	return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "the entry has no line %q", r.key+":")}
}

// at returns the number of the line from 0, which is beyond lines if it is not among them.
// The first line is the password, which may look like a line with a key.
func (r reference) at(lines []string) int {
	if r.key == "" {
		return r.line - 1
	}
	for i, line := range lines {
		if key, _, ok := strings.Cut(line, ":"); ok && i > 0 && strings.TrimRight(key, " \t") == r.key {
			return i
		}
	}
	return max(1, len(lines))
}

// split returns the lines without their ends.
func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// replace returns the entry with another value in the line that r names, all
// other lines being as they were.
func replace(entry string, r reference, value string) (string, error) {
	switch {
	case strings.ContainsAny(value, "\n\r\x00"):
		return "", resolve.Errorf(resolve.Malformed, "a value of several lines cannot be kept in one line of an entry")
	case r.key != "" && strings.TrimLeft(value, " \t") != value:
		return "", resolve.Errorf(resolve.Malformed, "a value that begins with a blank cannot be kept behind a key")
	}
	lines := split(entry)
	at := r.at(lines)
	for len(lines) <= at {
		lines = append(lines, "")
	}
	lines[at] = value
	if r.key != "" {
		lines[at] = r.key + ": " + value
	}
	return strings.Join(lines, "\n") + "\n", nil
}
