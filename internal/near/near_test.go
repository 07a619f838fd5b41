package near

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for what, test := range map[string]struct {
		name  string
		known []string
		want  string
	}{
		"itself":                              {"secrets", []string{"env", "secrets"}, "secrets"},
		"a letter missing":                    {"secret", []string{"env", "secrets"}, "secrets"},
		"a letter too many":                   {"provvider", []string{"provider"}, "provider"},
		"another letter":                      {"required", []string{"requirad"}, "requirad"},
		"neighbours swapped":                  {"provdier", []string{"provider"}, "provider"},
		"the nearest of several":              {"hook", []string{"look", "hook", "book"}, "hook"},
		"the first of those that are as near": {"xook", []string{"look", "hook"}, "look"},
		"a third of the letters":              {"secxyz", []string{"secret"}, ""},
		"two of six letters":                  {"secrxy", []string{"secret"}, "secret"},
		"one letter of a short name":          {"a", []string{"as"}, "as"},
		"two letters of a short name":         {"x", []string{"as"}, ""},
		"nothing alike":                       {"production", []string{"env", "secrets"}, ""},
		"the empty name":                      {"", []string{"env"}, ""},
		"nothing known":                       {"env", nil, ""},
	} {
		t.Run(what, func(t *testing.T) {
			if got := Name(test.name, test.known); got != test.want {
				t.Errorf("Name(%q, %q) = %q, want %q", test.name, test.known, got, test.want)
			}
		})
	}
}

// The table of the algorithm and the definition of the distance agree.
func TestDistanceIsItsDefinition(t *testing.T) {
	random := func() string {
		b := make([]byte, rand.IntN(7))
		for i := range b {
			b[i] = "abc"[rand.IntN(3)]
		}
		return string(b)
	}
	for range 2000 {
		a, b := random(), random()
		if got, want := distance(a, b), defined(a, b); got != want {
			t.Fatalf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
		if distance(a, b) != distance(b, a) || (distance(a, b) == 0) != (a == b) {
			t.Fatalf("distance(%q, %q) = %d, and %d the other way", a, b, distance(a, b), distance(b, a))
		}
	}
}

func defined(a, b string) int {
	switch {
	case a == "" || b == "":
		return len(a) + len(b)
	case a[0] == b[0]:
		return defined(a[1:], b[1:])
	}
	least := 1 + min(defined(a[1:], b), defined(a, b[1:]), defined(a[1:], b[1:]))
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		least = min(least, 1+defined(a[2:], b[2:]))
	}
	return least
}

func TestNameOfAnyLength(t *testing.T) {
	if got := Name(strings.Repeat("x", 64<<10), []string{"secrets", "env"}); got != "" {
		t.Errorf("Name of 64 KiB = %q, want none", got)
	}
}
