package trust

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
)

const (
	dir    = "/home/ada/work/app"
	parent = "/home/ada/work"
)

// pair returns a project file and its local file, which is missing if local is "".
func pair(dir, main, local string) []File {
	return []File{
		{Path: dir + "/.keyzero.toml", Data: []byte(main)},
		{Path: dir + "/.keyzero.local.toml", Data: []byte(local), Missing: local == ""},
	}
}

func newStore(t *testing.T) Store { return Store{Dir: filepath.Join(t.TempDir(), "trust")} }

// ask goes the way of a caller: first what can be checked before parsing, then all.
func ask(s Store, files []File) error {
	c, err := s.Check(files[:2])
	if err != nil {
		return err
	}
	return c.Covers(files)
}

// reason returns why a configuration is blocked, "" if it is not.
func reason(t *testing.T, err error) Reason {
	t.Helper()
	var blocked *BlockedError
	if err != nil && !errors.As(err, &blocked) {
		t.Fatalf("the error is %v, want a *BlockedError", err)
	}
	if blocked == nil {
		return ""
	}
	return blocked.Reason
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What was allowed are the files of the first line; each case is what is there later.
func TestConsentIsToBytesAtAPath(t *testing.T) {
	allowed := slices.Concat(pair(dir, "inherit = true\n", "[env]\n"), pair(parent, "[env]\nA = 1\n", ""))
	with := func(change func(files []File) []File) []File { return change(slices.Clone(allowed)) }
	for what, test := range map[string]struct {
		files []File
		want  Reason
	}{
		"the same files":         {allowed, ""},
		"a byte more":            {with(func(f []File) []File { f[0].Data = []byte("inherit = true\n\n"); return f }), Changed},
		"a byte less":            {with(func(f []File) []File { f[0].Data = []byte("inherit = true"); return f }), Changed},
		"another byte":           {with(func(f []File) []File { f[0].Data = []byte("inherit = True\n"); return f }), Changed},
		"nothing":                {with(func(f []File) []File { f[0].Data = nil; return f }), Changed},
		"another local file":     {with(func(f []File) []File { f[1].Data = []byte("[env]"); return f }), Changed},
		"an empty local file":    {with(func(f []File) []File { f[1].Data = nil; return f }), Changed},
		"no local file any more": {with(func(f []File) []File { f[1].Data, f[1].Missing = nil, true; return f }), Changed},
		"contents exchanged":     {with(func(f []File) []File { f[0].Data, f[1].Data = f[1].Data, f[0].Data; return f }), Changed},
		"a copy elsewhere":       {slices.Concat(pair("/home/ada/copy", "inherit = true\n", "[env]\n"), allowed[2:]), NotAllowed},
		"the directory renamed":  {slices.Concat(pair(dir+"2", "inherit = true\n", "[env]\n"), allowed[2:]), NotAllowed},
		"in other letters":       {slices.Concat(pair("/home/ada/work/App", "inherit = true\n", "[env]\n"), allowed[2:]), NotAllowed},
		"below itself":           {slices.Concat(pair(dir+"/app", "inherit = true\n", "[env]\n"), allowed[2:]), NotAllowed},
		"another inherited file": {with(func(f []File) []File { f[2].Data = []byte("[env]\nA = 2\n"); return f }), Inherited},
		"inherited from elsewhere": {with(func(f []File) []File {
			return append(f[:2], pair("/home/ada", "[env]\nA = 1\n", "")...)
		}), Inherited},
		"a local file beside the inherited one": {with(func(f []File) []File { f[3].Missing = false; return f }), Inherited},
		"nothing inherited":                     {allowed[:2], Inherited},
		"one more inherited":                    {slices.Concat(allowed, pair("/home", "", "")), Inherited},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			if got := reason(t, ask(s, test.files)); got != NotAllowed {
				t.Errorf("before anything was allowed: blocked because it %q, want %q", got, NotAllowed)
			}
			must(t, s.Allow(allowed, false))
			err := ask(s, test.files)
			if got := reason(t, err); got != test.want {
				t.Errorf("blocked because it %q, want %q", got, test.want)
			}
			if blocked, ok := errors.AsType[*BlockedError](err); ok && blocked.Path != test.files[0].Path {
				t.Errorf("the error is about %q, want %q", blocked.Path, test.files[0].Path)
			}
			if got := reason(t, ask(s, allowed)); got != "" {
				t.Errorf("afterwards what was allowed is blocked: it %q", got)
			}
		})
	}
}

