package tomledit

import (
	"bytes"
	"slices"

	"github.com/pelletier/go-toml/v2/unstable"
)

// An entry is a header, or a key with its value, and its place in the text.
type entry struct {
	path   []string // from the root, cut off past the depth that matters
	depth  int      // how many names of path the header supplies
	owner  int      // the entry whose inline table holds this one, or -1
	header bool
	start  int // of the key; for a header, the key in its brackets
	value  int
	end    int
}

// A layout is the entries of a text in their order.
type layout struct {
	text    []byte
	target  []string
	entries []entry
}

// scan lists the headers and keys of text. It looks into those inline tables
// only that may hold target, and past target only far enough to tell that a
// path is longer: names cost their length, and some files are hostile.
func scan(text []byte, target []string) layout {
	l := layout{text: text, target: target}
	var p unstable.Parser
	p.Reset(text)
	var header []string
	for p.NextExpression() {
		n := p.Expression()
		if n.Kind == unstable.KeyValue {
			l.add(n, header, len(header), -1)
			continue
		}
		var end int
		header, end = l.names(nil, n)
		start := int(n.Child().Raw.Offset)
		l.entries = append(l.entries, entry{path: header, depth: len(header), owner: -1, header: true, start: start, end: end})
	}
	return l
}

func (l *layout) add(n *unstable.Node, base []string, depth, owner int) {
	path, end := l.names(base, n)
	start := int(n.Raw.Offset)
	l.entries = append(l.entries, entry{
		path: path, depth: depth, owner: owner, start: start,
		value: pastSpace(l.text, end+bytes.IndexByte(l.text[end:], '=')+1),
		end:   start + int(n.Raw.Length),
	})
	if n.Value().Kind != unstable.InlineTable || !within(l.target, path) {
		return
	}
	me := len(l.entries) - 1
	for it := n.Value().Children(); it.Next(); {
		l.add(it.Node(), path, depth, me)
	}
}

// names returns base with the names of n's key, and where that key ends.
func (l *layout) names(base []string, n *unstable.Node) (path []string, end int) {
	path = slices.Clip(base)
	for it := n.Key(); it.Next(); {
		name := it.Node()
		if len(path) <= len(l.target) {
			path = append(path, string(name.Data))
		}
		end = int(name.Raw.Offset + name.Raw.Length)
	}
	return path, end
}

// within reports whether path is table or lies below it.
func within(path, table []string) bool {
	return len(path) >= len(table) && slices.Equal(path[:len(table)], table)
}

// last returns the last entry that fits.
func (l *layout) last(fits func(entry) bool) (i int, ok bool) {
	for i, e := range slices.Backward(l.entries) {
		if fits(e) {
			return i, true
		}
	}
	return 0, false
}

// next returns the place of the comma or brace that follows e in its inline table.
func (l *layout) next(e entry) int {
	at := e.end
	for {
		switch l.text[at] {
		case ',', '}':
			return at
		case '#':
			at = lineEnd(l.text, at)
		default:
			at++
		}
	}
}

// alone reports whether e shares its lines, in an inline table of several lines,
// with nothing but its comma and a comment.
func (l *layout) alone(e entry) bool {
	before := l.text[lineStart(l.text, e.start):e.start]
	after := bytes.TrimLeft(l.text[e.end:], " \t")
	after = bytes.TrimLeft(bytes.TrimPrefix(after, []byte(",")), " \t\r")
	return blank(before, 0) && (after[0] == '#' || after[0] == '\n')
}

func newline(text []byte) string {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

func lineStart(text []byte, at int) int { return bytes.LastIndexByte(text[:at], '\n') + 1 }

// lineEnd returns where the line after the one of at begins.
func lineEnd(text []byte, at int) int {
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

func indent(text []byte, at int) string {
	line := text[lineStart(text, at):at]
	return string(line[:pastSpace(line, 0)])
}

// blank reports whether nothing stands in the line that starts at at, as at the
// end of a text.
func blank(text []byte, at int) bool {
	return len(bytes.TrimSpace(text[at:lineEnd(text, at)])) == 0
}

func pastSpace(text []byte, at int) int {
	return len(text) - len(bytes.TrimLeft(text[at:], " \t"))
}

// pastComments skips the comment lines at at, unless a header or key follows at
// once, for then they are about that.
func pastComments(text []byte, at int) int {
	end := at
	for bytes.HasPrefix(text[pastSpace(text, end):], []byte("#")) {
		end = lineEnd(text, end)
	}
	if blank(text, end) {
		return end
	}
	return at
}
