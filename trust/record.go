package trust

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// first is the first line of a record. A later format has another number.
const (
	family = "kz consent "
	first  = family + "1"
)

var (
	errNoRecord = errors.New("not a record of consent")
	errVersion  = errors.New("written by another version of kz")
)

// encode returns the record as a text: a line for each field, then for each file
// a line with its name, its length and whether it is missing, and its content.
// Hooks read one at each load; that takes a tenth of the time of JSON.
func (r Record) encode() []byte {
	text := fmt.Appendf(nil, "%s\npath %q\ndecision %s\ntime %s\nshared %t\ndigest %s\nown %s\n",
		first, r.Path, r.Decision, r.Time.Format(time.RFC3339), r.Shared, r.Digest, r.Own)
	for _, f := range r.Files {
		text = fmt.Appendf(text, "file %q %d %t\n%s\n", f.Path, len(f.Text), f.Missing, f.Text)
	}
	return text
}

// decode reads what encode wrote, and nothing else.
func decode(text string) (Record, error) {
	d := decoder{rest: text}
	switch line := d.line(); {
	case line != first && strings.HasPrefix(line, family):
		return Record{}, errVersion
	case line != first:
		return Record{}, errNoRecord
	}
	r := Record{Path: d.quoted(d.field("path"))}
	r.Decision = Decision(d.field("decision"))
	d.fail(r.Decision != Allowed && r.Decision != Denied)
	when, err := time.Parse(time.RFC3339, d.field("time"))
	d.fail(err != nil)
	r.Time = when
	r.Shared = d.truth(d.field("shared"))
	r.Digest, r.Own = d.field("digest"), d.field("own")
	for d.rest != "" && !d.bad {
		r.Files = append(r.Files, d.file())
	}
	if d.bad {
		return Record{}, errNoRecord
	}
	return r, nil
}

// A decoder takes a text apart from its beginning.
type decoder struct {
	rest string
	bad  bool // the text is not as encode writes it
}

func (d *decoder) fail(bad bool) { d.bad = d.bad || bad }

func (d *decoder) line() string {
	line, rest, ok := strings.Cut(d.rest, "\n")
	d.rest = rest
	d.fail(!ok)
	return line
}

func (d *decoder) field(name string) string {
	value, ok := strings.CutPrefix(d.line(), name+" ")
	d.fail(!ok)
	return value
}

func (d *decoder) quoted(text string) string {
	value, err := strconv.Unquote(text)
	d.fail(err != nil)
	return value
}

func (d *decoder) truth(text string) bool {
	d.fail(text != "true" && text != "false")
	return text == "true"
}

func (d *decoder) file() RecordFile {
	line := d.field("file")
	name, err := strconv.QuotedPrefix(line)
	d.fail(err != nil)
	length, missing, _ := strings.Cut(strings.TrimPrefix(line[len(name):], " "), " ")
	n, err := strconv.Atoi(length)
	if d.fail(err != nil || n < 0 || n >= len(d.rest)); d.bad {
		return RecordFile{}
	}
	f := RecordFile{Path: d.quoted(name), Text: d.rest[:n], Missing: d.truth(missing)}
	d.fail(d.rest[n] != '\n')
	d.rest = d.rest[n+1:]
	return f
}
