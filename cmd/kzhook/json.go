package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/getkeyzero/kz/internal/printable"
)

// printJSON writes v to stdout. Names and paths in it may come from anybody:
// what does not show on a screen is an escape of JSON's there.
func printJSON(inv *invocation, v any) error {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(inv.stdout, escapeUnseen(b.String()))
	return err
}

// escapeUnseen escapes the runes of a JSON text that are not printable. They can
// only stand in its strings.
func escapeUnseen(text string) string {
	var b strings.Builder
	for _, r := range text {
		high, low := utf16.EncodeRune(r)
		switch shown := string(r); {
		case r == '\n', printable.Text(shown) == shown:
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
