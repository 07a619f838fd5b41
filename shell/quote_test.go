package shell

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/shelltest"
)

func TestQuoteForms(t *testing.T) {
	for name, test := range map[string]struct{ value, posix, fish string }{
		"empty":                       {"", `''`, `''`},
		"a plain word is quoted, too": {"plain", `'plain'`, `'plain'`},
		"a glob of zsh's":             {"a^b", `'a^b'`, `'a^b'`},
		"blanks and expansions":       {"$(a) `b` ~ *", "'$(a) `b` ~ *'", "'$(a) `b` ~ *'"},
		"history":                     {"a!!b", `'a!!b'`, `'a!!b'`},
		"history, with a quote":       {"it's!", `$'it\047s\041'`, `'it\'s!'`},
		"a quote":                     {"it's", `"it's"`, `'it\'s'`},
		"a quote and a dollar sign":   {"'$a", `"'\$a"`, `'\'$a'`},
		"a newline":                   {"a\nb'\\", `$'a\nb\'\\'`, "'a\nb\\'\\\\'"},
		"beyond ASCII":                {"ø", `'ø'`, `'ø'`},
		"beyond ASCII, a newline":     {"ø\n", `$'\303\270\012'`, "'ø\n'"},
		"beyond ASCII, escapes":       {`ø\'`, `$'\303\270\134\047'`, `'ø''\\\''`},
		"not printable":               {"\u200b", `$'\342\200\213'`, "'\u200b'"},
		"not UTF-8":                   {"\xff", `$'\377'`, "'\xff'"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := posixQuote(test.value); got != test.posix || err != nil {
				t.Errorf("posixQuote(%q) = %s, %v, want %s", test.value, got, err, test.posix)
			}
			if got, err := fishQuote(test.value); got != test.fish || err != nil {
				t.Errorf("fishQuote(%q) = %s, %v, want %s", test.value, got, err, test.fish)
			}
		})
	}
}

func TestQuoteNUL(t *testing.T) {
	for _, r := range plainReaders {
		for _, value := range []string{"\x00", "canary\x00", "\x00canary"} {
			word, err := r.quote(value)
			if word != "" || err != errNUL { // which tells nothing of the value
				t.Errorf("%s: quoting %q gives %q, %v", r.shell, value, word, err)
			}
		}
	}
}

// What a shell's child reads is the value, byte for byte.
func TestHostileValues(t *testing.T) {
	values := hostileValues(10_000)
	samples := map[string][]sample{}
	for _, r := range plainReaders {
		samples[r.shell] = r.samples(t, values)
	}
	for _, locale := range locales(t) {
		for _, r := range slices.Concat(plainReaders, otherReaders) {
			some := samples[r.shell]
			if r.setup != "" || len(locale) > 1 {
				some = some[:1000]
			}
			t.Run(r.name+" in "+locale[len(locale)-1], func(t *testing.T) {
				t.Parallel()
				shelltest.Need(t, r.shell)
				r.start(t, locale).check(t, some)
			})
		}
	}
}

// Pasted at a prompt, a word means the same: no history comes in.
func TestQuoteAtPrompt(t *testing.T) {
	for _, r := range plainReaders {
		t.Run(r.shell, func(t *testing.T) {
			t.Parallel()
			s := shelltest.Start(t, shelltest.Config{Shell: r.shell})
			for _, value := range []string{"!!", "!$", "it's a!b", `a\!b`, `a\!'b"!"`, "a!!\nb", "ø'!!", "^a^b"} {
				word, err := r.quote(value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(word, "\n") {
					continue // fish, at whose prompt it would be another key
				}
				if got := s.Output("printf %s " + word); got != value {
					t.Errorf("at a prompt %s means %q, want %q", word, got, value)
				}
			}
		})
	}
}

// With -fuzz, add -fuzzminimizetime=1x: what runs beside it makes coverage vary,
// and minimizing inputs for that takes all the time.
func FuzzQuote(f *testing.F) {
	if seeds, err := os.ReadDir("testdata/fuzz/FuzzQuote"); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	var all []*reading
	for _, locale := range locales(f) {
		for _, r := range plainReaders {
			shelltest.Need(f, r.shell)
			all = append(all, r.start(f, locale))
		}
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 512 || strings.IndexByte(value, 0) >= 0 {
			t.Skip()
		}
		values := []string{value, value + value}
		for i, other := range fragments { // as neighbours, which are cheap
			if i%2 == 0 {
				values = append(values, value+other)
			} else {
				values = append(values, other+value)
			}
		}
		for _, r := range all {
			r.send(t, r.samples(t, values))
		}
		for _, r := range all {
			r.compare(t, r.samples(t, values))
		}
	})
}

// fragments are what quoting, parsing and decoding trip over.
var fragments = []string{
	"'", `"`, "`", `\`, "$", "$(", "$(touch pwned)", "${HOME}", "$'", `$"`, "!", "!!", "!$", "\n", "\r", "\r\n", "\t", " ",
	"#", "%", "%s", "%n", "&", ";", "|", "<", ">", "<(", "(", ")", "[", "]", "{a,b}", "}", "*", "**", "?", "^", "~", "~root",
	"=", "=ls", "-", "-n", "--", "+", "@", ",", ":", "::", ".", "/", "a", "abc", "x0", "\\x41", "\\n", "\\u0041", "\\101",
	"ø", "あ", "é\\", "\u0085", "\u00a0", "\u200b", "\u2028", "\u202e", "\ufeff", "\ufffd", "\ue000", "\uf600", "\uf6ff", "\ufdd0",
	"\U0010ffff", "👩\u200d💻", "e\u0301", "\x01", "\x02", "\x1b[31m", "\x7f", "\x80", "\x81", "\xc3", "\xe3\x81", "\xfe", "\xff",
	"() { :;}", "() { :;}; touch pwned", "if", "done", "0", "1e9", "/*", "EOF",
	"-----BEGIN KEY-----\nTUlJ\n-----END KEY-----\n", `{"a":"b\n'c'"}`,
}

// hostileValues returns n values, the same ones at each call, of which any
// number is a fair sample.
func hostileValues(n int) []string {
	random := rand.New(rand.NewPCG(20, 26))
	var values []string
	for _, a := range fragments {
		for _, b := range fragments[:20] {
			values = append(values, a+b, b+a)
		}
	}
	for len(values) < n {
		var b strings.Builder
		for range 1 + random.IntN(30) {
			switch random.IntN(4) {
			case 0:
				b.WriteString(fragments[random.IntN(len(fragments))])
			case 1:
				b.WriteRune(rune(1 + random.IntN(0x10ffff))) // U+FFFD for what is no rune
			default:
				b.WriteByte(byte(1 + random.IntN(0xff)))
			}
		}
		values = append(values, b.String())
	}
	random.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	first := append([]string{"", strings.Repeat("'", 64<<10), strings.Repeat("\\'\n\xff", 16<<10)}, fragments...)
	return append(first, values...)[:n]
}
