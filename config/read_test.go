package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/roottest"
)

// own is the text of the file that most cases have.
const own = "[env]\n"

// A place is a directory a/b with a file, as the cases of TestRead change it.
type place struct{ root, a, b, path string }

func newPlace(t *testing.T) place {
	t.Helper()
	root := roottest.Dir(t)
	p := place{root, filepath.Join(root, "a"), filepath.Join(root, "a/b"), filepath.Join(root, "a/b", Name)}
	writeFile(t, p.path, own)
	return p
}

func TestRead(t *testing.T) {
	swap := func(make func(path string) error) func(p place) error {
		return func(p place) error { return errors.Join(os.Remove(p.path), make(p.path)) }
	}
	chmod := func(of func(p place) string, mode fs.FileMode) func(p place) error {
		return func(p place) error { return os.Chmod(of(p), mode) }
	}
	file, b, a := func(p place) string { return p.path }, func(p place) string { return p.b }, func(p place) string { return p.a }
	for what, test := range map[string]struct {
		prepare func(p place) error
		want    string // the error, after the path of at; "" for none
		at      func(p place) string
		unsafe  bool
		shared  bool
	}{
		"a file":                       {prepare: func(place) error { return nil }},
		"a file that all can read":     {prepare: chmod(file, 0o644)},
		"a file that nobody can write": {prepare: chmod(file, 0o400)},
		"nothing":                      {prepare: func(p place) error { return os.Remove(p.path) }, want: "no such file or directory", at: file},
		"no directory":                 {prepare: func(p place) error { return os.RemoveAll(p.a) }, want: "no such file or directory", at: a},
		"a directory":                  {prepare: swap(func(path string) error { return os.Mkdir(path, 0o755) }), want: "not a regular file", at: file},
		"a FIFO":                       {prepare: swap(func(path string) error { return syscall.Mkfifo(path, 0o600) }), want: "not a regular file", at: file},
		"a socket": {prepare: swap(func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		}), want: "no such device or address", at: file},
		"a link": {prepare: func(p place) error {
			return errors.Join(os.Rename(p.path, p.path+".real"), os.Symlink(p.path+".real", p.path))
		}, want: "is a symbolic link; kz reads regular files only", at: file},
		"a link to nothing":   {prepare: swap(func(path string) error { return os.Symlink("none", path) }), want: "is a symbolic link; kz reads regular files only", at: file},
		"a link to a device":  {prepare: swap(func(path string) error { return os.Symlink("/dev/zero", path) }), want: "is a symbolic link; kz reads regular files only", at: file},
		"a link to itself":    {prepare: swap(func(path string) error { return os.Symlink(Name, path) }), want: "is a symbolic link; kz reads regular files only", at: file},
		"a file of two names": {prepare: func(p place) error { return os.Link(p.path, p.path+".other") }, want: "has 2 names (hard links)", at: file, unsafe: true},
		"as long as can be": {prepare: swap(func(path string) error {
			return os.WriteFile(path, []byte(own+strings.Repeat("\n", MaxFile-len(own))), 0o600)
		})},
		"a byte longer": {prepare: swap(func(path string) error {
			return os.WriteFile(path, []byte(own+strings.Repeat("\n", MaxFile+1-len(own))), 0o600)
		}), want: "larger than 64 KiB", at: file},
		"ten megabytes":                       {prepare: func(p place) error { return os.Truncate(p.path, 10<<20) }, want: "larger than 64 KiB", at: file},
		"a hundred gigabytes":                 {prepare: func(p place) error { return os.Truncate(p.path, 100<<30) }, want: "larger than 64 KiB", at: file},
		"a file all can write":                {prepare: chmod(file, 0o602), want: "other users can write it", at: file, unsafe: true},
		"a directory all can write":           {prepare: chmod(b, 0o777), want: "other users can write this directory", at: b, unsafe: true},
		"a directory above all can write":     {prepare: chmod(a, 0o757), want: "other users can write this directory", at: a, unsafe: true},
		"a sticky directory all can write":    {prepare: chmod(b, 0o777|fs.ModeSticky), shared: true},
		"a sticky directory above":            {prepare: chmod(a, 0o777|fs.ModeSticky)},
		"a sticky directory of one's own":     {prepare: chmod(b, 0o755|fs.ModeSticky)},
		"an open directory in a sticky one":   {prepare: func(p place) error { return errors.Join(chmod(b, 0o777)(p), chmod(a, 0o777|fs.ModeSticky)(p)) }, want: "other users can write this directory", at: b, unsafe: true},
		"a file in an open one, both at once": {prepare: func(p place) error { return errors.Join(chmod(b, 0o777)(p), chmod(file, 0o666)(p)) }, want: "other users can write this directory", at: b, unsafe: true},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			must(t, test.prepare(p))
			f, err := Read(p.path)
			if test.want == "" {
				if err != nil || f.Path != p.path || !strings.HasPrefix(string(f.Data), own) || f.Missing || f.Shared != test.shared {
					t.Errorf("Read = %q of %d bytes, missing %v, shared %v, %v; want it, shared %v", f.Path, len(f.Data), f.Missing, f.Shared, err, test.shared)
				}
				return
			}
			checkRefused(t, f, err, test.at(p), test.want, test.unsafe)
			if what == "nothing" != errors.Is(err, fs.ErrNotExist) && what != "no directory" {
				t.Errorf("Read = %v, which is fs.ErrNotExist: %v", err, errors.Is(err, fs.ErrNotExist))
			}
		})
	}
}

