package main

import (
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Who was only found, in a file or by a program that asked nobody, is not said to be signed in.
func TestStandingText(t *testing.T) {
	for want, s := range map[string]resolve.Standing{
		"can be asked":                  {},
		"signed in as ada":              {As: "ada", Asked: true},
		"ada, not asked":                {As: "ada"},
		"through op; ada, not asked":    {Through: "op", As: "ada"},
		"through op":                    {Through: "op", Asked: true},
		"through op; its credential: x": {Through: "op", Credential: "x"},
	} {
		if got := standingText(s); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}
}
