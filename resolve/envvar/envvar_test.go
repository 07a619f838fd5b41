package envvar

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// A value that no error may show.
const canary = "hunter2"

// getenv knows every name whatever, so that only Fetch can refuse one.
func getenv(name string) (string, bool) {
	switch name {
	case "EMPTY":
		return "", true
	case "NO":
		return canary, false
	}
	return canary, true
}

func TestFetch(t *testing.T) {
	tests := map[string]struct {
		ref   string
		want  string
		class resolve.Class
		text  string
	}{
		"a name":           {ref: "TOKEN", want: canary},
		"every kind":       {ref: "_aZ09", want: canary},
		"underscore":       {ref: "_", want: canary},
		"empty value":      {ref: "EMPTY"},
		"absent":           {ref: "NO", class: resolve.NotFound, text: "NO is not set"},
		"empty name":       {ref: "", class: resolve.Malformed, text: "not a variable name"},
		"digit first":      {ref: "1A", class: resolve.Malformed, text: "not a variable name"},
		"equals sign":      {ref: "A=B", class: resolve.Malformed, text: "not a variable name"},
		"dollar":           {ref: "$A", class: resolve.Malformed, text: "not a variable name"},
		"blank":            {ref: "A ", class: resolve.Malformed, text: "not a variable name"},
		"dash":             {ref: "A-B", class: resolve.Malformed, text: "not a variable name"},
		"newline at end":   {ref: "A\n", class: resolve.Malformed, text: "not a variable name"},
		"NUL":              {ref: "A\x00", class: resolve.Malformed, text: "not a variable name"},
		"letter not ASCII": {ref: "É", class: resolve.Malformed, text: "not a variable name"},
		"path":             {ref: "../A", class: resolve.Malformed, text: "not a variable name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			results := New(getenv).Fetch(t.Context(), []resolve.Ref{{Path: "FIRST"}, {Path: test.ref}})
			if len(results) != 2 || results[0].Err != nil {
				t.Fatalf("Fetch gives %v", results)
			}
			r := results[1]
			text := ""
			if r.Err != nil {
				text = r.Err.Error()
			}
			if r.Secret.Reveal() != test.want || resolve.ClassOf(r.Err) != test.class || text != test.text {
				t.Errorf("Fetch(%q) = %q, %s %q; want %q, %s %q",
					test.ref, r.Secret.Reveal(), resolve.ClassOf(r.Err), text, test.want, test.class, test.text)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", r.Err, r.Err, r.Err), canary) {
				t.Errorf("Fetch(%q): the error shows the value", test.ref)
			}
		})
	}
}

func TestFetchHeedsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := New(getenv).Fetch(ctx, []resolve.Ref{{Path: "A"}, {Path: "B"}})
	if len(r) != 2 || r[0].Err != context.Canceled || r[1].Err != context.Canceled || r[0].Secret.Reveal() != "" {
		t.Errorf("Fetch of an ended context gives %v", r)
	}
}
