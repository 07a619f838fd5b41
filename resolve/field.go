package resolve

import (
	"encoding/json"
	"strconv"
	"strings"
)

// pick returns the part of a JSON text that field names: a key of the top
// object, or a JSON pointer (RFC 6901) when field begins with a slash. Strings
// come without quotes, numbers as they are written, the rest as compact JSON.
func pick(text, field string) (string, error) {
	var value any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil || !json.Valid([]byte(text)) { // Decode leaves what follows
		return "", Errorf(Malformed, "field %q: the value is not JSON", field)
	}
	for _, key := range steps(field) {
		next, ok := step(value, key)
		if !ok {
			return "", Errorf(NotFound, "field %q: not in the value", field)
		}
		value = next
	}
	switch v := value.(type) {
	case string:
		return v, nil
	case nil:
		return "", Errorf(NotFound, "field %q: is null", field)
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return "", Errorf(Malformed, "field %q: cannot be written", field)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func steps(field string) []string {
	if !strings.HasPrefix(field, "/") {
		return []string{field}
	}
	keys := strings.Split(field[1:], "/")
	for i, k := range keys {
		keys[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(k)
	}
	return keys
}

func step(value any, key string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok := v[key]
		return next, ok
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != key {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}
