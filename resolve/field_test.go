package resolve

import (
	"fmt"
	"strings"
	"testing"
)

func TestPick(t *testing.T) {
	const document = `{"user": "app", "": "empty", "port": 5432, "big": 12345678901234567890, "exact": 1.10, "on": true, "none": null,
		"a/b": "slash", "m~n": "tilde", "~1": "literal", "a\nb": "line", "db": {"url": "x&y<z>", "ports": [1, "two", {"k": "deep"}]}, "é": "accent"}`
	for what, test := range map[string]struct {
		text, field string
		want        string
		class       Class
	}{
		"a text":                      {document, "user", "app", ""},
		"a number as it is written":   {document, "port", "5432", ""},
		"a number of many digits":     {document, "big", "12345678901234567890", ""},
		"a number with its zeros":     {document, "exact", "1.10", ""},
		"true":                        {document, "on", "true", ""},
		"null":                        {document, "none", "", NotFound},
		"an object":                   {document, "db", `{"ports":[1,"two",{"k":"deep"}],"url":"x&y<z>"}`, ""},
		"a key with a slash":          {document, "a/b", "slash", ""},
		"a key that is not ASCII":     {document, "é", "accent", ""},
		"a key with a line feed":      {document, "a\nb", "line", ""},
		"no such key":                 {document, "USER", "", NotFound},
		"a path, without a slash":     {document, "db/url", "", NotFound},
		"a dotted path":               {document, "db.url", "", NotFound},
		"a pointer":                   {document, "/user", "app", ""},
		"a pointer into an object":    {document, "/db/url", "x&y<z>", ""},
		"a pointer into an array":     {document, "/db/ports/1", "two", ""},
		"a pointer to the first":      {document, "/db/ports/0", "1", ""},
		"a pointer deeper":            {document, "/db/ports/2/k", "deep", ""},
		"a pointer to the empty key":  {document, "/", "empty", ""},
		"a pointer with a slash":      {document, "/a~1b", "slash", ""},
		"a pointer with a tilde":      {document, "/m~0n", "tilde", ""},
		"a pointer with both":         {document, "/~01", "literal", ""},
		"a pointer past the end":      {document, "/db/ports/3", "", NotFound},
		"a negative index":            {document, "/db/ports/-1", "", NotFound},
		"the index after the last":    {document, "/db/ports/-", "", NotFound},
		"an index with a zero":        {document, "/db/ports/01", "", NotFound},
		"an index with a sign":        {document, "/db/ports/+1", "", NotFound},
		"an index that is a name":     {document, "/db/ports/two", "", NotFound},
		"a huge index":                {document, "/db/ports/99999999999999999999", "", NotFound},
		"a pointer into a text":       {document, "/user/0", "", NotFound},
		"a pointer into null":         {document, "/none/x", "", NotFound},
		"a pointer with a last slash": {document, "/user/", "", NotFound},
		"an array, by index":          {`["a", "b"]`, "1", "b", ""},
		"an array, by pointer":        {`["a", "b"]`, "/1", "b", ""},
		"a scalar":                    {`"a"`, "a", "", NotFound},
		"an empty text":               {`{"a": ""}`, "a", "", ""},
		"an escape":                   {`{"a": "\u0041\n\ud83d\udd11"}`, "a", "A\n🔑", ""},
		"spaces around":               {"\n {\"a\": 1}\t\n", "a", "1", ""},
		"the last of two keys":        {`{"a": 1, "a": 2}`, "a", "2", ""},
		"not JSON":                    {canary, "a", "", Malformed},
		"nothing":                     {"", "a", "", Malformed},
		"JSON cut off":                {`{"a": "` + canary, "a", "", Malformed},
		"two documents":               {`{"a": 1} {"a": 2}`, "a", "", Malformed},
		"a bracket after it":          {`{"a": 1}}`, "a", "", Malformed},
		"another bracket after it":    {`{"a": 1}]`, "a", "", Malformed},
		"a word after it":             {`{"a": 1} x`, "a", "", Malformed},
		"a comment":                   {"{\"a\": 1} // x", "a", "", Malformed},
		"a comma too many":            {`{"a": 1,}`, "a", "", Malformed},
		"ten thousand levels":         {strings.Repeat("[", 20_000), "0", "", Malformed},
	} {
		t.Run(what, func(t *testing.T) {
			secret, err := Pick(NewSecret(test.text), test.field)
			got := secret.Reveal()
			if got != test.want || ClassOf(err) != test.class || (err == nil) != (test.class == "") {
				t.Errorf("pick(%.40q, %q) = %q, %v, want %q, %s", test.text, test.field, got, err, test.want, test.class)
			}
			if test.class == NotFound {
				reason := "not in the value"
				if what == "null" {
					reason = "is null"
				}
				if want := fmt.Sprintf("field %q: %s", test.field, reason); err == nil || err.Error() != want {
					t.Errorf("pick(%.40q, %q) = %v, want %q", test.text, test.field, err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "KZCANARY") || strings.ContainsAny(err.Error(), "\n\x1b")) {
				t.Errorf("pick(%.40q, %q): the error is %q", test.text, test.field, err)
			}
		})
	}
}
