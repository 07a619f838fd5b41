package config

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Expand replaces each ${NAME} in text by what lookup gives for it, and changes
// nothing else: $NAME, $1 and $$ stay as they are written, and a backslash
// before $ or ` makes those characters plain. An unset name, a command
// substitution and every other expansion of the shell are errors, which never
// quote the text.
func Expand(text string, lookup func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexAny(text, "$`\\")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		b.WriteString(text[:i])
		value, n, err := expandFirst(text[i:], lookup)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = text[i+n:]
	}
}

// References returns the names that Expand would look up in text, in order.
func References(text string) ([]string, error) {
	var names []string
	_, err := Expand(text, func(name string) (string, bool) {
		names = append(names, name)
		return "", true
	})
	return names, err
}

var (
	errForm    = errors.New("only ${NAME} is expanded; write \\$ for a dollar sign that stands for itself")
	errCommand = errors.New("command substitution is not allowed; write \\$ or \\` for the character itself")
)

// expandFirst returns what the first n bytes of text stand for, of which the
// very first is $, ` or a backslash. What the library's parser takes for a text
// loses carriage returns and joined lines, so the text is taken apart here.
func expandFirst(text string, lookup func(string) (string, bool)) (value string, n int, err error) {
	switch {
	case strings.HasPrefix(text, `\$`), strings.HasPrefix(text, "\\`"):
		return text[1:2], 2, nil
	case strings.HasPrefix(text, `\\`), strings.HasPrefix(text, "$$"): // the second one begins nothing
		return text[:2], 2, nil
	case strings.HasPrefix(text, "${"):
		name, _, closed := strings.Cut(text[2:], "}")
		if !closed || !ValidName(name) {
			return "", 0, errForm
		}
		value, err = parameter(name, lookup)
		return value, len("${}") + len(name), err
	case strings.HasPrefix(text, "$(("), strings.HasPrefix(text, "$["):
		return "", 0, errForm
	case strings.HasPrefix(text, "$("), text[0] == '`':
		return "", 0, errCommand
	}
	return text[:1], 1, nil
}

func parameter(name string, lookup func(string) (string, bool)) (string, error) {
	value, ok := lookup(name)
	if !ok {
		return "", fmt.Errorf("${%s} is not set", name)
	}
	// Under a name of ours, for the library has ideas of its own about LINENO.
	// No CmdSubst in the Config: it refuses to run anything.
	env := expand.FuncEnviron(func(string) string { return value })
	word := &syntax.Word{Parts: []syntax.WordPart{&syntax.ParamExp{Param: &syntax.Lit{Value: "VALUE"}}}}
	return expand.Document(&expand.Config{Env: env}, word)
}
