package pass

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
	"time"

	"github.com/getkeyzero/kz/resolve"
)

const canary = "kz-canary-8d1f"

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
	_ resolve.Lister   = (*Provider)(nil)
)

// The programs that the tests write are not to be ones that others may write to.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// A bench is a home with a store, and stand-ins for pass and gopass that note how they are
// called and then run body. They are no copies of the programs: what those do is
// tested in real_test.go.
type bench struct {
	home, log string
	env       []string
}

func newBench(t *testing.T, body string, entries ...string) bench {
	t.Helper()
	home := t.TempDir()
	b := bench{home, filepath.Join(home, "log"), []string{"HOME=" + home, "PATH=" + home + "/bin:/usr/bin:/bin"}}
	for _, e := range append(entries, ".gpg-id") {
		name := e + ".gpg"
		if e == ".gpg-id" {
			name = e
		}
		put(t, filepath.Join(home, ".password-store", name), "test@example.com\n", 0o600)
	}
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s|' \"$@\" >>%s; echo >>%s\nfor path; do :; done\n%s\n", b.log, b.log, body)
	for _, name := range []string{"pass", "gopass"} {
		put(t, filepath.Join(home, "bin", name), script, 0o755)
	}
	return b
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// A child that another test forks now would hold the file open for writing, and
	// the kernel would not run it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (b bench) setup(settings ...string) resolve.Setup {
	s := resolve.Setup{Env: b.env, Settings: map[string]string{}}
	for i := 0; i < len(settings); i += 2 {
		s.Settings[settings[i]] = settings[i+1]
	}
	return s
}

func made(t *testing.T, p *Provider, err error) *Provider {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (b bench) pass(t *testing.T, settings ...string) *Provider {
	t.Helper()
	p, err := New(b.setup(settings...))
	return made(t, p, err)
}

func (b bench) gopass(t *testing.T, settings ...string) *Provider {
	t.Helper()
	p, err := NewGopass(b.setup(settings...))
	return made(t, p, err)
}

// calls returns the lines of the log, sorted.
func (b bench) calls(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(b.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	slices.Sort(lines)
	return lines
}

func fetch(t *testing.T, p *Provider, paths ...string) []resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results := p.Fetch(ctx, refs(paths...))
	if len(results) != len(paths) {
		t.Fatalf("%d results for %d references", len(results), len(paths))
	}
	return results
}

func refs(paths ...string) []resolve.Ref {
	refs := make([]resolve.Ref, len(paths))
	for i, p := range paths {
		refs[i] = resolve.Ref{Path: p}
	}
	return refs
}

// want is a value, or a class and a part of the cause.
func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.60q, %v; want %.60q, class %q", what, got.Secret.Reveal(), got.Err, value, class)
	}
	if got.Err != nil && strings.Contains(fmt.Sprintf("%v %#v", got.Err, got.Err), canary) {
		t.Errorf("%s: the error holds what the program wrote: %v", what, got.Err)
	}
}

const entry = `printf 'hunter2\nuser: bob\nurl : https://example.com:8\nempty:\nuser: second\n  spaced  \n'`

func TestFetch(t *testing.T) {
	t.Parallel()
	b := newBench(t, entry, "a/b", "c#d")
	values := map[string]string{
		"a/b": "hunter2", "a/b#1": "hunter2", "a/b#2": "user: bob", "a/b#6": "  spaced  ",
		"a/b#user": "bob", "a/b#url": "https://example.com:8", "a/b#empty": "", "c#d#user": "bob",
	}
	for _, p := range []*Provider{b.pass(t), b.gopass(t)} {
		for ref, value := range values {
			want(t, p.dialect.program+" "+ref, fetch(t, p, ref)[0], value, "")
		}
		for _, ref := range []string{"a/b#7", "a/b#nope", "a/b#User", "a/b#hunter2"} {
			want(t, p.dialect.program+" "+ref, fetch(t, p, ref)[0], "", resolve.NotFound)
		}
	}
}

