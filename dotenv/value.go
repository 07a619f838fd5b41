package dotenv

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// value reads what is to the right of the sign. Escapes are resolved before
// substitutions, so that \$ has become $$ by then.
func (p *parser) value() (string, error) {
	p.text = strings.TrimLeftFunc(p.text, isBlank)
	switch {
	case strings.HasPrefix(p.text, `'`):
		return p.quoted('\'')
	case strings.HasPrefix(p.text, `"`):
		text, err := p.quoted('"')
		if err == nil {
			text, err = unescape(text)
		}
		if err != nil {
			return "", err
		}
		return p.substitute(text)
	}
	line, _, _ := strings.Cut(p.text, "\n")
	p.advance(len(line))
	line, _, _ = strings.Cut(line, " #")
	return p.substitute(strings.TrimRightFunc(line, unicode.IsSpace))
}

// quoted returns the text between two quotes. It resolves the escaped quote and
// keeps every other backslash together with the byte after it.
func (p *parser) quoted(quote byte) (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == quote:
			p.advance(i + 1)
			return b.String(), p.endOfLine()
		case c == '\\' && i+1 < len(p.text):
			i++
			if p.text[i] != quote {
				b.WriteByte(c)
			}
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errUnclosed
}

// endOfLine checks that nothing but a comment is left on the line.
func (p *parser) endOfLine() error {
	line, _, _ := strings.Cut(p.text, "\n")
	rest := strings.TrimLeftFunc(line, unicode.IsSpace)
	if rest != "" && rest[0] != '#' {
		return errAfterQuote
	}
	p.advance(len(line))
	return nil
}

// The bytes that form an escape, and what it stands for.
const (
	escaped  = `abfnrtv\`
	resolved = "\a\b\f\n\r\t\v\\"
)

// unescape resolves the escapes of double quotes. A backslash before any other
// byte stands for itself.
func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		switch c := text[i]; c {
		case '0':
			r, ok := octal(text[i+1:])
			if !ok {
				return "", errOctal
			}
			out = utf8.AppendRune(out, r)
			i += 3
		case '$':
			out = append(out, "$$"...)
		default:
			if at := strings.IndexByte(escaped, c); at >= 0 {
				out = append(out, resolved[at])
			} else {
				out = append(out, '\\', c)
			}
		}
	}
	return string(out), nil
}

// octal reads three octal digits. Compose takes the number for a code point,
// not for a byte.
func octal(s string) (rune, bool) {
	if len(s) < 3 || s[0] > '3' {
		return 0, false
	}
	var r rune
	for i := range 3 {
		if s[i] < '0' || s[i] > '7' {
			return 0, false
		}
		r = r<<3 | rune(s[i]-'0')
	}
	return r, true
}
