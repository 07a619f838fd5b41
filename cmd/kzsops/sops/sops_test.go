//go:build unix

package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/hckms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/pgp"

	"github.com/getkeyzero/kz/resolve"
)

const canary = "kz-canary-e4b0"

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// A place is a home and a project. The library takes its keys from the environment of the
// process, so that these tests are not parallel.
type place struct {
	t         *testing.T
	home, dir string
	env       []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	root := t.TempDir()
	p := &place{t: t, home: filepath.Join(root, "home"), dir: filepath.Join(root, "project")}
	for _, dir := range []string{p.home, p.dir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY_CMD", "XDG_CONFIG_HOME", "VAULT_TOKEN", "VAULT_ADDR", "GNUPGHOME"} {
		t.Setenv(name, "")
		_ = os.Unsetenv(name)
	}
	t.Setenv("HOME", p.home)
	p.env = []string{"HOME=" + p.home}
	return p
}

func (p *place) setenv(name, value string) {
	p.t.Setenv(name, value)
	p.env = append(p.env, name+"="+value)
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

// key makes an age identity, kept where SOPS looks for it unless file is "".
func (p *place) key(file string) keys.MasterKey {
	p.t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		p.t.Fatal(err)
	}
	if file != "" {
		p.write(filepath.Join(p.home, file), []byte(id.String()+"\n"))
	}
	key, err := sopsage.MasterKeyFromRecipient(id.Recipient().String())
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

const keysFile = ".config/sops/age/keys.txt"

// seal encrypts as the program sops does, and writes the file into the project. What stands
// behind the first key is put into the file without being asked to encrypt.
func (p *place) seal(name, text string, to keys.MasterKey, further ...keys.MasterKey) []byte {
	p.t.Helper()
	store := common.StoreForFormat(formats.FormatForPath(name), config.NewStoresConfig())
	branches, err := store.LoadPlainFile([]byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{KeyGroups: []sops.KeyGroup{{to}}, Version: "3.13.3", UnencryptedSuffix: "_unencrypted"}}
	dataKey, errs := tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()})
	if len(errs) > 0 {
		p.t.Fatal(errs)
	}
	tree.Metadata.KeyGroups[0] = append(tree.Metadata.KeyGroups[0], further...)
	if err := common.EncryptTree(common.EncryptTreeOpts{Tree: &tree, Cipher: aes.NewCipher(), DataKey: dataKey}); err != nil {
		p.t.Fatal(err)
	}
	data, err := store.EmitEncryptedFile(tree)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(filepath.Join(p.dir, name), data)
	return data
}

func (p *place) provider() *Provider {
	p.t.Helper()
	made, err := New(resolve.Setup{Env: p.env})
	if err != nil {
		p.t.Fatal(err)
	}
	return made
}

func (p *place) fetch(paths ...string) []resolve.Result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results := p.provider().Fetch(ctx, p.refs(paths...))
	if len(results) != len(paths) {
		p.t.Fatalf("%d results for %d references", len(results), len(paths))
	}
	return results
}

func (p *place) refs(paths ...string) []resolve.Ref {
	refs := make([]resolve.Ref, len(paths))
	for i, path := range paths {
		refs[i] = resolve.Ref{Path: path, Dir: p.dir}
	}
	return refs
}

// want is a value, or a class.
func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.60q, %v (%s); want %.60q, class %q", what, got.Secret.Reveal(), got.Err, resolve.ClassOf(got.Err), value, class)
	}
	if shown := fmt.Sprintf("%v %#v", got.Err, got.Err); got.Err != nil && (strings.Contains(shown, canary) || strings.Contains(shown, "SECRET-KEY")) {
		t.Errorf("%s: the error shows a value or a key: %s", what, shown)
	}
}

const yamlText = `# comment
db:
    # inner
    url: "  postgres://it's  "
    ports: [1, 22]
    on: true
    ratio: 1.5
    big: 12345678901234567
    float: 10000000000000000000000000
    nothing: null
    when: 2020-01-02T03:04:05Z
    multi: |
        two
        lines
a.b: dotted
list:
    - name: x
    - name: "y"
open_unencrypted: seen
"1": one
`

