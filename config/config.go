// Package config finds, reads, parses and merges .keyzero.toml files into a [Plan].
//
// A file is opened once and read once; what [Read] returns is what the caller
// shows for consent and then gives to [Parse], so the disk is not asked again.
// Nothing here resolves a reference or runs a program.
package config

import (
	"fmt"
	"time"

	"github.com/getkeyzero/kz/internal/printable"
)

// Names of the files of a project.
const (
	Name      = ".keyzero.toml"
	LocalName = ".keyzero.local.toml"
)

// Limits on what a project may ask for. They hold before anything is parsed,
// where that is possible: the TOML reader takes quadratic time in the number of keys.
const (
	MaxFile     = 64 << 10 // bytes of one file
	MaxEntries  = 512      // variables of one plan
	MaxName     = 128      // bytes of a variable's name
	MaxRef      = 1 << 10  // bytes of a reference
	MaxLevels   = 64       // directories walked up, and files inherited
	maxSections = 64       // environments of one file
	maxKeys     = 4096     // keys of one file, options included
	maxDepth    = 8        // brackets within brackets
)

// A Position is a place in a file.
type Position struct {
	Path string
	Line int // from 1; 0 if the whole file is meant
}

// An Entry is one variable of a plan: a plain value, or where its secret is.
type Entry struct {
	Name string
	Pos  Position
	Dir  string // directory of the file, for references relative to it

	// Text is the value of a plain entry or the template of a secret one, with
	// ${NAME} still to be expanded. Templates have no Provider.
	Text   string
	Secret bool

	Provider string
	Ref      string
	Field    string // key or JSON pointer into a JSON value

	Default     *string        // used when the store has no such secret
	Optional    bool           // required = false: the rest loads without it
	TTL         *time.Duration // how long the value is good, nil if the entry does not say
	Stale       *time.Duration // how much longer when the store cannot be reached
	AsFile      bool           // the variable holds the path of a file with the value
	RunOnly     bool           // hook = false: kz run only
	Description string
}

// A Provider is a [providers.NAME] table.
type Provider struct {
	Name    string
	Type    string
	Command []string
	TTL     *time.Duration // for entries that do not say
	Stale   *time.Duration
	Pos     Position

	Settings map[string]string // by the keys that its type has; a list is one text of lines
	Project  bool              // a project's file says all this
}

// A Plan is what a project asks for in one environment.
type Plan struct {
	Path        string // nearest .keyzero.toml
	Dir         string
	Environment string   // "" if none is selected
	Sections    []string // environments that the files have, sorted
	Entries     []Entry  // sorted by name
	Providers   map[string]Provider
}

// An Error is something wrong in a file. Msg never holds a value.
type Error struct {
	Pos Position
	Key string // the variable, key or section concerned; may be empty
	Msg string
}

func (e *Error) Error() string {
	text := printable.Text(e.Pos.Path)
	if e.Pos.Line > 0 {
		text += fmt.Sprintf(":%d", e.Pos.Line)
	}
	if e.Key != "" {
		text += ": " + printable.Text(e.Key)
	}
	return text + ": " + e.Msg
}

func errorAt(pos Position, key, format string, args ...any) error {
	return &Error{Pos: pos, Key: key, Msg: fmt.Sprintf(format, args...)}
}

// An UnsafeError is a file that kz does not read because somebody else could
// have written it.
type UnsafeError struct {
	Path string // the file or the directory at fault
	Msg  string
	Fix  string // a command that mends it; may be empty
}

func (e *UnsafeError) Error() string { return printable.Text(e.Path) + ": " + e.Msg }
