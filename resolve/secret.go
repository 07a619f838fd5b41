package resolve

import "fmt"

// A Secret is a value that no format verb, no log and no encoder prints.
// Reveal is the one way to the text, and so the one word to look for in review.
// The zero Secret is the empty text.
type Secret struct {
	// A pointer, because fmt walks into unexported fields without calling their
	// methods; of a pointer that it meets on the way it prints the address.
	text *string
}

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

const redacted = "[secret]"

// Format implements [fmt.Formatter], for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, redacted) }

// MarshalText implements [encoding.TextMarshaler], which JSON, TOML and the
// handlers of slog honour. Importing slog for its own interface would cost every prompt.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// GobEncode refuses: gob would otherwise look for exported fields and say so less clearly.
func (Secret) GobEncode() ([]byte, error) { return nil, fmt.Errorf("a secret is not encoded") }
