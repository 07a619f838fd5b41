package onepassword

import (
	"context"
	"encoding/json"
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

// A stage is an op with its items.
type stage struct {
	*Provider
	setup resolve.Setup
	dir   string
}

func newStage(t *testing.T, mode string, values map[string]string, env ...string) stage {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "values", string(data))
	program := tooltest.Program(t, "op")
	s := resolve.Setup{
		Settings: map[string]string{"account": "team.1password.com"},
		Env:      append([]string{"HOME=" + t.TempDir(), "PATH=" + filepath.Dir(program), "OP_DIR=" + dir, "OP_MODE=" + mode}, env...),
	}
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return stage{p, s, dir}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
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

func (s stage) checkCalls(t *testing.T) {
	t.Helper()
	for _, call := range tooltest.Calls(t, s.dir) {
		if strings.Contains(call, canary) {
			t.Errorf("an argument has a value: %s", call)
		}
		if !strings.Contains(call, "--account=team.1password.com") {
			t.Errorf("not of the account: %s", call)
		}
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

func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.80q, %v (%s); want %.80q, class %q", what, got.Secret.Reveal(), got.Err, resolve.ClassOf(got.Err), value, class)
	}
}

func (s stage) calls(t *testing.T, first string) (n int) {
	t.Helper()
	for _, call := range tooltest.Calls(t, s.dir) {
		if strings.HasPrefix(call, first) {
			n++
		}
	}
	return n
}

// Values come back as they are, by one op for all: also those that look like a
// template, like another reference or like the seams.
func TestInject(t *testing.T) {
	t.Parallel()
	values := map[string]string{}
	var refs []string
	for i, v := range []string{
		"plain", "two\nlines\n", "\n", " ", "{{ op://dev/db/f0 }}", "}} {{", "<x 1>", "op://dev/db/f1", "$HOME ${x}",
		"a\x00b", strings.Repeat("long", 1<<18), "ø", canary,
	} {
		ref := fmt.Sprintf("op://dev/db/f%d", i)
		values[ref] = v
		refs = append(refs, ref)
	}
	s := newStage(t, "", values)
	got := s.fetch(t, append(refs, refs[0], "dev/db/f1")...)
	for i, ref := range refs {
		want(t, ref, got[i], values[ref], "")
	}
	want(t, "a reference once more", got[len(refs)], "plain", "")
	want(t, "one without its scheme", got[len(refs)+1], "two\nlines\n", "")
	if calls := tooltest.Calls(t, s.dir); len(calls) != 1 || !strings.HasPrefix(calls[0], "inject ") {
		t.Errorf("op was called %d times: %.200q", len(calls), calls)
	}
}

// The seam cannot be known before.
func TestSeamsDiffer(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", map[string]string{"op://a/b/c": "1", "op://a/b/d": "2"})
	s.fetch(t, "op://a/b/c", "op://a/b/d")
	first := read(s.dir, "template")
	s.fetch(t, "op://a/b/c", "op://a/b/d")
	if second := read(s.dir, "template"); first == second || len(first) < 60 {
		t.Errorf("the templates are %q and %q", first, second)
	}
}

func TestCut(t *testing.T) {
	for text, ok := range map[string]bool{
		"<s 0>a<s 1>b<s 2>": true, "<s 0>a<s 1>b<s 2>\n": true, "x<s 0>a<s 1>b<s 2>": false, "<s 0>a<s 1>b<s 2>x": false,
		"<s 0>a<s 2>b<s 1>": false, "<s 0>a<s 1>b": false, "": false, "<s 0>a<s 2>": false,
	} {
		results, err := cut([]byte(text), "s", 2)
		if (err == nil) != ok {
			t.Errorf("cut(%q) leads to %v", text, err)
		}
		if ok {
			want(t, text, results[0], "a", "")
			want(t, text, results[1], "b", "")
		}
	}
}

// One reference that is bad costs no other.
func TestOneIsMissing(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", map[string]string{
		"op://dev/db/a": "1", "op://dev/db/b": "2\n", "op://dev/db/field": "!item 'dev/db' does not have a field 'field'",
		"op://dev/twin/a": "!More than one item matches \"twin\".", "op://secret/db/a": "!(403) (Forbidden), no access",
	})
	got := s.fetch(t, "op://dev/db/a", "op://dev/none/x", "op://dev/db/b", "op://dev/db/field", "op://dev/twin/a", "op://secret/db/a", "op://-/x/y")
	want(t, "the first", got[0], "1", "")
	want(t, "no item", got[1], "", resolve.NotFound)
	want(t, "the third", got[2], "2\n", "")
	want(t, "no field", got[3], "", resolve.NotFound)
	want(t, "two items", got[4], "", resolve.Ambiguous)
	want(t, "a forbidden vault", got[5], "", resolve.Denied)
	want(t, "a malformed reference", got[6], "", resolve.Malformed)
	if s.calls(t, "inject") != 7 {
		t.Errorf("op was called %q", tooltest.Calls(t, s.dir))
	}
}