func checkRefused(t *testing.T, f File, err error, at, want string, unsafe bool) {
	t.Helper()
	var is *UnsafeError
	said := err != nil && err.Error() == at+": "+want || errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(err.Error(), at+": "+want)
	if !said || errors.As(err, &is) != unsafe {
		t.Errorf("Read = %v, which is unsafe: %v; want %q, %v", err, errors.As(err, &is), at+": "+want, unsafe)
	}
	if len(f.Data) > 0 {
		t.Errorf("Read gives %d bytes with the error", len(f.Data))
	}
}

// The owner and the group are what only root can set.
func TestReadOfOthers(t *testing.T) {
	const me, group, other = 65534, 65533, 12345
	for what, test := range map[string]struct {
		file, b, a [2]int // owners and groups
		mode       fs.FileMode
		dirMode    fs.FileMode
		want       string
		at         func(p place) string
	}{
		"one's own":                       {file: [2]int{me, me}, b: [2]int{me, me}, a: [2]int{me, me}, mode: 0o600, dirMode: 0o755},
		"one's own, below root's":         {file: [2]int{me, me}, mode: 0o600, dirMode: 0o755},
		"root's":                          {mode: 0o644, dirMode: 0o755},
		"another user's":                  {file: [2]int{other, me}, b: [2]int{me, me}, mode: 0o644, dirMode: 0o755, want: "belongs to another user (uid 12345)", at: func(p place) string { return p.path }},
		"in another user's directory":     {file: [2]int{me, me}, b: [2]int{other, me}, mode: 0o644, dirMode: 0o755, want: "this directory belongs to another user (uid 12345)", at: func(p place) string { return p.b }},
		"below another user's directory":  {file: [2]int{me, me}, b: [2]int{me, me}, a: [2]int{other, me}, mode: 0o644, dirMode: 0o755, want: "this directory belongs to another user (uid 12345)", at: func(p place) string { return p.a }},
		"a file one cannot read":          {mode: 0o600, dirMode: 0o755, want: "permission denied", at: func(p place) string { return p.path }},
		"written by one's own group":      {file: [2]int{me, me}, b: [2]int{me, me}, mode: 0o664, dirMode: 0o775},
		"written by another group":        {file: [2]int{me, group}, b: [2]int{me, me}, mode: 0o664, dirMode: 0o755, want: "other users can write it", at: func(p place) string { return p.path }},
		"a directory of another group":    {file: [2]int{me, me}, b: [2]int{me, group}, mode: 0o600, dirMode: 0o775, want: "other users can write this directory", at: func(p place) string { return p.b }},
		"root's, written by root's group": {mode: 0o664, dirMode: 0o755, want: "other users can write it", at: func(p place) string { return p.path }},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			if os.Getuid() != 0 {
				t.Skip("needs root")
			}
			for path, owner := range map[string][2]int{p.path: test.file, p.b: test.b, p.a: test.a} {
				must(t, os.Chown(path, owner[0], owner[1]))
			}
			must(t, os.Chmod(p.path, test.mode))
			must(t, os.Chmod(p.b, test.dirMode))
			roottest.As(t, me, func() {
				f, err := Read(p.path)
				if test.want != "" {
					checkRefused(t, f, err, test.at(p), test.want, test.want != "permission denied")
				} else if err != nil || string(f.Data) != own {
					t.Errorf("Read = %q, %v", f.Data, err)
				}
			})
		})
	}
}