func TestFetchExactly(t *testing.T) {
	t.Parallel()
	for body, value := range map[string]string{
		`printf 'x'`:              "x",
		`printf 'x\n'`:            "x",
		`printf 'x\r\nuser: y\n'`: "x",
		`printf '\nsecond\n'`:     "",
		`printf ' a\0\377b \n'`:   " a\x00\xffb ",
		`printf x; echo '` + canary + ` is not in the password store' >&2`: "x", // success may write too
	} {
		want(t, body, fetch(t, newBench(t, body, "a").pass(t), "a")[0], value, "")
	}
	want(t, "nothing", fetch(t, newBench(t, ":", "a").pass(t), "a")[0], "", resolve.Malformed)
	long := fetch(t, newBench(t, `head -c 1000000 /dev/zero | tr '\0' x`, "a").pass(t), "a")[0]
	want(t, "1 MB", long, strings.Repeat("x", 1000000), "")
	want(t, "2 MB", fetch(t, newBench(t, `head -c 2000000 /dev/zero`, "a").pass(t), "a")[0], "", resolve.Malformed)
}

func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, entry)
	for _, p := range []*Provider{b.pass(t), b.gopass(t)} {
		for _, ref := range []string{
			"", "#", "#1", "a#", "a#0", "a#-1", "a#99999", "-x", "--help", "/etc/passwd", "..", "../a", "a/../b", "a/..", "a//b", "a/", "./a",
			"a\nb", "a\x00", "a\x1b[m", "a\u009b", "a\xff", "a#b:c", "a# b", strings.Repeat("x", 1025),
		} {
			want(t, fmt.Sprintf("%q", ref), fetch(t, p, ref)[0], "", resolve.Malformed)
			if err := p.Store(t.Context(), resolve.Ref{Path: ref}, resolve.NewSecret("v")); resolve.ClassOf(err) != resolve.Malformed {
				t.Errorf("Store at %q = %v, want malformed", ref, err)
			}
		}
	}
	if got := b.calls(t); got[0] != "" {
		t.Errorf("programs were run: %q", got)
	}
}

// What looks like shell, options or formats is one argument behind --.
func TestFetchArgument(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"a b", "$(touch x)", "%h", "a'b", "$IFS", "a;b", "x/-y", "*", "ünï"} {
		b := newBench(t, entry, path)
		want(t, path, fetch(t, b.pass(t), path)[0], "hunter2", "")
		want(t, path, fetch(t, b.gopass(t), path)[0], "hunter2", "")
		if got, want := b.calls(t), []string{"cat|--|" + path + "|", "show|--|" + path + "|"}; !slices.Equal(got, want) {
			t.Errorf("the arguments are %q, want %q", got, want)
		}
	}
}

func TestFetchOncePerEntry(t *testing.T) {
	t.Parallel()
	b := newBench(t, entry, "a", "b", "c")
	asked := []string{"a", "b#user", "a#user", "none", "a#2", "c", "b", "a#nope", "#", "a"}
	results := fetch(t, b.pass(t), asked...)
	for i, value := range []string{"hunter2", "bob", "bob", "", "user: bob", "hunter2", "hunter2", "", "", "hunter2"} {
		class := map[string]resolve.Class{"none": resolve.NotFound, "a#nope": resolve.NotFound, "#": resolve.Malformed}[asked[i]]
		want(t, asked[i], results[i], value, class)
	}
	if got, want := b.calls(t), []string{"show|--|a|", "show|--|b|", "show|--|c|"}; !slices.Equal(got, want) {
		t.Errorf("the programs run are %q, want %q", got, want)
	}
	if got := b.pass(t).Fetch(t.Context(), nil); len(got) != 0 {
		t.Errorf("no references lead to %v", got)
	}
}

const (
	askedFor = `echo '[GNUPG:] PINENTRY_LAUNCHED 1 curses' >&2; echo 'gpg: decryption failed: No secret key' >&2; echo '[GNUPG:] DECRYPTION_FAILED' >&2; echo ` + canary + `; exit 2`
	noKey    = `echo '[GNUPG:] DECRYPTION_FAILED' >&2; echo ` + canary + ` >&2; exit 2`
)