// Consent covers that there is no local file.
func TestLocalFileAppears(t *testing.T) {
	s := newStore(t)
	must(t, s.Allow(pair(dir, "a", ""), false))
	if got := reason(t, ask(s, pair(dir, "a", "b"))); got != Changed {
		t.Errorf("with a local file: blocked because it %q, want %q", got, Changed)
	}
	empty := pair(dir, "a", "")
	empty[1].Missing = false
	if got := reason(t, ask(s, empty)); got != Changed {
		t.Errorf("with an empty local file: blocked because it %q, want %q", got, Changed)
	}
}

func TestDeny(t *testing.T) {
	files := pair(dir, "a", "")
	path := files[0].Path
	s := newStore(t)
	prefixed := Store{Dir: s.Dir, Prefixes: []string{parent}}
	if got := reason(t, ask(prefixed, files)); got != "" {
		t.Errorf("below a prefix: blocked because it %q", got)
	}
	must(t, s.Deny(path))
	for what, s := range map[string]Store{"denied": s, "denied below a prefix": prefixed, "denied below /": {Dir: s.Dir, Prefixes: []string{"/"}}} {
		if got := reason(t, ask(s, files)); got != IsDenied {
			t.Errorf("%s: blocked because it %q, want %q", what, got, IsDenied)
		}
		if got := reason(t, ask(s, pair(dir, "other", "local"))); got != IsDenied {
			t.Errorf("%s, with other bytes: blocked because it %q, want %q", what, got, IsDenied)
		}
	}
	must(t, s.Allow(files, false))
	if got := reason(t, ask(s, files)); got != "" {
		t.Errorf("denied, then allowed: blocked because it %q", got)
	}
	must(t, s.Deny(path))
	if got := reason(t, ask(s, files)); got != IsDenied {
		t.Errorf("allowed, then denied: blocked because it %q", got)
	}
	if got := reason(t, ask(s, pair(parent, "a", ""))); got != NotAllowed {
		t.Errorf("the directory above: blocked because it %q, want %q", got, NotAllowed)
	}
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 1 {
		t.Errorf("the decisions about one file are in %v, %v, want one", entries, err)
	}
}

// Where everybody can write, consent to the bytes is not enough.
func TestSharedDirectory(t *testing.T) {
	files := pair("/tmp", "a", "")
	files[0].Shared = true
	s := newStore(t)
	prefixed := Store{Dir: s.Dir, Prefixes: []string{"/tmp"}}
	steps := []struct {
		what string
		do   func() error
		want Reason
	}{
		{"at first", func() error { return nil }, IsShared},
		{"allowed", func() error { return s.Allow(files, false) }, IsShared},
		{"allowed though shared", func() error { return s.Allow(files, true) }, ""},
		{"denied", func() error { return s.Deny(files[0].Path) }, IsDenied},
	}
	for _, step := range steps {
		must(t, step.do())
		for what, s := range map[string]Store{"": s, " below a prefix": prefixed} {
			if got := reason(t, ask(s, files)); got != step.want {
				t.Errorf("%s%s: blocked because it %q, want %q", step.what, what, got, step.want)
			}
		}
	}
}

func spell(files []File) string {
	text := ""
	for _, f := range files {
		text += fmt.Sprintf("%q %q %v; ", f.Path, f.Data, f.Missing)
	}
	return text
}

// No two lists of files have one digest, wherever paths and contents are cut.
func TestDigestOfCuts(t *testing.T) {
	const text = "1\n1 false\na\n2\n"
	seen := map[string]string{}
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			for k := j; k <= len(text); k++ {
				for _, files := range [][]File{
					{{Path: text[:i], Data: []byte(text[i:j])}, {Path: text[j:k], Data: []byte(text[k:])}},
					{{Path: text[:i], Data: []byte(text[i:j])}, {Path: text[j:k], Data: []byte(text[k:]), Missing: true}},
					{{Path: text[:i], Data: []byte(text[i:])}},
				} {
					name := spell(files)
					if other, ok := seen[Digest(files)]; ok && other != name {
						t.Fatalf("%s and %s have one digest", name, other)
					}
					seen[Digest(files)] = name
				}
			}
		}
	}
}

