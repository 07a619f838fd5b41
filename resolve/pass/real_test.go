package pass

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/shelltest"
	"github.com/getkeyzero/kz/internal/tooltest"
	"github.com/getkeyzero/kz/resolve"
)

// A real is a store of the real pass and gpg, with a key of its own.
type real struct {
	t   *testing.T
	dir string // short, for the path of gpg-agent's socket has to be
	env []string
}

func newReal(t *testing.T, passphrase string) real {
	t.Helper()
	for _, program := range []string{"pass", "gpg", "gpgconf"} {
		shelltest.Need(t, program)
	}
	dir, err := os.MkdirTemp("/tmp", "kzp")
	if err != nil {
		t.Fatal(err)
	}
	r := real{t, dir, []string{"HOME=" + dir, "GNUPGHOME=" + dir + "/g", "PATH=/usr/bin:/bin"}}
	t.Cleanup(func() {
		r.run("", "gpgconf", "--kill", "gpg-agent")
		_ = os.RemoveAll(dir)
	})
	if err := os.Mkdir(dir+"/g", 0o700); err != nil {
		t.Fatal(err)
	}
	// Without one that can ask, the agent is locked for good once it forgets the passphrase.
	if err := os.WriteFile(dir+"/g/gpg-agent.conf", []byte("pinentry-program /bin/false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run("", "gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase, "--quick-gen-key", "kz test <t@example.com>", "future-default", "default", "never")
	r.run("", "pass", "init", "t@example.com")
	return r
}

func (r real) run(stdin, program string, args ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = r.env, r.dir, strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func (r real) provider() *Provider {
	r.t.Helper()
	p, err := New(resolve.Setup{Env: r.env})
	return made(r.t, p, err)
}

func TestRealPass(t *testing.T) {
	t.Parallel()
	r := newReal(t, "")
	p := r.provider()
	value := "  it's $HOME \\ ünï " + canary + "  "
	r.run(value+"\nuser: bob\n", "pass", "insert", "-m", "-f", "a/b")
	want(t, "pass", fetch(t, p, "a/b")[0], value, "")
	want(t, "a folder", fetch(t, p, "a")[0], "", resolve.NotFound)
	want(t, "none", fetch(t, p, "none")[0], "", resolve.NotFound)

	for _, ref := range []string{"a/b#user", "a/b", "a/b#url", "new", "deep/er/new#key", "with space;$(x)"} {
		if err := p.Store(t.Context(), resolve.Ref{Path: ref}, resolve.NewSecret("written "+ref)); err != nil {
			t.Errorf("Store of %s: %v", ref, err)
		}
		want(t, ref, fetch(t, p, ref)[0], "written "+ref, "")
	}
	for i, got := range fetch(t, p, "a/b", "a/b#user", "a/b#2", "new", "a/b#url") {
		want(t, "what was stored", got, []string{"written a/b", "written a/b#user", "user: written a/b#user", "written new", "written a/b#url"}[i], "")
	}
	if got, err := p.List(t.Context()); err != nil || !slices.Equal(got, []string{"a/b", "deep/er/new", "new", "with space;$(x)"}) {
		t.Errorf("List = %q, %v", got, err)
	}

	put(t, filepath.Join(r.dir, ".password-store/broken.gpg"), canary, 0o600)
	want(t, "a file that is not gpg's", fetch(t, p, "broken")[0], "", resolve.Malformed)
	if data, err := os.ReadFile(filepath.Join(r.dir, ".password-store/a/b.gpg")); err != nil {
		t.Error(err)
	} else {
		data[len(data)-9] ^= 1
		put(t, filepath.Join(r.dir, ".password-store/broken.gpg"), string(data), 0o600)
		want(t, "a damaged file", fetch(t, p, "broken")[0], "", resolve.Malformed)
	}
	put(t, filepath.Join(r.dir, ".password-store/other/.gpg-id"), "nobody@example.invalid\n", 0o600)
	if err := p.Store(t.Context(), resolve.Ref{Path: "other/x"}, resolve.NewSecret(canary)); resolve.ClassOf(err) != resolve.Denied {
		t.Errorf("Store for a key that gpg does not have = %v, want denied", err)
	}
}

func TestRealPassLocked(t *testing.T) {
	t.Parallel()
	r := newReal(t, "a passphrase")
	r.run(canary, "pass", "insert", "-m", "-f", "a")
	r.run("", "gpgconf", "--kill", "gpg-agent")
	want(t, "a locked agent", fetch(t, r.provider(), "a")[0], "", resolve.Locked)
}

func TestRealPassWithoutKey(t *testing.T) {
	t.Parallel()
	r := newReal(t, "")
	r.run(canary, "pass", "insert", "-m", "-f", "a")
	r.run("", "gpgconf", "--kill", "gpg-agent")
	if err := os.Rename(r.dir+"/g", r.dir+"/lost"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.dir+"/g", 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, "no key", fetch(t, r.provider(), "a")[0], "", resolve.Denied)
}

// gopassProgram returns the path of the real gopass: what Debian calls gopass is another
// program, and none is to be had as a package everywhere. Building it takes a while the
// first time, so that is done only where the tests of servers must run.
func gopassProgram(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("KZ_TEST_GOPASS"); named != "" {
		return named
	}
	if os.Getenv("KZ_NEED_SERVERS") != "1" {
		t.Skip("no gopass: KZ_NEED_SERVERS=1 builds it, in a minute, and KZ_TEST_GOPASS names one")
	}
	program, err := builtGopass()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var builtGopass = sync.OnceValues(func() (string, error) {
	return tooltest.Build("gopass", "../../internal/gopassprogram", "github.com/gopasspw/gopass", "go.sum")
})

func TestRealGopass(t *testing.T) {
	t.Parallel()
	program := gopassProgram(t)
	r := newReal(t, "")
	p, err := NewGopass(resolve.Setup{Env: r.env, Settings: map[string]string{"program": program, "store": r.dir + "/.password-store"}})
	p = made(t, p, err)
	value := "  it's $HOME \\ ünï " + canary + "  "
	r.run(value+"\nuser: bob\n", "pass", "insert", "-m", "-f", "a/b")
	file := filepath.Join(r.dir, ".password-store/a/b.gpg")
	before, _ := os.ReadFile(file)
	for i, got := range fetch(t, p, "a/b", "a/b#user", "a", "none", "b") {
		want(t, "gopass", got, []string{value, "bob", "", "", ""}[i], []resolve.Class{"", "", resolve.NotFound, resolve.NotFound, resolve.NotFound}[i])
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("fetching has written the entry")
	}
	for _, ref := range []string{"a/b#user", "a/b", "new", "with space;$(x)"} {
		if err := p.Store(t.Context(), resolve.Ref{Path: ref}, resolve.NewSecret("written "+ref)); err != nil {
			t.Errorf("Store of %s: %v", ref, err)
		}
		want(t, ref, fetch(t, p, ref)[0], "written "+ref, "")
	}
	want(t, "the other line", fetch(t, p, "a/b#user")[0], "written a/b#user", "")
	if got, err := p.List(t.Context()); err != nil || !slices.Equal(got, []string{"a/b", "new", "with space;$(x)"}) {
		t.Errorf("List = %q, %v", got, err)
	}
	r.run("", "gpgconf", "--kill", "gpg-agent")
	if err := os.RemoveAll(r.dir + "/g/private-keys-v1.d"); err != nil {
		t.Fatal(err)
	}
	want(t, "no key", fetch(t, p, "new")[0], "", resolve.Denied)
	if err := os.RemoveAll(r.dir + "/.password-store"); err != nil {
		t.Fatal(err)
	}
	want(t, "no store", fetch(t, p, "new")[0], "", resolve.NotLoggedIn)
}

func TestRealGopassLocked(t *testing.T) {
	t.Parallel()
	program := gopassProgram(t)
	r := newReal(t, "a passphrase")
	r.run(canary, "pass", "insert", "-m", "-f", "a")
	r.run("", "gpgconf", "--kill", "gpg-agent")
	p, err := NewGopass(resolve.Setup{Env: r.env, Settings: map[string]string{"program": program, "store": r.dir + "/.password-store"}})
	want(t, "a locked agent", fetch(t, made(t, p, err), "a")[0], "", resolve.Locked)
}