// A locked agent is met once, and not by every entry.
func TestFetchStopsAtLockedAgent(t *testing.T) {
	t.Parallel()
	for _, of := range []func(bench) *Provider{func(b bench) *Provider { return b.pass(t) }, func(b bench) *Provider { return b.gopass(t) }} {
		b := newBench(t, askedFor, "a", "b", "c", "d")
		p := of(b)
		for _, r := range fetch(t, p, "a", "b", "c#user", "d", "a#2") {
			want(t, "a locked agent", r, "", resolve.Locked)
			if e, ok := errors.AsType[*resolve.Error](r.Err); !ok || e.Hint != p.dialect.program+" show a >/dev/null" {
				t.Errorf("the hint is %+v", e)
			}
		}
		if got := b.calls(t); len(got) != 1 {
			t.Errorf("the programs run are %q, want one", got)
		}
	}
}

// An entry that fails on its own does not keep the others back, and they are asked
// for at once only when one was opened.
func TestFetchSomeFail(t *testing.T) {
	t.Parallel()
	b := newBench(t, `case $path in bad*) `+noKey+`;; esac; `+entry, "bad1", "good", "bad2", "good2")
	results := fetch(t, b.pass(t), "bad1", "good", "bad2", "good2", "none")
	for i, value := range []string{"", "hunter2", "", "hunter2", ""} {
		want(t, fmt.Sprint(i), results[i], value, []resolve.Class{resolve.Denied, "", resolve.Denied, "", resolve.NotFound}[i])
	}
}

// The first runs alone: the others find what it left. Then up to four run together,
// which each of them waits to see.
func TestFetchFirstAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, `cd "$HOME"
if test ! -e first; then sleep 0.2; ls run.* >/dev/null 2>&1 && exit 9; : >first; echo alone; exit; fi
: >run.$$; i=0; while test $(ls run.* | wc -l) -lt 4; do i=$((i+1)); test $i -gt 500 && exit 9; sleep 0.01; done; echo together`, "a", "b", "c", "d", "e")
	results := fetch(t, b.pass(t), "a", "b", "c", "d", "e")
	for i, r := range results {
		want(t, fmt.Sprint("entry ", i), r, []string{"alone", "together"}[min(i, 1)], "")
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for body, class := range map[string]resolve.Class{
		noKey:    resolve.Denied,
		askedFor: resolve.Locked,
		`echo '[GNUPG:] ERROR pkdecrypt_failed 83918950' >&2; exit 2`:                                  resolve.Locked,
		`echo '[GNUPG:] ERROR pkdecrypt_failed 100663404' >&2; exit 2`:                                 resolve.PromptNeeded,
		`echo '[GNUPG:] KEY_CONSIDERED X 0' >&2; ` + noKey:                                             resolve.Locked,
		`echo '[GNUPG:] DECRYPTION_KEY X' >&2; ` + noKey:                                               resolve.Malformed,
		`echo '[GNUPG:] CARDCTRL 1' >&2; exit 2`:                                                       resolve.PromptNeeded,
		`echo '[GNUPG:] NODATA 1' >&2; exit 2`:                                                         resolve.Malformed,
		`echo 'Error: a is not in the password store.' >&2; echo ` + canary + `; exit 1`:               resolve.NotFound,
		`echo 'Error: You must run:' >&2; exit 1`:                                                      resolve.NotLoggedIn,
		`echo ' [GNUPG:] CARDCTRL 1' >&2; echo 'x[GNUPG:] CARDCTRL' >&2; echo '[GNUPG:]' >&2; exit 66`: "",
		`echo ` + canary + ` >&2; exit 1`:                                                              "",
		`kill -9 $$`:                                                                                   "",
	} {
		r := fetch(t, newBench(t, body, "a").pass(t), "a")[0]
		if r.Err == nil || resolve.ClassOf(r.Err) != class || strings.Contains(r.Err.Error(), canary) {
			t.Errorf("%s leads to %v of class %q, want %q", body, r.Err, resolve.ClassOf(r.Err), class)
		}
	}
	want(t, "gopass exits with 6", fetch(t, newBench(t, "exit 6").gopass(t), "a")[0], "", resolve.NotLoggedIn)
}