// A group is one's own if its number is the user's and it is theirs: then nobody
// else is in it. One that users share is not.
func TestReadOfGroups(t *testing.T) {
	const me, shared = 65534, 100
	for what, test := range map[string]struct {
		group, of int // the process's group, and the file's
		refused   bool
	}{
		"one's own":                    {me, me, false},
		"the one that all users share": {shared, shared, true},
		"one of one's number":          {shared, me, true},
		"another":                      {me, shared, true},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			if os.Getuid() != 0 {
				t.Skip("needs root")
			}
			must(t, os.Chown(p.path, me, test.of))
			must(t, os.Chmod(p.path, 0o660))
			roottest.AsGroup(t, me, test.group, func() {
				f, err := Read(p.path)
				if test.refused {
					checkRefused(t, f, err, p.path, "other users can write it", true)
				} else if err != nil {
					t.Errorf("Read = %v", err)
				}
			})
		})
	}
}

// The path that counts has no links in it, and no others names.
func TestReadIsCanonical(t *testing.T) {
	p := newPlace(t)
	must(t, os.Symlink("a", filepath.Join(p.root, "link")))
	must(t, os.Symlink(p.root, filepath.Join(p.a, "round")))
	for _, spelling := range []string{p.path, "link/b/" + Name, "link/../a/./b//" + Name, "a/round/link/b/" + Name, "a/b/../b/" + Name} {
		if !filepath.IsAbs(spelling) {
			spelling = p.root + "/" + spelling
		}
		if f, err := Read(spelling); err != nil || f.Path != p.path {
			t.Errorf("Read(%q) = %q, %v, want %q", spelling, f.Path, err, p.path)
		}
	}
	// A link to a directory that others can write is as unsafe as that directory.
	must(t, os.Chmod(p.b, 0o777))
	var unsafe *UnsafeError
	if _, err := Read(filepath.Join(p.root, "link/b", Name)); !errors.As(err, &unsafe) || unsafe.Path != p.b {
		t.Errorf("Read through a link = %v, want that %q is unsafe", err, p.b)
	}
}

func TestReadIsBounded(t *testing.T) {
	p := newPlace(t)
	must(t, os.WriteFile(p.path, []byte(strings.Repeat("[", 10<<20)), 0o600))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Read(p.path)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 1<<20 {
		t.Errorf("Read of ten megabytes = %v, and takes %d KiB", err, got>>10)
	}
}

func TestReadClosesWhatItOpens(t *testing.T) {
	p := newPlace(t)
	open := func() int {
		entries, err := os.ReadDir("/dev/fd")
		must(t, err)
		return len(entries)
	}
	before := open()
	for range 20 {
		_, _ = Read(p.path)
		_, _ = Read(p.b)
		_, _ = ReadUser(p.b)
	}
	if after := open(); after > before+5 {
		t.Errorf("there were %d open files and are %d", before, after)
	}
}

// What the error advises mends it, wherever the file lies, and does nothing else.
func TestFixMends(t *testing.T) {
	for what, name := range map[string]string{
		"plain": "dir", "spaces": "a b", "a quote": "it's", "two quotes": `it's "it"`, "a command": "$(touch pwned)", "another": "x;touch pwned", "backticks": "`touch pwned`",
		"a dash": "-R", "a star": "*", "a tilde": "~", "a backslash": `a\b`, "letters of others": "é日", "a comment": "#",
		"a line feed": "a\nb", "an escape": "a\x1b]0;x\a", "an override": "a\u202eb", "not UTF-8": "a\xffb", "a zero-width space": "a\u200bb", "a variation selector": "a\ufe0fb",
	} {
		t.Run(what, func(t *testing.T) {
			root := roottest.Dir(t)
			path := writeFile(t, filepath.Join(root, name, Name), own)
			for _, at := range []string{path, filepath.Dir(path)} {
				must(t, os.Chmod(at, 0o777))
				_, err := Read(path)
				var unsafe *UnsafeError
				if !errors.As(err, &unsafe) || unsafe.Path != at || strings.ContainsAny(err.Error(), "\n\x1b\a\u202e\u200b") || !utf8.ValidString(err.Error()) {
					t.Fatalf("Read = %q, want that %q is unsafe", err, at)
				}
				if unsafe.Fix == "" {
					if strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r > 0x7f }) < 0 {
						t.Errorf("for %q there is no advice", at)
					}
					must(t, os.Chmod(at, 0o700))
					continue
				}
				for _, shell := range []string{"sh", "bash", "zsh", "fish"} {
					if _, err := exec.LookPath(shell); err != nil {
						continue
					}
					must(t, os.Chmod(at, 0o777))
					cmd := exec.Command(shell, "-c", unsafe.Fix)
					cmd.Dir = root
					cmd.Env = []string{"HOME=" + root, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
					out, err := cmd.CombinedOutput()
					if info, _ := os.Stat(at); err != nil || info.Mode().Perm() != 0o755 {
						t.Errorf("%s: %s = %v, %s: the mode is %v", shell, unsafe.Fix, err, out, info.Mode())
					}
				}
			}
			if f, err := Read(path); err != nil || string(f.Data) != own {
				t.Errorf("after all that Read = %v", err)
			}
			if _, err := os.Lstat(filepath.Join(root, "pwned")); err == nil {
				t.Error("the advice ran a command")
			}
		})
	}
}

