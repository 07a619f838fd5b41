//go:build unix

package age

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/getkeyzero/kz/resolve"
)

// pluginKey is what the plug-in of the tests decrypts with, as a token would.
const pluginKey = "AGE-SECRET-KEY-1P3UD480XVS8NLKYTTM0DUJJDHMUEM4RSV29NS7HX6VZXLS49HFKSSZJRUW"

// pluginMain speaks age's protocol. What an identity holds says how it behaves.
func pluginMain() int {
	log, err := os.OpenFile(os.Getenv("KZ_TEST_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 9
	}
	_, _ = log.WriteString(strings.Join(os.Args[1:], " ") + "\n")
	p, _ := plugin.New("kztest")
	key, err := age.ParseX25519Identity(pluginKey)
	if err != nil {
		return 8
	}
	p.HandleIdentity(func(data []byte) (age.Identity, error) { return behaving{p, string(data), key}, nil })
	p.HandleRecipient(func([]byte) (age.Recipient, error) { return key.Recipient(), nil })
	return p.Main()
}

type behaving struct {
	*plugin.Plugin
	how string
	key age.Identity
}

func (b behaving) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	switch b.how {
	case "pin":
		if _, err := b.RequestValue("PIN", true); err != nil {
			return nil, errors.New(canary)
		}
	case "confirm":
		if _, err := b.Confirm("really?", "yes", "no"); err != nil {
			return nil, errors.New(canary)
		}
	case "touch":
		_ = b.DisplayMessage("touch your \x1b[31mkey")
	case "error":
		return nil, errors.New(canary)
	case "hang":
		time.Sleep(3 * time.Second)
	}
	return b.key.Unwrap(stanzas)
}

