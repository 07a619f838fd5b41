// Package printable makes any text safe to show on a terminal.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with every byte and rune that could move the cursor, start an
// escape sequence, reorder or hide text written as a backslash escape. Printable
// text comes back as it is, so names look to the user as they do elsewhere.
func Text(s string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + hex(s[i]>>4) + hex(s[i]&15))
		case shown(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// Lines is Text for what may have several lines: newlines and tabs stay.
func Lines(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexAny(s, "\n\t")
		if i < 0 {
			return b.String() + Text(s)
		}
		b.WriteString(Text(s[:i]))
		b.WriteByte(s[i])
		s = s[i+1:]
	}
}

func clean(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !shown(r) {
			return false
		}
	}
	return true
}

// shown reports whether r shows on the screen. Formatting characters (bidi
// overrides, zero-width joiners) are not printable to unicode; fillers and
// variation selectors are, as letters and marks that nobody sees.
func shown(r rune) bool {
	return unicode.IsPrint(r) && r != utf8.RuneError && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func hex(b byte) string { return string("0123456789abcdef"[b]) }
