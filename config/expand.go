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
	if !strings.ContainsAny(text, "$`") {
		return text, nil
	}
	word, err := parseText(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, part := range word.Parts {
		from, to := int(part.Pos().Offset()), int(part.End().Offset())
		switch p := part.(type) {
		case *syntax.ParamExp:
			if p.Short {
				b.WriteString(text[from:to])
				continue
			}
			value, err := expandOne(p, lookup)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
		default: // parseText lets nothing else pass but literals
			b.WriteString(unescape.Replace(text[from:to]))
		}
	}
	return b.String(), nil
}

var unescape = strings.NewReplacer("\\$", "$", "\\`", "`")

// References returns the names that Expand would look up in text, in order.
func References(text string) ([]string, error) {
	var names []string
	_, err := Expand(text, func(name string) (string, bool) {
		names = append(names, name)
		return "", true
	})
	return names, err
}

// parseText reads text as a shell reads the body of a here-document, and
// returns it only if it consists of literals and plain parameters.
func parseText(text string) (*syntax.Word, error) {
	word, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Document(strings.NewReader(text))
	if err != nil || word == nil || int(word.End().Offset()) != len(text) {
		return nil, errForm
	}
	for _, part := range word.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
		case *syntax.CmdSubst:
			return nil, errCommand
		case *syntax.ParamExp:
			source := text[p.Pos().Offset():p.End().Offset()]
			if !p.Short && (p.Param == nil || source != "${"+p.Param.Value+"}" || !ValidName(p.Param.Value)) {
				return nil, errForm
			}
		default:
			return nil, errForm
		}
	}
	return word, nil
}

var (
	errForm    = errors.New("only ${NAME} is expanded; write \\$ for a dollar sign that stands for itself")
	errCommand = errors.New("command substitution is not allowed; write \\$ or \\` for the character itself")
)

func expandOne(p *syntax.ParamExp, lookup func(string) (string, bool)) (string, error) {
	value, ok := lookup(p.Param.Value)
	if !ok {
		return "", fmt.Errorf("${%s} is not set", p.Param.Value)
	}
	env := expand.FuncEnviron(func(name string) string {
		if name == p.Param.Value {
			return value
		}
		return ""
	})
	// No CmdSubst in the Config: the library itself refuses to run anything.
	return expand.Document(&expand.Config{Env: env}, &syntax.Word{Parts: []syntax.WordPart{p}})
}
