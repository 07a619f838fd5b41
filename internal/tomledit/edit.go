package tomledit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// write returns text with the value of path replaced, or with a new entry where
// there is none to replace.
func write(text []byte, path []string, value string, exists bool) ([]byte, error) {
	l := scan(text, path)
	if i, ok := l.assigned(); ok {
		return splice(text, l.entries[i].value, l.entries[i].end, value), nil
	}
	if exists {
		return nil, ErrTable
	}
	if i, ok := l.container(); ok {
		return l.insert(i, pair(path[len(l.entries[i].path):], value)), nil
	}
	if i, ok := l.anchor(); ok {
		a := l.entries[i]
		at := pastComments(text, lineEnd(text, a.end))
		return insertLine(text, at, indent(text, a.start)+pair(path[a.depth:], value)), nil
	}
	table, line := path[:len(path)-1], pair(path[len(path)-1:], value)
	if len(table) == 0 {
		return prepend(text, line), nil
	}
	return appendTable(text, "["+dotted(table)+"]", line), nil
}

// assigned finds the entry whose value is the target's.
func (l *layout) assigned() (int, bool) {
	return l.last(func(e entry) bool { return !e.header && slices.Equal(e.path, l.target) })
}

// container finds the innermost inline table that is the target's table or holds
// it. Such a table is closed: its keys cannot stand elsewhere.
func (l *layout) container() (int, bool) {
	return l.last(func(e entry) bool { return !e.header && within(l.target, e.path) })
}

// anchor finds the entry after which a key of the target's table may stand, if
// no inline table holds it: the last one of that table, or its header.
func (l *layout) anchor() (int, bool) {
	table := l.target[:len(l.target)-1]
	return l.last(func(e entry) bool { return e.depth <= len(table) && within(e.path, table) })
}

func pair(key []string, value string) string { return dotted(key) + " = " + value }

// insert puts line last into the inline table of entry i.
func (l *layout) insert(i int, line string) []byte {
	j, ok := l.last(func(e entry) bool { return e.owner == i })
	if !ok {
		at := l.entries[i].value + 1
		if l.text[at] == '}' {
			line += " "
		}
		return splice(l.text, at, at, " "+line)
	}
	last := l.entries[j]
	if !l.alone(last) {
		return splice(l.text, last.end, last.end, ", "+line)
	}
	at := lineEnd(l.text, last.end)
	line = indent(l.text, last.start) + line
	if l.next(last) < at {
		return insertLine(l.text, at, line+",")
	}
	return splice(insertLine(l.text, at, line), last.end, last.end, ",")
}

// prepend puts the first line of the root table before the first header, after
// the comments that head the file.
func prepend(text []byte, line string) []byte {
	at := pastComments(text, 0)
	if !blank(text, at) {
		line += newline(text)
	}
	return insertLine(text, at, line)
}

// appendTable puts a table after everything else, a blank line between.
func appendTable(text []byte, header, line string) []byte {
	table := header + newline(text) + line
	if !blank(text, lineStart(text, max(0, len(text)-1))) {
		table = newline(text) + table
	}
	return insertLine(text, len(text), table)
}

// erase returns text without the entries at and below path.
func erase(text []byte, path []string) []byte {
	for {
		l := scan(text, path)
		i := slices.IndexFunc(l.entries, func(e entry) bool { return within(e.path, path) })
		if i < 0 {
			return text
		}
		from, to, keep := l.extent(i)
		text = splice(text, from, to, keep)
	}
}

// extent returns what has to go so that entry i is gone and the rest reads as
// if it had never been there, save what to keep of it: the lines between a value
// and a comma that begins a later line.
func (l *layout) extent(i int) (from, to int, keep string) {
	e := l.entries[i]
	from, to = lineStart(l.text, e.start), lineEnd(l.text, e.end)
	switch {
	case e.header:
		from, to = l.section(i)
	case e.owner >= 0:
		return l.item(e, to)
	}
	return from, to, ""
}

// item is the extent of an entry of an inline table, whose line ends at line.
func (l *layout) item(e entry, line int) (from, to int, keep string) {
	next := l.next(e)
	comma := l.text[next] == ','
	j, follows := l.last(func(s entry) bool { return s.owner == e.owner && s.start < e.start })
	switch {
	case l.alone(e) && (next < line || !comma):
		return lineStart(l.text, e.start), line, ""
	case comma:
		return e.start, pastSpace(l.text, next+1), string(l.text[min(line, next):next])
	case follows && !bytes.Contains(l.text[l.entries[j].end:e.start], []byte("\n")):
		return l.entries[j].end, e.end, ""
	}
	return e.start, pastSpace(l.text, e.end), ""
}

// section returns the lines from header i to its last key, and one of the blank
// lines around them.
func (l *layout) section(i int) (from, to int) {
	from = lineStart(l.text, l.entries[i].start)
	for i++; i < len(l.entries) && !l.entries[i].header; i++ {
	}
	to = lineEnd(l.text, l.entries[i-1].end)
	above := lineStart(l.text, max(0, from-1))
	switch {
	case to < len(l.text) && blank(l.text, to):
		to = lineEnd(l.text, to)
	case to == len(l.text) && blank(l.text, above):
		from = above
	}
	return from, to
}

// splice returns a copy of text in which s stands for the bytes from, to.
func splice(text []byte, from, to int, s string) []byte {
	return slices.Concat(text[:from], []byte(s), text[to:])
}

// insertLine puts line at the start of a line, or at the end of a text, which
// then ends with a line break only if it did before.
func insertLine(text []byte, at int, line string) []byte {
	if at > 0 && text[at-1] != '\n' {
		return splice(text, at, at, newline(text)+line)
	}
	return splice(text, at, at, line+newline(text))
}

func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch i := strings.IndexRune("\b\t\n\f\r\"\\", r); {
		case i >= 0:
			b.WriteString(`\` + `btnfr"\`[i:i+1])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	return `"` + b.String() + `"`
}

// dotted returns the names as the source of one key.
func dotted(names []string) string {
	parts := slices.Clone(names)
	for i, name := range names {
		if name == "" || strings.Trim(name, bare) != "" {
			parts[i] = quote(name)
		}
	}
	return strings.Join(parts, ".")
}

const bare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
