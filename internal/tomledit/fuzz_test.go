package tomledit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzSet holds Set and Remove to what they promise: the key changes and
// nothing else does, in what the text means and in its bytes, and a new key
// that is removed again leaves what there was before.
func FuzzSet(f *testing.F) {
	if seeds, err := os.ReadDir("testdata/fuzz/FuzzSet"); err != nil || len(seeds) == 0 {
		f.Fatal("testdata/fuzz/FuzzSet has no seeds")
	}
	f.Fuzz(func(t *testing.T, data []byte, table, key, value string) {
		if len(data) > 8<<10 || len(table) > 256 {
			t.Skip("go-toml is slow with many keys")
		}
		e := edit{t, names(table), key}
		given := bytes.Clone(data)
		out, err := Set(data, e.table, key, value)
		_, spread := Set(data, e.table, key, "0")
		e.checkRemove(data, errors.Is(spread, ErrTable))
		if !bytes.Equal(data, given) {
			t.Fatal("the input was written to")
		}
		if err != nil {
			if out != nil || errors.Is(err, errLayout) {
				t.Fatalf("Set(%q, %q, %q, %q) = %q, %v", data, e.table, key, value, out, err)
			}
			return
		}
		old, before := e.meaning(data)
		now, after := e.meaning(out)
		if want, _ := (edit{t, nil, "v"}).meaning([]byte("v = " + value)); now != want {
			t.Fatalf("%q: the key is %s, want %s", out, now, want)
		}
		if !maps.Equal(before, after) {
			t.Fatalf("%q: other keys than %q.%q of %q changed", out, e.table, key, data)
		}
		removed := e.checkRemove(out, false)
		if _, rest := e.meaning(removed); !maps.Equal(before, rest) {
			t.Fatalf("%q: without the key it is %q, not %q", out, removed, data)
		}
		if old != "" {
			e.checkReplaced(data, out, value)
			return
		}
		e.checkAdded(data, out)
		if !leadingComma.Match(data) && !subsequence(spaceless(data), removed) {
			t.Fatalf("%q: without the key it is %q, not %q", out, removed, data)
		}
	})
}

// An edit is of one key.
type edit struct {
	*testing.T
	table []string
	key   string
}

// checkReplaced wants the value, and all else as it was before and after it.
func (e edit) checkReplaced(data, out []byte, value string) {
	e.Helper()
	for i := range out {
		rest, ok := bytes.CutPrefix(out[i:], []byte(value))
		if ok && bytes.HasPrefix(data, out[:i]) && bytes.HasSuffix(data[i:], rest) {
			return
		}
	}
	e.Fatalf("%q differs from %q in more than a value", out, data)
}

// checkAdded wants every byte of data in out, in order, and every line but one
// as it was.
func (e edit) checkAdded(data, out []byte) {
	e.Helper()
	old, now := bytes.SplitAfter(data, []byte("\n")), bytes.SplitAfter(out, []byte("\n"))
	kept := common(old, now)
	slices.Reverse(old)
	slices.Reverse(now)
	kept += common(old[:len(old)-kept], now[:len(now)-kept])
	if kept < len(old)-1 || !subsequence(data, out) {
		e.Fatalf("%q has not all of %q", out, data)
	}
}

func common(a, b [][]byte) int {
	n := 0
	for n < min(len(a), len(b)) && bytes.Equal(a[n], b[n]) {
		n++
	}
	return n
}

// checkRemove wants the key to go and nothing else, in one piece unless it is
// spread over several places or its comma stands elsewhere. It returns the rest.
func (e edit) checkRemove(data []byte, spread bool) []byte {
	e.Helper()
	out, found, err := Remove(data, e.table, e.key)
	if toml.Unmarshal(bytes.TrimPrefix(data, bom), new(map[string]any)) != nil {
		if err == nil || out != nil {
			e.Fatalf("Remove made %q of what is not TOML: %q", out, data)
		}
		return nil
	}
	if err != nil {
		e.Fatalf("Remove(%q, %q, %q): %v", data, e.table, e.key, err)
	}
	old, before := e.meaning(data)
	now, after := e.meaning(out)
	if (old != "") != found || now != "" || !maps.Equal(before, after) {
		e.Fatalf("Remove(%q, %q, %q) = %q, %v", data, e.table, e.key, out, found)
	}
	same := 0
	for same < len(out) && out[same] == data[same] {
		same++
	}
	apart := spread || leadingComma.Match(data)
	if !subsequence(out, data) || !apart && !bytes.HasSuffix(data[same:], out[same:]) {
		e.Fatalf("Remove(%q, %q, %q) = %q moves bytes", data, e.table, e.key, out)
	}
	return out
}

var leadingComma = regexp.MustCompile(`\n[ \t]*,`)

func spaceless(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, text)
}

func subsequence(part, whole []byte) bool {
	for _, c := range whole {
		if len(part) > 0 && part[0] == c {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// meaning returns what the key holds, "" if there is none, and what every other
// key of data holds. Of the tables around the key it leaves out whether they
// exist when they are empty: an edit may make or unmake one.
func (e edit) meaning(data []byte) (string, map[string]string) {
	e.Helper()
	m := map[string]any{}
	if err := toml.Unmarshal(bytes.TrimPrefix(data, bom), &m); err != nil {
		e.Fatalf("%q: %v", data, err)
	}
	all := map[string]string{}
	flatten(all, "", m)
	at := ""
	for _, name := range e.table {
		delete(all, at)
		at += "." + strconv.Quote(name)
	}
	delete(all, at)
	at += "." + strconv.Quote(e.key)

	var held strings.Builder
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if rest, ok := strings.CutPrefix(path, at); ok {
			fmt.Fprintf(&held, "%s=%s;", rest, all[path])
			delete(all, path)
		}
	}
	return held.String(), all
}

func flatten(all map[string]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		all[path] = "table"
		for name, v := range value {
			flatten(all, path+"."+strconv.Quote(name), v)
		}
	case []any:
		all[path] = "array"
		for i, v := range value {
			flatten(all, fmt.Sprintf("%s[%d]", path, i), v)
		}
	default:
		all[path] = fmt.Sprintf("%T %v", value, value)
	}
}
