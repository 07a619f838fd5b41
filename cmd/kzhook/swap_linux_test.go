package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/shelltest"
)

// While kz runs, slowed down between all that it does with the file, somebody
// replaces the configuration in every way there is. Whatever kz then loads is
// what was agreed to, and it opens the file once.
func TestFileIsSwapped(t *testing.T) {
	buildKZ(t)
	shelltest.Need(t, "strace")
	t.Parallel()
	b := newBench(t)
	const good, evil = "[env]\nA = \"good\"\n", "[env]\nA = \"evil\"\n"
	b.write("proj/.keyzero.toml", good)
	b.allow("proj")
	config := filepath.Join(b.home, "proj/.keyzero.toml")

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
				swap(config, []string{good, evil}[i%2], i/2%3)
			}
		}
	}()
	loaded, refused := 0, 0
	var last []byte
	for round := range 50 {
		trace := filepath.Join(b.home, fmt.Sprint("trace", round))
		cmd := exec.Command("strace", "-f", "-qq", "-o", trace, "-P", config, "-e", "trace=openat,openat2,open,fstat,newfstatat,read",
			"-e", "inject=openat,fstat,newfstatat,read:delay_enter=2000:delay_exit=2000",
			filepath.Join(built.dir, "kz"), "get", "A")
		cmd.Dir, cmd.Env = filepath.Dir(config), []string{"HOME=" + b.home, "PATH=/usr/bin:/bin"}
		out, err := cmd.Output()
		switch {
		case err == nil && string(out) == "good\n":
			loaded++
		case err != nil && len(out) == 0:
			refused++
			last = err.(*exec.ExitError).Stderr
		default:
			t.Errorf("kz get A: %q, %v", out, err)
		}
		data, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		if opened := strings.Count(string(data), "openat("); opened > 1 {
			t.Errorf("the file was opened %d times:\n%s", opened, data)
		}
	}
	close(stop)
	<-stopped
	if loaded == 0 || refused == 0 {
		t.Errorf("%d times loaded, %d times refused: the swaps did not meet kz: %s", loaded, refused, last)
	}
}

// swap gives the file another content: renamed into place, written over, or
// behind a link. While it does so the file may be missing, or half written.
func swap(path, text string, how int) {
	temp := path + ".new"
	switch how {
	case 0:
		_ = os.WriteFile(temp, []byte(text), 0o600)
		_ = os.Rename(temp, path)
	case 1:
		_ = os.WriteFile(path, []byte(text), 0o600)
	case 2:
		target := path + "." + fmt.Sprint(len(text))
		_ = os.WriteFile(target, []byte(text), 0o600)
		_ = os.Symlink(target, temp)
		_ = os.Rename(temp, path)
	}
}
