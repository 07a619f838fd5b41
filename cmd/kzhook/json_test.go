package main

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/printable"
)

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
