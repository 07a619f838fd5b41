package shell

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// errNUL has no position and no byte beside it: the text may be a secret.
var errNUL = errors.New("value has a NUL byte")

// posixQuote returns s as one word of bash and of zsh, with the same meaning in
// every locale. The word is quoted even where it need not be, so that no alias,
// glob or option gets at it. A NUL byte is an error.
func posixQuote(s string) (string, error) {
	word, err := syntax.Quote(s, syntax.LangBash)
	switch {
	case err != nil:
		return "", errNUL // all else has a form in bash
	case word == s:
		return "'" + s + "'", nil
	case word[0] == '\'' || steady(s):
		return word, nil
	}
	return octalQuote(s), nil
}

// steady reports whether s may stand between double quotes, or between $'…' with
// the usual escapes. These may not:
//   - Beyond ASCII, a rune that is escaped needs a UTF-8 locale. One that is not
//     may take the backslash after it along, to make a character of GBK, say: in
//     bash 5.2 that lets a dollar sign behind it expand.
//   - An exclamation mark expands when the word is pasted at a prompt.
func steady(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 || s[i] == '!' {
			return false
		}
	}
	return true
}

// octalQuote returns s as $'…', every byte but the plainest as three octal digits.
func octalQuote(s string) string {
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(s) {
		if c := s[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'\\', '0' + c>>6, '0' + c>>3&7, '0' + c&7})
		}
	}
	b.WriteByte('\'')
	return b.String()
}

func isPlain(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' ||
		strings.IndexByte("_./:,+@%-", c) >= 0
}

// fishQuote returns s as one word of fish, with the same meaning in every
// locale. A NUL byte is an error.
func fishQuote(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", errNUL
	}
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(s) {
		c := s[i]
		// Between single quotes a backslash escapes itself and the quote, and nothing else.
		if c == '\\' || c == '\'' {
			// In a locale such as GBK's, fish would take the byte before the
			// backslash and the backslash for one character. No character has a quote.
			if i > 0 && s[i-1] >= 0x80 {
				b.WriteString("''")
			}
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('\'')
	return b.String(), nil
}
