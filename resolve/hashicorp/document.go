package hashicorp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// A document is a secret as the server keeps it: fields by their names, as JSON.
type document struct {
	fields map[string]json.RawMessage
	err    error
}

func newDocument(text resolve.Result) document {
	d := document{err: text.Err}
	if d.err == nil && json.Unmarshal([]byte(text.Secret.Reveal()), &d.fields) != nil {
		d.err = resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	return d
}

// byDefault is the field that is meant where several are there and none is named.
const byDefault = "value"

// field returns the value that a reference means.
func (d document) field(pl place) resolve.Result {
	if d.err != nil {
		return resolve.Result{Err: d.err}
	}
	name := pl.field
	if name == "" && len(d.fields) == 1 {
		name = slices.Collect(maps.Keys(d.fields))[0]
	}
	raw, ok := d.fields[cmp.Or(name, byDefault)]
	switch {
	case !ok && name == "":
		return resolve.Result{Err: resolve.Errorf(resolve.Malformed, "%q has %s: add #FIELD", pl.path, d.keys())}
	case !ok:
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "%q has no field %q, but %s", pl.path, name, d.keys())}
	}
	text, err := plain(raw)
	if err != nil {
		return resolve.Result{Err: err}
	}
	return resolve.Result{Secret: resolve.NewSecret(text)}
}

// keys lists the names of fields, as far as a line has room for them.
func (d document) keys() string {
	names := slices.Sorted(maps.Keys(d.fields))
	if len(names) == 0 {
		return "no fields"
	}
	var shown []string
	for _, name := range names[:min(len(names), 8)] {
		if len(name) > 64 {
			name = name[:64] + "…"
		}
		shown = append(shown, fmt.Sprintf("%q", name))
	}
	if more := len(names) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return "the fields " + strings.Join(shown, ", ")
}

// plain returns a text without its quotes, and the rest as compact JSON.
func plain(raw json.RawMessage) (string, error) {
	var text *string
	if bytes.HasPrefix(raw, []byte(`"`)) || string(raw) == "null" {
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
		}
		if text == nil {
			return "", resolve.Errorf(resolve.NotFound, "the field is null")
		}
		return *text, nil
	}
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return "", resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	return out.String(), nil
}
