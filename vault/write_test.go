package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/roottest"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// TestMain is also the program of other processes: KZ_TEST_VAULT is what it
// does, and to which vault.
func TestMain(m *testing.M) {
	what, path, ok := strings.Cut(os.Getenv("KZ_TEST_VAULT"), ":")
	if !ok {
		os.Exit(m.Run())
	}
	if err := another(what, path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func another(what, path string) error {
	runtime.LockOSThread() // strace counts calls thread by thread
	v, err := Open(path)
	if err != nil {
		return err
	}
	slotKey, err := seal.KeyFrom([]byte(strings.Repeat("\x07", seal.KeySize)))
	if err != nil {
		return err
	}
	key, err := v.UnlockWith(slotKey)
	if err != nil {
		return err
	}
	switch what {
	case "change":
		return set(path, key, "a", "after")
	case "remove":
		return RemoveSlot(context.Background(), path, key, "second")
	case "hold":
		return Update(context.Background(), path, key, func(map[string]resolve.Secret) error {
			fmt.Println("holding")
			_, err := os.Stdin.Read(make([]byte, 1)) // until the test ends
			return err
		})
	}
	return setTen(path, key, what)
}

// setTen waits for others longer than one update does: where the disk is slow
// somebody comes last.
func setTen(path string, key seal.Key, name string) error {
	for i := range 10 {
		err := ErrBusy
		for try := 0; try < 10 && errors.Is(err, ErrBusy); try++ {
			err = set(path, key, fmt.Sprintf("%s-%d", name, i), "x")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func set(path string, key seal.Key, name, value string) error {
	return Update(context.Background(), path, key, func(entries map[string]resolve.Secret) error {
		entries[name] = resolve.NewSecret(value)
		return nil
	})
}

func process(what, path string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"KZ_TEST_VAULT=" + what + ":" + path, "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// Many write at once, in this process and in others, while others read: each
// entry arrives, and each reader meets a whole vault.
func TestWritersAtOnce(t *testing.T) {
	path, key := create(t)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 4 {
		writers.Go(func() {
			if err := setTen(path, key, fmt.Sprintf("goroutine%d", i)); err != nil {
				t.Error(err)
			}
		})
		writers.Go(func() {
			if out, err := process(fmt.Sprintf("process%d", i), path).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			v, err := Open(path)
			if err == nil {
				_, err = v.Entries(key)
			}
			if err != nil {
				t.Errorf("a reader meets %v", err)
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	entries, err := open(t, path).Entries(key)
	must(t, err)
	if len(entries) != 80 {
		t.Errorf("of 80 entries %d are there", len(entries))
	}
	if got := files(t, filepath.Dir(path)); got != "vault.kz vault.kz.bak vault.kz.lock" {
		t.Errorf("the directory has %q", got)
	}
}

// A writer that waits in vain says for whom, and one that is killed keeps nobody
// waiting.
func TestBusy(t *testing.T) {
	path, key := create(t, "a", "1")
	cmd := process("hold", path)
	_, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = set(path, key, "a", "2")
	want := fmt.Sprintf("%s: another kz is writing to it, process %d", path, cmd.Process.Pid)
	if !errors.Is(err, ErrBusy) || fmt.Sprint(err) != want {
		t.Errorf("Update beside another = %v, want %q", err, want)
	}
	if took := time.Since(start); took < lockWait || took > lockWait+5*time.Second {
		t.Errorf("it waited %v", took)
	}
	checkHolds(t, path, key, "a=1") // readers do not wait
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	must(t, set(path, key, "a", "2"))
	checkHolds(t, path, key, "a=2")
}

func TestLockIsNoLink(t *testing.T) {
	path, key := create(t, "a", "1")
	victim := filepath.Join(filepath.Dir(path), "victim")
	must(t, os.WriteFile(victim, []byte("kept"), 0o600))
	must(t, os.Remove(path+".lock"))
	must(t, os.Symlink(victim, path+".lock"))
	if err := set(path, key, "a", "2"); err == nil || string(read(t, victim)) != "kept" {
		t.Errorf("with a link as lock: %v, and the victim has %q", err, read(t, victim))
	}
	must(t, os.Remove(path+".lock"))
	must(t, os.Remove(path+Backup))
	must(t, os.Symlink(victim, path+Backup))
	if err := set(path, key, "a", "2"); err == nil || string(read(t, victim)) != "kept" {
		t.Errorf("with a link as backup: %v, and the victim has %q", err, read(t, victim))
	}
	checkHolds(t, path, key, "a=1")
}

// However full the disk is, the vault is wholly the old or wholly the new one.
func TestFullDisk(t *testing.T) {
	dir := roottest.Dir(t)
	path := filepath.Join(dir, "vault.kz")
	failed, written := 0, 0
	roottest.Tmpfs(t, dir, "48k", func() {
		key, err := Create(t.Context(), path, KeychainSlot("keychain", fixedKey(t)))
		must(t, err)
		for size := 0; size < 40<<10; size += 1 << 10 {
			before := read(t, path)
			want := strings.Repeat("x", size)
			err := set(path, key, "a", want)
			if err == nil {
				written++
				if s, err := open(t, path).Get(key, "a"); err != nil || s.Reveal() != want {
					t.Errorf("written with %d bytes, the vault holds %d, %v", size, len(s.Reveal()), err)
				}
			} else if failed++; !errors.Is(err, syscall.ENOSPC) || string(read(t, path)) != string(before) {
				t.Errorf("with %d bytes: %v, and the vault is the old one: %v", size, err, string(read(t, path)) == string(before))
			}
			if got := strings.ReplaceAll(files(t, dir), " vault.kz.bak", ""); got != "vault.kz vault.kz.lock" {
				t.Errorf("with %d bytes: the directory has %q", size, got)
			}
		}
		must(t, os.Remove(path+Backup)) // somebody makes room
		must(t, set(path, key, "a", ""))
		checkHolds(t, path, key, "a=")
	})
	if failed == 0 || written == 0 {
		t.Errorf("%d updates failed and %d did not: the disk was of another size", failed, written)
	}
}
