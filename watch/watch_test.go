package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/getkeyzero/kz/internal/roottest"
	"github.com/getkeyzero/kz/internal/shelltest"
)

// unchanged asks bash whether file and twin agree, as the hook does.
func unchanged(t *testing.T, file, twin string) bool {
	t.Helper()
	cmd := exec.Command("bash", "-c", `if [[ -e $1 && -e $2 && ! $1 -nt $2 && ! $1 -ot $2 ]]; then echo same; else echo changed; fi`, "bash", file, twin)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out) == "same\n"
}

func write(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	err := os.WriteFile(path, []byte(text), 0o600)
	if err == nil {
		err = os.Chtimes(path, at, at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	var files []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) != 1 {
		t.Fatalf("the twins are %q, want one", files)
	}
	return files[0]
}

var old = time.Now().Add(-time.Hour).Truncate(time.Second).Add(123456789)

// Whatever happens to a file after it was noted, a shell sees it.
func TestTwin(t *testing.T) {
	shelltest.Need(t, "bash")
	for what, test := range map[string]struct {
		change    func(path string) error
		unchanged bool
	}{
		"nothing":        {func(string) error { return nil }, true},
		"read":           {func(path string) error { _, err := os.ReadFile(path); return err }, true},
		"another mode":   {func(path string) error { return os.Chmod(path, 0o644) }, true},
		"an edit":        {func(path string) error { return os.WriteFile(path, []byte("longer than before"), 0o600) }, false},
		"the same size":  {func(path string) error { return os.WriteFile(path, []byte("eno"), 0o600) }, false},
		"the same bytes": {func(path string) error { return os.WriteFile(path, []byte("one"), 0o600) }, false},
		"a byte more": {func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				err = errors.Join(err, f.Close())
			}
			return err
		}, false},
		"a nanosecond later":   {func(path string) error { return os.Chtimes(path, time.Time{}, old.Add(1)) }, false},
		"a nanosecond earlier": {func(path string) error { return os.Chtimes(path, time.Time{}, old.Add(-1)) }, false},
		"an older file in its place": {func(path string) error {
			other := path + ".new"
			at := old.Add(-24 * time.Hour)
			err := errors.Join(os.WriteFile(other, []byte("one"), 0o600), os.Chtimes(other, at, at))
			return errors.Join(err, os.Rename(other, path))
		}, false},
		"a newer file in its place": {func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("one"), 0o600), os.Rename(path+".new", path))
		}, false},
		"removed":         {os.Remove, false},
		"renamed":         {func(path string) error { return os.Rename(path, path+".old") }, false},
		"a link in place": {func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/", path)) }, false},
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".keyzero.toml")
			write(t, path, "one", old)
			twin := Note(path).Twin(t.TempDir(), time.Now())
			if !unchanged(t, path, twin) {
				t.Fatal("a file and its twin differ from the start")
			}
			if err := test.change(path); err != nil {
				t.Fatal(err)
			}
			if got := unchanged(t, path, twin); got != test.unchanged {
				t.Errorf("after %s: unchanged is %v, want %v", what, got, test.unchanged)
			}
		})
	}
}

func TestTwinAtAnyTime(t *testing.T) {
	shelltest.Need(t, "bash")
	for what, at := range map[string]time.Time{
		"the epoch":               time.Unix(0, 0),
		"before the epoch":        time.Unix(-12345, 678),
		"after 2038":              time.Unix(1<<31+5, 1),
		"in the future":           time.Now().Add(time.Hour),
		"a whole second":          time.Now().Add(-time.Hour).Truncate(time.Second),
		"one nanosecond past one": time.Now().Add(-time.Hour).Truncate(time.Second).Add(1),
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "", at)
			twin := Note(path).Twin(t.TempDir(), time.Now())
			if !unchanged(t, path, twin) {
				t.Errorf("a file of %v and its twin differ", at)
			}
			write(t, path, "", at.Add(1))
			if unchanged(t, path, twin) {
				t.Errorf("a file of %v and the twin of one a nanosecond before agree", at)
			}
		})
	}
}

// A file that could change again and keep its time has no twin yet.
func TestTwinOfYoungFile(t *testing.T) {
	shelltest.Need(t, "bash")
	now := time.Now().Truncate(time.Hour)
	for what, test := range map[string]struct {
		age       time.Duration
		unchanged bool
	}{
		"now":                                  {0, false},
		"within a tick of the kernel":          {4*time.Millisecond + 1, false},
		"some ticks ago":                       {25*time.Millisecond + 1, true},
		"within a second, to the second":       {time.Second, false},
		"some seconds ago, to the second":      {3 * time.Second, true},
		"a second ago, to the nanosecond":      {time.Second + 1, true},
		"a tick ahead of the clock":            {-4*time.Millisecond - 1, false},
		"an hour ahead, by another's clock":    {-time.Hour - 1, true},
		"a second ahead, to the second":        {-time.Second, false},
		"some seconds ahead, to the second":    {-3 * time.Second, true},
		"some milliseconds short of a tick":    {19 * time.Millisecond, false},
		"a whole second, and not a nanosecond": {time.Second - 1, true},
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "", now.Add(-test.age))
			f := File{Path: path, ModTime: now.Add(-test.age)}
			if got := unchanged(t, path, f.Twin(t.TempDir(), now)); got != test.unchanged {
				t.Errorf("a file written %v ago: unchanged is %v, want %v", test.age, got, test.unchanged)
			}
		})
	}
}

