// Package shell writes what bash, zsh and fish evaluate: the hook that runs at
// their prompts, and the statements that load and unload variables.
//
// What is written arrives in one piece or not at all, and every value in it is
// one literal word: for bash and zsh the finished text is parsed again, and
// unless the very statements that were meant come out, nothing is written.
package shell

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/internal/near"
)

// A Shell is the syntax of one shell.
type Shell struct {
	Name string

	hook   string // embedded script; selfMark stands for the path to kz
	quote  func(string) (string, error)
	verify bool // the text is parsed back before it is written

	set, unset string // an exported variable: name and quoted value; name
	// How to set one with care: name, and the statement that does.
	add, take, again, back string
	calm                   string // a success, for those of them that need one before them
	keepAll                bool   // the shell also has to keep what it knows of exported variables
	all                    string // the command that sets all that are new, instead of add
	scalar                 string // a shell variable of ours: name, quoted value
	list                   string // the same with any number of words
	fresh                  string // the function that tests files: tests
	and                    string // what joins them
	exists                 string // a test: file
	differs                string // one that is to fail: file, operator, file
	goneIsOld              bool   // whatever exists is newer than what does not
	missing                string // one that is to fail: file
}

// selfMark is an ordinary word, so that a hook script is valid shell as it
// lies in the repository and every linter can read it.
const selfMark = "__KZ_SELF__"

// builtin keeps aliases and functions of the user's away from a statement.
const builtin = `\builtin `

var (
	//go:embed hook/hook.bash
	bashHook string
	//go:embed hook/hook.zsh
	zshHook string
	//go:embed hook/hook.fish
	fishHook string
)

const (
	posixTake = "_kz_take %[1]s && %[2]s"
	// A set that succeeds leaves the status as it was, which before it is that of a success.
	fishSet  = "%[2]s 2>/dev/null; or _kz_stuck %[1]s"
	fishBack = "_kz_back %[1]s; and %[2]s; or builtin true"
)

const posixFresh = "_kz_fresh() { [[ %s ]]; }"

var shells = []*Shell{
	{
		Name: "bash", hook: bashHook, quote: posixQuote, verify: true,
		set: builtin + "export %s=%s", unset: builtin + "unset -v %s",
		all: "_kz_set", take: posixTake, again: posixTake, back: posixTake, scalar: "%s=%s", list: "%s=(%s)",
		fresh: posixFresh, and: " && ", exists: "-e %s", differs: "! %s %s %s", missing: "! -e %s", goneIsOld: true,
	},
	{
		Name: "zsh", hook: zshHook, quote: posixQuote, verify: true,
		set: builtin + "export %s=%s", unset: builtin + "unset %s",
		all: "_kz_set", take: posixTake, again: posixTake, back: posixTake, scalar: "%s=%s", list: "%s=(%s)",
		fresh: posixFresh, and: " && ", exists: "-e %s", differs: "! %s %s %s", missing: "! -e %s",
	},
	{
		Name: "fish", hook: fishHook, quote: fishQuote,
		set: "set -gx %s %s", unset: "set -e -g %s",
		add: fishSet, take: fishSet, again: fishSet, back: fishBack, calm: "builtin true", keepAll: true, scalar: "set -g %s %s", list: "set -g %s %s",
		fresh: "function _kz_fresh\ntest %s\nend", and: " -a ", exists: "-e %s", differs: "! %s %s %s", missing: "! -e %s",
	},
}

// Names returns the names of the shells, in the order in which they are shown.
func Names() []string {
	var names []string
	for _, s := range shells {
		names = append(names, s.Name)
	}
	return names
}

// An UnknownError is the name of a shell that kz does not speak.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	if n := near.Name(e.Name, Names()); n != "" {
		return fmt.Sprintf("unknown shell %q; did you mean %q?", e.Name, n)
	}
	return fmt.Sprintf("unknown shell %q; there are: %s", e.Name, strings.Join(Names(), ", "))
}

// Named returns the shell of that name, or an *UnknownError.
func Named(name string) (*Shell, error) {
	for _, s := range shells {
		if s.Name == name {
			return s, nil
		}
	}
	return nil, &UnknownError{name}
}

// Hook returns the script for a startup file. self is the path of kz, which the
// hook calls however the PATH may change.
func (s *Shell) Hook(self string) (string, error) {
	quoted, err := s.quote(self)
	if err != nil {
		return "", fmt.Errorf("path of kz: %w", err)
	}
	return strings.Replace(s.hook, selfMark, quoted, 1), nil
}

// WriteExports writes plain statements that make changes, one a line, for
// scripts that evaluate them. Scripts, unlike interactive shells, have no aliases.
func (s *Shell) WriteExports(w io.Writer, changes []environ.Change) error {
	plain := *s
	plain.set, plain.unset = strings.TrimPrefix(s.set, builtin), strings.TrimPrefix(s.unset, builtin)
	t := &text{shell: &plain}
	for _, c := range changes {
		if c.Unset {
			t.unset(c.Name)
		} else {
			t.set(c.Name, c.Value)
		}
	}
	return t.write(w)
}
