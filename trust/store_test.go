package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/roottest"
)

func TestRecord(t *testing.T) {
	was := syscall.Umask(0)
	defer syscall.Umask(was)
	s := newStore(t)
	files := slices.Concat(pair(dir, "main\n", "local"), pair(parent, "up", ""))
	must(t, s.Allow(files, true))
	r, err := s.Lookup(dir + "/.keyzero.toml")
	if err != nil || r == nil {
		t.Fatalf("Lookup = %v, %v", r, err)
	}
	if age := time.Since(r.Time); age < -time.Second || age > time.Minute {
		t.Errorf("the decision is from %v", r.Time)
	}
	r.Time = time.Time{}
	want := Record{
		Path: dir + "/.keyzero.toml", Decision: Allowed, Shared: true, Digest: Digest(files), Own: Digest(files[:2]),
		Files: []RecordFile{
			{Path: dir + "/.keyzero.toml", Text: "main\n"}, {Path: dir + "/.keyzero.local.toml", Text: "local"},
			{Path: parent + "/.keyzero.toml", Text: "up"}, {Path: parent + "/.keyzero.local.toml", Missing: true},
		},
	}
	if fmt.Sprintf("%+v", *r) != fmt.Sprintf("%+v", want) {
		t.Errorf("the record is %+v, want %+v", *r, want)
	}
	if info, err := os.Lstat(s.RecordPath(r.Path)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the record: %v, %v, want mode 0600", info.Mode(), err)
	}
	if info, err := os.Lstat(s.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store: %v, %v, want mode 0700", info.Mode(), err)
	}
}

// The name of a record cannot lead out of the store, nor collide with another's.
func TestRecordPath(t *testing.T) {
	s := Store{Dir: "/store"}
	seen := map[string]string{}
	for _, path := range []string{"", "/", "/a", "/a/", "/a/b", "/a\n/b", "../a", "/a\x00b", "/A", strings.Repeat("/x", 2000)} {
		got := s.RecordPath(path)
		if filepath.Dir(got) != "/store" || len(filepath.Base(got)) != 64 || seen[got] != "" {
			t.Errorf("RecordPath(%.20q) = %q, which is also that of %q", path, got, seen[got])
		}
		seen[got] = path
	}
}

func TestPathsOfAnyBytes(t *testing.T) {
	s := newStore(t)
	for _, dir := range []string{"/a\nb", "/a\x1b[31m", "/\xff\xfe", "/\xff", "/\ufffd", "/" + strings.Repeat("x/", 2000) + "x", "/é", "/e\u0301", "/<&>\u2028"} {
		files := pair(dir, "a", "")
		if got := reason(t, ask(s, files)); got != NotAllowed {
			t.Errorf("in %.20q: blocked because it %q, want %q", dir, got, NotAllowed)
		}
		must(t, s.Allow(files, false))
		if got := reason(t, ask(s, files)); got != "" {
			t.Errorf("in %.20q, allowed: blocked because it %q", dir, got)
		}
		if r, err := s.Lookup(files[0].Path); err != nil || r.Path != files[0].Path {
			t.Errorf("Lookup(%.20q) = %v, %v", files[0].Path, r, err)
		}
	}
	records, err := s.List()
	if err != nil || len(records) != 9 {
		t.Errorf("List gives %d records, %v, want 9", len(records), err)
	}
	if gone, err := s.Prune(); err != nil || len(gone) != 9 {
		t.Errorf("Prune removes %d records, %v, want 9", len(gone), err)
	}
}

