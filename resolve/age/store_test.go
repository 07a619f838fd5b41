//go:build unix

package age

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

func (p *place) open(name string, id age.Identity) string {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := age.Decrypt(unarmored(data), id)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func TestStore(t *testing.T) {
	p := newPlace(t)
	mine, other := p.key(keys), p.key("")
	public := p.sshKey("theirs", "ed25519", "")
	of := p.provider("recipients", strings.Join([]string{mine.Recipient().String(), other.Recipient().String(), public}, "\n"))
	for ref, value := range map[string]string{"new": "text " + canary, "lines": "a\nb\n", "env#A": "it's\ntwo", "env#B": "x", "empty": "", "bytes": "\x00\xff\r"} {
		if err := of.Store(t.Context(), p.refs(ref)[0], resolve.NewSecret(value)); err != nil {
			t.Errorf("Store of %s: %v", ref, err)
		}
		want(t, ref, p.fetch(of, ref)[0], value, "")
	}
	if got := p.open("new", other); got != "text "+canary+"\n" {
		t.Errorf("the other recipient reads %q", got)
	}
	want(t, "the SSH key", p.fetch(p.provider("identities", "~/theirs"), "new")[0], "text "+canary, "")
	data, _ := os.ReadFile(filepath.Join(p.dir, "new"))
	info, _ := os.Stat(filepath.Join(p.dir, "new"))
	if !armored(data) || strings.Contains(string(data), canary) || info.Mode() != 0o600 {
		t.Errorf("the new file is %v and holds %.40q", info.Mode(), data)
	}
}

func TestStoreKeepsTheRest(t *testing.T) {
	p := newPlace(t)
	mine := p.key(keys)
	const before = "# note\r\nA=1 \n\nexport B='two\nlines' # c\nC=${A:-x}${N:?}\nA=\"2\"\nLAST=z"
	of := p.provider("recipients", mine.Recipient().String())
	for key, test := range map[string]struct{ value, after string }{
		"A":   {"new", "# note\r\nA=1 \n\nexport B='two\nlines' # c\nC=${A:-x}${N-}\nA=new\nLAST=z\n"},
		"B":   {"b", "# note\r\nA=1 \n\nB=b\nC=${A:-x}${N-}\nA=\"2\"\nLAST=z\n"},
		"NEW": {"$x", "# note\r\nA=1 \n\nexport B='two\nlines' # c\nC=${A:-x}${N-}\nA=\"2\"\nLAST=z\nNEW='$x'\n"},
	} {
		p.seal("env", strings.ReplaceAll(before, "${N:?}", "${N-}"), mine.Recipient())
		_ = os.Chmod(filepath.Join(p.dir, "env"), 0o640)
		if err := of.Store(t.Context(), p.refs("env#" + key)[0], resolve.NewSecret(test.value)); err != nil {
			t.Errorf("Store of %s: %v", key, err)
			continue
		}
		if got := p.open("env", mine); got != test.after {
			t.Errorf("with another %s the text is\n%q, want\n%q", key, got, test.after)
		}
		if info, _ := os.Stat(filepath.Join(p.dir, "env")); info.Mode() != 0o640 {
			t.Errorf("the mode is %v", info.Mode())
		}
		if data, _ := os.ReadFile(filepath.Join(p.dir, "env")); armored(data) {
			t.Error("a binary file was turned into an armored one")
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	p := newPlace(t)
	mine := p.key(keys)
	to := mine.Recipient().String()
	p.seal("json", `{"A":"1"}`, mine.Recipient())
	p.seal("theirs", "A=1", p.key("").Recipient())
	p.seal("broken", "A='"+canary, mine.Recipient())
	p.write(filepath.Join(p.dir, "plain"), []byte("A="+canary))
	p.seal("../outside", "x", mine.Recipient())
	for name, target := range map[string]string{"out": "../outside", "up": "..", "in": "json"} {
		if err := os.Symlink(target, filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := p.snapshot()
	for _, test := range []struct {
		to, ref, value string
		class          resolve.Class
	}{
		{"", "new", "x", resolve.Denied},
		{"age1nonsense", "new", "x", resolve.Malformed},
		{to + "\nssh-ed25519 AAAA", "new", "x", resolve.Malformed},
		{to, "json#A", "x", resolve.Denied},
		{to, "theirs#A", "x", resolve.Denied},
		{to, "broken#A", "x", resolve.Malformed},
		{to, "plain#A", "x", resolve.Malformed},
		{to, "new#a b", "x", resolve.Malformed},
		{to, "new#A", "nul\x00", resolve.Malformed},
		{to, "../outside", "x", resolve.Malformed},
		{to, "out", "x", resolve.Malformed},
		{to, "in", "x", resolve.Malformed},
		{to, "up/outside", "x", resolve.Denied},
		{to, "none/new", "x", resolve.NotFound},
		{to, "new", strings.Repeat("x", projectfile.MaxSize), resolve.Malformed},
	} {
		err := p.provider("recipients", test.to).Store(t.Context(), p.refs(test.ref)[0], resolve.NewSecret(test.value))
		if resolve.ClassOf(err) != test.class {
			t.Errorf("Store at %s = %v, want %s", test.ref, err, test.class)
		}
		checkError(t, test.ref, err)
	}
	if after := p.snapshot(); after != before {
		t.Errorf("the files were\n%s, and are\n%s", before, after)
	}
}

// snapshot returns the names and contents of all files around.
func (p *place) snapshot() string {
	p.t.Helper()
	var all strings.Builder
	if err := filepath.WalkDir(filepath.Dir(p.dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.WriteString(path + " " + string(data) + "\n")
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
	return all.String()
}