func TestAttribute(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", map[string]string{"op://dev/my item/one-time password?attribute=otp": "123456", "op://dev/empty/f": ""})
	want(t, "an attribute", s.fetch(t, "op://dev/my item/one-time password?attribute=otp")[0], "123456", "")
	want(t, "an empty field", s.fetch(t, "op://dev/empty/f")[0], "", resolve.Malformed)
	if s.calls(t, "inject") != 2 || s.calls(t, "") != 2 {
		t.Errorf("op was called %q", tooltest.Calls(t, s.dir))
	}
}

// Whoever is not signed in is asked once, and told what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const signIn = "op signin --account team.1password.com"
	for mode, tt := range map[string]struct {
		class resolve.Class
		hint  string
		calls int
	}{
		"signed out": {resolve.NotLoggedIn, signIn, 1},
		"no account": {resolve.NotLoggedIn, signIn, 1},
		"expired":    {resolve.Expired, signIn, 1},
		"locked":     {resolve.Locked, signIn, 1},
		"dismissed":  {resolve.PromptNeeded, signIn, 1},
		"throttled":  {resolve.Throttled, "", 3},
		"offline":    {resolve.Unreachable, "", 1},
		"denied":     {resolve.Denied, "", 3}, // of which one op asks for both
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, mode, nil)
			for i, got := range s.fetch(t, "op://a/b/c", "op://a/b/d") {
				want(t, fmt.Sprint(mode, i), got, "", tt.class)
				if e, ok := got.Err.(*resolve.Error); ok && e.Hint != tt.hint {
					t.Errorf("hint %q, want %q", e.Hint, tt.hint)
				}
			}
			if s.calls(t, "") != tt.calls {
				t.Errorf("op was called %d times, want %d", s.calls(t, ""), tt.calls)
			}
		})
	}
}

// What op says of an item by its name is not what op says of itself.
func TestNamesSayNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", map[string]string{"op://dev/db/a": "1"})
	got := s.fetch(t, "op://dev/not signed in/a", "op://dev/db/a", "op://dev/session expired/x")
	want(t, "an odd item", got[0], "", resolve.NotFound)
	want(t, "a plain one", got[1], "1", "")
	want(t, "another odd one", got[2], "", resolve.NotFound)
}

// Who is signed out on the way is not asked by all the others.
func TestSignedOutOnTheWay(t *testing.T) {
	t.Parallel()
	s := newStage(t, "signs out", map[string]string{"op://a/b/c0": "1"})
	var refs []string
	for i := range 20 {
		refs = append(refs, fmt.Sprint("op://a/b/c", i))
	}
	got := s.fetch(t, refs...)
	want(t, "the first", got[0], "", resolve.NotLoggedIn)
	want(t, "the last", got[19], "", resolve.NotLoggedIn)
	if s.calls(t, "") != 2 {
		t.Errorf("op was called %d times", s.calls(t, ""))
	}
}

func TestThrottledOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, "throttled once", map[string]string{"op://a/b/c": canary})
	want(t, "the second time", s.fetch(t, "op://a/b/c")[0], canary, "")
	if s.calls(t, "") != 2 {
		t.Errorf("op was called %d times", s.calls(t, ""))
	}
}