// What is no record of this user's kz neither allows nor lifts a denial, and
// nobody is asked again behind it: somebody has to look.
func TestStrangeRecords(t *testing.T) {
	files := pair(dir, "a", "")
	path := files[0].Path
	good := Record{Path: path, Decision: Allowed, Digest: Digest(files), Own: Digest(files), Files: []RecordFile{{Path: path, Text: "a"}}}
	with := func(change func(r *Record)) []byte {
		r := good
		change(&r)
		return r.encode()
	}
	text := string(good.encode())
	instead := func(old, new string) []byte { return []byte(strings.Replace(text, old, new, 1)) }
	for what, test := range map[string]struct {
		data    []byte
		mode    fs.FileMode
		allowed bool
		want    string
	}{
		"a good one":                   {[]byte(text), 0o600, true, ""},
		"a good one, readable":         {[]byte(text), 0o644, true, ""},
		"empty":                        {nil, 0o600, false, "not a record of consent"},
		"cut off":                      {[]byte(text)[:50], 0o600, false, "not a record of consent"},
		"cut off at the end":           {[]byte(text)[:len(text)-1], 0o600, false, "not a record of consent"},
		"two":                          {[]byte(text + text), 0o600, false, "not a record of consent"},
		"a line more":                  {[]byte(text + "\n"), 0o600, false, "not a record of consent"},
		"JSON":                         {[]byte(`{"decision":"allowed"}`), 0o600, false, "not a record of consent"},
		"without a line":               {instead("shared false\n", ""), 0o600, false, "not a record of consent"},
		"of another order":             {instead("shared false\ndigest", "digest"), 0o600, false, "not a record of consent"},
		"of a later version":           {instead("kz consent 1", "kz consent 2"), 0o600, false, "written by another version of kz"},
		"of an earlier version":        {instead("kz consent 1", "kz consent 0"), 0o600, false, "written by another version of kz"},
		"no decision":                  {with(func(r *Record) { r.Decision = "" }), 0o600, false, "not a record of consent"},
		"another decision":             {with(func(r *Record) { r.Decision = "Denied" }), 0o600, false, "not a record of consent"},
		"no time":                      {instead("time 0001", "time x"), 0o600, false, "not a record of consent"},
		"no truth":                     {instead("shared false", "shared 1"), 0o600, false, "not a record of consent"},
		"no quotes":                    {instead("path \"", "path "), 0o600, false, "not a record of consent"},
		"a file that is too long":      {instead(" 1 false", " 9 false"), 0o600, false, "not a record of consent"},
		"a file that is too short":     {instead(" 1 false", " 0 false"), 0o600, false, "not a record of consent"},
		"a file of less than nothing":  {instead(" 1 false", " -1 false"), 0o600, false, "not a record of consent"},
		"a file of no truth":           {instead(" 1 false", " 1 no"), 0o600, false, "not a record of consent"},
		"about another file":           {with(func(r *Record) { r.Path = "/home/ada/other/.keyzero.toml" }), 0o600, false, "is about another configuration"},
		"about another in other bytes": {with(func(r *Record) { r.Path = "/home/ada/\xff/.keyzero.toml" }), 0o600, false, "is about another configuration"},
		"writable by the group":        {with(func(*Record) {}), 0o620, false, "other users may have written it; remove it"},
		"writable by others":           {with(func(*Record) {}), 0o602, false, "other users may have written it; remove it"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			must(t, os.MkdirAll(s.Dir, 0o700))
			record := s.RecordPath(path)
			must(t, os.WriteFile(record, test.data, 0o600))
			must(t, os.Chmod(record, test.mode))
			for what, s := range map[string]Store{"": s, " below a prefix": {Dir: s.Dir, Prefixes: []string{"/"}}} {
				err := ask(s, files)
				if test.allowed != (err == nil) || err != nil && err.Error() != record+": "+test.want {
					t.Errorf("with such a record%s: %v, want %q", what, err, test.want)
				}
			}
			records, err := s.List()
			if test.allowed != (len(records) == 1) || test.allowed != (err == nil) {
				t.Errorf("List() = %v, %v", records, err)
			}
			if after, _ := os.ReadFile(record); string(after) != string(test.data) {
				t.Errorf("looking changed the record to %q", after)
			}
		})
	}
}

func TestRecordsThatAreNoFiles(t *testing.T) {
	files := pair(dir, "a", "")
	for what, prepare := range map[string]func(path string) error{
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
		"a broken one": func(path string) error { return os.Symlink("none", path) },
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			must(t, s.Allow(files, false))
			record := s.RecordPath(files[0].Path)
			if what != "a link" {
				must(t, os.Remove(record))
			}
			must(t, prepare(record))
			s.Prefixes = []string{"/"}
			var blocked *BlockedError
			if err := ask(s, files); err == nil || errors.As(err, &blocked) {
				t.Errorf("with such a record: %v, want an error that says so", err)
			}
		})
	}
}

