// Package dotenv reads and writes .env files in the dialect of Docker Compose.
//
// Whatever Parse accepts has the value that Compose gives it, oddities
// included: "A= # note" has the value "# note", single quotes know the one
// escape \', and \$ counts in double quotes only. Five things differ.
//
//   - In a substitution the earlier lines of the file come before the
//     environment. Compose asks the environment first, but ours may still hold
//     what an older version of the same file put there.
//   - A name without a value is passed through from the environment even if it
//     ends the file without a newline, where Compose invents a variable without
//     a name.
//   - Parse refuses what Compose guesses at: text other than a comment after a
//     closing quote (Compose reads a second variable), an empty name, a blank
//     inside a name, an octal escape that is not \0 and three octal digits up
//     to \0377 (Compose drops the zero), and a NUL byte in a value.
//   - Parse has limits: MaxSize of input, as much again of values, and
//     substitutions nested 16 deep.
//   - Errors quote nothing. Compose prints the line, and the line is the secret.
//
// Names are those that Compose takes: letters and digits of any script, and any
// of _ . - [ ]. Not all of them can be exported to a shell.
package dotenv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// MaxSize is the most bytes that Parse accepts, and the most bytes that the
// values of one file may have together.
const MaxSize = 1 << 20

// ErrTooLarge says that the input has more than MaxSize bytes.
var ErrTooLarge = errors.New("more than 1 MiB")

// An Entry is one variable of a file.
type Entry struct {
	Name  string
	Value string
	Line  int // where the name is, from 1
}

// A SyntaxError says at which line the variable begins that Parse could not
// read, and why. Msg is one of a fixed set of sentences: it holds no part of the
// file, nor of the environment.
type SyntaxError struct {
	Line int
	Msg  string
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// Everything that can be wrong with a line.
var (
	errNoName     = errors.New("no variable name")
	errName       = errors.New("a variable name has letters, digits and _.-[] only")
	errUnclosed   = errors.New("the quote is not closed")
	errAfterQuote = errors.New("text after the closing quote")
	errOctal      = errors.New(`an octal escape is \0 and three octal digits, to \0377`)
	errNUL        = errors.New("the value has a NUL byte")
	errSubst      = errors.New("malformed substitution (a dollar sign is $$, or in single quotes)")
	errDeep       = errors.New("substitutions are nested too deeply")
	errRequired   = errors.New("a variable that the value requires is missing")
	errExpanded   = errors.New("the values have more than 1 MiB together")
)

// Parse returns the variables that data sets, in the order of the file. Of a
// name that occurs twice both entries are there, and the last one counts.
//
// Lookup is asked for the variables that are substituted and not set further
// up, and for names without a value: those that it does not have make no entry.
// A nil lookup has none. An error is ErrTooLarge or a *SyntaxError, and then
// there are no entries.
func Parse(data []byte, lookup func(string) (string, bool)) ([]Entry, error) {
	if len(data) > MaxSize {
		return nil, ErrTooLarge
	}
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	p := parser{
		text:   string(bytes.TrimPrefix(data, []byte("\ufeff"))),
		line:   1,
		lookup: lookup,
		vars:   map[string]string{},
		room:   MaxSize,
	}
	for p.skipToName() {
		line := p.line
		if err := p.entry(); err != nil {
			return nil, &SyntaxError{line, err.Error()}
		}
	}
	return p.entries, nil
}

type parser struct {
	text    string // what is not read yet
	line    int    // of the start of text
	lookup  func(string) (string, bool)
	vars    map[string]string // as of the entries so far
	room    int               // bytes that further values may have
	entries []Entry
}

// skipToName moves to the next line that is neither blank nor a comment.
func (p *parser) skipToName() bool {
	for {
		rest := strings.TrimLeftFunc(p.text, unicode.IsSpace)
		p.advance(len(p.text) - len(rest))
		if !strings.HasPrefix(rest, "#") {
			return rest != ""
		}
		line, _, _ := strings.Cut(rest, "\n")
		p.advance(len(line))
	}
}

func (p *parser) advance(n int) {
	p.line += strings.Count(p.text[:n], "\n")
	p.text = p.text[n:]
}

// entry reads a name and the value after it, to the end of the value's last line.
func (p *parser) entry() error {
	e := Entry{Line: p.line}
	p.skipExport()
	line, _, _ := strings.Cut(p.text, "\n")
	left, hasValue := line, false
	if sign := strings.IndexAny(line, "=:"); sign >= 0 {
		left, hasValue = line[:sign], true
	}
	e.Name = strings.TrimRightFunc(left, isBlank)
	switch {
	case e.Name == "":
		return errNoName
	case strings.ContainsFunc(e.Name, notInName):
		return errName
	}
	if !hasValue {
		p.advance(len(line))
		if value, ok := p.lookup(e.Name); ok {
			return p.add(e, value)
		}
		return nil
	}
	p.advance(len(left) + 1)
	value, err := p.value()
	if err != nil {
		return err
	}
	return p.add(e, value)
}

func (p *parser) add(e Entry, value string) error {
	switch {
	case strings.ContainsRune(value, 0):
		return errNUL
	case len(value) > p.room:
		return errExpanded
	}
	p.room -= len(value)
	e.Value = value
	p.vars[e.Name] = value
	p.entries = append(p.entries, e)
	return nil
}

// get returns the variable that a substitution names.
func (p *parser) get(name string) (string, bool) {
	if value, ok := p.vars[name]; ok {
		return value, true
	}
	return p.lookup(name)
}

// skipExport moves behind the word export. With a sign after it, it is a name.
func (p *parser) skipExport() {
	rest, ok := strings.CutPrefix(p.text, "export")
	if ok && (rest == "" || strings.IndexByte("\t\n\f\r ", rest[0]) >= 0) {
		p.text = strings.TrimLeftFunc(rest, isBlank)
	}
}

// isBlank reports whether Compose skips r around names and before values. To
// the right of values it trims more, namely all of unicode.IsSpace.
func isBlank(r rune) bool {
	return strings.ContainsRune("\t\v\f\r \u0085\u00a0", r)
}

func notInName(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune("_.-[]", r)
}