func TestOddPrograms(t *testing.T) {
	t.Parallel()
	values := map[string]string{"op://a/b/c": canary, "op://a/b/d": canary}
	for mode, class := range map[string]resolve.Class{
		"says nothing": resolve.Malformed, "floods": resolve.Malformed, "not UTF-8": resolve.Malformed,
		"chatters": resolve.Malformed, "chatters later": resolve.Malformed, "swaps": resolve.Malformed, "garbles": resolve.Malformed,
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, mode, values)
			want(t, mode, s.fetch(t, "op://a/b/c")[0], "", class)
			for _, got := range s.fetch(t, "op://a/b/c", "op://a/b/d") {
				want(t, mode, got, "", class)
			}
			if s.calls(t, "") != 2 {
				t.Errorf("op was called %d times", s.calls(t, ""))
			}
		})
	}
	t.Run("leaves a child", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, "leaves a child", values)
		began := time.Now()
		want(t, "a held output", s.fetch(t, "op://a/b/c")[0], canary, "")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
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
	for _, mode := range []string{"hangs", "hangs at the end", "asks the terminal"} {
		for n, refs := range [][]string{{"op://a/b/c"}, {"op://a/b/c", "op://a/b/d"}} {
			t.Run(fmt.Sprint(mode, n), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, mode, map[string]string{"op://a/b/c": canary, "op://a/b/d": canary})
				soon(t, 300*time.Millisecond+late, func() time.Duration {
					ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
					defer cancel()
					began := time.Now()
					for _, got := range inquire(ctx, t, s.Provider, refs...) {
						want(t, mode, got, "", resolve.Timeout)
					}
					return time.Since(began)
				})
			})
		}
	}
}

