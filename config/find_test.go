package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeFile makes a file with its directories and returns its path.
func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	must(t, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)))
	return path
}

// All paths are below a directory of the test.
func TestFind(t *testing.T) {
	for what, test := range map[string]struct {
		files     string // where there is one, by directory
		dir, home string
		want      string // the directory, or "" for none
		above     string // the same for FindAbove
	}{
		"in the directory":         {"h/a", "h/a", "h", "h/a", ""},
		"one up":                   {"h/a", "h/a/b", "h", "h/a", "h/a"},
		"many up":                  {"h", "h/a/b/c/d/e", "h", "h", "h"},
		"the nearest of three":     {"h h/a h/a/b", "h/a/b", "h", "h/a/b", "h/a"},
		"none":                     {"", "h/a", "h", "", ""},
		"in home":                  {"h", "h", "h", "h", ""},
		"beside home directories":  {".", "h/a", "h", "", ""},
		"beside home, from home":   {".", "h", "h", "", ""},
		"home with a slash":        {".", "h/a", "h/", "", ""},
		"home in another spelling": {".", "h/a", "h/a/..", "", ""},
		"home behind a link":       {".", "h/a", "to-h", "", ""},
		"at home behind a link":    {". h", "to-h/a", "h", "to-h", "to-h"},
		"a home that is not there": {".", "h/a", "none", ".", "."},
		"no home":                  {".", "h/a", "", ".", "."},
		"outside of home":          {"w", "w/a", "h", "w", "w"},
		"above home":               {"w", ".", "h", "", ""},
		"a sibling is not above":   {"h/b", "h/a", "h", "", ""},
		"a home of like name":      {".", "h/a", "h2", ".", "."},
		"where the link leads":     {"h/a", "h/to-w/b", "h", "", ""}, // the shell's path counts, not where it leads
		"above a link":             {"h", "h/to-w/b", "h", "h", "h"},
		"a directory that is gone": {"h", "h/gone", "h", "h", "h"},
	} {
		t.Run(what, func(t *testing.T) {
			root := roottest.Dir(t)
			for _, dir := range []string{"h/a/b/c/d/e", "h/b", "h2", "w/a", "w/b"} {
				must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
			}
			must(t, os.Symlink("h", filepath.Join(root, "to-h")))
			must(t, os.Symlink("../w", filepath.Join(root, "h", "to-w")))
			for _, dir := range strings.Fields(test.files) {
				writeFile(t, filepath.Join(root, dir, Name), "")
			}
			home := root + "/" + test.home
			if test.home == "" {
				home = ""
			}
			for name, find := range map[string]func(dir, home string) (string, bool){"Find": Find, "FindAbove": FindAbove} {
				want := test.want
				if name == "FindAbove" {
					want = test.above
				}
				if want != "" {
					want = filepath.Join(root, want, Name)
				}
				got, ok := find(filepath.Join(root, test.dir), home)
				if ok && !strings.HasPrefix(got, root) {
					got, ok = "", false // one that is really above all tests
				}
				if got != want || ok != (want != "") {
					t.Errorf("%s(%q, %q) = %q, %v, want %q", name, test.dir, test.home, got, ok, want)
				}
			}
		})
	}
}

// Whatever has the name hides what is further up.
func TestFindObstacles(t *testing.T) {
	for what, prepare := range map[string]func(path string) error{
		"a directory":          func(path string) error { return os.Mkdir(path, 0o755) },
		"a link to nothing":    func(path string) error { return os.Symlink("none", path) },
		"a link to itself":     func(path string) error { return os.Symlink(Name, path) },
		"a link to a file":     func(path string) error { return os.Symlink("../"+Name, path) },
		"a FIFO":               func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a file without modes": func(path string) error { return os.WriteFile(path, nil, 0) },
	} {
		t.Run(what, func(t *testing.T) {
			root := roottest.Dir(t)
			writeFile(t, filepath.Join(root, Name), "")
			dir := filepath.Join(root, "a")
			must(t, os.Mkdir(dir, 0o755))
			must(t, prepare(filepath.Join(dir, Name)))
			if got, ok := Find(dir, root); !ok || got != filepath.Join(dir, Name) {
				t.Errorf("Find = %q, %v, want the obstacle", got, ok)
			}
		})
	}
}

func TestFindLevels(t *testing.T) {
	root := roottest.Dir(t)
	writeFile(t, filepath.Join(root, Name), "")
	dir := root
	for level := range MaxLevels + 3 { // the directory itself is one of them
		_, found := Find(dir, root)
		if want := level < MaxLevels; found != want {
			t.Errorf("Find %d levels up is %v, want %v", level, found, want)
		}
		dir = filepath.Join(dir, "d")
		must(t, os.Mkdir(dir, 0o755))
	}
}

func TestFindEndsAtFileSystem(t *testing.T) {
	root := roottest.Dir(t)
	writeFile(t, filepath.Join(root, Name), "")
	mount := filepath.Join(root, "mount")
	must(t, os.Mkdir(mount, 0o755))
	roottest.Tmpfs(t, mount, "64k", func() {
		must(t, os.MkdirAll(filepath.Join(mount, "a/b"), 0o755))
		for _, dir := range []string{mount, filepath.Join(mount, "a"), filepath.Join(mount, "a/b")} {
			if got, ok := Find(dir, root); ok {
				t.Errorf("Find(%q) = %q on another file system", dir, got)
			}
		}
		inside := writeFile(t, filepath.Join(mount, Name), "")
		if got, ok := Find(filepath.Join(mount, "a/b"), root); !ok || got != inside {
			t.Errorf("Find = %q, %v, want %q", got, ok, inside)
		}
		if got, ok := FindAbove(mount, root); ok {
			t.Errorf("FindAbove(%q) = %q on another file system", mount, got)
		}
		must(t, os.Symlink(mount, filepath.Join(root, "link")))
		if got, ok := Find(filepath.Join(root, "link", "a"), root); !ok || got != filepath.Join(root, "link", Name) {
			t.Errorf("Find through a link = %q, %v", got, ok)
		}
	})
	if got, ok := Find(mount, root); !ok || got != filepath.Join(root, Name) {
		t.Errorf("without the mount Find = %q, %v", got, ok)
	}
}

func TestFindAtTheRoot(t *testing.T) {
	for _, home := range []string{"/", "/home/ada", ""} {
		got, ok := Find("/", home)
		if _, err := os.Lstat("/" + Name); ok != (err == nil) || ok && got != "/"+Name {
			t.Errorf("Find(/, %q) = %q, %v", home, got, ok)
		}
		if got, ok := FindAbove("/", home); ok {
			t.Errorf("FindAbove(/, %q) = %q", home, got)
		}
	}
}
