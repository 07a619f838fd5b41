package bitwarden

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/tooltest"
	"github.com/getkeyzero/kz/resolve"
)

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
	_ resolve.Lister   = (*Provider)(nil)
)

// A stage is a program with what it has stored.
type stage struct {
	*Provider
	dir string
}

func newStage(t *testing.T, program, mode string, files map[string]string, settings ...string) stage {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, dir, name, text)
	}
	s := resolve.Setup{Settings: map[string]string{"through": program}}
	s.Env = []string{
		"HOME=" + t.TempDir(), "PATH=" + filepath.Dir(tooltest.Program(t, program)), "BW_DIR=" + dir, "BW_MODE=" + mode,
		"BWS_ACCESS_TOKEN=" + canary, "BW_SESSION=" + canary,
	}
	for i := 0; i < len(settings); i += 2 {
		s.Settings[settings[i]] = settings[i+1]
	}
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return stage{p, dir}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func inquire(ctx context.Context, t *testing.T, p resolve.Provider, paths ...string) []resolve.Result {
	t.Helper()
	var refs []resolve.Ref
	for _, path := range paths {
		refs = append(refs, resolve.Ref{Path: path})
	}
	results := p.Fetch(ctx, refs)
	if len(results) != len(refs) {
		t.Fatalf("%d answers to %d references", len(results), len(refs))
	}
	for _, r := range results {
		checkError(t, r.Err)
	}
	return results
}

func checkError(t *testing.T, err error) {
	t.Helper()
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, canary) {
		t.Errorf("an error has what is secret: %s", text)
	}
}

// fetch asks, and checks that nothing secret is in an error or an argument.
func (s stage) fetch(t *testing.T, refs ...string) []resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results := inquire(ctx, t, s.Provider, refs...)
	s.checkCalls(t)
	return results
}

func (s stage) checkCalls(t *testing.T) []string {
	t.Helper()
	calls := tooltest.Calls(t, s.dir)
	for _, call := range calls {
		if strings.Contains(call, canary) {
			t.Errorf("an argument has what is secret: %s", call)
		}
	}
	return calls
}

func (s stage) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	if calls := s.checkCalls(t); !slices.Equal(calls, want) {
		t.Errorf("the program was called\n%q, want\n%q", calls, want)
	}
}

func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.80q, %v (%s); want %.80q, class %q", what, got.Secret.Reveal(), got.Err, resolve.ClassOf(got.Err), value, class)
	}
}

const (
	listCall     = "list items --nointeraction --raw"
	jsonArgs     = " --output=json --color=no"
	tokenHint    = "export BWS_ACCESS_TOKEN=TOKEN"
	unlockedHint = `export BW_SESSION="$(bw unlock --raw)"`
)

func TestWhich(t *testing.T) {
	withToken, bare := t.TempDir(), t.TempDir()
	for home, text := range map[string]string{withToken: "[profiles.default]\naccess_token = \"" + canary + "\"\n", bare: "server_base = 'https://x'\naccess_token = ''\n"} {
		if err := os.MkdirAll(filepath.Join(home, ".config/bws"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, home, ".config/bws/config", text)
	}
	rbw := filepath.Dir(tooltest.Program(t, "rbw"))
	set := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, tt := range map[string]struct {
		s    resolve.Setup
		want string
	}{
		"nothing":         {resolve.Setup{}, "bitwarden.passwords"},
		"a setting":       {resolve.Setup{Settings: set("through", "rbw"), Env: []string{"BWS_ACCESS_TOKEN=x"}}, "bitwarden.agent"},
		"a token":         {resolve.Setup{Env: []string{"BWS_ACCESS_TOKEN=x", "PATH=" + rbw}}, "bitwarden.secrets"},
		"a token's file":  {resolve.Setup{Env: []string{"HOME=" + withToken, "PATH=" + rbw}}, "bitwarden.secrets"},
		"a file without":  {resolve.Setup{Env: []string{"HOME=" + bare, "PATH=" + rbw}}, "bitwarden.agent"},
		"rbw":             {resolve.Setup{Env: []string{"PATH=" + rbw}}, "bitwarden.agent"},
		"rbw in the way":  {resolve.Setup{Env: []string{"PATH=" + rbw}, Avoid: []string{rbw}}, "bitwarden.passwords"},
		"a socket":        {resolve.Setup{Settings: set("socket", "/x"), Env: []string{"BWS_ACCESS_TOKEN=x"}}, "bitwarden.serve"},
		"bw by a setting": {resolve.Setup{Settings: set("through", "bw"), Env: []string{"PATH=" + rbw}}, "bitwarden.passwords"},
	} {
		p, err := New(tt.s)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%T", p.way); got != tt.want {
			t.Errorf("%s: asked is %s, want %s", name, got, tt.want)
		}
	}
}

