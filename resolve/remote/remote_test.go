package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/fetch"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/protocol"
	"github.com/getkeyzero/kz/resolve"
)

const canary = "KZCANARY52b9"

var (
	_ resolve.Pooled = (*Provider)(nil)
	_ resolve.Pooled = Writable{}
	_ resolve.Storer = Writable{}
	_ resolve.Prober = (*Provider)(nil)
	_ resolve.Lister = (*Provider)(nil)
)

// The test program is also the helper that the tests run.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		os.Args = os.Args[:1]
		os.Exit(fetch.Main(fetch.Kinds{"echo": {
			New:     func(s resolve.Setup) (resolve.Provider, error) { return echo{s}, nil },
			Present: func(resolve.Setup) string { return "here" },
		}}))
	}
	os.Exit(m.Run())
}

// echo gives for each reference its text and what the store was set up with.
type echo struct{ resolve.Setup }

// child runs a program that does not heed a request to end, as a store does.
func (e echo) child(ctx context.Context, note string) (resolve.Secret, error) {
	runner, err := tool.New(tool.Options{Env: e.Env})
	if err != nil {
		return resolve.Secret{}, err
	}
	closers.Store(runner, true)
	p, err := runner.Find("/bin/sh")
	if err == nil {
		_, err = runner.Run(ctx, p, tool.Call{Args: []string{"-c", "trap '' TERM; echo $$ >" + note + "; while :; do sleep 1; done"}})
	}
	return resolve.Secret{}, err
}

var closers sync.Map

func (echo) Close() {
	closers.Range(func(k, _ any) bool { k.(*tool.Runner).Close(); return true })
}

func (e echo) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	e.Tell("touch the key")
	return resolve.Each(ctx, refs, 4, func(ctx context.Context, r resolve.Ref) (resolve.Secret, error) {
		switch r.Path {
		case "missing":
			return resolve.Secret{}, resolve.Hinted(resolve.NotFound, "make it", "no item %q", r.Path)
		case "child":
			return e.child(ctx, r.Dir)
		case "slow":
			<-ctx.Done()
			return resolve.Secret{}, ctx.Err()
		case "environment":
			return resolve.NewSecret(strings.Join(slices.Sorted(slices.Values(e.Env)), "\n")), nil
		case "avoid":
			return resolve.NewSecret(strings.Join(e.Avoid, "|")), nil
		case "program":
			return resolve.NewSecret(e.Settings["program"]), nil
		case "bytes":
			return resolve.NewSecret("\xff\x00\n"), nil
		}
		return resolve.NewSecret(fmt.Sprintf("%s in %s of %s", r.Path, r.Dir, e.Settings["realm"])), nil
	})
}

func (e echo) Store(_ context.Context, r resolve.Ref, s resolve.Secret) error {
	return os.WriteFile(r.Path, []byte(s.Reveal()), 0o600)
}

func (e echo) Probe(context.Context) (resolve.Standing, error) {
	return resolve.Standing{Through: "echo", Plain: true}, nil
}

func (e echo) List(context.Context) ([]string, error) { return []string{"a", "b"}, nil }

func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kz-fetch")
	syscall.ForkLock.RLock() // a child that another test forks now would hold the file open for writing
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// helper is a script that runs the real server, and notes each of its runs in a file.
// Built with the race detector it would wait for a second at its end.
func helper(t *testing.T) (path, runs string) {
	t.Helper()
	runs = filepath.Join(t.TempDir(), "runs")
	return script(t, fmt.Sprintf("echo $$ >>%s\nGORACE=atexit_sleep_ms=0 exec %s serve", runs, os.Args[0])), runs
}