func TestRecordOfAnotherUser(t *testing.T) {
	s := Store{Dir: filepath.Join(roottest.Dir(t), "trust")}
	files := pair(dir, "a", "")
	must(t, s.Allow(files, false))
	record := s.RecordPath(files[0].Path)
	must(t, os.Chmod(s.Dir, 0o755))
	must(t, os.Chmod(record, 0o644))
	if err := os.Chown(record, 12345, 12345); err != nil {
		t.Skip("needs root")
	}
	if err := ask(s, files); err == nil || err.Error() != record+": other users may have written it; remove it" {
		t.Errorf("with the record of another user: %v", err)
	}
	must(t, os.Chown(record, 0, 0))
	roottest.As(t, 65534, func() {
		if err := ask(s, files); err != nil {
			t.Errorf("with a record of root: %v", err)
		}
	})
	must(t, os.Chown(record, 65534, 65534))
	roottest.As(t, 65534, func() {
		if err := ask(s, files); err != nil {
			t.Errorf("with one's own record: %v", err)
		}
	})
	must(t, os.Chown(record, 0, 0))
	must(t, os.Chmod(record, 0o600))
	roottest.As(t, 65534, func() {
		if err := ask(s, files); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("with a record that cannot be read: %v, want permission denied", err)
		}
	})
}

func TestStoreThatCannotBeWritten(t *testing.T) {
	dir := roottest.Dir(t)
	roottest.As(t, 65534, func() {
		s := Store{Dir: filepath.Join(dir, "trust")}
		if err := s.Allow(pair("/a", "a", ""), false); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Allow = %v, want permission denied", err)
		}
		if err := s.Deny("/a"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Deny = %v, want permission denied", err)
		}
	})
}

// What cannot be removed is not said to be gone.
func TestPruneOfWhatCannotBeRemoved(t *testing.T) {
	s := Store{Dir: filepath.Join(roottest.Dir(t), "trust")}
	must(t, s.Allow(pair("/none", "a", ""), false))
	must(t, os.Chmod(s.Dir, 0o755))
	must(t, os.Chmod(s.RecordPath("/none/.keyzero.toml"), 0o644))
	roottest.As(t, 65534, func() {
		if gone, err := s.Prune(); len(gone) > 0 || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Prune() = %v, %v, want none and permission denied", gone, err)
		}
	})
	if gone, err := s.Prune(); len(gone) != 1 || err != nil {
		t.Errorf("Prune() = %v, %v, want one", gone, err)
	}
}

// A decision that could not be kept leaves the one before it.
func TestStoreOnFullDisk(t *testing.T) {
	dir := roottest.Dir(t)
	roottest.Tmpfs(t, dir, "16k", func() {
		s := Store{Dir: filepath.Join(dir, "trust")}
		must(t, s.Deny("/a/.keyzero.toml"))
		must(t, os.WriteFile(filepath.Join(dir, "full"), make([]byte, 8<<10), 0o600))
		if err := s.Allow(pair("/a", strings.Repeat("x", 8<<10), ""), false); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Allow on a full disk = %v, want no space left", err)
		}
		if r, err := s.Lookup("/a/.keyzero.toml"); err != nil || r.Decision != Denied {
			t.Errorf("afterwards the record is %v, %v, want the denial", r, err)
		}
	})
}