// Two edits in one tick of the clock leave one time. If the second comes after
// the file was noted it must not go unseen, however long the caller takes.
func TestTwinOfFileThatWasYoungWhenNoted(t *testing.T) {
	shelltest.Need(t, "bash")
	path, at := filepath.Join(t.TempDir(), "file"), time.Now()
	write(t, path, "one", at)
	noted := Note(path)
	write(t, path, "two", at)
	if unchanged(t, path, noted.Twin(t.TempDir(), at.Add(time.Minute))) {
		t.Error("an edit after Note, within the tick of the one before it, does not show")
	}
}

// Once the file is old enough, asking again gives a twin.
func TestTwinAfterYouth(t *testing.T) {
	shelltest.Need(t, "bash")
	path, twins := filepath.Join(t.TempDir(), "file"), t.TempDir()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !unchanged(t, path, Note(path).Twin(twins, time.Now())); {
		if time.Now().After(deadline) {
			t.Fatal("after ten seconds the file has no twin")
		}
	}
}

func TestTwinIsKept(t *testing.T) {
	path, twins := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "run", "watch")
	write(t, path, "one", old)
	twin := Note(path).Twin(twins, time.Now())
	before, err := os.Stat(twin)
	if err != nil {
		t.Fatal(err)
	}
	again := Note(path).Twin(twins, time.Now())
	if after, err := os.Stat(again); err != nil || again != twin || !os.SameFile(before, after) {
		t.Errorf("Twin = %q, then %q (%v)", twin, again, err)
	}
	for _, dir := range []string{twins, filepath.Dir(twin)} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", dir, info.Mode(), err)
		}
	}
	if before.Size() != 0 || before.Mode() != 0o600 {
		t.Errorf("the twin has %d bytes and mode %v, want none and 0600", before.Size(), before.Mode())
	}
}

// Another shell that still compares with the twin of an earlier edit sees that
// it is gone.
func TestTwinReplacesEarlierOnes(t *testing.T) {
	shelltest.Need(t, "bash")
	path, twins := filepath.Join(t.TempDir(), "file"), t.TempDir()
	write(t, path, "one", old)
	first := Note(path).Twin(twins, time.Now())
	write(t, path, "two", old.Add(time.Minute))
	second := Note(path).Twin(twins, time.Now())
	if unchanged(t, path, first) || !unchanged(t, path, second) {
		t.Error("after an edit the first twin agrees, or the second does not")
	}
	// The file comes back as it was: the shell that holds the first twin is right again or asks.
	write(t, path, "one", old)
	if unchanged(t, path, second) {
		t.Error("the file went back, and the twin of the edit agrees")
	}
	onlyFile(t, twins)
}