func TestFetch(t *testing.T) {
	p := newPlace(t)
	key := p.key(keysFile)
	p.seal("f.yaml", yamlText, key)
	p.seal("sub/f.json", `{"a":{"b":"x<&>","n":1.5,"l":[{"k":"v"}]},"e":"","bytes":"\u0000é"}`, key)
	p.seal("f.env", "A=1\nB=two words # no comment\nC=\n", key)
	p.seal("f.ini", "[db]\nurl = x=y\n", key)
	p.seal("key.pem", "-----BEGIN\nline\n", key)
	p.seal("two.yaml", "a: 1\n---\na: 2\nb: 3\n", key)
	p.seal("big.json", `{"a":"`+strings.Repeat("x", 500000)+`"}`, key)
	for ref, value := range map[string]string{
		"f.yaml#db.url": "  postgres://it's  ", "f.yaml#db.ports": "[1,22]", "f.yaml#db.ports.1": "22", "f.yaml#db.on": "true",
		"f.yaml#db.ratio": "1.5", "f.yaml#db.big": "12345678901234567", "f.yaml#db.float": "10000000000000000000000000",
		"f.yaml#db.multi": "two\nlines\n", "f.yaml#/a.b": "dotted", "f.yaml#list.1.name": "y", "f.yaml#/list/0": `{"name":"x"}`,
		"f.yaml#open_unencrypted": "seen", "f.yaml#1": "one", "f.yaml#db.when": "2020-01-02T03:04:05Z",
		"sub/f.json#a.b": "x<&>", "sub/f.json#/a/l/0/k": "v", "sub/f.json#a.n": "1.5", "sub/f.json#e": "", "sub/f.json#bytes": "\x00é",
		"f.env#A": "1", "f.env#B": "two words # no comment", "f.env#C": "", "f.env": "A=1\nB=two words # no comment\nC=",
		"f.ini#db.url": "x=y", "key.pem": "-----BEGIN\nline", "two.yaml#b": "3", "big.json#a": strings.Repeat("x", 500000),
	} {
		want(t, ref, p.fetch(ref)[0], value, "")
	}
	for ref, class := range map[string]resolve.Class{
		"f.yaml#z": resolve.NotFound, "f.yaml#a.b": resolve.NotFound, "f.yaml#db.ports.2": resolve.NotFound, "f.yaml#db.url.x": resolve.NotFound,
		"f.yaml#db.nothing": resolve.NotFound, "f.yaml#sops": resolve.NotFound, "none.yaml#a": resolve.NotFound, "two.yaml#a": resolve.Ambiguous,
		"": resolve.Malformed, "f.yaml#": resolve.Malformed, "../f.yaml#a": resolve.Malformed, "/etc/passwd": resolve.Malformed, "f.yaml#a\n": resolve.Malformed,
	} {
		want(t, fmt.Sprintf("%q", ref), p.fetch(ref)[0], "", class)
	}
}

func TestFetchConfined(t *testing.T) {
	p := newPlace(t)
	p.seal("../outside.json", `{"a":"`+canary+`"}`, p.key(keysFile))
	if err := os.Symlink("../outside.json", filepath.Join(p.dir, "out.json")); err != nil {
		t.Fatal(err)
	}
	want(t, "a link out of the project", p.fetch("out.json#a")[0], "", resolve.Denied)
}

