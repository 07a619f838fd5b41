package printable

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for what, test := range map[string]struct{ text, want string }{
		"plain":                      {"/home/ada/work", "/home/ada/work"},
		"empty":                      {"", ""},
		"letters of all scripts":     {"naïve 日本語 עברית ไทย", "naïve 日本語 עברית ไทย"},
		"a letter and its accent":    {"e\u0301", "e\u0301"},
		"quotes and backslashes":     {`a"b'c\n`, `a"b'c\n`},
		"an emoji":                   {"🔑", "🔑"},
		"line feed, tab, return":     {"a\nb\tc\rd", `a\nb\tc\rd`},
		"escape sequence":            {"\x1b]0;x\a\x1b[31m", `\x1b]0;x\a\x1b[31m`},
		"backspace and delete":       {"a\b\x7f", `a\b\x7f`},
		"NUL":                        {"\x00", `\x00`},
		"C1 in UTF-8":                {"\u0085\u009b31m", `\u0085\u009b31m`},
		"C1 as a byte":               {"\x9b31m", `\x9b31m`},
		"bytes that are not UTF-8":   {"a\xff\xc3(b", `a\xff\xc3(b`},
		"the replacement character":  {"\ufffd", `\ufffd`},
		"direction overrides":        {"\u202eabc\u2066\u2069", `\u202eabc\u2066\u2069`},
		"zero-width characters":      {"a\u200b\u200c\u200d\ufeffb", `a\u200b\u200c\u200d\ufeffb`},
		"a soft hyphen":              {"a\u00adb", `a\u00adb`},
		"fillers that are letters":   {"a\u3164\u115f\uffa0b", `a\u3164\u115f\uffa0b`},
		"selectors that are marks":   {"a\ufe0f\u034f\U000e0100b", `a\ufe0f\u034f\U000e0100b`},
		"line separators":            {"a\u2028\u2029b", `a\u2028\u2029b`},
		"a space that does not wrap": {"a\u00a0b", `a\u00a0b`},
		"private use":                {"\ue000", `\ue000`},
		"tags":                       {"\U000e0041", `\U000e0041`},
	} {
		t.Run(what, func(t *testing.T) {
			if got := Text(test.text); got != test.want {
				t.Errorf("Text(%q) = %s, want %s", test.text, got, test.want)
			}
		})
	}
}

// unseen are the runes that move the cursor, start sequences, reorder or hide.
func unseen(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
		unicode.Bidi_Control, unicode.Join_Control) || unicode.Is(unicode.Zs, r) && r != ' '
}

func TestTextShowsEveryRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r == 0x20000 {
			r = 0xdff00 // between them are but ideographs and nothing
		}
		if r == 0xe1000 {
			r = unicode.MaxRune
		}
		got := Text(string(r))
		if got == "" || strings.ContainsFunc(got, unseen) {
			t.Fatalf("Text(%+q) = %+q", string(r), got)
		}
	}
	for r := ' '; r < 0x7f; r++ {
		if got := Text(string(r)); got != string(r) {
			t.Errorf("Text(%q) = %q, want it unchanged", string(r), got)
		}
	}
}

func TestTextOfAnyBytes(t *testing.T) {
	for range 5000 {
		b := make([]byte, rand.IntN(12))
		for i := range b {
			b[i] = byte(rand.IntN(256))
		}
		got := Text(string(b))
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unseen) || Text(got) != got {
			t.Fatalf("Text(%q) = %q, and again %q", b, got, Text(got))
		}
	}
}

func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"one":                         "one",
		"one\n\ttwo\n\n":              "one\n\ttwo\n\n",
		"\n":                          "\n",
		"a\r\nb":                      "a\\r\nb",
		"\x1b]0;x\a\n\t\x9b31m\u202e": "\\x1b]0;x\\a\n\t\\x9b31m\\u202e",
		"\xc3\n\xa9":                  "\\xc3\n\\xa9",
	} {
		if got := Lines(text); got != want {
			t.Errorf("Lines(%q) = %q, want %q", text, got, want)
		}
	}
}