func TestTwinIsMended(t *testing.T) {
	shelltest.Need(t, "bash")
	path, twins := filepath.Join(t.TempDir(), "file"), t.TempDir()
	write(t, path, "one", old)
	twin := Note(path).Twin(twins, time.Now())
	if err := os.Chtimes(twin, old, old.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if again := Note(path).Twin(twins, time.Now()); !unchanged(t, path, again) || onlyFile(t, twins) != again {
		t.Error("a twin that lost its time is not mended")
	}
}

// Whatever lies where the twin is to be, nothing is reached through it.
func TestTwinGoesThroughNoLink(t *testing.T) {
	shelltest.Need(t, "bash")
	for what, plant := range map[string]func(twin, victim string) error{
		"to nothing": func(twin, victim string) error { return os.Symlink(victim, twin) },
		"to a file": func(twin, victim string) error {
			return errors.Join(os.WriteFile(victim, []byte("kept"), 0o644), os.Symlink(victim, twin))
		},
		"of the file's time": func(twin, victim string) error {
			at := unix.NsecToTimespec(old.UnixNano())
			return errors.Join(os.Symlink(victim, twin), unix.UtimesNanoAt(unix.AT_FDCWD, twin, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
		},
		"to a directory, for its own": func(twin, victim string) error {
			home := filepath.Dir(twin)
			return errors.Join(os.Mkdir(victim, 0o700), os.WriteFile(filepath.Join(victim, "file"), []byte("kept"), 0o600),
				os.Remove(home), os.Symlink(victim, home))
		},
		"to a directory, for its own and it": func(twin, victim string) error {
			home, inside := filepath.Dir(twin), filepath.Join(victim, filepath.Base(twin))
			return errors.Join(os.Mkdir(victim, 0o700), os.WriteFile(inside, []byte("kept"), 0o600), os.Chtimes(inside, old, old),
				os.Remove(home), os.Symlink(victim, home))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path, victim, twins := filepath.Join(dir, "file"), filepath.Join(dir, "victim"), filepath.Join(dir, "twins")
			write(t, path, "one", old)
			twin := Note(path).Twin(twins, time.Now())
			if err := errors.Join(os.Remove(twin), plant(twin, victim)); err != nil {
				t.Fatal(err)
			}
			want := contents(t, victim)
			again := Note(path).Twin(twins, time.Now())
			if got := contents(t, victim); got != want {
				t.Errorf("the link leads to %q now, not to %q", got, want)
			}
			if again != twin || !unchanged(t, path, twin) || onlyFile(t, filepath.Dir(twin)) != twin {
				t.Errorf("the twin is %q and no file of its own, want %q", again, twin)
			}
			if info, err := os.Lstat(twin); err != nil || !info.Mode().IsRegular() {
				t.Errorf("the twin is %v, %v", info, err)
			}
		})
	}
}

// The name may be taken after the directory was swept.
func TestMakeEmptyIsFirst(t *testing.T) {
	dir := t.TempDir()
	twin, victim := filepath.Join(dir, "twin"), filepath.Join(dir, "victim")
	if err := os.Symlink(victim, twin); err != nil {
		t.Fatal(err)
	}
	if err := makeEmpty(twin, old); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a link to nothing: %v", err)
	}
	if _, err := os.Lstat(victim); err == nil {
		t.Error("what the link leads to was made")
	}
	write(t, victim, "kept", old)
	if err := makeEmpty(twin, old.Add(1)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a link to a file: %v", err)
	}
	if info, err := os.Stat(victim); err != nil || info.Size() != 4 || !info.ModTime().Equal(old) {
		t.Errorf("what the link leads to has %v, %v", info, err)
	}
}

// contents names all that is at path, with what is in it.
func contents(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			info, _ := d.Info()
			data, _ := os.ReadFile(path)
			fmt.Fprintln(&all, path, info.Mode(), info.ModTime(), string(data))
		}
		return nil
	})
	return all.String()
}

func TestTwinsOfTwoFiles(t *testing.T) {
	shelltest.Need(t, "bash")
	dir, twins := t.TempDir(), t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "", old)
	write(t, b, "", old)
	twinA, twinB := Note(a).Twin(twins, time.Now()), Note(b).Twin(twins, time.Now())
	if twinA == twinB || !unchanged(t, a, twinA) || !unchanged(t, b, twinB) {
		t.Errorf("two files of one time have the twins %q and %q", twinA, twinB)
	}
}

// The shells follow links: what counts is the file that one leads to.
func TestTwinOfLink(t *testing.T) {
	shelltest.Need(t, "bash")
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	write(t, real, "one", old)
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	twin := Note(link).Twin(t.TempDir(), time.Now())
	if !unchanged(t, link, twin) {
		t.Error("a link and its twin differ from the start")
	}
	write(t, real, "two", old.Add(1))
	if unchanged(t, link, twin) {
		t.Error("an edit of what the link leads to does not show")
	}
}

func TestNoteMissing(t *testing.T) {
	for what, path := range map[string]string{
		"no file":           filepath.Join(t.TempDir(), "none"),
		"no directory":      filepath.Join(t.TempDir(), "none", "none"),
		"below a file":      "/dev/null/none",
		"a name too long":   filepath.Join(t.TempDir(), strings.Repeat("x", 300)),
		"the empty name":    "",
		"a name with a NUL": "a\x00b",
	} {
		t.Run(what, func(t *testing.T) {
			if got := Note(path); !got.Missing || got.Path != path {
				t.Errorf("Note(%.40q) = %v, want it missing", path, got)
			}
		})
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("none", link); err != nil {
		t.Fatal(err)
	}
	if got := Note(link); !got.Missing {
		t.Errorf("Note of a link to nothing = %v, want it missing", got)
	}
}

// Where no twin can be made the file counts as changed, and nothing else happens.
func TestTwinWithoutPlace(t *testing.T) {
	shelltest.Need(t, "bash")
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "", old)
	if unchanged(t, path, Note(path).Twin(path, time.Now())) {
		t.Error("a file serves as the directory of its twin")
	}
	dir := roottest.Dir(t)
	roottest.As(t, 65534, func() {
		if unchanged(t, path, Note(path).Twin(dir, time.Now())) || unchanged(t, path, Note(path).Twin(filepath.Join(dir, "x"), time.Now())) {
			t.Error("a file has a twin in a directory that cannot be written")
		}
	})
	roottest.Tmpfs(t, dir, "4k,nr_inodes=2", func() {
		if unchanged(t, path, Note(path).Twin(dir, time.Now())) {
			t.Error("a file has a twin on a full disk")
		}
	})
}