func fetcher(t *testing.T, o Options) *Fetcher {
	t.Helper()
	if o.Env == nil {
		o.Env = []string{"PATH=/usr/bin:/bin", "HOME=/home/ada"}
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func refs(paths ...string) []resolve.Ref {
	var refs []resolve.Ref
	for _, p := range paths {
		refs = append(refs, resolve.Ref{Path: p, Dir: "/d"})
	}
	return refs
}

// One run of the program serves every store of it that a project has.
func TestOneRunForAll(t *testing.T) {
	path, runs := helper(t)
	var told sync.Map
	f := fetcher(t, Options{Programs: []string{"/no/such", path}, Tell: func(p, text string) { told.Store(p, text) }})
	providers := map[string]resolve.Provider{
		"x": f.Provider("x", "echo", map[string]string{"realm": "emea"}),
		"y": Writable{f.Provider("y", "echo", map[string]string{"realm": "apac"})},
		"z": f.Provider("z", "other", nil),
	}
	var requests []resolve.Request
	for _, p := range []string{"x", "y", "z"} {
		for _, r := range []string{"a", "missing", "bytes", "a"} {
			requests = append(requests, resolve.Request{Provider: p, Ref: resolve.Ref{Path: r, Dir: "/d"}})
		}
	}
	results := resolve.All(t.Context(), providers, requests)
	for i, want := range []string{"a in /d of emea", "", "", "a in /d of emea", "a in /d of apac"} {
		if got := results[i].Secret.Reveal(); got != want {
			t.Errorf("result %d is %q, %v, want %q", i, got, results[i].Err, want)
		}
	}
	var e *resolve.Error
	if !errors.As(results[1].Err, &e) || e.Class != resolve.NotFound || e.Cause != `no item "missing"` || e.Hint != "make it" {
		t.Errorf("what is missing is %v", results[1].Err)
	}
	if resolve.ClassOf(results[2].Err) != resolve.Malformed { // NUL, which came whole
		t.Errorf("bytes: %v", results[2].Err)
	}
	if resolve.ClassOf(results[8].Err) != resolve.NoTool {
		t.Errorf("a type that the program does not know: %v", results[8].Err)
	}
	if data, err := os.ReadFile(runs); err != nil || strings.Count(string(data), "\n") != 1 {
		t.Errorf("the program ran as %q, %v; want once", data, err)
	}
	if text, _ := told.Load("y"); text != "touch the key" {
		t.Errorf("the store told %v", text)
	}
}

func TestOperations(t *testing.T) {
	path, _ := helper(t)
	p := Writable{fetcher(t, Options{Programs: []string{path}}).Provider("x", "echo", nil)}
	file := filepath.Join(t.TempDir(), "stored")
	if err := p.Store(t.Context(), resolve.Ref{Path: file}, resolve.NewSecret(canary)); err != nil {
		t.Error(err)
	}
	if data, _ := os.ReadFile(file); string(data) != canary {
		t.Errorf("stored %q", data)
	}
	if err := p.Store(t.Context(), resolve.Ref{Path: "/no/such/dir/x"}, resolve.NewSecret(canary)); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a store that fails: %v", err)
	}
	if s, err := p.Probe(t.Context()); err != nil || s != (resolve.Standing{Through: "echo", Plain: true}) {
		t.Errorf("probe: %+v, %v", s, err)
	}
	if got, err := p.fetcher.Find(t.Context(), []string{"echo", "other"}); err != nil || len(got) != 1 || got["echo"] != "here" {
		t.Errorf("find: %v, %v", got, err)
	}
	if items, err := p.List(t.Context()); err != nil || strings.Join(items, " ") != "a b" {
		t.Errorf("list: %v, %v", items, err)
	}
}

// What it gets of the environment is on a list, and the projects' directories are told.
func TestSurroundingsOfTheProgram(t *testing.T) {
	path, _ := helper(t)
	o := Options{Programs: []string{path}}
	o.Env = []string{
		"PATH=relative:/usr/bin:/bin", "HOME=/home/ada", "AWS_PROFILE=dev", "KUBERNETES_SERVICE_HOST=k", "DATABASE_URL=" + canary, "LD_PRELOAD=x",
		"KZ_LOG=debug", "__KZ_STATE=x", "NODE_OPTIONS=x",
	}
	o.Avoid = []string{"/work/app"}
	p := fetcher(t, o).Provider("x", "echo", map[string]string{"program": "/usr/bin/op"})
	got := p.Fetch(t.Context(), refs("environment", "avoid", "program"))
	if got[2].Secret.Reveal() != "/usr/bin/op" {
		t.Errorf("the store's own program is %q", got[2].Secret.Reveal())
	}
	own := []string{"PWD=", "OLDPWD=", "SHLVL=", "_=", "GORACE="} // the shell's that is around it here
	lines := slices.DeleteFunc(strings.Split(got[0].Secret.Reveal(), "\n"), func(l string) bool {
		return slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(l, o) })
	})
	if want := "AWS_PROFILE=dev HOME=/home/ada KUBERNETES_SERVICE_HOST=k PATH=/usr/bin:/bin"; strings.Join(lines, " ") != want {
		t.Errorf("the program's environment is %q, want %q", lines, want)
	}
	if got[1].Secret.Reveal() != "/work/app" {
		t.Errorf("to avoid: %q, %v", got[1].Secret.Reveal(), got[1].Err)
	}
}