func TestDigestOfAnything(t *testing.T) {
	text := func() string {
		return []string{"", "\n", "1\n", "0 false\n", "a", "/a/b", "kz trust 1\n"}[rand.IntN(7)]
	}
	seen := map[string]string{}
	for range 20_000 {
		var files []File
		for range rand.IntN(4) {
			files = append(files, File{Path: text() + text(), Data: []byte(text() + text()), Missing: rand.IntN(2) == 0})
		}
		name := spell(files)
		digest := Digest(files)
		if other, ok := seen[digest]; ok && other != name {
			t.Fatalf("%s and %s have one digest", name, other)
		}
		seen[digest] = name
	}
	if got := Digest(nil); !strings.HasPrefix(got, "sha256:") || len(got) != len("sha256:")+64 {
		t.Errorf("Digest(nil) = %q", got)
	}
}

// A path is below a prefix if the prefix's components are the first of its own.
func TestPrefixes(t *testing.T) {
	root := roottest.Dir(t)
	component := func() string { return []string{"a", "b", "a-evil", "a.bak", "A", "aa", "a b", "á"}[rand.IntN(8)] }
	anyPath := func() string {
		path := root
		for range rand.IntN(4) {
			path += "/" + component()
		}
		return path
	}
	allowed := 0
	s := newStore(t)
	for range 10_000 {
		prefix, in := anyPath(), anyPath()
		// The same prefix in another spelling.
		s.Prefixes = []string{prefix + []string{"", "/", "//", "/.", "/x/.."}[rand.IntN(5)]}
		parts, of := strings.Split(in, "/"), strings.Split(prefix, "/")
		want := len(parts) >= len(of) && slices.Equal(parts[:len(of)], of)
		err := ask(s, pair(in, "a", ""))
		if got := reason(t, err) == ""; got != want {
			t.Fatalf("below the prefix %q, %q is allowed: %v, want %v", s.Prefixes[0], in, got, want)
		}
		if want {
			allowed++
		}
	}
	if allowed < 500 || allowed > 9_500 {
		t.Errorf("of 10000 pairs %d are allowed: they try nothing", allowed)
	}
}

func TestPrefixIsResolved(t *testing.T) {
	root := roottest.Dir(t)
	must(t, os.MkdirAll(filepath.Join(root, "real", "sub"), 0o755))
	must(t, os.Symlink("real", filepath.Join(root, "link")))
	for what, test := range map[string]struct {
		prefix, dir string
		want        Reason
	}{
		"a link to the directory":       {root + "/link", root + "/real", ""},
		"a directory below a link":      {root + "/link/sub", root + "/real/sub/x", ""},
		"beside what the link leads to": {root + "/link/sub", root + "/real", NotAllowed},
		"the link's own name":           {root + "/link", root + "/link", NotAllowed}, // a canonical path has none
		"up from below the link":        {root + "/link/../x", root + "/x/y", ""},
		"a directory that is not there": {root + "/none", root + "/none/x", ""},
		"everything":                    {"/", root, ""},
		"the file itself":               {root + "/real/.keyzero.toml", root + "/real", NotAllowed},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			s.Prefixes = []string{"/none", test.prefix}
			if got := reason(t, ask(s, pair(test.dir, "a", ""))); got != test.want {
				t.Errorf("below the prefix %q, %q is blocked because it %q, want %q", test.prefix, test.dir, got, test.want)
			}
		})
	}
}

func TestBlockedErrorIsPrintable(t *testing.T) {
	err := &BlockedError{"/tmp/\x1b]0;x\a\u202e/.keyzero.toml", NotAllowed}
	if got, want := err.Error(), `/tmp/\x1b]0;x\a\u202e/.keyzero.toml: is not allowed`; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
