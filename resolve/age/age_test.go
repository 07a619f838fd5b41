//go:build unix

package age

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/getkeyzero/kz/internal/shelltest"
	"github.com/getkeyzero/kz/resolve"
)

const canary = "kz-canary-30c6"

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
)

// TestMain is also the plug-in that the tests run.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "age-plugin-kztest" {
		os.Exit(pluginMain())
	}
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// A place is a home and a project.
type place struct {
	t         *testing.T
	home, dir string
	told      []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	root := t.TempDir()
	p := &place{t: t, home: filepath.Join(root, "home"), dir: filepath.Join(root, "project")}
	for _, dir := range []string{p.home, p.dir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *place) write(path string, data []byte) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// key makes an identity, kept in a file of the home unless that is "".
func (p *place) key(file string) *age.X25519Identity {
	p.t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		p.t.Fatal(err)
	}
	if file != "" {
		p.write(filepath.Join(p.home, file), []byte("# a comment\n\n"+id.String()+"\n"))
	}
	return id
}

// seal writes an encrypted file into the project.
func (p *place) seal(name, text string, to ...age.Recipient) {
	p.t.Helper()
	data, err := encrypt(p.t.Context(), []byte(text), strings.HasSuffix(name, ".asc"), to)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(filepath.Join(p.dir, name), data)
}

const keys = ".config/age/keys.txt"

func (p *place) provider(settings ...string) *Provider {
	p.t.Helper()
	s := resolve.Setup{
		Env:      []string{"HOME=" + p.home, "PATH=" + os.Getenv("PATH")},
		Settings: map[string]string{},
		Tell:     func(text string) { p.told = append(p.told, text) },
	}
	for i := 0; i < len(settings); i += 2 {
		s.Settings[settings[i]] = strings.ReplaceAll(settings[i+1], "~/", p.home+"/") // as config does
	}
	made, err := New(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return made
}

func (p *place) refs(paths ...string) []resolve.Ref {
	refs := make([]resolve.Ref, len(paths))
	for i, path := range paths {
		refs[i] = resolve.Ref{Path: path, Dir: p.dir}
	}
	return refs
}

func (p *place) fetch(of *Provider, paths ...string) []resolve.Result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results := of.Fetch(ctx, p.refs(paths...))
	if len(results) != len(paths) {
		p.t.Fatalf("%d results for %d references", len(results), len(paths))
	}
	return results
}

// want is a value, or a class.
func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.60q, %v (%s); want %.60q, class %q", what, got.Secret.Reveal(), got.Err, resolve.ClassOf(got.Err), value, class)
	}
	checkError(t, what, got.Err)
}

func checkError(t *testing.T, what string, err error) {
	t.Helper()
	if shown := fmt.Sprintf("%v %#v", err, err); err != nil && (strings.Contains(shown, canary) || strings.Contains(shown, "AGE-SECRET-KEY")) {
		t.Errorf("%s: the error shows a value or a key: %s", what, shown)
	}
}

func TestFetch(t *testing.T) {
	p := newPlace(t)
	to := p.key(keys).Recipient()
	files := map[string]string{
		"text": "  it's " + canary + "\r\n", "text.asc": "armored\n\n", "empty": "", "bytes": "\x00\xff",
		"sub/env": "A=1\nB='two\nlines'\nA=3\nC=${A}\nD=${HOME:-unset}\n",
		"json":    ` {"a":"x","b":{"c":[1.50,"y"]},"A.B":true,"n":null}`,
		"big":     strings.Repeat("x", 1000000),
		"json2":   `{"a":"x"} {}`,
		"envbad":  "A=1\nB='" + canary,
	}
	for name, text := range files {
		p.seal(name, text, to)
	}
	of := p.provider()
	for ref, value := range map[string]string{
		"text": "  it's " + canary + "\r", "./text": "  it's " + canary + "\r", "text.asc": "armored\n", "empty": "", "bytes": "\x00\xff",
		"sub/env#A": "3", "sub/env#B": "two\nlines", "sub/env#C": "3", "sub/env#D": "unset", "sub/../text.asc": "armored\n",
		"json#a": "x", "json#/b/c/0": "1.50", "json#/b/c": `[1.50,"y"]`, "json#A.B": "true", "big": files["big"],
	} {
		want(t, ref, p.fetch(of, ref)[0], value, "")
	}
	for ref, class := range map[string]resolve.Class{
		"sub/env#Z": resolve.NotFound, "json#z": resolve.NotFound, "json#/b/c/2": resolve.NotFound, "json#n": resolve.NotFound, "none": resolve.NotFound,
		"json2#a": resolve.Malformed, "envbad#A": resolve.Malformed, "bytes#A": resolve.Malformed,
		"": resolve.Malformed, "#A": resolve.Malformed, "text#": resolve.Malformed, "../x": resolve.Malformed, "/etc/passwd": resolve.Malformed,
		"text\n": resolve.Malformed, "text\x1b": resolve.Malformed, "sub": resolve.Malformed,
	} {
		want(t, fmt.Sprintf("%q", ref), p.fetch(of, ref)[0], "", class)
	}
}

