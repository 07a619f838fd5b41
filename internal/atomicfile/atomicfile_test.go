package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
)

// TestMain is also the program that tests kill or trip: it writes to the path
// what the variable says.
func TestMain(m *testing.M) {
	path, data, ok := strings.Cut(os.Getenv("KZ_TEST_WRITE"), ":")
	if !ok {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // strace counts calls thread by thread
	if err := Write(path, []byte(data), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWrite(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o644, 0o666, 0o000} {
		for _, umask := range []int{0, 0o022, 0o077, 0o777} {
			t.Run(fmt.Sprintf("mode %04o, umask %04o", mode, umask), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "file")
				was := syscall.Umask(umask)
				defer syscall.Umask(was)
				for _, text := range []string{"one", "", strings.Repeat("x", 1<<20), "\x00\xff"} {
					if err := Write(path, []byte(text), mode); err != nil {
						t.Fatalf("Write of %d bytes = %v", len(text), err)
					}
					if info, err := os.Lstat(path); err != nil || info.Mode() != mode || info.Size() != int64(len(text)) {
						t.Errorf("the file is %v, %v, want mode %v and %d bytes", info.Mode(), err, mode, len(text))
					}
				}
				if os.Getuid() == 0 && read(t, path) != "\x00\xff" {
					t.Errorf("the file holds %q", read(t, path))
				}
				if got := files(t, dir); got != "file" {
					t.Errorf("the directory has %q", got)
				}
			})
		}
	}
}

// Who has the old file open keeps it, and other names of it are left alone.
func TestWriteMakesAnotherFile(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	put(t, path, "old")
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, path) != "new" || read(t, other) != "old" {
		t.Errorf("the file holds %q and its other name %q", read(t, path), read(t, other))
	}
}

func TestWriteRefuses(t *testing.T) {
	for what, prepare := range map[string]func(path string) error{
		"a link":              func(path string) error { return os.Symlink("victim", path) },
		"a link to nothing":   func(path string) error { return os.Symlink("none", path) },
		"a link to itself":    func(path string) error { return os.Symlink("file", path) },
		"a directory":         func(path string) error { return os.Mkdir(path, 0o700) },
		"a FIFO":              func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link to elsewhere": func(path string) error { return os.Symlink("/etc/hostname", path) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			put(t, filepath.Join(dir, "victim"), "kept")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			err := Write(path, []byte("hunter2"), 0o600)
			if want := "write " + path + ": not a regular file"; err == nil || err.Error() != want {
				t.Errorf("Write = %v, want %q", err, want)
			}
			if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() {
				t.Errorf("what was there was %v and is %v", before, after)
			}
			if got := read(t, filepath.Join(dir, "victim")); got != "kept" || files(t, dir) != "file victim" {
				t.Errorf("the victim holds %q, the directory %q", got, files(t, dir))
			}
		})
	}
}

// Errors name the path that was given, and never the temporary file.
func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "")
	for what, test := range map[string]struct {
		path string
		want error
	}{
		"no directory":       {filepath.Join(dir, "none", "file"), fs.ErrNotExist},
		"below a file":       {filepath.Join(dir, "file", "file"), syscall.ENOTDIR},
		"a name too long":    {filepath.Join(dir, strings.Repeat("x", 250)), syscall.ENAMETOOLONG},
		"a name with a NUL":  {filepath.Join(dir, "a\x00b"), syscall.EINVAL},
		"the root of a disk": {"/", nil},
		"the empty name":     {"", nil},
	} {
		t.Run(what, func(t *testing.T) {
			err := Write(test.path, []byte("hunter2"), 0o600)
			var at *fs.PathError
			if !errors.As(err, &at) || at.Path != test.path || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Write(%.60q) = %v, want %v", test.path, err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), ".kz-") || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("Write(%.60q) = %v", test.path, err)
			}
		})
	}
	if got := files(t, dir); got != "file" {
		t.Errorf("failing leaves %q", got)
	}
}

func TestWriteWhereNothingCanBeWritten(t *testing.T) {
	dir := roottest.Dir(t)
	path := filepath.Join(dir, "file")
	put(t, path, "old")
	roottest.As(t, 65534, func() {
		if err := Write(path, []byte("new"), 0o600); !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), ".kz-") {
			t.Errorf("Write in the directory of another = %v, want permission denied", err)
		}
	})
	if read(t, path) != "old" || files(t, dir) != "file" {
		t.Errorf("the file holds %q, the directory %q", read(t, path), files(t, dir))
	}
}

