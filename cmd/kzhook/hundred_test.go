package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/shelltest"
)

// A ran is what a process said, and how it ended.
type ran struct {
	stdout, stderr string
	err            error
}

// atOnce runs a command as many times, all from the same moment on, and returns
// how long that took. How they are started does not count.
func (d *desk) atOnce(n int, dir string, argv ...string) ([]ran, time.Duration) {
	d.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	results := make([]ran, n)
	var wg sync.WaitGroup
	for i := range n {
		cmd := exec.Command("/bin/sh", append([]string{"-c", `read -r _ <&3; exec 3<&-; exec "$@"`, "sh"}, argv...)...)
		cmd.Dir = d.path(dir)
		cmd.Env = []string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.path("run"), "PATH=" + d.path("bin") + ":/usr/bin:/bin", "LANG=C.UTF-8", "PWD=" + cmd.Dir}
		cmd.ExtraFiles = []*os.File{r}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			d.t.Fatal(err)
		}
		wg.Go(func() {
			err := cmd.Wait()
			results[i] = ran{stdout.String(), stderr.String(), err}
		})
	}
	begun := time.Now()
	_ = w.Close()
	wg.Wait()
	return results, time.Since(begun)
}

const hundredFiles = `
-- local/ --
[secrets]
TOKEN = "dotenv://values#TOKEN"
[env]
PLAIN = "kz ${TOKEN}"
-- local/values --
TOKEN=value of token
-- remote/ --
[secrets]
TOKEN = "store://token"
[env]
PLAIN = "kz ${TOKEN}"
-- broken/ --
[secrets]
TOKEN = "store://token"
-- shell/ --
[secrets]
TOKEN = "store://token"
FILE = { provider = "dotenv", ref = "values#TOKEN", as = "file" }
-- shell/values --
TOKEN=value of token
`

// A hundred shells that enter one project at the same moment get all of it, and
// ask a store once: the first time that kz runs here at all, and any other.
func TestHundredShells(t *testing.T) {
	shelltest.Need(t, "bash")
	buildKZ(t)
	d := furnish(t, "bash", seat{files: hundredFiles})
	kz := filepath.Join(built.dir, "kz")

	_, floor := d.atOnce(100, "", "/bin/true")
	t.Logf("100 of /bin/true take %v", floor.Round(time.Millisecond))
	if direnv, err := exec.LookPath("direnv"); err == nil {
		d.file("local/.envrc", "export TOKEN=x\n")
		_, took := d.atOnce(100, "local", direnv, "export", "bash")
		t.Logf("100 of direnv export take %v", took.Round(time.Millisecond))
	}

	check := func(what string, results []ran) {
		t.Helper()
		for _, r := range results {
			if r.err != nil || !strings.Contains(r.stdout, " 'TOKEN=value of token'\n") || r.stderr != "kz: +PLAIN +TOKEN ("+what+")\n" {
				t.Fatalf("%s: one of a hundred: %v, it says %q, and to the shell\n%s", what, r.err, r.stderr, r.stdout)
			}
		}
	}
	results, took := d.atOnce(100, "local", kz, "hook-env", "--shell", "bash")
	t.Logf("100 of kz with nothing to ask take %v", took.Round(time.Millisecond))
	check("local", results)

	d.store(`sleep 1; echo "value of $1"`)
	for _, what := range []string{"at first", "later"} {
		results, took = d.atOnce(100, "remote", kz, "hook-env", "--shell", "bash")
		t.Logf("%s 100 of kz with a store that takes 1 s take %v", what, took.Round(time.Millisecond))
		check("remote", results)
		d.wantAsked(what, 1)
	}

	// A store that fails is not asked a hundred times either.
	d.store(`sleep 1; exit 3`)
	results, took = d.atOnce(100, "broken", kz, "hook-env", "--shell", "bash")
	t.Logf("100 of kz with a store that fails after 1 s take %v", took.Round(time.Millisecond))
	for _, r := range results {
		if r.err != nil || r.stderr != "kz: TOKEN: store: the program ended with exit status 3; nothing is loaded\n" {
			t.Fatalf("one of a hundred: %v, it says %q", r.err, r.stderr)
		}
	}
	d.wantAsked("one that fails", 2)
	if names := temporaryFiles(t, d.home); len(names) > 0 {
		t.Errorf("left over: %q", names)
	}
}

// The same with a hundred of bash, which enter, look and leave.
func TestHundredBashes(t *testing.T) {
	shelltest.Need(t, "bash")
	buildKZ(t)
	d := furnish(t, "bash", seat{files: hundredFiles})
	d.store(`sleep 1; echo "value of $1"`)
	results, took := d.atOnce(100, "", "bash", "--norc", "--noprofile", "-c", `eval "$(kz hook --shell bash)"
cd shell; _kz_hook; printenv TOKEN; cat "$FILE"; _kz_hook; cd ..; _kz_hook; printenv TOKEN FILE __KZ_STATE; true`)
	t.Logf("100 of bash with a store that takes 1 s take %v", took.Round(time.Millisecond))
	for _, r := range results {
		if r.err != nil || r.stdout != "value of token\nvalue of token" || r.stderr != "kz: +FILE +TOKEN (shell)\nkz: -FILE -TOKEN\n" {
			t.Fatalf("one of a hundred: %v, it says %q and prints %q", r.err, r.stderr, r.stdout)
		}
	}
	d.wantAsked("a hundred of bash", 1)
	if left, _ := filepath.Glob(d.path("run/keyzero/files/*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}
