package watch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// heard reports whether w speaks, and fails if it does so twice.
func heard(t *testing.T, w *Watcher, within time.Duration) bool {
	t.Helper()
	select {
	case <-w.C:
	case <-time.After(within):
		return false
	}
	select {
	case <-w.C:
		t.Error("it speaks twice")
	case <-time.After(3 * quiet):
	}
	return true
}

// Whatever happens to a file or to where it would lie, it is told, once.
func TestWatcher(t *testing.T) {
	for what, test := range map[string]struct {
		path   string
		change func(dir string) error
		silent bool
	}{
		"an edit":      {"a/file", func(dir string) error { return os.WriteFile(dir+"/a/file", []byte("x"), 0o600) }, false},
		"its end":      {"a/file", func(dir string) error { return os.Remove(dir + "/a/file") }, false},
		"its renaming": {"a/file", func(dir string) error { return os.Rename(dir+"/a/file", dir+"/a/other") }, false},
		"another in its place": {"a/file", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/a/new", nil, 0o600), os.Rename(dir+"/a/new", dir+"/a/file"))
		}, false},
		"several steps": {"a/file", func(dir string) error {
			err := os.Remove(dir + "/a/file")
			for range 10 {
				err = errors.Join(err, os.WriteFile(dir+"/a/file", []byte("x"), 0o600))
				time.Sleep(quiet / 5)
			}
			return err
		}, false},
		"one that appears":                {"a/none", func(dir string) error { return os.WriteFile(dir+"/a/none", nil, 0o600) }, false},
		"a directory that appears":        {"b/c/file", func(dir string) error { return os.MkdirAll(dir+"/b/c", 0o700) }, false},
		"the end of its directory":        {"a/file", func(dir string) error { return os.RemoveAll(dir + "/a") }, false},
		"the renaming of its directory":   {"a/file", func(dir string) error { return os.Rename(dir+"/a", dir+"/b") }, false},
		"an edit of what it is a link to": {"link", func(dir string) error { return os.WriteFile(dir+"/a/file", []byte("x"), 0o600) }, false},
		"another link":                    {"link", func(dir string) error { return errors.Join(os.Remove(dir+"/link"), os.Symlink("b", dir+"/link")) }, false},
		"through a linked directory":      {"d/file", func(dir string) error { return os.WriteFile(dir+"/a/file", []byte("x"), 0o600) }, false},
		"reading":                         {"a/file", func(dir string) error { _, err := os.ReadFile(dir + "/a/file"); return err }, true},
		"another mode":                    {"a/file", func(dir string) error { return os.Chmod(dir+"/a/file", 0o640) }, true},
		"another file":                    {"a/file", func(dir string) error { return os.WriteFile(dir+"/a/other", nil, 0o600) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			err := errors.Join(os.Mkdir(dir+"/a", 0o700), os.WriteFile(dir+"/a/file", nil, 0o600), os.Symlink("a/file", dir+"/link"), os.Symlink("a", dir+"/d"))
			w, errNew := NewWatcher()
			if err = errors.Join(err, errNew); err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := errors.Join(w.Set([]string{dir + "/elsewhere"}), w.Set([]string{filepath.Join(dir, test.path)})); err != nil {
				t.Fatal(err)
			}
			if err := test.change(dir); err != nil {
				t.Fatal(err)
			}
			within := 10 * time.Second
			if test.silent {
				within = 3 * quiet
			}
			if got := heard(t, w, within); got == test.silent {
				t.Errorf("it speaks: %v", got)
			}
		})
	}
}

// What is not watched any more is not heard of, and what is set again is.
func TestWatcherSet(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := errors.Join(os.Mkdir(dir+"/a", 0o700), os.Mkdir(dir+"/b", 0o700), w.Set([]string{dir + "/a/x"}), w.Set([]string{dir + "/b/x"})); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(dir+"/a/x", nil, 0o600)
	if heard(t, w, 3*quiet) {
		t.Error("it tells of what it watched before")
	}
	if err := errors.Join(os.RemoveAll(dir+"/b"), os.Mkdir(dir+"/b", 0o700)); err != nil {
		t.Fatal(err)
	}
	if !heard(t, w, 10*time.Second) {
		t.Error("it does not tell that the directory is another")
	}
	if err := w.Set([]string{dir + "/b/x"}); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(dir+"/b/x", nil, 0o600)
	if !heard(t, w, 10*time.Second) {
		t.Error("it does not tell of what is in the other directory")
	}
}

func TestChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	missing := []File{Note(path)}
	write(t, path, "one", old)
	there := []File{Note(path)}
	if !Changed(missing) || Changed(there) {
		t.Error("a file that appeared has not changed, or one that did nothing has")
	}
	write(t, path, "two", old.Add(1))
	if !Changed(there) {
		t.Error("an edit does not show")
	}
}