func TestReadBeside(t *testing.T) {
	for what, test := range map[string]struct {
		prepare func(path string) error
		want    string
		missing bool
	}{
		"a file":                 {func(path string) error { return os.WriteFile(path, []byte(own), 0o600) }, "", false},
		"an empty file":          {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "", false},
		"nothing":                {func(string) error { return nil }, "", true},
		"a link to nothing":      {func(path string) error { return os.Symlink("none", path) }, "is a symbolic link; kz reads regular files only", false},
		"a directory":            {func(path string) error { return os.Mkdir(path, 0o755) }, "not a regular file", false},
		"a file all can write":   {func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666)) }, "other users can write it", false},
		"another name of a file": {func(path string) error { return os.Link(filepath.Join(filepath.Dir(path), Name), path) }, "has 2 names (hard links)", false},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			main, err := Read(p.path)
			must(t, err)
			path := filepath.Join(p.b, LocalName)
			must(t, test.prepare(path))
			f, err := ReadBeside(main)
			if test.want != "" {
				if err == nil || err.Error() != path+": "+test.want || f.Missing {
					t.Errorf("ReadBeside = %v, %v, want %q", f, err, test.want)
				}
				return
			}
			if err != nil || f.Path != path || f.Missing != test.missing {
				t.Errorf("ReadBeside = %q, missing %v, %v; want %q, %v", f.Path, f.Missing, err, path, test.missing)
			}
		})
	}
}

func TestReadUser(t *testing.T) {
	for what, test := range map[string]struct {
		prepare func(path string) error
		want    string
		missing bool
	}{
		"a file": {func(path string) error { return os.WriteFile(path, []byte(own), 0o600) }, "", false},
		"a link to a file": {func(path string) error {
			return errors.Join(os.WriteFile(path+".real", []byte(own), 0o600), os.Symlink(path+".real", path))
		}, "", false},
		"a file of two names": {func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(own), 0o600), os.Link(path, path+".other"))
		}, "", false},
		"nothing":              {func(string) error { return nil }, "", true},
		"a FIFO":               {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "not a regular file", false},
		"a device":             {func(path string) error { return os.Symlink("/dev/zero", path) }, "not a regular file", false},
		"a file all can write": {func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666)) }, "other users can write it", false},
		"a link to one that all can write": {func(path string) error {
			return errors.Join(os.WriteFile(path+".real", nil, 0o600), os.Chmod(path+".real", 0o666), os.Symlink(path+".real", path))
		}, "other users can write it", false},
		"too long": {func(path string) error { return os.WriteFile(path, make([]byte, MaxFile+1), 0o600) }, "larger than 64 KiB", false},
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(roottest.Dir(t), "config.toml")
			must(t, test.prepare(path))
			f, err := ReadUser(path)
			if test.want != "" {
				if err == nil || err.Error() != path+": "+test.want || f.Missing {
					t.Errorf("ReadUser = %v, %v, want %q", f, err, test.want)
				}
				return
			}
			if err != nil || f.Path != path || f.Missing != test.missing || f.Missing == (string(f.Data) == own) {
				t.Errorf("ReadUser = %+v, %v, want missing %v", f, err, test.missing)
			}
		})
	}
	if f, err := ReadUser(filepath.Join(t.TempDir(), "none", "config.toml")); err != nil || !f.Missing {
		t.Errorf("ReadUser below no directory = %+v, %v, want it missing", f, err)
	}
}

func TestErrorsArePrintable(t *testing.T) {
	for _, err := range []error{
		&Error{Pos: Position{Path: "/a\x1b]0;x\a", Line: 3}, Key: "K\u202e", Msg: "x"},
		&UnsafeError{Path: "/a\n\x9b", Msg: "x"},
	} {
		if got := fmt.Sprint(err); strings.ContainsAny(got, "\x1b\a\n\u202e") || !utf8.ValidString(got) || !strings.HasSuffix(got, ": x") {
			t.Errorf("the error reads %q", got)
		}
	}
}