func TestPresent(t *testing.T) {
	rbw := tooltest.Program(t, "rbw")
	for name, tt := range map[string]struct {
		s    resolve.Setup
		want string
	}{
		"nothing":  {resolve.Setup{}, ""},
		"rbw":      {resolve.Setup{Env: []string{"PATH=" + filepath.Dir(rbw)}}, "rbw at " + rbw},
		"no bws":   {resolve.Setup{Env: []string{"BWS_ACCESS_TOKEN=x", "PATH=" + filepath.Dir(rbw)}}, ""},
		"a path":   {resolve.Setup{Settings: map[string]string{"through": "rbw", "program": rbw}}, "rbw at " + rbw},
		"a socket": {resolve.Setup{Settings: map[string]string{"socket": "/run/bw.sock"}}, "bw serve at /run/bw.sock"},
	} {
		if got := Present(tt.s); got != tt.want {
			t.Errorf("%s: Present is %q, want %q", name, got, tt.want)
		}
	}
}

func TestReferences(t *testing.T) {
	for through, refs := range map[string]map[string]bool{
		"bw":  {"a": true, "a b": true, "a#b": true, "a#b#c": true, id1: true, id1 + "#notes": true, "": false, "#a": false, "a#": false, "-a": false, "a\n": false, "a\x00": false, "a\xff": false, "a#totp": false, "a\u0085": false},
		"rbw": {"a": true, "a#b": true, "": false, "-a#b": false, "--help": false, "a\x1b": false, "a#totp": false},
		"bws": {"a": true, "a/b": true, "a/b/c": true, id1: true, "": false, "/a": false, "a/": false, "-a": false, "-a/b": false, "a\n": false},
	} {
		p, err := New(resolve.Setup{Settings: map[string]string{"through": through}})
		if err != nil {
			t.Fatal(err)
		}
		for ref, ok := range refs {
			class := resolve.NoTool // it was asked for
			if !ok {
				class = resolve.Malformed
			}
			want(t, fmt.Sprintf("%s %q", through, ref), inquire(context.Background(), t, p, ref)[0], "", class)
		}
	}
}

// soon fails the test if do takes too long, three times in a row: the machine may be busy
// with other tests.
func soon(t *testing.T, limit time.Duration, do func() time.Duration) {
	t.Helper()
	fastest := time.Duration(1<<63 - 1)
	for range 3 {
		if fastest = min(fastest, do()); fastest <= limit {
			return
		}
	}
	t.Errorf("took %v, more than %v", fastest, limit)
}

// late is how much longer than its deadline a Fetch may take: what package tool
// gives a program to end, and 100 ms.
const late = 300 * time.Millisecond

func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bws", "bw", "rbw"} {
		for _, mode := range []string{"hangs", "hangs at the end", "asks the terminal"} {
			t.Run(program+" "+mode, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, program, mode, map[string]string{"items": "[]", "secrets": "[]", "item-a": "{}"})
				soon(t, 300*time.Millisecond+late, func() time.Duration {
					ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
					defer cancel()
					began := time.Now()
					for _, got := range inquire(ctx, t, s.Provider, "a", "b") {
						want(t, mode, got, "", resolve.Timeout)
					}
					return time.Since(began)
				})
			})
		}
	}
}

// What a program prints is a document, or nothing is taken from it.
func TestOddPrograms(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"items":   `[{"id":"` + id1 + `","name":"a","login":{"password":"` + canary + `"}}]`,
		"secrets": `[{"id":"` + id1 + `","key":"a","value":"` + canary + `"}]`,
		"item-a":  `{"id":"` + id1 + `","name":"a","data":{"password":"` + canary + `"}}`,
	}
	for _, program := range []string{"bws", "bw", "rbw"} {
		for mode, class := range map[string]resolve.Class{
			"says nothing": resolve.Malformed, "chatters": resolve.Malformed, "not UTF-8": resolve.Malformed,
			"floods": resolve.Malformed, "prints null and void": resolve.Malformed, "leaves a child": "", "throttled once": "",
		} {
			t.Run(program+" "+mode, func(t *testing.T) {
				t.Parallel()
				value := ""
				if class == "" {
					value = canary
				}
				want(t, mode, newStage(t, program, mode, files).fetch(t, "a")[0], value, class)
			})
		}
	}
}