func TestHint(t *testing.T) {
	t.Parallel()
	b := newBench(t, askedFor, "a/b", "$(touch x)")
	put(t, filepath.Join(b.home, "other", "a.gpg"), "", 0o600)
	for _, test := range []struct {
		p        *Provider
		ref, say string
	}{
		{b.pass(t), "a/b#user", "pass show a/b >/dev/null"},
		{b.pass(t), "$(touch x)", ""},
		{b.pass(t, "store", b.home+"/other"), "a", "PASSWORD_STORE_DIR=" + b.home + "/other pass show a >/dev/null"},
		{b.pass(t, "program", b.home+"/bin/pass"), "a/b", ""},
	} {
		r := fetch(t, test.p, test.ref)[0]
		if e, ok := errors.AsType[*resolve.Error](r.Err); !ok || e.Class != resolve.Locked || e.Hint != test.say {
			t.Errorf("%s: %v, want the hint %q", test.ref, e, test.say)
		}
	}
}

func TestFetchEndsWithDeadline(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no answer": "sleep 60", "half an answer": "printf half; sleep 60", "not to be terminated": "trap '' TERM; while :; do sleep 1; done",
	} {
		b := newBench(t, body, "a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		results := b.pass(t).Fetch(ctx, refs("a", "b"))
		cancel()
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("%s: Fetch takes %v", name, took)
		}
		for _, r := range results {
			want(t, name, r, "", resolve.Timeout)
		}
		if got := b.calls(t); len(got) != 1 {
			t.Errorf("%s: the programs run are %q", name, got)
		}
	}
}

// A store whose folder is asked for gives the names in it, which are no secret.
func TestFolderIsNoEntry(t *testing.T) {
	t.Parallel()
	b := newBench(t, "echo folder", "folder/x")
	want(t, "a folder", fetch(t, b.pass(t), "folder")[0], "", resolve.NotFound)
	if err := os.Mkdir(filepath.Join(b.home, ".password-store/dir.gpg"), 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, "a folder with the ending", fetch(t, b.pass(t), "dir")[0], "", resolve.NotFound)
	if got := b.calls(t); got[0] != "" {
		t.Errorf("programs were run: %q", got)
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	b := newBench(t, entry, "a")
	inProject := b.setup()
	inProject.Avoid = []string{b.home}
	lost := b.setup()
	lost.Env = []string{"HOME=" + b.home, "PATH=" + b.home}
	for name, s := range map[string]resolve.Setup{
		"in a project": inProject, "not in PATH": lost, "a setting": b.setup("program", "/none/pass"),
	} {
		p, err := New(s)
		if name == "in a project" {
			s.Env = []string{"HOME=" + b.home, "PATH=" + b.home + "/bin"}
			p, err = New(s)
		}
		p = made(t, p, err)
		want(t, name, fetch(t, p, "a")[0], "", resolve.NoTool)
		if _, err := p.Probe(t.Context()); resolve.ClassOf(err) != resolve.NoTool {
			t.Errorf("%s: Probe = %v", name, err)
		}
		if err := p.Store(t.Context(), resolve.Ref{Path: "a"}, resolve.NewSecret("x")); resolve.ClassOf(err) != resolve.NoTool {
			t.Errorf("%s: Store = %v", name, err)
		}
	}
	if got := b.calls(t); got[0] != "" {
		t.Errorf("programs were run: %q", got)
	}
}

func TestNoStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, entry)
	p := b.pass(t, "store", "~/none")
	want(t, "no store", fetch(t, p, "a")[0], "", resolve.NotLoggedIn)
	if _, err := p.Probe(t.Context()); resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("Probe = %v", err)
	}
	if _, err := p.List(t.Context()); resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("List = %v", err)
	}
}

