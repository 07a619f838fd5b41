package aws

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// pick returns the part of a JSON text that a key names, by the rules of the config's
// field: a key of the top object, or a JSON pointer if it begins with a slash.
func pick(secret resolve.Secret, key string) (resolve.Secret, error) {
	var value any
	text := secret.Reveal()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if !json.Valid([]byte(text)) || dec.Decode(&value) != nil {
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "key %q: the value is not JSON", key)
	}
	steps := []string{key}
	if strings.HasPrefix(key, "/") {
		steps = strings.Split(key[1:], "/")
		for i, s := range steps {
			steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
		}
	}
	for _, s := range steps {
		if value = step(value, s); value == nil {
			return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "key %q: not in the value, or null", key)
		}
	}
	return written(value, key)
}

// step returns nil for what is not there.
func step(value any, key string) any {
	switch v := value.(type) {
	case map[string]any:
		return v[key]
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(v) && strconv.Itoa(i) == key {
			return v[i]
		}
	}
	return nil
}

// written returns strings without their quotes and the rest as compact JSON.
func written(value any, key string) (resolve.Secret, error) {
	if text, ok := value.(string); ok {
		return resolve.NewSecret(text), nil
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "key %q: cannot be written", key)
	}
	return resolve.NewSecret(strings.TrimSuffix(out.String(), "\n")), nil
}
