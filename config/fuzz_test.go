package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
)

// Whatever the bytes are: an answer, soon, and errors that name a place and show
// neither a value nor anything that a terminal would act on.
func FuzzParse(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzParse")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	// With values in front of them that no error may show.
	const secret = "[env]\nKZ1 = 'KZCANARY'\nKZ2 = \"\"\"KZCANARY\n\"\"\"\n[secrets]\nKZ3 = { ref = 'env://x', default = 'KZCANARY' }\nKZ4 = 'KZCANARY'\n"
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		for _, text := range []string{string(data), secret + string(data), strings.ReplaceAll(string(data), "A", "KZ1 = 'KZCANARY'\n")} {
			for _, name := range []string{Name, LocalName} {
				file := File{Path: "/p/" + name, Data: []byte(text)}
				l, err := Parse(file)
				if err == nil && l == nil {
					t.Fatalf("Parse(%q) gives neither a layer nor an error", text)
				}
				checkErrors(t, file, err, strings.Contains(text, "KZCANARY"))
				if err != nil {
					continue
				}
				for _, environment := range append(Sections([]*Layer{l}), "") {
					plan, err := Merge(User{}, []*Layer{l}, environment)
					checkErrors(t, file, err, true)
					checkPlan(t, plan)
				}
			}
			u, err := ParseUser(File{Path: "/p/config.toml", Data: []byte(text)}, "/home/ada")
			checkErrors(t, File{Path: "/p/config.toml", Data: []byte(text)}, err, false)
			for _, p := range u.Prefixes {
				if !strings.HasPrefix(p, "/") {
					t.Errorf("ParseUser(%q) allows everything below %q", text, p)
				}
			}
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%d bytes take %v", len(data), took)
		}
	})
}

// checkErrors holds each error that err joins to its form. Where hidden is
// true, none may have the canary in it.
func checkErrors(t *testing.T, f File, err error, hidden bool) {
	t.Helper()
	if err == nil {
		return
	}
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	lines := strings.Count(string(f.Data), "\n") + 1
	for _, e := range list {
		var at *Error
		var dangerous *DangerousError
		switch {
		case errors.As(e, &dangerous):
			at = &Error{Pos: dangerous.Entry.Pos}
		case !errors.As(e, &at):
			t.Fatalf("Parse(%q) = %T %v", f.Data, e, e)
		}
		if at.Pos.Path != f.Path || at.Pos.Line < 0 || at.Pos.Line > lines {
			t.Errorf("Parse(%q) = %v, in a file of %d lines", f.Data, e, lines)
		}
		text := e.Error()
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.ToValidUTF8(text, "") != text {
			t.Errorf("Parse(%q) = %q", f.Data, text)
		}
		if hidden && strings.Contains(text, "KZCANARY") {
			t.Errorf("Parse(%q) = %q, which shows a value", f.Data, text)
		}
	}
}

func checkPlan(t *testing.T, plan Plan) {
	t.Helper()
	if len(plan.Entries) > MaxEntries {
		t.Errorf("the plan has %d entries", len(plan.Entries))
	}
	last := ""
	for _, e := range plan.Entries {
		if e.Name <= last || !ValidName(e.Name) || e.Pos.Line < 1 || len(e.Ref) > MaxRef || strings.ContainsAny(e.Text+e.Ref, "\x00") || (e.Ref == "") != (e.Provider == "") {
			t.Errorf("after %q the plan has %s", last, fmt.Sprintf("%+v", e))
		}
		last = e.Name
	}
}