func TestFetchConfined(t *testing.T) {
	p := newPlace(t)
	to := p.key(keys).Recipient()
	p.seal("../outside", canary, to)
	p.seal("real", "inside", to)
	for name, target := range map[string]string{"out": "../outside", "abs": filepath.Join(p.dir, "real"), "up": "..", "in": "real"} {
		if err := os.Symlink(target, filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p.seal("open", canary, to)
	if err := os.Chmod(filepath.Join(p.dir, "open"), 0o666); err != nil {
		t.Fatal(err)
	}
	of := p.provider()
	want(t, "a link within", p.fetch(of, "in")[0], "inside", "")
	for _, ref := range []string{"out", "abs", "up/outside", "open"} {
		want(t, ref, p.fetch(of, ref)[0], "", resolve.Denied)
	}
	p.write(filepath.Join(p.dir, "huge"), make([]byte, 1<<20+1))
	want(t, "a huge file", p.fetch(of, "huge")[0], "", resolve.Malformed)
}

func TestFetchDamaged(t *testing.T) {
	p := newPlace(t)
	id := p.key(keys)
	p.seal("f", strings.Repeat(canary, 10000), id.Recipient())
	p.seal("f.asc", canary, id.Recipient())
	data, _ := os.ReadFile(filepath.Join(p.dir, "f"))
	text, _ := os.ReadFile(filepath.Join(p.dir, "f.asc"))
	flipped := bytes.Clone(data)
	flipped[len(flipped)-1] ^= 1
	mac := bytes.Index(data, []byte("--- "))
	header := bytes.Clone(data)
	header[mac+8] ^= 1
	for name, bad := range map[string][]byte{
		"cut": data[:len(data)-70000], "flipped": flipped, "header": header, "short": data[:100], "empty": {}, "text": []byte(canary),
		"armor": text[:len(text)-40], "trailing": append(bytes.Clone(data), 'x'), "version": bytes.Replace(data, []byte("/v1"), []byte("/v9"), 1),
	} {
		p.write(filepath.Join(p.dir, name), bad)
		want(t, name, p.fetch(p.provider(), name)[0], "", resolve.Malformed)
	}
}

func TestIdentities(t *testing.T) {
	p := newPlace(t)
	ours, other := p.key("a/one.txt"), p.key("")
	p.seal("ours", "x", ours.Recipient())
	p.seal("both", "x", other.Recipient(), ours.Recipient())
	p.seal("theirs", canary, other.Recipient())
	p.write(filepath.Join(p.home, "bad.txt"), []byte(other.String()[:40]+"\n"))
	p.write(filepath.Join(p.home, "locked.age"), []byte("age-encryption.org/v1\n-> scrypt x 18\n"))
	p.write(filepath.Join(p.home, "huge"), bytes.Repeat([]byte("#\n"), 1<<20))
	pass, err := age.NewScryptRecipient("password")
	if err != nil {
		t.Fatal(err)
	}
	pass.SetWorkFactor(4)
	p.seal("scrypt", canary, pass)

	for _, test := range []struct {
		identities, ref, value string
		class                  resolve.Class
	}{
		{"", "ours", "", resolve.NotLoggedIn},
		{"", "scrypt", "", resolve.PromptNeeded},
		{"~/a/one.txt", "ours", "x", ""},
		{p.home + "/a/one.txt", "both", "x", ""},
		{"~/a/one.txt", "theirs", "", resolve.Denied},
		{"~/a/one.txt", "scrypt", "", resolve.PromptNeeded},
		{"~/none.txt", "ours", "", resolve.NotLoggedIn},
		{"~/none.txt\n~/a/one.txt", "ours", "x", ""},
		{"~/none.txt\n~/a/one.txt", "theirs", "", resolve.NotLoggedIn},
		{"~/bad.txt", "ours", "", resolve.Malformed},
		{"~/bad.txt\n~/a/one.txt", "ours", "x", ""},
		{"~/locked.age", "ours", "", resolve.PromptNeeded},
		{"~/a", "ours", "", resolve.NotLoggedIn},
		{"~/huge", "ours", "", resolve.NotLoggedIn},
	} {
		got := p.fetch(p.provider("identities", test.identities), test.ref)[0]
		want(t, test.ref+" by "+test.identities, got, test.value, test.class)
		if got.Err != nil && strings.Contains(got.Err.Error(), other.String()[15:30]) {
			t.Errorf("the error shows a key: %v", got.Err)
		}
	}
}

func TestDefaultIdentities(t *testing.T) {
	for _, file := range []string{keys, ".config/sops/age/keys.txt", "xdg/age/keys.txt", "xdg/sops/age/keys.txt"} {
		p := newPlace(t)
		p.seal("f", "x", p.key(file).Recipient())
		of := p.provider()
		if strings.HasPrefix(file, "xdg") {
			want(t, file+" without the variable", p.fetch(of, "f")[0], "", resolve.NotLoggedIn)
			s := of.setup
			s.Env = append(s.Env, "XDG_CONFIG_HOME="+p.home+"/xdg")
			of, _ = New(s)
		}
		want(t, file, p.fetch(of, "f")[0], "x", "")
		if got := Present(of.setup); got != "~/"+file {
			t.Errorf("Present = %q, want %q", got, "~/"+file)
		}
		standing, err := of.Probe(t.Context())
		if err != nil || standing.Credential != "file ~/"+file || !standing.Plain || !strings.HasPrefix(standing.As, "age1") {
			t.Errorf("Probe = %+v, %v", standing, err)
		}
	}
	p := newPlace(t)
	if got := Present(p.provider().setup); got != "" {
		t.Errorf("Present = %q in an empty home", got)
	}
	if _, err := p.provider().Probe(t.Context()); resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("Probe without an identity = %v", err)
	}
}

// sshKey has ssh-keygen make a private key, and returns its public one.
func (p *place) sshKey(file, typ, passphrase string) string {
	p.t.Helper()
	shelltest.Need(p.t, "ssh-keygen")
	path := filepath.Join(p.home, file)
	p.write(path, nil)
	_ = os.Remove(path)
	out, err := exec.Command("ssh-keygen", "-q", "-t", typ, "-b", "2048", "-N", passphrase, "-C", "", "-f", path).CombinedOutput()
	if err != nil {
		p.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(public))
}

func sshRecipient(t *testing.T, public string) age.Recipient {
	t.Helper()
	r, err := agessh.ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSSHKeys(t *testing.T) {
	for file, key := range map[string]string{".ssh/id_ed25519": "ed25519", ".ssh/id_rsa": "rsa"} {
		p := newPlace(t)
		p.seal("f", "x", sshRecipient(t, p.sshKey(file, key, "")))
		want(t, file, p.fetch(p.provider(), "f")[0], "x", "")
		if got := Present(p.provider().setup); got != "" {
			t.Errorf("Present = %q, and there are SSH keys only", got)
		}

		public := p.sshKey(file, key, "passphrase")
		mine := p.key(keys)
		p.seal("locked", canary, sshRecipient(t, public))
		p.seal("either", "x", sshRecipient(t, public), mine.Recipient())
		p.seal("theirs", canary, p.key("").Recipient())
		want(t, file+" with a passphrase", p.fetch(p.provider(), "locked")[0], "", resolve.PromptNeeded)
		want(t, file+" beside another key", p.fetch(p.provider(), "either")[0], "x", "")
		want(t, file+" that does not fit", p.fetch(p.provider(), "theirs")[0], "", resolve.Denied)
	}
}

func TestFetchBatch(t *testing.T) {
	p := newPlace(t)
	to := p.key(keys).Recipient()
	p.seal("env", "A=1\nB=2\n", to)
	refs := []string{"env#A", "./env#B", "env#C", "none", "#", "env#A"}
	results := p.fetch(p.provider(), refs...)
	for i, value := range []string{"1", "2", "", "", "", "1"} {
		want(t, refs[i], results[i], value, []resolve.Class{"", "", resolve.NotFound, resolve.NotFound, resolve.Malformed, ""}[i])
	}
	if got := p.provider().Fetch(t.Context(), nil); len(got) != 0 {
		t.Errorf("no references lead to %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := p.provider().Fetch(ctx, p.refs("env#A"))[0]; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("after the end of ctx Fetch gives %v", r.Err)
	}
}