func TestNoProgram(t *testing.T) {
	p, err := New(resolve.Setup{Env: []string{"PATH=" + t.TempDir(), "HOME=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "no op", inquire(context.Background(), t, p, "op://a/b/c")[0], "", resolve.NoTool)
	if _, err := p.Probe(context.Background()); resolve.ClassOf(err) != resolve.NoTool {
		t.Errorf("Probe leads to %v", err)
	}
}

func TestReferences(t *testing.T) {
	for path, text := range map[string]string{
		"op://a/b/c": "op://a/b/c", "a/b/c": "op://a/b/c", "op://a/b/c/d": "op://a/b/c/d", "op://A b/c.d/e_f-1": "op://A b/c.d/e_f-1",
		"op://a/b/c?attribute=otp": "op://a/b/c?attribute=otp", "a/b/c?attr=type": "op://a/b/c?attribute=type", "a/b/c?attribute=value": "op://a/b/c",
		"a/b/k?ssh-format=openssh": "op://a/b/k?ssh-format=openssh",
		"":                         "", "a/b": "", "op://a/b/c/d/e": "", "a//c": "", "a/b/": "", "a/../c": "", "a/./c": "", "-a/b/c": "", "a/-b/c": "", "a/b/c\n": "", "a/b/\x00": "",
		"a/b/c }}": "", "a/b/{{ op:": "", `a/b/c"`: "", "a/b/$x": "", "a/b/c?": "", "a/b/c?attribute=": "", "a/b/c?attribute=x": "", "a/b/c?x=otp": "",
		"a/b/c?attribute=otp&x=1": "", "a/b/c?ssh-format=pem": "", "a/b/ c": "", "a/b/ø": "", "op://op://a/b/c": "", "a/b/c#d": "", "a/b/c%2e": "",
	} {
		r, err := parse(resolve.Ref{Path: path})
		if text == "" {
			if resolve.ClassOf(err) != resolve.Malformed {
				t.Errorf("parse(%q) leads to %q, %v", path, r, err)
			}
		} else if err != nil || r.String() != text {
			t.Errorf("parse(%q) leads to %q, %v; want %q", path, r, err, text)
		}
	}
}

// An account comes from a project: it is not to become an option, nor a command in a hint.
func TestAccounts(t *testing.T) {
	for account, ok := range map[string]bool{
		"my.1password.com": true, "me+x@example.com": true, "ABC123": true, "--x": false, "a b": false, "x;id": false, "$(id)": false, "a(": false, "a\nb": false,
	} {
		_, err := New(resolve.Setup{Settings: map[string]string{"account": account}})
		if (err == nil) != ok {
			t.Errorf("account %q leads to %v", account, err)
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	const kept = `{"id":"i1","title":"DB","version":3,"unknown":{"x":[1]},"sections":[{"id":"s1","label":"Admin"}],"fields":[` +
		`{"id":"password","type":"CONCEALED","purpose":"PASSWORD","label":"password","value":"old"},` +
		`{"id":"f2","type":"CONCEALED","label":"url","section":{"id":"s1"},"value":"old"}]}`
	for name, tt := range map[string]struct{ item, ref, call, field string }{
		"a field":                   {kept, "op://dev/DB/password", "item edit i1 --vault=dev", `{"id":"password","label":"password","purpose":"PASSWORD","type":"CONCEALED","value":"V"}`},
		"one in a section":          {kept, "op://dev/DB/admin/url", "item edit i1 --vault=dev", `{"id":"f2","label":"url","section":{"id":"s1"},"type":"CONCEALED","value":"V"}`},
		"a new one":                 {kept, "op://dev/DB/token", "item edit i1 --vault=dev", `{"label":"token","type":"CONCEALED","value":"V"}`},
		"a new one in a section":    {kept, "op://dev/DB/Admin/x", "item edit i1 --vault=dev", `{"label":"x","section":{"id":"s1","label":"Admin"},"type":"CONCEALED","value":"V"}`},
		"a new item":                {"", "op://dev/DB/token", "item create --vault=dev - --no-color", `{"label":"token","type":"CONCEALED","value":"V"}`},
		"a new item for a password": {"", "op://dev/DB/password", "item create --vault=dev - --no-color", `{"id":"password","label":"password","purpose":"PASSWORD","type":"CONCEALED","value":"V"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := canary + "\n\"x\""
			s := newStage(t, "", map[string]string{strings.ToLower(tt.ref): value})
			write(t, s.dir, "item", tt.item)
			if err := s.Store(context.Background(), resolve.Ref{Path: tt.ref}, resolve.NewSecret(value)); err != nil {
				t.Fatal(err)
			}
			s.checkCalls(t)
			if calls := tooltest.Calls(t, s.dir); len(calls) != 3 || !strings.HasPrefix(calls[1], tt.call) {
				t.Errorf("op was called %q, want %q", calls, tt.call)
			}
			checkWritten(t, read(s.dir, "written"), tt.item, tt.field, value)
		})
	}
}

// checkWritten checks that an item has the field with the value, and all else of what it had.
func checkWritten(t *testing.T, written, before, field, value string) {
	t.Helper()
	var now, was map[string]any
	if err := json.Unmarshal([]byte(written), &now); err != nil {
		t.Fatalf("written is %q: %v", written, err)
	}
	has := false
	for _, f := range now["fields"].([]any) {
		if f := f.(map[string]any); f["value"] == value {
			f["value"] = "V"
			text, _ := json.Marshal(f)
			has = has || string(text) == field
		}
	}
	if !has {
		t.Errorf("written is %s, without %s", written, field)
	}
	if before == "" {
		return
	}
	if err := json.Unmarshal([]byte(before), &was); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"id", "title", "version", "unknown"} {
		if fmt.Sprint(now[key]) != fmt.Sprint(was[key]) {
			t.Errorf("%s was %v, is %v", key, was[key], now[key])
		}
	}
}

// An op that succeeds and writes nothing has not succeeded.
func TestStoreIsLookedAt(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", map[string]string{"op://a/b/c": "old"})
	write(t, s.dir, "item", `{"id":"i1","fields":[]}`)
	err := s.Store(context.Background(), resolve.Ref{Path: "op://a/b/c"}, resolve.NewSecret(canary))
	checkError(t, err)
	if resolve.ClassOf(err) != resolve.Malformed {
		t.Errorf("leads to %v", err)
	}
}

func TestStoreFails(t *testing.T) {
	t.Parallel()
	const twins = `{"id":"i1","fields":[{"id":"a","label":"x","value":"1"},{"id":"b","label":"x","value":"2"}]}`
	for name, tt := range map[string]struct {
		mode, item, ref string
		class           resolve.Class
		calls           int
	}{
		"signed out":   {"signed out", "", "op://a/b/c", resolve.NotLoggedIn, 1},
		"an attribute": {"", "", "op://a/b/c?attribute=otp", resolve.Malformed, 0},
		"malformed":    {"", "", "op://a/b", resolve.Malformed, 0},
		"two fields":   {"", twins, "op://a/b/x", resolve.Ambiguous, 1},
		"chatter":      {"chatters", twins, "op://a/b/a", resolve.Malformed, 1},
		"no id":        {"", `{"fields":[]}`, "op://a/b/a", resolve.Malformed, 1},
		"an option":    {"", `{"id":"--x","fields":[]}`, "op://a/b/a", resolve.Malformed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tt.mode, nil)
			write(t, s.dir, "item", tt.item)
			err := s.Store(context.Background(), resolve.Ref{Path: tt.ref}, resolve.NewSecret(canary))
			checkError(t, err)
			if resolve.ClassOf(err) != tt.class || s.calls(t, "") != tt.calls || read(s.dir, "written") != "" {
				t.Errorf("leads to %v after %q", err, tooltest.Calls(t, s.dir))
			}
		})
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	const one = `[{"url":"team.1password.com","email":"me@example.com"}]`
	for name, tt := range map[string]struct {
		mode, accounts, env string
		credential, as      string
		plain               bool
		class               resolve.Class
		calls               []string
	}{
		"the app":                       {"", one, "", "1Password app", "me@example.com", false, "", []string{"account list"}},
		"the app, signed out":           {"signed out", one, "", "1Password app", "me@example.com", false, "", []string{"account list"}},
		"another account":               {"", `[{"url":"my.1password.com"}]`, "", "1Password app", "", false, resolve.NotLoggedIn, []string{"account list"}},
		"no account":                    {"", `[]`, "", "1Password app", "", false, resolve.NotLoggedIn, []string{"account list"}},
		"chatter":                       {"chatters", one, "", "1Password app", "", false, resolve.Malformed, []string{"account list"}},
		"a session":                     {"", one, "OP_SESSION_abc=" + canary, "environment OP_SESSION_abc", "me@example.com", true, "", []string{"account list", "vault list"}},
		"an expired session":            {"expired", one, "OP_SESSION_abc=" + canary, "environment OP_SESSION_abc", "me@example.com", true, resolve.Expired, []string{"account list", "vault list"}},
		"a service account":             {"", "", "OP_SERVICE_ACCOUNT_TOKEN=" + canary, "environment OP_SERVICE_ACCOUNT_TOKEN", "", true, "", []string{"vault list"}},
		"a service account that is not": {"signed out", "", "OP_SERVICE_ACCOUNT_TOKEN=" + canary, "environment OP_SERVICE_ACCOUNT_TOKEN", "", true, resolve.NotLoggedIn, []string{"vault list"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tt.mode, nil, tt.env)
			write(t, s.dir, "accounts", tt.accounts)
			got, err := s.Probe(context.Background())
			checkError(t, err)
			if resolve.ClassOf(err) != tt.class || got.Credential != tt.credential || got.As != tt.as || got.Plain != tt.plain || filepath.Base(got.Through) != "op" {
				t.Errorf("leads to %+v, %v", got, err)
			}
			calls := tooltest.Calls(t, s.dir)
			for i := range calls {
				calls[i] = strings.Join(strings.Fields(calls[i])[:2], " ")
			}
			if !slices.Equal(calls, tt.calls) {
				t.Errorf("op was called %q, want %q", calls, tt.calls)
			}
			s.checkCalls(t)
		})
	}
}

const listed = `[{"id":"i1","title":"DB","category":"LOGIN","vault":{"id":"v1","name":"Dev"}},
{"id":"i2","title":"Twin","category":"LOGIN","vault":{"id":"v1","name":"Dev"}},{"id":"i3","title":"twin","category":"API_CREDENTIAL","vault":{"id":"v1","name":"Dev"}},
{"id":"i4","title":"a/b","category":"SECURE_NOTE","vault":{"id":"v2","name":"Été"}},{"id":"-x","title":"a\u001bb","category":"LOGIN","vault":{"id":"v1","name":"Dev"}}]`

var listedAs = []string{"op://Dev/DB/password", "op://Dev/i2/password", "op://Dev/i3/credential", "op://v2/i4/notesPlain"}

func TestList(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", nil)
	write(t, s.dir, "list", listed)
	got, err := s.List(context.Background())
	if err != nil || !slices.Equal(got, listedAs) {
		t.Errorf("leads to %q, %v; want %q", got, err, listedAs)
	}
	s.checkCalls(t)
	if _, err := newStage(t, "signed out", nil).List(context.Background()); resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("signed out leads to %v", err)
	}
}

func TestPresent(t *testing.T) {
	program := tooltest.Program(t, "op")
	for name, tt := range map[string]struct {
		s    resolve.Setup
		want string
	}{
		"nothing":         {resolve.Setup{Env: []string{"PATH=" + t.TempDir()}}, ""},
		"op":              {resolve.Setup{Env: []string{"PATH=" + filepath.Dir(program)}}, "op at " + program},
		"a path":          {resolve.Setup{Settings: map[string]string{"program": program}}, "op at " + program},
		"Connect":         {resolve.Setup{Env: []string{"OP_CONNECT_HOST=x", "OP_CONNECT_TOKEN=" + canary}}, "OP_CONNECT_HOST and OP_CONNECT_TOKEN"},
		"half of Connect": {resolve.Setup{Env: []string{"OP_CONNECT_HOST=x"}}, ""},
		"in a project":    {resolve.Setup{Env: []string{"PATH=" + filepath.Dir(program)}, Avoid: []string{filepath.Dir(program)}}, ""},
	} {
		if got := Present(tt.s); got != tt.want {
			t.Errorf("%s: Present is %q, want %q", name, got, tt.want)
		}
	}
}