// The deadline holds, and what was there by then counts.
func TestDeadline(t *testing.T) {
	path, _ := helper(t)
	p := fetcher(t, Options{Programs: []string{path}}).Provider("x", "echo", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	got := p.Fetch(ctx, refs("a", "slow"))
	if ctx.Err() != nil {
		t.Error("the answer came after the deadline")
	}
	if got[0].Secret.Reveal() != "a in /d of " || resolve.ClassOf(got[1].Err) != resolve.Timeout {
		t.Errorf("before the deadline came %q, %v and %v", got[0].Secret.Reveal(), got[0].Err, got[1].Err)
	}
}

// Nothing that a store has started outlives the wait for it, not even if it ignores signals.
func TestNothingIsLeft(t *testing.T) {
	path, _ := helper(t)
	p := fetcher(t, Options{Programs: []string{path}}).Provider("x", "echo", nil)
	note := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for data := []byte(nil); len(data) == 0 && ctx.Err() == nil; data, _ = os.ReadFile(note) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	got := p.Fetch(ctx, []resolve.Ref{{Path: "child", Dir: note}})[0]
	if !errors.Is(got.Err, context.Canceled) {
		t.Errorf("the result is %v", got.Err)
	}
	data, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	for deadline := time.Now().Add(2 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the program of the store still runs")
		}
	}
}

// A program that does not keep to the protocol costs its own values, soon, and says nothing of them.
func TestMisbehaviour(t *testing.T) {
	value := `{"value":{"text":"` + canary + `"}}`
	good := `{"protocol":"` + protocol.Version + `","providers":[{"name":"x","results":[` + value + `]}]}`
	say := func(text string) string { return "cat >/dev/null\nprintf '%s' '" + text + "'" }
	for what, test := range map[string]struct {
		body  string
		class resolve.Class
	}{
		"as it should be":         {say(good), ""},
		"it does not read":        {"printf '%s' '" + good + "'", ""},
		"nothing":                 {say(""), resolve.Malformed},
		"chatter before":          {"echo signed in\n" + say(good), resolve.Malformed},
		"another document behind": {say(good + good), resolve.Malformed},
		"another store":           {say(strings.Replace(good, `"x"`, `"y"`, 1)), resolve.Malformed},
		"two results":             {say(strings.Replace(good, value, value+","+value, 1)), resolve.Malformed},
		"an unknown key":          {say(strings.Replace(good, `"name"`, `"extra":1,"name"`, 1)), resolve.Malformed},
		"base64 that is none":     {say(strings.Replace(good, `"text":"`, `"base64":"!`, 1)), resolve.Malformed},
		"a failure after all":     {say(good) + "\nexit 1", ""},
		"killed":                  {say(good) + "\nkill -9 $$", ""},
		"it cannot start":         {"exec /no/such/program", ""},
		"a flood":                 {"cat /dev/zero", resolve.Malformed},
		"it hangs":                {"trap '' TERM; exec sleep 60", resolve.Timeout},
		"it is held open":         {say(good) + "\nsleep 60 &", ""},
		"events that are none":    {"echo '" + canary + "' >&3; head -c 300000 /dev/zero >&3; " + say(good), ""},
		"stderr":                  {"echo " + canary + " >&2; exit 3", ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ok := slices.Contains([]string{"as it should be", "it does not read", "it is held open", "events that are none"}, what)
			p := fetcher(t, Options{Programs: []string{script(t, test.body)}, Tell: func(string, string) { t.Error("told of nothing") }}).Provider("x", "echo", nil)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			begin := time.Now()
			got := p.Fetch(ctx, refs("a"))[0]
			if late := time.Since(begin) - 3*time.Second; late > time.Second {
				t.Errorf("it came back %v late", late)
			}
			if (got.Err == nil) != ok || ok && got.Secret.Reveal() != canary {
				t.Fatalf("the result is %q, %v", got.Secret.Reveal(), got.Err)
			}
			if got.Err == nil {
				return
			}
			if class := resolve.ClassOf(got.Err); class != test.class {
				t.Errorf("the error is %v of class %q, want %q", got.Err, class, test.class)
			}
			if strings.Contains(got.Err.Error(), canary) {
				t.Errorf("the error has what the program wrote: %v", got.Err)
			}
		})
	}
}

