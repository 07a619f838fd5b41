//go:build unix

package sops

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getsops/sops/v3/hcvault"

	"github.com/getkeyzero/kz/resolve"
)

// The library writes, with the user's token, to wherever a file says that its key is: the
// path must be that of a key in an engine.
func TestVaultPaths(t *testing.T) {
	p := newPlace(t)
	p.setenv("VAULT_ADDR", "https://vault.example.com")
	of := p.provider()
	for _, test := range []struct {
		engine, key string
		may         bool
	}{
		{"transit", "shop", true}, {"team/transit", "shop-1", true}, {"transit", "a.b_c", true},
		{"secret", "../../secret/prod/app", false}, {"auth/token", "../revoke-self", false}, {"sys", "../seal", false}, {"sys", "k", false},
		{"auth/token", "k", false}, {"identity", "k", false}, {"cubbyhole", "k", false}, {"transit", "..", false}, {"transit", ".", false},
		{"transit/..", "k", false}, {"../sys", "k", false}, {"/sys", "k", false}, {"transit//x", "k", false}, {"", "k", false}, {"transit", "", false},
		{"transit", "a/b", false}, {"transit", "a?b", false}, {"transit", "a%2fb", false}, {"tran sit", "k", false},
	} {
		key := &hcvault.MasterKey{VaultAddress: "https://vault.example.com", EnginePath: test.engine, KeyName: test.key}
		if got := of.mayAsk(key); got != test.may {
			t.Errorf("engine %q, key %q: may be asked: %v, want %v", test.engine, test.key, got, test.may)
		}
	}
}

// Some bytes of YAML stand for more than there is memory, in any of a file's documents.
func TestAliases(t *testing.T) {
	p := newPlace(t)
	good := string(p.seal("good.yaml", "a: x\n", p.key(keysFile)))
	bomb := "---\na: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for _, name := range strings.Split("bcdefghi", "") {
		before := string(rune(name[0] - 1))
		bomb += name + ": &" + name + " [" + strings.TrimSuffix(strings.Repeat("*"+before+", ", 10), ", ") + "]\n"
	}
	for name, text := range map[string]string{
		"endless.yaml": good + "---\na: &a\n  - *a\n", "bomb.yaml": good + bomb, "first.yaml": "x: &x 1\ny: *x\n" + good,
	} {
		p.write(filepath.Join(p.dir, name), []byte(text))
		begin := time.Now()
		want(t, name, p.fetch(name + "#a")[0], "", resolve.Malformed)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	want(t, "without aliases", p.fetch("good.yaml#a")[0], "x", "")
}
