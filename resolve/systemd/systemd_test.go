//go:build unix

package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

const canary = "kz-canary-77aa"

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
	_ resolve.Lister   = (*Provider)(nil)
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// credentials makes a directory as systemd lays it out for a service: mode 0500, files
// of mode 0400. No systemd runs for the tests.
func credentials(t *testing.T, files map[string]string) (string, *Provider) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "unit.service")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	p, err := New(resolve.Setup{Env: []string{"CREDENTIALS_DIRECTORY=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	return dir, p
}

func fetch(p *Provider, name string) resolve.Result {
	return p.Fetch(context.Background(), []resolve.Ref{{Path: name}})[0]
}

func TestFetch(t *testing.T) {
	values := map[string]string{
		"plain": "text", "line": "text\n", "lines": "a\nb\n\n", "empty": "", "bytes": "\x00\xff\r\n", "db.password": "x", "a b": "y",
		"full": strings.Repeat("x", 1<<20),
	}
	_, p := credentials(t, values)
	var refs []resolve.Ref
	for name := range values {
		refs = append(refs, resolve.Ref{Path: name})
	}
	for i, r := range p.Fetch(t.Context(), refs) {
		if want := strings.TrimSuffix(values[refs[i].Path], "\n"); r.Err != nil || r.Secret.Reveal() != want {
			t.Errorf("%s is %.40q, %v; want %.40q", refs[i].Path, r.Secret.Reveal(), r.Err, want)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	dir, p := credentials(t, map[string]string{"ok": canary, "big": strings.Repeat("x", 1<<20+1), "open": canary})
	_ = os.Chmod(dir, 0o700)
	for name, target := range map[string]string{"abs": "/etc/passwd", "up": "../x", "self": "self"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Mkdir(filepath.Join(dir, "folder"), 0o700)
	_ = syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600)
	_ = os.Chmod(filepath.Join(dir, "open"), 0o666)
	for name, class := range map[string]resolve.Class{
		"none": resolve.NotFound, "abs": resolve.Denied, "up": resolve.Denied, "open": resolve.Denied,
		"big": resolve.Malformed, "folder": resolve.Malformed, "fifo": resolve.Malformed, "self": "",
		"": resolve.Malformed, ".": resolve.Malformed, "..": resolve.Malformed, "../x": resolve.Malformed, "/etc/passwd": resolve.Malformed,
		"a/b": resolve.Malformed, "a\nb": resolve.Malformed, "a\x00": resolve.Malformed, "\xff": resolve.Malformed, strings.Repeat("x", 256): resolve.Malformed,
	} {
		r := fetch(p, name)
		if r.Err == nil || resolve.ClassOf(r.Err) != class || r.Secret.Reveal() != "" {
			t.Errorf("%q leads to %q, %v of class %q, want %q", name, r.Secret.Reveal(), r.Err, resolve.ClassOf(r.Err), class)
		}
		if strings.Contains(fmt.Sprint(r.Err), canary) {
			t.Errorf("%q: the error shows the value", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := p.Fetch(ctx, []resolve.Ref{{Path: "ok"}})[0]; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("after the end of ctx Fetch gives %v", r.Err)
	}
}

func TestNoDirectory(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(open, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, class := range map[string]resolve.Class{
		"": resolve.NotLoggedIn, "relative": resolve.NotLoggedIn, "/none/at/all": resolve.NotLoggedIn, open + "/a": resolve.NotLoggedIn, open: resolve.Denied,
	} {
		s := resolve.Setup{Env: []string{"CREDENTIALS_DIRECTORY=" + dir}}
		p, _ := New(s)
		_, probe := p.Probe(t.Context())
		_, list := p.List(t.Context())
		for _, err := range []error{fetch(p, "a").Err, probe, list} {
			if resolve.ClassOf(err) != class {
				t.Errorf("%q leads to %v, want %s", dir, err, class)
			}
		}
		if got := Present(s); got != "" {
			t.Errorf("Present in %q = %q", dir, got)
		}
	}
}

func TestListAndProbe(t *testing.T) {
	dir, p := credentials(t, map[string]string{"b": canary, "a": canary, "new\nline": ""})
	if got, err := p.List(t.Context()); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("List = %q, %v", got, err)
	}
	if got, err := p.Probe(t.Context()); err != nil || got.Through != dir || got.Plain {
		t.Errorf("Probe = %+v, %v", got, err)
	}
	if got := Present(resolve.Setup{Env: []string{"CREDENTIALS_DIRECTORY=" + dir}}); got != dir {
		t.Errorf("Present = %q", got)
	}
}

// Of several, those that are there come, whatever is wrong with the others.
func TestPartOfABatch(t *testing.T) {
	t.Parallel()
	_, p := credentials(t, map[string]string{"a": canary + "\n", "c": "x"})
	refs := []resolve.Ref{{Path: "a"}, {Path: "none"}, {Path: "../a"}, {Path: "c"}, {Path: "a"}}
	for i, got := range p.Fetch(t.Context(), refs) {
		value := []string{canary, "", "", "x", canary}[i]
		class := []resolve.Class{"", resolve.NotFound, resolve.Malformed, "", ""}[i]
		if got.Secret.Reveal() != value || resolve.ClassOf(got.Err) != class {
			t.Errorf("%s leads to %q, %v; want %q, %q", refs[i].Path, got.Secret.Reveal(), got.Err, value, class)
		}
	}
}