// It is looked for beside kz and never through PATH, and must be nobody else's.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	bin, libexec := filepath.Join(dir, "bin"), filepath.Join(dir, "libexec", "kz")
	for _, d := range []string{bin, libexec, filepath.Join(dir, "links")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"bin/kz", "links/unrelated"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(bin, "kz"), filepath.Join(dir, "links", "kz")); err != nil {
		t.Fatal(err)
	}
	look := func() (string, error) {
		o := Options{Programs: Beside(filepath.Join(dir, "links", "kz"), "kz-fetch")}
		o.Env = []string{"PATH=" + filepath.Join(dir, "elsewhere") + ":/usr/bin"}
		f := fetcher(t, o)
		p, err := f.find()
		return p.Path, err
	}
	place := func(path string) string {
		t.Helper()
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte("#!/bin/sh\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
		return full
	}
	place("elsewhere/kz-fetch")
	for name, hint := range map[string]string{"kz-fetch": "./install.sh", "kz-fetch-sops": "./install.sh --sops", "mine": ""} {
		_, err := find(nil, []string{filepath.Join(t.TempDir(), name)})
		if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != resolve.NoTool || e.Hint != hint {
			t.Errorf("without %s: %#v, want hint %q", name, err, hint)
		}
	}
	if path, err := look(); resolve.ClassOf(err) != resolve.NoTool || !strings.Contains(err.Error(), "kz-fetch is not installed beside kz") {
		t.Errorf("found %q, %v", path, err)
	}
	for _, at := range []string{"bin/kz-fetch", "libexec/kz/kz-fetch", "links/kz-fetch"} { // each before the last
		want := place(at)
		if got, err := look(); err != nil || got != want {
			t.Errorf("found %q, %v, want %q", got, err, want)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "links", "kz-fetch"), 0o777); err != nil {
		t.Fatal(err)
	}
	if got, err := look(); resolve.ClassOf(err) != resolve.NoTool {
		t.Errorf("one that others may write to: %q, %v", got, err)
	}
}

// The request is read whole however large it is, and what it leads to is as large.
func TestLarge(t *testing.T) {
	path, _ := helper(t)
	p := fetcher(t, Options{Programs: []string{path}}).Provider("x", "echo", nil)
	var many []resolve.Ref
	for i := range 512 {
		many = append(many, resolve.Ref{Path: fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000)), Dir: "/" + strings.Repeat("d", 3000)})
	}
	for i, r := range p.Fetch(t.Context(), many) {
		if want := fmt.Sprintf("%s in %s of ", many[i].Path, many[i].Dir); r.Err != nil || r.Secret.Reveal() != want {
			t.Fatalf("result %d is %.30q…, %v", i, r.Secret.Reveal(), r.Err)
		}
	}
	many = append(many, resolve.Ref{Path: strings.Repeat("x", protocol.MaxRequest)})
	if r := p.Fetch(t.Context(), many)[0]; resolve.ClassOf(r.Err) != resolve.Malformed {
		t.Errorf("a request that is too large: %v", r.Err)
	}
}