func TestReplace(t *testing.T) {
	const old = "pw\nuser: bob\n\nnote\nuser: x"
	for _, test := range []struct{ entry, ref, value, want string }{
		{old, "a", "new", "new\nuser: bob\n\nnote\nuser: x\n"},
		{old, "a#user", "eve", "pw\nuser: eve\n\nnote\nuser: x\n"},
		{old, "a#4", "n", "pw\nuser: bob\n\nn\nuser: x\n"},
		{old, "a#7", "n", "pw\nuser: bob\n\nnote\nuser: x\n\nn\n"},
		{old, "a#url", "u:v", "pw\nuser: bob\n\nnote\nuser: x\nurl: u:v\n"},
		{"", "a", "new", "new\n"},
		{"", "a#user", "eve", "\nuser: eve\n"},
		{"pw", "a#user", "", "pw\nuser: \n"},
		{old, "a", "two\nlines", ""},
		{old, "a", "nul\x00", ""},
		{old, "a#user", " blank", ""},
	} {
		r, err := parse(test.ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := replace(test.entry, r, test.value)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("replace(%q, %s, %q) = %q, %v; want %q", test.entry, test.ref, test.value, got, err, test.want)
		}
		if err != nil {
			continue
		}
		if back := find(resolve.NewSecret(got), r); back.Secret.Reveal() != test.value {
			t.Errorf("of %q %s is read back as %q, %v", got, test.ref, back.Secret.Reveal(), back.Err)
		}
	}
}

// The value is in the program's stdin and in no argument; what fetches has a stdin from
// which nothing comes, for gopass would write it into the entry.
func TestStore(t *testing.T) {
	t.Parallel()
	const body = `if test -c /dev/stdin; then printf 'pw\nuser: bob\n'; else cat >"$HOME/written"; echo ` + canary + ` >&2; test ! -e "$HOME/full"; fi`
	for _, of := range []func(bench) *Provider{func(b bench) *Provider { return b.pass(t) }, func(b bench) *Provider { return b.gopass(t) }} {
		b := newBench(t, body, "a")
		p := of(b)
		if err := p.Store(t.Context(), resolve.Ref{Path: "a#user"}, resolve.NewSecret("secret-"+canary)); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(b.home, "written"))
		if want := "pw\nuser: secret-" + canary + "\n"; string(data) != want {
			t.Errorf("%s got %q, want %q", p.dialect.program, data, want)
		}
		if calls := strings.Join(b.calls(t), " "); strings.Contains(calls, canary) || !strings.Contains(calls, "--|a|") {
			t.Errorf("the arguments are %s", calls)
		}
		put(t, filepath.Join(b.home, "full"), "", 0o600)
		if err := p.Store(t.Context(), resolve.Ref{Path: "a"}, resolve.NewSecret(canary)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("a program that fails leads to %v", err)
		}
		if err := p.Store(t.Context(), resolve.Ref{Path: "a"}, resolve.NewSecret("a\nb")); resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("a value of two lines leads to %v", err)
		}
	}
}

