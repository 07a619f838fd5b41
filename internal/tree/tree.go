// Package tree finds values in what JSON or YAML was decoded to.
package tree

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Pointer returns the keys of a JSON pointer (RFC 6901), which begins with a slash.
func Pointer(text string) []string {
	keys := strings.Split(strings.TrimPrefix(text, "/"), "/")
	for i, k := range keys {
		keys[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(k)
	}
	return keys
}

// Find follows the keys from a value made of map[string]any and []any. A list is
// entered by a number from 0.
func Find(value any, keys []string) (any, bool) {
	for _, key := range keys {
		next, ok := step(value, key)
		if !ok {
			return nil, false
		}
		value = next
	}
	return value, true
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

// ErrNull says that a value is null, which is not a text.
var ErrNull = errors.New("is null")

// Text returns strings as they are and all else as compact JSON.
func Text(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case nil:
		return "", ErrNull
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return "", errors.New("cannot be written as JSON")
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
