//go:build unix

package projectfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// tree makes files. A content that begins with "->" makes a symbolic link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	outer := t.TempDir()
	dir := filepath.Join(outer, "project")
	files["../outside"] = "outside"
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParse(t *testing.T) {
	for path, want := range map[string]string{
		"a": "a|", "a#k": "a|k", "./s/../a#/x/y": "a|/x/y", "a#b#c": "a#b|c",
		"": "", "#k": "", "a#": "", "/etc/passwd#k": "", "../a#k": "", "s/../../a": "", "a\n#k": "", "a#\x00": "", "a#\xff": "", "a#\u009b": "",
	} {
		f, key, err := Parse(resolve.Ref{Path: path, Dir: "/project"})
		got := f.Name + "|" + key
		if err != nil {
			got = ""
		}
		if got != want || err != nil && resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("Parse(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
	for _, dir := range []string{"", "project", "."} {
		if _, _, err := Parse(resolve.Ref{Path: "a", Dir: dir}); resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("Parse in %q = %v, want malformed", dir, err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := tree(t, map[string]string{
		"a": "text", "sub/b": "text", "in": "->sub/b", "full": strings.Repeat("x", MaxSize), "big": strings.Repeat("x", MaxSize+1),
		"out": "->../outside", "abs": "->/etc/passwd", "up": "->..", "open": "", "shared/x": "", "loop": "->loop",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"open": 0o666, "shared": 0o777} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]struct {
		class resolve.Class
		text  string // of the file or of the error
	}{
		"a":          {"", "text"},
		"sub/b":      {"", "text"},
		"in":         {"", "text"},
		"full":       {"", strings.Repeat("x", MaxSize)},
		"big":        {resolve.Malformed, "big: more than 1 MiB"},
		"gone":       {resolve.NotFound, "gone: no such file"},
		"a/b":        {resolve.NotFound, "a/b: no such file"},
		"out":        {resolve.Denied, "out: not within the config's directory"},
		"abs":        {resolve.Denied, "abs: not within the config's directory"},
		"up/outside": {resolve.Denied, "up/outside: not within the config's directory"},
		"sub":        {resolve.Malformed, "sub: not a regular file"},
		"fifo":       {resolve.Malformed, "fifo: not a regular file"},
		"open":       {resolve.Denied, "open: other users can write it"},
		"shared/x":   {resolve.Denied, "shared/x: other users can write it"},
		"loop":       {"", "loop: " + syscall.ELOOP.Error()},
	} {
		data, err := File{dir, name}.Read()
		got := string(data)
		if err != nil {
			got = err.Error()
		}
		if got != want.text || resolve.ClassOf(err) != want.class {
			t.Errorf("Read of %q = %.60q, %v; want %s %.60q", name, data, err, want.class, want.text)
		}
	}
}

func TestCheckPlace(t *testing.T) {
	dir := tree(t, map[string]string{"a": "", "in": "->a", "up": "->..", "sub/x": "", "shared/x": ""})
	_ = os.Chmod(filepath.Join(dir, "a"), 0o640)
	_ = os.Chmod(filepath.Join(dir, "shared"), 0o777)
	for name, want := range map[string]struct {
		mode  os.FileMode
		class resolve.Class
	}{
		"a": {0o640, ""}, "new": {0o600, ""}, "sub/new": {0o600, ""},
		"none/new": {0, resolve.NotFound}, "in": {0, resolve.Malformed}, "sub": {0, resolve.Malformed},
		"up/new": {0, resolve.Denied}, "shared/x": {0, resolve.Denied},
	} {
		mode, err := File{dir, name}.CheckPlace()
		if mode != want.mode || resolve.ClassOf(err) != want.class || (err == nil) != (want.class == "") {
			t.Errorf("CheckPlace of %q = %v, %v; want %v, %q", name, mode, err, want.mode, want.class)
		}
	}
}