// What was changed is refused, wherever in the file.
func TestFetchChanged(t *testing.T) {
	p := newPlace(t)
	key := p.key(keysFile)
	data := p.seal("f.json", `{"a":"`+canary+`","b":"x","c_unencrypted":"open"}`, key)
	other := p.seal("g.json", `{"a":"other"}`, key)
	value := func(data []byte, name string) []byte {
		_, rest, _ := bytes.Cut(data, []byte(`"`+name+`": "`))
		v, _, _ := bytes.Cut(rest, []byte(`"`))
		return v
	}
	for name, bad := range map[string][]byte{
		"open":    bytes.Replace(data, []byte(`"open"`), []byte(`"shut"`), 1),
		"swapped": bytes.Replace(data, value(data, "a"), value(data, "b"), 1),
		"other":   bytes.Replace(data, value(data, "a"), value(other, "a"), 1),
		"mac":     bytes.Replace(data, value(data, "mac"), value(other, "mac"), 1),
		"nomac":   bytes.Replace(data, value(data, "mac"), nil, 1),
		"more":    bytes.Replace(data, []byte(`"c_unencrypted"`), []byte(`"d_unencrypted": "`+canary+`", "c_unencrypted"`), 1),
	} {
		if bytes.Equal(bad, data) {
			t.Fatalf("%s: nothing was changed", name)
		}
		p.write(filepath.Join(p.dir, name+".json"), bad)
		got := p.fetch(name + ".json#b")[0]
		want(t, name, got, "", resolve.Malformed)
		if got.Err != nil && got.Err.Error() != name+".json: was changed after it was encrypted" {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
	for name, bad := range map[string]string{
		"plain.json": `{"b":"` + canary + `"}`, "plain.yaml": "b: " + canary, "plain.env": "b=" + canary, "plain.ini": "b = " + canary, "plain.bin": canary,
		"bad.json": `{"b":`, "empty.json": "", "bad.yaml": "b: [" + canary, "meta.json": `{"b":"x","sops":{}}`, "meta2.json": `{"b":"x","sops":7}`,
		"meta.yaml": "b: x\nsops:\n    age: 7\n", "nokeys.json": string(bytes.Replace(data, []byte(`"age"`), []byte(`"gea"`), 1)), "list.json": `[1]`, "null.yaml": "null",
	} {
		p.write(filepath.Join(p.dir, name), []byte(bad))
		if r := p.fetch(name + "#b")[0]; resolve.ClassOf(r.Err) != resolve.Malformed && resolve.ClassOf(r.Err) != resolve.Denied {
			t.Errorf("%s leads to %q, %v", name, r.Secret.Reveal(), r.Err)
		} else {
			want(t, name, r, "", resolve.ClassOf(r.Err))
		}
	}
}

func TestFetchWithoutKey(t *testing.T) {
	p := newPlace(t)
	p.seal("f.json", `{"a":"`+canary+`"}`, p.key(""))
	want(t, "no key", p.fetch("f.json#a")[0], "", resolve.Denied)
	p.key(keysFile)
	want(t, "another's key", p.fetch("f.json#a")[0], "", resolve.Denied)
	p.write(filepath.Join(p.home, keysFile), []byte("AGE-SECRET-KEY-1"+canary))
	want(t, "a broken key", p.fetch("f.json#a")[0], "", resolve.Denied)

	p.write(filepath.Join(p.home, "bin", "gpg"), []byte("#!/bin/sh\nexit 2\n"))
	p.seal("pgp.json", `{"a":"x"}`, p.key(keysFile), pgp.NewMasterKeyFromFingerprint("85D77543B3D624B63CEA9E6DBC17301B491B3F21"))
	want(t, "an age key beside one for gpg", p.fetch("pgp.json#a")[0], "x", "")
}

func TestKeyInEnvironment(t *testing.T) {
	p := newPlace(t)
	p.seal("f.json", `{"a":"x"}`, p.key("elsewhere.txt"))
	p.setenv("SOPS_AGE_KEY_FILE", filepath.Join(p.home, "elsewhere.txt"))
	want(t, "SOPS_AGE_KEY_FILE", p.fetch("f.json#a")[0], "x", "")
	standing, err := p.provider().Probe(t.Context())
	if err != nil || standing.Credential != "environment SOPS_AGE_KEY_FILE" || !standing.Plain {
		t.Errorf("Probe = %+v, %v", standing, err)
	}
}

// SOPS_AGE_KEY_CMD is run each time that the library decrypts a file.
func TestFetchOncePerFile(t *testing.T) {
	p := newPlace(t)
	key := p.key("k.txt")
	p.seal("f.yaml", "a: 1\nb: 2\n", key)
	p.seal("g.yaml", "a: 3\n", key)
	p.write(filepath.Join(p.home, "cmd"), []byte("echo run >>"+p.home+"/log; cat "+p.home+"/k.txt"))
	p.setenv("SOPS_AGE_KEY_CMD", "sh "+p.home+"/cmd")
	asked := []string{"f.yaml#a", "./f.yaml#b", "g.yaml#a", "f.yaml#z", "#", "f.yaml#a"}
	for i, got := range p.fetch(asked...) {
		want(t, asked[i], got, []string{"1", "2", "3", "", "", "1"}[i], []resolve.Class{"", "", "", resolve.NotFound, resolve.Malformed, ""}[i])
	}
	if log, _ := os.ReadFile(filepath.Join(p.home, "log")); strings.Count(string(log), "run") != 2 {
		t.Errorf("two files were decrypted %d times", strings.Count(string(log), "run"))
	}
}

func TestFetchEndsWithDeadline(t *testing.T) {
	p := newPlace(t)
	key := p.key("k.txt")
	p.seal("f.json", `{"a":"x"}`, key)
	p.setenv("SOPS_AGE_KEY_CMD", "sleep 2")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	results := p.provider().Fetch(ctx, p.refs("f.json#a", "f.json"))
	if took := time.Since(start); took > 400*time.Millisecond {
		t.Errorf("Fetch takes %v", took)
	}
	for _, r := range results {
		want(t, "a key that does not come", r, "", resolve.Timeout)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if r := p.provider().Fetch(ctx, p.refs("f.json#a"))[0]; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("after the end of ctx Fetch gives %v", r.Err)
	}
}

// A file of the project names the Vault that would get the user's token.
func TestVaultOfTheFile(t *testing.T) {
	p := newPlace(t)
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("X-Vault-Token") != canary {
			t.Errorf("the token is %q", r.Header.Get("X-Vault-Token"))
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	p.setenv("VAULT_TOKEN", canary)
	key := hcvault.NewMasterKey(server.URL, "transit", "key")
	key.EncryptedKey = "vault:v1:xxxx"
	p.seal("f.json", `{"a":"x"}`, p.key(""), key)
	want(t, "a Vault that is not the user's", p.fetch("f.json#a")[0], "", resolve.Denied)
	p.setenv("VAULT_ADDR", "https://vault.example.com")
	want(t, "a Vault that is not the user's", p.fetch("f.json#a")[0], "", resolve.Denied)
	if asked.Load() != 0 {
		t.Fatal("the token went to an address that the file named")
	}
	p.setenv("VAULT_ADDR", server.URL+"/")
	want(t, "the user's Vault, which refuses", p.fetch("f.json#a")[0], "", resolve.Denied)
	if asked.Load() == 0 {
		t.Error("the user's Vault was not asked")
	}
}

func TestMayAsk(t *testing.T) {
	p := newPlace(t)
	p.setenv("VAULT_ADDR", "https://vault.example.com:8200")
	of := p.provider()
	for _, test := range []struct {
		key keys.MasterKey
		may bool
	}{
		{&hcvault.MasterKey{VaultAddress: "https://vault.example.com:8200", EnginePath: "transit", KeyName: "k"}, true},
		{&hcvault.MasterKey{VaultAddress: "https://VAULT.example.com:8200/x", EnginePath: "transit", KeyName: "k"}, true},
		{&hcvault.MasterKey{VaultAddress: "http://vault.example.com:8200", EnginePath: "transit", KeyName: "k"}, false},
		{&hcvault.MasterKey{VaultAddress: "https://vault.example.com", EnginePath: "transit", KeyName: "k"}, false},
		{&hcvault.MasterKey{VaultAddress: "https://vault.example.com:8200@evil.example", EnginePath: "transit", KeyName: "k"}, false},
		{&hcvault.MasterKey{VaultAddress: "https://u:p@vault.example.com:8200", EnginePath: "transit", KeyName: "k"}, false},
		{&hcvault.MasterKey{VaultAddress: "", EnginePath: "transit", KeyName: "k"}, false},
		{&azkv.MasterKey{VaultURL: "https://team.vault.azure.net"}, true},
		{&azkv.MasterKey{VaultURL: "https://team.vault.azure.net/"}, true},
		{&azkv.MasterKey{VaultURL: "https://team.vault.azure.net.evil.example"}, false},
		{&azkv.MasterKey{VaultURL: "https://evil.example/.vault.azure.net"}, false},
		{&azkv.MasterKey{VaultURL: "http://team.vault.azure.net"}, false},
		{&kms.MasterKey{Arn: "arn:aws:kms:eu-west-1:123456789012:key/abc"}, true},
		{&kms.MasterKey{Arn: "arn:aws-cn:kms:cn-north-1:123456789012:alias/abc"}, true},
		{&kms.MasterKey{Arn: "arn:aws:kms:evil.example/:1:key/abc"}, false},
		{&kms.MasterKey{Arn: "arn:aws:kms:evil.example#:1:key/a"}, false},
		{&hckms.MasterKey{Region: "tr-west-1"}, true},
		{&hckms.MasterKey{Region: "evil.example/"}, false},
		{&sopsage.MasterKey{}, true},
	} {
		if got := of.mayAsk(test.key); got != test.may {
			t.Errorf("%T %+v may be asked: %v, want %v", test.key, test.key, got, test.may)
		}
	}
	p = newPlace(t)
	if p.provider().mayAsk(&hcvault.MasterKey{VaultAddress: "https://vault.example.com", EnginePath: "transit", KeyName: "k"}) {
		t.Error("without VAULT_ADDR any Vault may be asked")
	}
}
