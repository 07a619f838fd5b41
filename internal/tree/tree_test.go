package tree

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	const text = `{"a":{"b":["x",{"c":1.50}]},"s/t":"slash","t~":"tilde","":"empty","n":null,"h":{"x":"<&>"},"on":true,"01":"key"}`
	var value any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"/a/b/0": "x", "/a/b/1/c": "1.50", "/s~1t": "slash", "/t~0": "tilde", "/": "empty", "/on": "true", "/01": "key",
		"/a/b": `["x",{"c":1.50}]`, "/h": `{"x":"<&>"}`,
		"/n": "null?", "/a/b/2": "none", "/a/b/-1": "none", "/a/b/01": "none", "/a/b/x": "none", "/zz": "none", "/on/x": "none", "/a/b/0/0": "none",
	} {
		found, ok := Find(value, Pointer(pointer))
		got, err := Text(found)
		switch {
		case !ok:
			got = "none"
		case err == ErrNull:
			got = "null?"
		case err != nil:
			t.Errorf("Text of %s: %v", pointer, err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", pointer, got, want)
		}
	}
	if _, err := Text(func() {}); err == nil {
		t.Error("a function has a text")
	}
}
