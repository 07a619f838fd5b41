//go:build unix

package sops

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/pgp"

	"github.com/getkeyzero/kz/resolve"
)

// need skips without a program, and fails where all must be there. Package shelltest, which
// has the same, would have this module require terminals.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("KZ_NEED_SHELLS") == "1" {
		t.Fatalf("no %s", program)
	}
	t.Skipf("no %s", program)
}

func (p *place) run(program string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		p.t.Fatalf("%s: %v", program, err)
	}
	return string(out)
}

// sshKey makes a key of ssh's, without a passphrase.
func (p *place) sshKey(file string) keys.MasterKey {
	p.t.Helper()
	path := filepath.Join(p.home, file)
	p.write(path, nil)
	_ = os.Remove(path)
	p.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := sopsage.MasterKeyFromRecipient(strings.TrimSpace(string(public)))
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

func TestSSHKey(t *testing.T) {
	need(t, "ssh-keygen")
	p := newPlace(t)
	p.seal("a.json", `{"a":"`+canary+`"}`, p.sshKey(".ssh/id_ed25519"))
	want(t, "the key where ssh has it", p.fetch("a.json#a")[0], canary, "")
	p.seal("b.json", `{"a":"`+canary+`"}`, p.sshKey("other"))
	want(t, "another's", p.fetch("b.json#a")[0], "", resolve.Denied)
	p.setenv("SOPS_AGE_SSH_PRIVATE_KEY_FILE", filepath.Join(p.home, "other"))
	want(t, "the one that is named", p.fetch("b.json#a")[0], canary, "")
}

// gpgKey makes a key of gpg's, in a home whose path is short enough for the agent's socket.
func (p *place) gpgKey(passphrase string) keys.MasterKey {
	p.t.Helper()
	for _, program := range []string{"gpg", "gpgconf"} {
		need(p.t, program)
	}
	dir, err := os.MkdirTemp("/tmp", "kzs")
	if err != nil {
		p.t.Fatal(err)
	}
	p.setenv("GNUPGHOME", dir)
	p.t.Cleanup(func() {
		p.forget()
		_ = os.RemoveAll(dir)
	})
	// Without one that can ask, the agent is locked for good once it forgets the passphrase.
	p.write(filepath.Join(dir, "gpg-agent.conf"), []byte("pinentry-program /bin/false\n"))
	p.run("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase, "--quick-gen-key", "kz test <t@example.com>", "future-default", "default", "never")
	_, rest, _ := strings.Cut(p.run("gpg", "--batch", "--with-colons", "--list-keys"), "\nfpr:::::::::")
	fingerprint, _, _ := strings.Cut(rest, ":")
	return pgp.NewMasterKeyFromFingerprint(fingerprint)
}

func (p *place) forget() { _ = exec.Command("gpgconf", "--kill", "gpg-agent").Run() }

func TestGPGKey(t *testing.T) {
	p := newPlace(t)
	p.seal("a.yaml", "a: "+canary+"\n", p.gpgKey(""))
	want(t, "a key of gpg's", p.fetch("a.yaml#a")[0], canary, "")
	p.forget()
	if err := os.RemoveAll(filepath.Join(os.Getenv("GNUPGHOME"), "private-keys-v1.d")); err != nil {
		t.Fatal(err)
	}
	want(t, "no key", p.fetch("a.yaml#a")[0], "", resolve.Denied)
}

func TestGPGAgentLocked(t *testing.T) {
	p := newPlace(t)
	p.seal("a.yaml", "a: "+canary+"\n", p.gpgKey("a passphrase"))
	p.forget()
	got := p.fetch("a.yaml#a")[0]
	want(t, "a locked agent", got, "", resolve.Locked)
	if e, ok := errors.AsType[*resolve.Error](got.Err); !ok || e.Hint != "sops decrypt "+p.dir+"/a.yaml >/dev/null" {
		t.Errorf("a locked agent leads to %#v", got.Err)
	}
}

// What is not text comes as it is, and what is too large does not come.
func TestBytesAndSizes(t *testing.T) {
	p := newPlace(t)
	key := p.key(keysFile)
	p.seal("bytes.bin", "a\xff\x00b"+canary, key)
	want(t, "bytes", p.fetch("bytes.bin")[0], "a\xff\x00b"+canary, "")
	p.seal("large.bin", strings.Repeat("x", 700_000), key) // which base64 makes a third larger
	want(t, "a large file", p.fetch("large.bin")[0], strings.Repeat("x", 700_000), "")
	p.seal("larger.bin", strings.Repeat("x", 1<<20), key)
	want(t, "more than 1 MiB of file", p.fetch("larger.bin")[0], "", resolve.Malformed)
}
