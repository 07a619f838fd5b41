package environ

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for what, test := range map[string]struct {
		list []string
		want Env
	}{
		"nothing":                   {nil, Env{}},
		"names and values":          {[]string{"A=1", "B=2"}, Env{"A": "1", "B": "2"}},
		"an empty value":            {[]string{"A="}, Env{"A": ""}},
		"an equals sign in a value": {[]string{"A=b=c="}, Env{"A": "b=c="}},
		"a line feed in a value":    {[]string{"A=b\nC=d"}, Env{"A": "b\nC=d"}},
		"bytes that are not UTF-8":  {[]string{"A=\xff\xfe"}, Env{"A": "\xff\xfe"}},
		"the first of two":          {[]string{"A=1", "A=2"}, Env{"A": "1"}},
		"the first, though empty":   {[]string{"A=", "A=2"}, Env{"A": ""}},
		"no equals sign":            {[]string{"A", "B=2"}, Env{"B": "2"}},
		"no name":                   {[]string{"=1", "=C:=C:\\x", "B=2"}, Env{"B": "2"}},
		"a function of bash":        {[]string{"BASH_FUNC_x%%=() { :; }"}, Env{"BASH_FUNC_x%%": "() { :; }"}},
	} {
		t.Run(what, func(t *testing.T) {
			if got := Parse(test.list); !maps.Equal(got, test.want) {
				t.Errorf("Parse(%q) = %q, want %q", test.list, got, test.want)
			}
		})
	}
}

// anyEnv has few names and values, so that two of them have much in common.
func anyEnv() Env {
	env := Env{}
	for range rand.IntN(6) {
		env[string(rune('A'+rand.IntN(6)))] = []string{"", "1", "2", "\xff", "a=b\n"}[rand.IntN(5)]
	}
	return env
}

func TestListAndBack(t *testing.T) {
	for range 1000 {
		env := anyEnv()
		list := env.List()
		if got := Parse(list); !maps.Equal(got, env) || !slices.IsSorted(list) {
			t.Fatalf("Parse(%q) = %q, want %q", list, got, env)
		}
	}
}

func TestDiffLeadsThereAndBack(t *testing.T) {
	for range 2000 {
		a, b := anyEnv(), anyEnv()
		before := maps.Clone(a)
		if got := Apply(a, Diff(a, b)); !maps.Equal(got, b) {
			t.Fatalf("Diff(%q, %q) leads to %q", a, b, got)
		}
		if got := Apply(Apply(a, Diff(a, b)), Diff(b, a)); !maps.Equal(got, a) {
			t.Fatalf("Diff(%q, %q) and back leads to %q", a, b, got)
		}
		if !maps.Equal(a, before) {
			t.Fatalf("Apply changed its argument from %q to %q", before, a)
		}
	}
}

// A change that is left out is missed, and none comes twice.
func TestDiffHasNothingTooMuch(t *testing.T) {
	for range 500 {
		a, b := anyEnv(), anyEnv()
		changes := Diff(a, b)
		if !slices.IsSortedFunc(changes, func(x, y Change) int { return strings.Compare(x.Name, y.Name) }) {
			t.Fatalf("Diff(%q, %q) = %v is not sorted", a, b, changes)
		}
		for i := range changes {
			if got := Apply(a, slices.Delete(slices.Clone(changes), i, i+1)); maps.Equal(got, b) {
				t.Fatalf("Diff(%q, %q) = %v, of which %v is not needed", a, b, changes, changes[i])
			}
		}
	}
}

func TestApplyToNothing(t *testing.T) {
	var none Env
	got := Apply(none, []Change{{Name: "A", Value: "1"}, {Name: "B", Unset: true}})
	if want := (Env{"A": "1"}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Apply(nil) = %v, want %v", got, want)
	}
	if Apply(none, nil) == nil {
		t.Error("Apply(nil, nil) is nil, and cannot be written to")
	}
}
