package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/internal/printable"
)

// Whatever text a value is, a program that reads the export has it back.
func TestExportJSONReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	edges := []rune("\"\\/\n\r\t\b\f\x00\x1b\x7f<>&'\u0085\u009b\u2028\u2029\u202e\u200b\ufeff\ufffd\ufffe\U000e0041\U0001f511\U0010ffff\ud7ff\ue000")
	pieces := []string{"\\u001b", "\\", "\\u", "\\ud83d", "null", "\"}", "e\u0301"}
	text := func() string {
		var b strings.Builder
		for range r.IntN(12) {
			switch r.IntN(4) {
			case 0:
				b.WriteRune(edges[r.IntN(len(edges))])
			case 1:
				b.WriteString(pieces[r.IntN(len(pieces))])
			case 2:
				b.WriteRune(rune(r.IntN(0x100)))
			default:
				b.WriteRune(rune(r.IntN(unicode.MaxRune + 1))) // of what is half a pair it makes U+FFFD
			}
		}
		return b.String()
	}
	want := map[string]string{}
	var changes []environ.Change
	for i := range 10_000 {
		c := environ.Change{Name: fmt.Sprint("V", i), Value: text()}
		changes, want[c.Name] = append(changes, c), c.Value
	}
	var out bytes.Buffer
	if err := (&invocation{stdout: &out}).writeJSON(changes, false); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != len(want) {
		t.Fatalf("%d values read back as %d, %v", len(want), len(got), err)
	}
	for name, value := range want {
		if got[name] != value {
			t.Fatalf("%q reads back as %q", value, got[name])
		}
	}
}

// JSON with escapes means what it meant without, and shows all there is to see.
func FuzzEscapeUnseen(f *testing.F) {
	for _, s := range []string{"", "plain ø 漢", "\x1b]0;x\a", "\u009b31m", "\u202e\u2066\u200b\ufeff", "\U000e0041", "a\\u001b", "\"\\", "\n\t\r", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		before, err := json.MarshalIndent(map[string]string{s: s}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		after := escapeUnseen(string(before))
		var want, got any
		if err := json.Unmarshal(before, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(after), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("escapeUnseen(%q) reads as %q, %v, want %q", before, got, err, want)
		}
		for _, r := range after {
			if r != '\n' && printable.Text(string(r)) != string(r) || r == utf8.RuneError {
				t.Errorf("escapeUnseen(%q) has %U", before, r)
			}
		}
	})
}