// An entry that cannot be read is not overwritten by one that has only the new line.
func TestStoreKeepsWhatIsLocked(t *testing.T) {
	t.Parallel()
	b := newBench(t, `test -c /dev/stdin || { cat >"$HOME/written"; exit; }; `+askedFor, "a")
	for _, p := range []*Provider{b.pass(t), b.gopass(t)} {
		if err := p.Store(t.Context(), resolve.Ref{Path: "a#user"}, resolve.NewSecret("x")); resolve.ClassOf(err) != resolve.Locked {
			t.Errorf("Store = %v, want locked", err)
		}
	}
	if _, err := os.Stat(filepath.Join(b.home, "written")); err == nil {
		t.Error("the entry was written")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := newBench(t, `printf 'b\na/c\n../x\n-o\n'`, "x/y", "a", ".git/z", "with#hash", "new\nline")
	for p, want := range map[*Provider][]string{b.pass(t): {"a", "x/y"}, b.gopass(t): {"a/c", "b"}} {
		if got, err := p.List(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s lists %q, %v; want %q", p.dialect.program, got, err, want)
		}
	}
	if got := b.calls(t); !slices.Equal(got, []string{"ls|-f|"}) {
		t.Errorf("the programs run are %q", got)
	}
}

func TestProbeAndPresent(t *testing.T) {
	t.Parallel()
	b := newBench(t, "exit 1", "a")
	if got, err := b.pass(t).Probe(t.Context()); err != nil || got != (resolve.Standing{Through: b.home + "/bin/pass", As: "test@example.com", Credential: "gpg-agent"}) {
		t.Errorf("Probe = %+v, %v", got, err)
	}
	if got, err := b.gopass(t).Probe(t.Context()); err != nil || got != (resolve.Standing{Through: b.home + "/bin/gopass", Credential: "gpg-agent"}) {
		t.Errorf("Probe = %+v, %v", got, err)
	}
	if got := Present(b.setup()); got != b.home+"/.password-store" {
		t.Errorf("Present = %q", got)
	}
	if got := PresentGopass(b.setup()); got != "" {
		t.Errorf("PresentGopass = %q, and it was never set up", got)
	}
	put(t, filepath.Join(b.home, ".config/gopass/config"), "", 0o600)
	if got := PresentGopass(b.setup()); got != "gopass at "+b.home+"/bin/gopass" {
		t.Errorf("PresentGopass = %q", got)
	}
	if got := Present(resolve.Setup{Env: []string{"HOME=" + t.TempDir()}}); got != "" {
		t.Errorf("Present = %q in an empty home", got)
	}
	if got := b.calls(t); got[0] != "" {
		t.Errorf("programs were run: %q", got)
	}
}

func TestStoreDirectory(t *testing.T) {
	t.Parallel()
	b := newBench(t, `echo "$PASSWORD_STORE_DIR $PASSWORD_STORE_GPG_OPTS"`)
	for _, dir := range []string{"one", "two"} {
		put(t, filepath.Join(b.home, dir, "a.gpg"), "", 0o600)
	}
	b.env = append(b.env, "PASSWORD_STORE_DIR="+b.home+"/one", "PASSWORD_STORE_GPG_OPTS=--foo")
	want(t, "the variable", fetch(t, b.pass(t), "a")[0], b.home+"/one --foo --status-fd 2", "")
	want(t, "the setting", fetch(t, b.pass(t, "store", b.home+"/two"), "a")[0], b.home+"/two --foo --status-fd 2", "")
}

// An entry that has a key of its own and fails has unlocked nothing for the others.
func TestFetchAloneUntilOneOpens(t *testing.T) {
	t.Parallel()
	b := newBench(t, `case $path in bad) `+noKey+`;; esac; `+askedFor, "bad", "a", "b", "c")
	for i, r := range fetch(t, b.pass(t), "bad", "a", "b", "c") {
		want(t, fmt.Sprint("entry ", i), r, "", []resolve.Class{resolve.Denied, resolve.Locked}[min(i, 1)])
	}
	if got := b.calls(t); len(got) != 2 {
		t.Errorf("the programs run are %q, want two", got)
	}
}

// A password may look like a line with a key.
func TestFirstLineHasNoKey(t *testing.T) {
	t.Parallel()
	p := newBench(t, `printf 'user: `+canary+`\nuser: bob\n'`, "a").pass(t)
	want(t, "a key", fetch(t, p, "a#user")[0], "bob", "")
	want(t, "the password", fetch(t, p, "a")[0], "user: "+canary, "")
}

// What gopass prints comes whole, and what it does not end is ended.
func TestGopassLimits(t *testing.T) {
	t.Parallel()
	big := newBench(t, "head -c 1048576 /dev/zero | tr '\\0' x").gopass(t)
	want(t, "1 MiB", fetch(t, big, "a")[0], strings.Repeat("x", 1<<20), "")
	nul := newBench(t, `printf 'a\000b\nuser: c\000d\n'`).gopass(t)
	want(t, "a NUL", fetch(t, nul, "a")[0], "a\x00b", "")
	want(t, "a NUL in a line", fetch(t, nul, "a#user")[0], "c\x00d", "")
	slow := newBench(t, "exec sleep 60").gopass(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	for _, r := range slow.Fetch(ctx, []resolve.Ref{{Path: "a"}, {Path: "b"}}) {
		if resolve.ClassOf(r.Err) != resolve.Timeout {
			t.Errorf("a gopass that hangs leads to %v", r.Err)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}
