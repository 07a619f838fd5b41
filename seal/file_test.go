package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
)

// TestMain is also the program that TestFileKeyInProcesses races with itself:
// it waits for the end of stdin, then gets a key and prints what tells it.
func TestMain(m *testing.M) {
	path := os.Getenv("KZ_TEST_KEY")
	if path == "" {
		os.Exit(m.Run())
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	key, err := FileKey(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("%x\n", key.Sum("which"))
}

func which(t *testing.T, path string) string {
	t.Helper()
	key, err := FileKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(key.Sum("which"))
}

// checkAlone fails unless the key is the only file in its directory, and closed to others.
func checkAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("beside the key are %v, %v", entries, err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != KeySize {
		t.Errorf("the key file: %v, %v", info, err)
	}
}

func TestFileKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "kz", "session.key")
	first := which(t, path)
	if again := which(t, path); again != first {
		t.Errorf("FileKey gives another key the second time")
	}
	checkAlone(t, path)
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", dir, info.Mode(), err)
		}
	}
	if other := which(t, filepath.Join(t.TempDir(), "session.key")); other == first {
		t.Errorf("two files have one key")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if next := which(t, path); next == first {
		t.Errorf("the key survives its file")
	}
}

func TestFileKeyIsRandomBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.key")
	which(t, path)
	data, err := os.ReadFile(path)
	if err != nil || bytes.Count(data, []byte{data[0]}) > KeySize/2 {
		t.Errorf("the key file holds %x, %v", data, err)
	}
}

func TestFileKeyInGoroutines(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "new", "session.key")
		sums := make([]string, 50)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range sums {
			wg.Go(func() {
				<-start
				key, err := FileKey(path)
				if err != nil {
					sums[i] = err.Error()
					return
				}
				sums[i] = hex.EncodeToString(key.Sum("which"))
			})
		}
		close(start)
		wg.Wait()
		for i := range sums {
			if sums[i] != sums[0] {
				t.Fatalf("of 50 at once, one gets %s and one %s", sums[0], sums[i])
			}
		}
		checkAlone(t, path)
	}
}

func TestFileKeyInProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "session.key")
	wait, start, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([]strings.Builder, 50)
	commands := make([]*exec.Cmd, len(outputs))
	for i := range commands {
		commands[i] = exec.Command(os.Args[0])
		commands[i].Env = []string{"KZ_TEST_KEY=" + path, "GOMAXPROCS=1"}
		commands[i].Stdin, commands[i].Stdout, commands[i].Stderr = wait, &outputs[i], &outputs[i]
		if err := commands[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	_ = wait.Close()
	_ = start.Close()
	for _, c := range commands {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	want := which(t, path) + "\n"
	for i := range outputs {
		if got := outputs[i].String(); got != want {
			t.Errorf("process %d gets %q, want %q", i, got, want)
		}
	}
	checkAlone(t, path)
}

// A key that others may know or have chosen is no key, and is not replaced
// behind the user's back.
func TestFileKeyRefuses(t *testing.T) {
	good := bytes.Repeat([]byte("k"), KeySize)
	write := func(data []byte, mode fs.FileMode) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				return err
			}
			return os.Chmod(path, mode)
		}
	}
	for what, test := range map[string]struct {
		prepare func(path string) error
		want    string
	}{
		"a file that the group can read":  {write(good, 0o640), "other users may have read or written this key; remove it"},
		"a file that the group can write": {write(good, 0o620), "other users may have read or written this key; remove it"},
		"a file that others can read":     {write(good, 0o604), "other users may have read or written this key; remove it"},
		"a file that others can write":    {write(good, 0o602), "other users may have read or written this key; remove it"},
		"a file that others can run":      {write(good, 0o601), "other users may have read or written this key; remove it"},
		"an empty file":                   {write(nil, 0o600), "a key has 32 bytes, not 0; remove it"},
		"a key that is too short":         {write(good[:31], 0o600), "a key has 32 bytes, not 31; remove it"},
		"a key that is too long":          {write(append(good, 'k'), 0o600), "a key has 32 bytes, not 33; remove it"},
		"a directory":                     {func(path string) error { return os.Mkdir(path, 0o700) }, "other users may have read or written this key; remove it"},
		"a FIFO":                          {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "other users may have read or written this key; remove it"},
		"a link to a key": {func(path string) error {
			if err := write(good, 0o600)(path + ".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}, "too many levels of symbolic links"},
		"a link to nothing": {func(path string) error { return os.Symlink(path+".real", path) }, "too many levels of symbolic links"},
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "session.key")
			if err := test.prepare(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			_, err := FileKey(path)
			if err == nil || !strings.HasSuffix(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("FileKey = %v, want …%s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "kkk") {
				t.Errorf("the error shows the key: %v", err)
			}
			if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("the file was %v and is %v", before, after)
			}
		})
	}
}

func TestFileKeyOfAnotherUser(t *testing.T) {
	path := filepath.Join(roottest.Dir(t), "session.key")
	which(t, path)
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := FileKey(path); err == nil || !strings.Contains(err.Error(), "other users may have read or written this key") {
		t.Errorf("FileKey of a file of user 65534 = %v", err)
	}
	roottest.As(t, 65534, func() {
		if _, err := FileKey(path); err != nil {
			t.Errorf("FileKey of one's own file = %v", err)
		}
	})
}

func TestFileKeyWhereNothingCanBeWritten(t *testing.T) {
	dir := roottest.Dir(t)
	roottest.As(t, 65534, func() {
		if _, err := FileKey(filepath.Join(dir, "session.key")); !os.IsPermission(err) {
			t.Errorf("FileKey in the directory of another = %v, want permission denied", err)
		}
	})
	roottest.Tmpfs(t, dir, "4k", func() {
		if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 4<<10), 0o600); err != nil {
			t.Error(err)
		}
		if _, err := FileKey(filepath.Join(dir, "session.key")); err == nil {
			t.Error("FileKey on a full disk succeeds")
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("FileKey on a full disk leaves %v", entries)
		}
	})
}

// Whoever made the key may have been killed before it removed its other name.
func TestFileKeyHasOneName(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "session.key")
	first := which(t, path)
	other := filepath.Join(filepath.Dir(path), fmt.Sprintf(".session.key.kz-%d-A", cmd.Process.Pid))
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	if got := which(t, path); got != first {
		t.Error("the key is another")
	}
	checkAlone(t, path)
}
