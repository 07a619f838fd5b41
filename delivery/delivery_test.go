package delivery

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
	"github.com/getkeyzero/kz/resolve"
)

// tree lists what lies below dir, with modes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		list = append(list, info.Mode().String()+" "+rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func deliver(t *testing.T, o Owner, place, variable, value string) string {
	t.Helper()
	path, err := o.Write(place, variable, resolve.NewSecret(value))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func dead(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestWrite(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		t.Run(fmt.Sprintf("umask %03o", umask), func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "run", "files")
			was := syscall.Umask(umask)
			defer syscall.Umask(was)
			value := "-----BEGIN KEY-----\n\xff\x00\n"
			path := deliver(t, For(root, 123), "place", "KEY_FILE", value)
			if got, err := os.ReadFile(path); err != nil || string(got) != value {
				t.Errorf("the file holds %q, %v, want %q", got, err, value)
			}
			owner := name(123)
			want := []string{"drwx------ " + owner, "drwx------ " + owner + "/place", "-rw------- " + owner + "/place/KEY_FILE"}
			if got := tree(t, root); !slices.Equal(got, want) {
				t.Errorf("below the root are %q, want %q", got, want)
			}
			if info, err := os.Stat(root); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the root: %v, %v, want mode 0700", info.Mode(), err)
			}
			if again := deliver(t, For(root, 123), "place", "KEY_FILE", "new"); again != path {
				t.Errorf("the path was %q and is %q", path, again)
			}
			if got, _ := os.ReadFile(path); string(got) != "new" || len(tree(t, root)) != 3 {
				t.Errorf("delivered again the file holds %q, among %q", got, tree(t, root))
			}
		})
	}
}

// A project's names stay in the owner's directory.
func TestWriteStaysInside(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "a/", "/a", "a/../b", "./a", "../../../../../../../../tmp/kz"} {
		for what, names := range map[string][2]string{"place": {bad, "KEY"}, "variable": {"place", bad}} {
			t.Run(fmt.Sprintf("%s %q", what, bad), func(t *testing.T) {
				root := t.TempDir()
				path, err := For(root, 1).Write(names[0], names[1], resolve.NewSecret("hunter2"))
				if err == nil || path != "" || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("Write(%q, %q) = %q, %v, want an error", names[0], names[1], path, err)
				}
				if got := tree(t, root); len(got) > 0 {
					t.Errorf("Write(%q, %q) made %q", names[0], names[1], got)
				}
			})
		}
	}
}

func TestWriteOverWhatIsNoFile(t *testing.T) {
	root, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	o := For(root, 1)
	path := deliver(t, o, "place", "KEY", "one")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(victim, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write("place", "KEY", resolve.NewSecret("hunter2")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Write over a link = %v, want an error", err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "kept" {
		t.Errorf("what the link led to holds %q", got)
	}
}

func TestRemove(t *testing.T) {
	root := t.TempDir()
	mine, outer := For(root, os.Getpid()), For(root, os.Getppid())
	a, b, c := deliver(t, mine, "one", "A", "1"), deliver(t, mine, "one", "B", "2"), deliver(t, mine, "two", "C", "3")
	theirs := deliver(t, outer, "one", "A", "4")
	beside := filepath.Join(root, "beside")
	if err := os.WriteFile(beside, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, path := range []string{theirs, beside, mine.dir() + "/../beside", "/etc/hostname", "beside", "", mine.dir(), mine.dir() + "/", root} {
		mine.Remove(path)
	}
	if !Exists(theirs) || !Exists(beside) || !Exists(a) || !Exists(b) || !Exists(c) {
		t.Fatalf("Remove of what is not the owner's file leaves %q", tree(t, root))
	}
	mine.Remove(a)
	if Exists(a) || !Exists(b) {
		t.Errorf("Remove(%q) leaves %q", a, tree(t, root))
	}
	mine.Remove(a) // gone already
	mine.Remove(b)
	if Exists(filepath.Dir(b)) || !Exists(c) {
		t.Errorf("Remove of the last file of a place leaves %q", tree(t, root))
	}
	mine.Remove(c)
	if Exists(mine.dir()) || !Exists(theirs) {
		t.Errorf("Remove of the last file leaves %q", tree(t, root))
	}
}

// A directory is not a delivered file, even if nothing is in it.
func TestRemoveOfDirectories(t *testing.T) {
	root := filepath.Join(t.TempDir(), "files")
	mine := For(root, 1)
	if err := os.MkdirAll(mine.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{mine.dir(), mine.dir() + "/", mine.dir() + "/.", root} {
		if mine.Remove(path); !Exists(mine.dir()) {
			t.Fatalf("Remove(%q) removed the owner's directory", path)
		}
	}
}

func TestRemoveAll(t *testing.T) {
	root := t.TempDir()
	mine, other := For(root, 1), For(root, 11)
	deliver(t, mine, "one", "A", "1")
	deliver(t, mine, "two", "B", "2")
	kept := deliver(t, other, "one", "A", "3")
	mine.RemoveAll()
	if Exists(mine.dir()) || !Exists(kept) {
		t.Errorf("RemoveAll leaves %q", tree(t, root))
	}
	mine.RemoveAll() // nothing is there
}

func TestSweep(t *testing.T) {
	root, victim := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(victim, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := dead(t)
	mine := For(root, os.Getpid())
	kept := []string{
		deliver(t, mine, "p", "A", "1"),
		deliver(t, For(root, os.Getppid()), "p", "A", "1"),
		deliver(t, For(root, 1), "p", "A", "1"), // alive, though perhaps not ours to signal
	}
	swept := deliver(t, For(root, gone), "p", "A", "1")
	// Of other containers, whose processes cannot be seen from here, and of nobody.
	for _, name := range []string{fmt.Sprintf("%d-1", gone), fmt.Sprintf("%d", gone), fmt.Sprintf("%d-", gone), "-1-" + namespace(), "0-" + namespace(),
		"x-" + namespace(), "README", "99999999999999999999-" + namespace()} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, dir)
	}
	link := filepath.Join(root, name(dead(t)))
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	mine.Sweep()
	for _, path := range kept {
		if !Exists(path) {
			t.Errorf("Sweep removed %q", path)
		}
	}
	if Exists(swept) || Exists(filepath.Dir(filepath.Dir(swept))) {
		t.Errorf("Sweep left what belonged to the ended process %d: %q", gone, tree(t, root))
	}
	if !Exists(filepath.Join(victim, "file")) {
		t.Error("Sweep followed a link")
	}
}

// That a process may not be signalled does not mean that it has ended.
func TestSweepBesideOtherUsers(t *testing.T) {
	root := roottest.Dir(t)
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	gone := dead(t)
	roottest.As(t, 65534, func() {
		kept, swept := deliver(t, For(root, os.Getpid()), "p", "A", "1"), deliver(t, For(root, gone), "p", "A", "1")
		For(root, 1).Sweep()
		if !Exists(kept) || Exists(swept) {
			t.Errorf("Sweep leaves %q", tree(t, root))
		}
	})
}

func TestSweepOfNothing(t *testing.T) {
	For(filepath.Join(t.TempDir(), "none"), 1).Sweep()
}