// withPlugin puts the plug-in into PATH and an identity of it into the home. Age takes
// PATH from this process, so that these tests are not parallel.
func withPlugin(t *testing.T, how ...string) (p *place, runs func() int) {
	t.Helper()
	p = newPlace(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, log := filepath.Join(p.home, "bin"), filepath.Join(p.home, "log")
	p.write(filepath.Join(bin, "README"), nil)
	if err := os.Symlink(self, filepath.Join(bin, "age-plugin-kztest")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	t.Setenv("KZ_TEST_LOG", log)
	lines := ""
	for _, h := range how {
		lines += plugin.EncodeIdentity("kztest", []byte(h)) + "\n"
	}
	p.write(filepath.Join(p.home, keys), []byte(lines))
	return p, func() int {
		data, _ := os.ReadFile(log)
		return strings.Count(string(data), "\n")
	}
}

func plugged(t *testing.T) age.Recipient {
	t.Helper()
	id, err := age.ParseX25519Identity(pluginKey)
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient()
}

func TestPlugin(t *testing.T) {
	p, runs := withPlugin(t, "touch")
	p.seal("env", "A=1\nB=2\n", plugged(t))
	results := p.fetch(p.provider(), "env#A", "env#B", "env#A", "env")
	for i, value := range []string{"1", "2", "1", "A=1\nB=2"} {
		want(t, "the plug-in's file", results[i], value, "")
	}
	if n := runs(); n != 1 {
		t.Errorf("the plug-in was run %d times for one file", n)
	}
	if got := strings.Join(p.told, "|"); got != `age-plugin-kztest: touch your \x1b[31mkey` {
		t.Errorf("the user is told %q", got)
	}
	standing, err := p.provider().Probe(t.Context())
	if err != nil || standing.Plain || standing.Credential != "file ~/"+keys {
		t.Errorf("Probe = %+v, %v", standing, err)
	}
	if n := runs(); n != 1 {
		t.Error("Probe runs the plug-in")
	}
}

func TestPluginRefuses(t *testing.T) {
	for how, class := range map[string]resolve.Class{"pin": resolve.PromptNeeded, "confirm": resolve.PromptNeeded, "error": resolve.Denied} {
		p, runs := withPlugin(t, how)
		p.seal("f", canary, plugged(t))
		want(t, how, p.fetch(p.provider(), "f")[0], "", class)
		if runs() != 1 {
			t.Errorf("%s: the plug-in was run %d times", how, runs())
		}
	}
	p, _ := withPlugin(t, "error", "touch")
	p.seal("f", "x", plugged(t))
	want(t, "one that fails before one that does not", p.fetch(p.provider(), "f")[0], "x", "")

	p, _ = withPlugin(t, "touch")
	p.seal("f", canary, p.key("").Recipient())
	want(t, "a file of others", p.fetch(p.provider(), "f")[0], "", resolve.Denied)
}

// What a key on disk opens waits for no plug-in, whatever the order.
func TestPluginRunsOnlyIfNeeded(t *testing.T) {
	p, runs := withPlugin(t, "hang")
	id := p.key("more.txt")
	p.seal("token", canary, plugged(t))
	p.seal("disk", "x", id.Recipient(), plugged(t))
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	start := time.Now()
	results := p.provider("identities", "~/"+keys+"\n~/more.txt").Fetch(ctx, p.refs("token", "disk", "token#A"))
	if took := time.Since(start); took > 800*time.Millisecond {
		t.Errorf("with a plug-in that hangs Fetch takes %v", took)
	}
	for i, class := range []resolve.Class{resolve.Timeout, "", resolve.Timeout} {
		want(t, "beside a plug-in that hangs", results[i], []string{"", "x", ""}[i], class)
	}
	if n := runs(); n != 1 {
		t.Errorf("the plug-in was run %d times", n)
	}
}

func TestPluginProgram(t *testing.T) {
	p, runs := withPlugin(t, "touch")
	p.seal("f", canary, plugged(t))
	of := p.provider()
	avoid := of.setup
	avoid.Avoid = []string{p.home}
	elsewhere := of.setup
	elsewhere.Env = []string{"HOME=" + p.home, "PATH=/usr/bin:/bin"}
	debug := of.setup
	debug.Env = append(debug.Env, "AGEDEBUG=plugin")
	for name, s := range map[string]resolve.Setup{"in a project": avoid, "not in the user's PATH": elsewhere, "with AGEDEBUG": debug} {
		made, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		want(t, name, p.fetch(made, "f")[0], "", resolve.NoTool)
	}
	t.Setenv("PATH", "/usr/bin:/bin")
	want(t, "not in the process's PATH", p.fetch(of, "f")[0], "", resolve.NoTool)
	if runs() != 0 {
		t.Error("the plug-in was run")
	}
}

// GHSA-32gq-x56h-299c: the name of a plug-in was a path.
func TestPluginNames(t *testing.T) {
	p, runs := withPlugin(t, "touch")
	p.seal("f", canary, plugged(t))
	for _, line := range []string{"AGE-PLUGIN-../X-1QQPHS7UD", "AGE-PLUGIN-../../TMP/X-1QQ", "AGE-PLUGIN--1QQ", "AGE-PLUGIN-X", "AGE-PLUGIN-" + strings.Repeat("A", 100) + "-1QQ", plugin.EncodeIdentity("..", nil), plugin.EncodeIdentity("-x", nil), plugin.EncodeIdentity(".hidden", nil)} {
		p.write(filepath.Join(p.home, keys), []byte(line+"\n"))
		want(t, line, p.fetch(p.provider(), "f")[0], "", resolve.Malformed)
	}
	for _, to := range []string{"age1../../../tmp/x1qq", plugin.EncodeRecipient("..", []byte("x")), plugin.EncodeRecipient(".h", []byte("x"))} {
		err := p.provider("recipients", to).Store(t.Context(), p.refs("new")[0], resolve.NewSecret("x"))
		if resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("the recipient %q leads to %v", to, err)
		}
	}
	if runs() != 0 {
		t.Error("the plug-in was run")
	}
}

func TestPluginEncrypts(t *testing.T) {
	p, _ := withPlugin(t, "touch")
	of := p.provider("recipients", plugin.EncodeRecipient("kztest", []byte("x")))
	if err := of.Store(t.Context(), p.refs("f")[0], resolve.NewSecret("x")); err != nil {
		t.Fatal(err)
	}
	want(t, "what a plug-in encrypted", p.fetch(of, "f")[0], "x", "")
	none := p.provider("recipients", plugin.EncodeRecipient("kznone", []byte("x")))
	if err := none.Store(t.Context(), p.refs("g")[0], resolve.NewSecret("x")); resolve.ClassOf(err) != resolve.NoTool {
		t.Errorf("a plug-in that is not there leads to %v", err)
	}
}
