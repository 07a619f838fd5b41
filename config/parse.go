package config

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/getkeyzero/kz/internal/near"
	"github.com/getkeyzero/kz/internal/printable"
)

// A document is the syntax of one file: its tables, and on which line each key stands.
type document struct {
	path  string
	home  string // for which ~ stands in the user's file; "" in projects'
	table map[string]any
	lines map[string]int // dotted key with NUL between the parts → line
}

func readDocument(f File) (*document, error) {
	if err := checkLimits(f.Path, f.Data); err != nil {
		return nil, err
	}
	d := &document{path: f.Path, table: map[string]any{}}
	if err := toml.Unmarshal(f.Data, &d.table); err != nil {
		return nil, syntaxError(f.Path, err)
	}
	d.lines = keyLines(f.Data)
	return d, nil
}

func syntaxError(path string, err error) error {
	var decode *toml.DecodeError
	line := 0
	if errors.As(err, &decode) {
		line, _ = decode.Position()
	}
	msg := strings.TrimPrefix(err.Error(), "toml: ")
	msg, _, _ = strings.Cut(msg, ": strconv.") // which would quote the value
	return errorAt(Position{path, line}, strings.Join(keyOf(decode), "."), "not TOML: %s", printable.Text(msg))
}

func keyOf(e *toml.DecodeError) []string {
	if e == nil {
		return nil
	}
	return e.Key()
}

// keyLines finds the line of every key that can have a meaning. The bytes are
// known to be TOML.
func keyLines(data []byte) map[string]int {
	var p unstable.Parser
	p.Reset(data)
	l := keyLister{lines: map[string]int{}, ends: lineEnds(data)}
	var table []string
	for p.NextExpression() {
		node := p.Expression()
		if node.Kind == unstable.KeyValue {
			l.value(table, node)
			continue
		}
		table = l.key(nil, node.Key())
	}
	return l.lines
}

// A keyLister notes on which line keys stand. The parser tells that too, but
// counts the lines from the first one for each key.
type keyLister struct {
	lines map[string]int
	ends  []int // offsets of the line feeds
}

func (l keyLister) value(table []string, node *unstable.Node) {
	key := l.key(table, node.Key())
	if value := node.Value(); value.Kind == unstable.InlineTable {
		for it := value.Children(); it.Next(); {
			l.value(key, it.Node())
		}
	}
}

func (l keyLister) key(table []string, it unstable.Iterator) []string {
	key := slices.Clone(table)
	for it.Next() && len(key) < maxDepth { // a dotted key may have thousands of parts
		key = append(key, string(it.Node().Data))
		if id := strings.Join(key, "\x00"); l.lines[id] == 0 {
			line, _ := slices.BinarySearch(l.ends, int(it.Node().Raw.Offset))
			l.lines[id] = line + 1
		}
	}
	return key
}

func lineEnds(data []byte) []int {
	var ends []int
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i)
		}
	}
	return ends
}

// at returns where key stands, or else the table in which it is missing.
func (d *document) at(key ...string) Position {
	for n := len(key); n > 0; n-- {
		if line := d.lines[strings.Join(key[:n], "\x00")]; line > 0 {
			return Position{d.path, line}
		}
	}
	return Position{Path: d.path}
}

// sub returns the table that key leads to, nil if there is none, or an error if
// something else stands there.
func (d *document) sub(table map[string]any, key ...string) (map[string]any, error) {
	value, ok := table[key[len(key)-1]]
	if !ok {
		return nil, nil
	}
	t, ok := value.(map[string]any)
	if !ok {
		return nil, errorAt(d.at(key...), strings.Join(key, "."), "must be a table")
	}
	return t, nil
}

// unknown is the error for a key that has no meaning where it stands.
func (d *document) unknown(known []string, key ...string) error {
	last := key[len(key)-1]
	if n := near.Name(last, known); n != "" {
		return errorAt(d.at(key...), strings.Join(key, "."), "unknown key; did you mean %q?", n)
	}
	return errorAt(d.at(key...), strings.Join(key, "."), "unknown key; known here: %s", strings.Join(known, ", "))
}

// names returns the keys of a table in the order of their lines.
func (d *document) names(table map[string]any, path ...string) []string {
	prefix := strings.Join(append(slices.Clone(path), ""), "\x00")
	return slices.SortedFunc(maps.Keys(table), func(a, b string) int {
		return cmp.Or(d.lines[prefix+a]-d.lines[prefix+b], strings.Compare(a, b))
	})
}