// The new file is made beside the old one, wherever temporary files belong: a
// rename works on one file system only.
func TestWriteUsesNoOtherDirectory(t *testing.T) {
	dir, temp := roottest.Dir(t), t.TempDir()
	t.Setenv("TMPDIR", temp)
	if err := os.Chmod(temp, 0o500); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	roottest.Tmpfs(t, dir, "64k", func() {
		for _, path := range []string{filepath.Join(dir, "file"), filepath.Join(link, "file"), filepath.Join(dir, "..", filepath.Base(dir), "file")} {
			if err := Write(path, []byte("new"), 0o600); err != nil {
				t.Errorf("Write(%q) = %v", path, err)
			}
			if got := read(t, filepath.Join(dir, "file")); got != "new" || files(t, dir) != "file" {
				t.Errorf("Write(%q): the file holds %q, the directory %q", path, got, files(t, dir))
			}
			_ = os.Remove(filepath.Join(dir, "file"))
		}
	})
	if got := files(t, temp); got != "" {
		t.Errorf("the directory for temporary files has %q", got)
	}
}

// However full the disk is, the file is wholly the old one or wholly the new
// one, and nothing else is left.
func TestWriteOnFullDisk(t *testing.T) {
	dir := roottest.Dir(t)
	path := filepath.Join(dir, "file")
	failed, written := 0, 0
	roottest.Tmpfs(t, dir, "16k", func() {
		for _, before := range []int{0, 1, 4096, 8192, 12288} {
			for size := 0; size <= 20<<10; size += 1024 {
				old, data := strings.Repeat("o", before), strings.Repeat("n", size)
				put(t, path, old)
				err, want := Write(path, []byte(data), 0o600), data
				if err != nil {
					want = old
					failed++
				} else {
					written++
				}
				if err != nil && !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("Write of %d bytes over %d = %v", size, before, err)
				}
				if got := read(t, path); got != want {
					t.Errorf("Write of %d bytes over %d = %v, and the file holds %d bytes, %.1q first", size, before, err, len(got), got)
				}
				if got := files(t, dir); got != "file" {
					t.Errorf("Write of %d bytes over %d leaves %q", size, before, got)
				}
			}
		}
	})
	if failed == 0 || written == 0 {
		t.Errorf("%d writes failed and %d did not: the disk was of another size", failed, written)
	}
}

// At every moment a reader meets one of the texts, whole.
func TestWriteBesideReadersAndWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	text := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1000*(i+1)) }
	if err := Write(path, text(0), 0o600); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for range 10 {
				if err := Write(path, text(i), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			got, err := os.ReadFile(path)
			if err != nil || len(got) == 0 || !bytes.Equal(got, text(int(got[0]-'a'))) {
				t.Errorf("a reader meets %d bytes, %v", len(got), err)
				return
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	if got := files(t, filepath.Dir(path)); got != "file" {
		t.Errorf("the directory has %q", got)
	}
}

func TestWriteSweeps(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	gone, dir := cmd.Process.Pid, t.TempDir()
	kept := []string{
		fmt.Sprintf(".file.kz-%d-A", os.Getpid()), ".file.kz-1-A", // of live processes
		fmt.Sprintf(".other.kz-%d-A", gone), fmt.Sprintf("file.kz-%d-A", gone), // of other files
		fmt.Sprintf("%d-A", gone), ".file.kz-", ".file.kz-x-A", ".file.kz-0-A", ".file.kz--1-A", ".file", ".file.kz-99999999999999999999-A",
	}
	for _, name := range append(kept, fmt.Sprintf(".file.kz-%d-A", gone), fmt.Sprintf(".file.kz-%d-B", gone)) {
		put(t, filepath.Join(dir, name), "")
	}
	if err := Write(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range kept {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("Write removed %q", name)
		}
	}
	if got := files(t, dir); len(strings.Fields(got)) != len(kept)+1 {
		t.Errorf("Write leaves %q, which should be %q and the file", got, kept)
	}
}

func TestMkdirPrivate(t *testing.T) {
	was := syscall.Umask(0)
	defer syscall.Umask(was)
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := MkdirPrivate(dir); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", d, info.Mode(), err)
		}
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := MkdirPrivate(dir); err != nil {
		t.Error(err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o750 {
		t.Errorf("MkdirPrivate changed a directory that was there to %v", info.Mode())
	}
	put(t, filepath.Join(dir, "file"), "")
	if err := MkdirPrivate(filepath.Join(dir, "file")); err == nil {
		t.Error("MkdirPrivate takes a file for a directory")
	}
}

// Of several that create one file one does, and whatever is there stays.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := ""
	for i := range 16 {
		wg.Go(func() {
			text := strings.Repeat(string(rune('a'+i)), 1000)
			switch err := Create(path, []byte(text), 0o600); {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				created += text
			case !errors.Is(err, fs.ErrExist) || strings.Contains(err.Error(), ".kz-"):
				t.Errorf("Create = %v", err)
			}
		})
	}
	wg.Wait()
	if got := read(t, path); got != created || len(got) != 1000 {
		t.Errorf("the file holds %.1q, %d bytes, of %d that were created", got, len(got), len(created))
	}
	if got := files(t, dir); got != "file" {
		t.Errorf("the directory has %q", got)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("victim", link); err != nil {
		t.Fatal(err)
	}
	if err := Create(link, nil, 0o600); !errors.Is(err, fs.ErrExist) || files(t, dir) != "file link" {
		t.Errorf("Create in place of a link = %v, the directory has %q", err, files(t, dir))
	}
}
