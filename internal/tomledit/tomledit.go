// Package tomledit changes one key of a TOML text and leaves every other byte
// as its author wrote it.
//
// What an edit means is decided by go-toml and not by this package: a result is
// returned only if it parses to what the old text parses to, save the one key.
package tomledit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// ErrTable is why Set refuses a key whose value has no text of its own, because
// the file spells it as [table.key] or as key.part = value. Remove takes such a
// key out, and then Set adds it.
var ErrTable = errors.New("written as a table of its own")

var (
	errLayout = errors.New("cannot be changed alone in this layout")
	errValue  = errors.New("not the text of one TOML value")
	errText   = errors.New("text has a NUL byte or is not UTF-8")
)

// A SyntaxError tells where a text is not TOML, and nothing of what stands there.
type SyntaxError struct{ Line int }

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: not valid TOML", e.Line) }

// bom may begin a text. go-toml does not take it, and it is not ours to drop.
var bom = []byte("\ufeff")

// Set returns data with key of table set to value, the source of one TOML value;
// an empty table is the root. Of a key that exists, however it is spelled, only
// the value is replaced. A new key follows the last one of its table, and a new
// table comes last in the text. On error there is no text.
func Set(data []byte, table []string, key, value string) ([]byte, error) {
	text := bytes.TrimPrefix(data, bom)
	want, err := decode(text)
	if err != nil {
		return nil, err
	}
	out, err := set(text, want, table, key, value)
	if err == nil {
		err = check(out, want, table)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", key, err)
	}
	return slices.Concat(data[:len(data)-len(text)], out), nil
}

// set changes want, the keys of text, as well as the text that it returns.
func set(text []byte, want map[string]any, table []string, key, value string) ([]byte, error) {
	path := slices.Concat(table, []string{key})
	if slices.ContainsFunc(path, invalid) {
		return nil, errText
	}
	parsed, err := parseValue(value)
	if err != nil {
		return nil, err
	}
	parent := open(want, table)
	if parent == nil {
		return nil, fmt.Errorf("%q is not a table", strings.Join(table, "."))
	}
	_, exists := parent[key]
	parent[key] = parsed
	return write(text, path, value, exists)
}

// Remove returns data without key of table, and whether there was such a key.
// Lines that hold nothing else go with it, among them those of its sub-tables;
// comments on lines of their own stay, and so does the header of a table that
// has become empty.
func Remove(data []byte, table []string, key string) ([]byte, bool, error) {
	text := bytes.TrimPrefix(data, bom)
	want, err := decode(text)
	if err != nil {
		return nil, false, err
	}
	parent := open(want, table)
	if _, ok := parent[key]; !ok {
		return data, false, nil
	}
	delete(parent, key)
	out := erase(text, slices.Concat(table, []string{key}))
	if err := check(out, want, table); err != nil {
		return nil, false, fmt.Errorf("%q: %w", key, err)
	}
	return slices.Concat(data[:len(data)-len(text)], out), true, nil
}

// check proves that the keys of out are those of want.
func check(out []byte, want map[string]any, table []string) error {
	got, err := decode(out)
	if err != nil {
		return errLayout
	}
	prune(want, got, table)
	if !equal(want, got) {
		return errLayout
	}
	return nil
}

// String returns s as the source of a TOML string on one line. What cannot be
// seen on a screen is escaped, so that a reader of the file sees what it holds.
func String(s string) (string, error) {
	if invalid(s) {
		return "", errText
	}
	return quote(s), nil
}

func invalid(s string) bool { return !utf8.ValidString(s) || strings.ContainsRune(s, 0) }

// decode never returns go-toml's own errors: some quote what they stumbled over.
func decode(text []byte) (map[string]any, error) {
	m := map[string]any{}
	err := toml.Unmarshal(text, &m)
	if err == nil {
		return m, nil
	}
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return nil, errors.New("not valid TOML")
	}
	line, _ := at.Position()
	return nil, &SyntaxError{Line: line}
}

// parseValue is the gate that keeps a value from bringing keys, headers or
// comments along: it must end where the parser says that one value ends.
func parseValue(value string) (any, error) {
	text := []byte("k=" + value)
	var p unstable.Parser
	p.Reset(text)
	if !p.NextExpression() || int(p.Expression().Raw.Length) != len(text) || strings.TrimSpace(value) != value {
		return nil, errValue
	}
	m, err := decode(text)
	if err != nil {
		return nil, errValue
	}
	return m["k"], nil
}

// open returns the table of m at path, made where it is missing, or nil if
// something else has its place.
func open(m map[string]any, path []string) map[string]any {
	for _, name := range path {
		if _, ok := m[name]; !ok {
			m[name] = map[string]any{}
		}
		next, ok := m[name].(map[string]any)
		if !ok {
			return nil
		}
		m = next
	}
	return m
}

// prune drops from want the tables on path that are empty and that got lacks:
// nothing but a removed key had implied them.
func prune(want, got map[string]any, path []string) {
	if len(path) == 0 {
		return
	}
	inner, _ := want[path[0]].(map[string]any)
	have, ok := got[path[0]].(map[string]any)
	prune(inner, have, path[1:])
	if !ok && len(inner) == 0 {
		delete(want, path[0])
	}
}

// equal is reflect.DeepEqual, except that NaN equals itself.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	}
	return reflect.DeepEqual(a, b)
}