func TestListAndPrune(t *testing.T) {
	s := newStore(t)
	if records, err := s.List(); err != nil || len(records) > 0 {
		t.Errorf("List of no store = %v, %v", records, err)
	}
	if gone, err := s.Prune(); err != nil || len(gone) > 0 {
		t.Errorf("Prune of no store = %v, %v", gone, err)
	}
	root := t.TempDir()
	paths := map[string]string{}
	for _, name := range []string{"there", "denied", "gone", "link", "below a file"} {
		paths[name] = filepath.Join(root, name, ".keyzero.toml")
		must(t, os.Mkdir(filepath.Dir(paths[name]), 0o755))
		must(t, os.WriteFile(paths[name], nil, 0o600))
		must(t, s.Allow(pair(filepath.Dir(paths[name]), "", ""), false))
	}
	must(t, s.Deny(paths["denied"]))
	must(t, os.RemoveAll(filepath.Dir(paths["gone"])))
	must(t, os.RemoveAll(filepath.Dir(paths["below a file"])))
	must(t, os.WriteFile(filepath.Dir(paths["below a file"]), nil, 0o600))
	must(t, os.Remove(paths["link"]))
	must(t, os.Symlink("none", paths["link"]))
	// What is no record does not hide the others.
	must(t, os.WriteFile(filepath.Join(s.Dir, "README"), []byte("x"), 0o600))
	must(t, os.WriteFile(filepath.Join(s.Dir, ".x.kz-1-A"), []byte("x"), 0o600))
	copied, _ := os.ReadFile(s.RecordPath(paths["gone"]))
	must(t, os.WriteFile(filepath.Join(s.Dir, "copy"), copied, 0o600))

	list := func(records []Record) string {
		var names []string
		for _, r := range records {
			names = append(names, filepath.Base(filepath.Dir(r.Path))+" "+string(r.Decision))
		}
		return strings.Join(names, ", ")
	}
	records, err := s.List()
	if got, want := list(records), "below a file allowed, denied denied, gone allowed, link allowed, there allowed"; got != want {
		t.Errorf("List() = %s, want %s", got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "README: not a record of consent") || !strings.Contains(err.Error(), "copy: is about another configuration") || strings.Contains(err.Error(), ".kz-") {
		t.Errorf("List() = %v, want what is wrong with README and copy", err)
	}
	gone, _ := s.Prune()
	if got, want := list(gone), "below a file allowed, gone allowed"; got != want {
		t.Errorf("Prune() = %s, want %s", got, want)
	}
	records, _ = s.List()
	if got, want := list(records), "denied denied, link allowed, there allowed"; got != want {
		t.Errorf("after Prune, List() = %s, want %s", got, want)
	}
	if again, _ := s.Prune(); len(again) > 0 {
		t.Errorf("Prune again = %s", list(again))
	}
}

// However many decisions there are, one is found by its name alone: the store
// need not even be readable as a directory.
func TestLookupAmongMany(t *testing.T) {
	s := Store{Dir: roottest.Dir(t)}
	another := filepath.Join(s.Dir, "another")
	must(t, os.WriteFile(another, nil, 0o600))
	for i := range 10_000 {
		path := fmt.Sprintf("/home/ada/%d/.keyzero.toml", i)
		if i%199 != 0 { // one that is not looked for costs no more than a name
			must(t, os.Link(another, s.RecordPath(path)))
			continue
		}
		must(t, os.WriteFile(s.RecordPath(path), Record{Path: path, Decision: Allowed}.encode(), 0o644))
	}
	must(t, os.Chmod(s.Dir, 0o711))
	look := func() {
		start := time.Now()
		for i := range 100 {
			path := fmt.Sprintf("/home/ada/%d/.keyzero.toml", i*199)
			if r, err := s.Lookup(path); err != nil || (r != nil) != (i*199 < 10_000) {
				t.Errorf("Lookup(%q) = %v, %v", path, r, err)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("100 times Lookup takes %v", took)
		}
	}
	look()
	roottest.As(t, 65534, look)
}

func TestDecisionsAtOnce(t *testing.T) {
	s := newStore(t)
	files := pair(dir, "a", "")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				err = s.Allow(files, false)
			} else {
				err = s.Deny(files[0].Path)
			}
			r, lookup := s.Lookup(files[0].Path)
			if err != nil || lookup != nil || r == nil {
				t.Errorf("deciding = %v, then Lookup = %v, %v", err, r, lookup)
			}
		})
	}
	wg.Wait()
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 1 {
		t.Errorf("the store has %v, %v, want one record", entries, err)
	}
}
