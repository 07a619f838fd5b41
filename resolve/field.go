package resolve

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/getkeyzero/kz/internal/tree"
)

// Pick returns the part of a JSON text that field names: a key of the top
// object, or a JSON pointer (RFC 6901) when field begins with a slash. Strings
// come without quotes, numbers as they are written, the rest as compact JSON.
func Pick(s Secret, field string) (Secret, error) {
	var value any
	text := s.Reveal()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil || !json.Valid([]byte(text)) { // Decode leaves what follows
		return Secret{}, Errorf(Malformed, "field %q: the value is not JSON", field)
	}
	keys := []string{field}
	if strings.HasPrefix(field, "/") {
		keys = tree.Pointer(field)
	}
	found, ok := tree.Find(value, keys)
	if !ok {
		return Secret{}, Errorf(NotFound, "field %q: not in the value", field)
	}
	picked, err := tree.Text(found)
	switch {
	case errors.Is(err, tree.ErrNull):
		return Secret{}, Errorf(NotFound, "field %q: is null", field)
	case err != nil:
		return Secret{}, Errorf(Malformed, "field %q: cannot be written", field)
	}
	return NewSecret(picked), nil
}
