package ask

import (
	"context"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

func TestWithout(t *testing.T) {
	s := resolve.Setup{Env: []string{"A=1", "B=", "C=3"}}
	for want, names := range map[string][]string{
		"login": {"B", "D"}, "unset A && login": {"A", "B"}, "unset A C && login": {"A", "C"},
	} {
		if got := Without(s, "login", names...); got != want {
			t.Errorf("Without %q = %q, want %q", names, got, want)
		}
	}
}

// What is pasted must be one word that means itself.
func TestPlain(t *testing.T) {
	for _, text := range []string{"a", "/home/ada/.config/x-y_z.txt", "~/.vault-token", "https://vault.example.com:8200", "ada@example.com"} {
		if !Plain(text) {
			t.Errorf("Plain(%q) = false", text)
		}
	}
	for _, text := range []string{"", "~", "~/", "~ada", "-x", "~/-x y", "a b", "a;b", "$(x)", "`x`", "a\nb", "a\x00", "é", "a'b", `a"b`, "a*", "a?", "[::1]", "a=b", "a&b", "a|b", "a>b", "#a", "a#b", "{a,b}", "a\\b", "!a", "%1"} {
		if Plain(text) {
			t.Errorf("Plain(%q) = true", text)
		}
	}
}

func TestHint(t *testing.T) {
	hints := map[resolve.Class]string{resolve.Locked: "unlock"}
	for class, want := range map[resolve.Class]string{resolve.Locked: "unlock", resolve.Denied: ""} {
		err := Hint(resolve.Errorf(class, "cause"), hints)
		if e := err.(*resolve.Error); e.Hint != want || e.Class != class || e.Cause != "cause" {
			t.Errorf("Hint of %s leads to %+v", class, e)
		}
	}
	if Hint(nil, hints) != nil || Hint(context.Canceled, hints) != context.Canceled {
		t.Error("Hint changes what has no class")
	}
}
