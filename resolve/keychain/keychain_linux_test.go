package keychain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/zalando/go-keyring"

	"github.com/getkeyzero/kz/internal/keyringtest"
	"github.com/getkeyzero/kz/resolve"
)

const canary = "kz-canary-81c7"

// A ring is a Provider of a keyring that only one test has.
type ring struct {
	*Provider
	t      *testing.T
	env    []string
	shared *dbus.Conn // go-keyring's, which it keeps for the whole process
}

func newRing(t *testing.T) *ring {
	t.Helper()
	r := &ring{t: t}
	t.Setenv(busVariable, "") // put back what store sets
	t.Cleanup(func() {        // after the bus is gone: the next test's go-keyring must connect anew
		for r.shared != nil && r.shared.Connected() {
			time.Sleep(time.Millisecond)
		}
	})
	r.env = keyringtest.Start(t)
	r.Provider = New(r.env)
	return r
}

func (r *ring) set(path, value string) {
	r.t.Helper()
	if err := r.Store(soon(r.t, 10*time.Second), resolve.Ref{Path: path}, resolve.NewSecret(value)); err != nil {
		r.t.Fatalf("Store(%q): %v", path, err)
	}
	if r.shared == nil {
		var err error
		if r.shared, err = dbus.SessionBus(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func fetch(t *testing.T, p *Provider, paths ...string) []resolve.Result {
	t.Helper()
	results := p.Fetch(soon(t, 10*time.Second), refs(paths...))
	if len(results) != len(paths) {
		t.Fatalf("Fetch of %d references gives %d results", len(paths), len(results))
	}
	return results
}

func refs(paths ...string) []resolve.Ref {
	list := make([]resolve.Ref, len(paths))
	for i, p := range paths {
		list[i].Path = p
	}
	return list
}

func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// want is a value, or a class of errors.
func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.40q, %v; want %.40q, class %q", what, got.Secret.Reveal(), got.Err, value, class)
	}
	if got.Err != nil && strings.Contains(got.Err.Error(), canary) {
		t.Errorf("%s: the error holds the value: %v", what, got.Err)
	}
}

func TestValuesComeBack(t *testing.T) {
	r := newRing(t)
	values := []string{
		"", "plain", "line\n", "\n", "\r\n", " spaces ", "it's $HOME `id`", "\xff\xfe\x01", "ø€😀",
		strings.Repeat("x", 15), strings.Repeat("x", 16), strings.Repeat("x", 17), // around a cipher block
		strings.Repeat("\x10", 16), strings.Repeat("64 KiB: ", resolve.MaxValue/8),
	}
	var paths []string
	for i, v := range values {
		paths = append(paths, fmt.Sprintf("value/%d", i))
		r.set(paths[i], v)
	}
	for i, got := range fetch(t, r.Provider, paths...) {
		want(t, paths[i], got, values[i], "")
	}
}

func TestReferences(t *testing.T) {
	r := newRing(t)
	for _, tt := range []struct{ path, service, account string }{
		{"token", "keyzero", "token"},
		{"keyzero/other", "keyzero", "other"},
		{"myapp/db", "myapp", "db"},
		{"myapp/prod/db/url", "myapp", "prod/db/url"},
		{"-w", "keyzero", "-w"},
		{"größe/ключ", "größe", "ключ"},
		{strings.Repeat("s", 500) + "/" + strings.Repeat("a", 523), strings.Repeat("s", 500), strings.Repeat("a", 523)},
	} {
		r.set(tt.path, "for "+tt.path)
		if got, err := keyring.Get(tt.service, tt.account); got != "for "+tt.path {
			t.Errorf("after Store(%q) go-keyring finds %q, %v at %q, %q", tt.path, got, err, tt.service, tt.account)
		}
		want(t, tt.path, fetch(t, r.Provider, tt.path)[0], "for "+tt.path, "")
	}
}

func TestOthersItems(t *testing.T) {
	r := newRing(t)
	keyringtest.Set(t, r.env, "keyzero", "by-secret-tool", "one")
	want(t, "an item of secret-tool", fetch(t, r.Provider, "by-secret-tool")[0], "one", "")

	r.set("by-secret-tool", "two")
	want(t, "the item once replaced", fetch(t, r.Provider, "by-secret-tool")[0], "two", "")

	lookup := exec.Command("secret-tool", "lookup", "service", "keyzero", "username", "by-secret-tool")
	lookup.Env = append([]string{"PATH=" + os.Getenv("PATH")}, r.env...)
	if out, err := lookup.Output(); string(out) != "two" {
		t.Errorf("secret-tool finds %q, %v; want two", out, err)
	}
}

func TestEachReferenceHasItsOwnAnswer(t *testing.T) {
	r := newRing(t)
	r.set("a", "A")
	r.set("s/b", "B")
	got := fetch(t, r.Provider, "s/b", "gone", "", "a", "a\n", "s/gone", "a")
	for i, w := range []struct {
		value string
		class resolve.Class
	}{{"B", ""}, {"", resolve.NotFound}, {"", resolve.Malformed}, {"A", ""}, {"", resolve.Malformed}, {"", resolve.NotFound}, {"A", ""}} {
		want(t, fmt.Sprint("reference ", i), got[i], w.value, w.class)
	}
	if got := r.Fetch(context.Background(), nil); len(got) != 0 {
		t.Errorf("Fetch of nothing gives %d results", len(got))
	}
}

func TestDelete(t *testing.T) {
	r := newRing(t)
	r.set("a", "A")
	r.set("b", "B")
	if err := r.Delete(soon(t, 10*time.Second), resolve.Ref{Path: "a"}); err != nil {
		t.Fatal(err)
	}
	got := fetch(t, r.Provider, "a", "b")
	want(t, "the deleted", got[0], "", resolve.NotFound)
	want(t, "its neighbour", got[1], "B", "")
	if err := r.Delete(soon(t, 10*time.Second), resolve.Ref{Path: "a"}); resolve.ClassOf(err) != resolve.NotFound {
		t.Errorf("Delete once more leads to %v", err)
	}
	if err := r.Delete(soon(t, 10*time.Second), resolve.Ref{Path: "/"}); resolve.ClassOf(err) != resolve.Malformed {
		t.Errorf("Delete of / leads to %v", err)
	}
}

func TestStoreRefuses(t *testing.T) {
	p := New([]string{busVariable + "=unix:path=/nonexistent"}) // nothing gets that far
	for what, tt := range map[string]struct{ path, value string }{
		"a NUL byte":      {"a", canary + "\x00"},
		"a huge value":    {"a", canary + strings.Repeat("x", resolve.MaxValue)},
		"a bad reference": {"a\nb", canary},
	} {
		err := p.Store(soon(t, 10*time.Second), resolve.Ref{Path: tt.path}, resolve.NewSecret(tt.value))
		want(t, what, resolve.Result{Err: err}, "", resolve.Malformed)
	}
}

// Nobody is at the screen in the middle of a prompt: a locked keyring is said to be
// locked, and nothing asks for its password.
func TestLocked(t *testing.T) {
	r := newRing(t)
	r.set("a", canary)
	if err := r.Available(soon(t, 10*time.Second)); err != nil {
		t.Errorf("Available before the lock: %v", err)
	}
	keyringtest.Lock(t, r.env)
	m := watch(t, r.env)

	for _, got := range fetch(t, r.Provider, "a", "never-stored") {
		want(t, "Fetch", got, "", resolve.Locked)
	}
	want(t, "Available", resolve.Result{Err: r.Available(soon(t, 10*time.Second))}, "", resolve.Locked)
	want(t, "Delete", resolve.Result{Err: r.Delete(soon(t, 10*time.Second), resolve.Ref{Path: "a"})}, "", resolve.Locked)
	for _, call := range m.calls() {
		if strings.HasSuffix(call, ".Unlock") || strings.HasSuffix(call, ".Prompt") || strings.HasSuffix(call, ".OpenSession") {
			t.Errorf("the locked keyring was called: %s", call)
		}
	}

	// Storing may ask, and here there is no screen to ask on.
	err := r.Store(soon(t, 10*time.Second), resolve.Ref{Path: "a"}, resolve.NewSecret(canary))
	want(t, "Store", resolve.Result{Err: err}, "", resolve.Locked)
	if !slices.Contains(m.calls(), "org.freedesktop.Secret.Service.Unlock") {
		t.Error("the monitor did not see Store's Unlock, so it could not have seen Fetch's")
	}
}

func TestOneConversation(t *testing.T) {
	const n = 50
	r := newRing(t)
	var paths []string
	for i := range n {
		paths = append(paths, "batch/"+strconv.Itoa(i))
		r.set(paths[i], canary+strconv.Itoa(i))
	}
	m := watch(t, r.env)
	began := time.Now()
	got := fetch(t, r.Provider, paths...)
	batch := time.Since(began)
	for i := range n {
		want(t, paths[i], got[i], canary+strconv.Itoa(i), "")
	}
	calls := m.calls()
	count := map[string]int{}
	for _, c := range calls {
		count[c[strings.LastIndexByte(c, '.')+1:]]++
	}
	if len(calls) != n+2 || count["SearchItems"] != n || count["OpenSession"] != 1 || count["GetSecrets"] != 1 {
		t.Errorf("%d references took the calls %v", n, count)
	}
	if m.saw(canary) {
		t.Error("a value crossed the bus in clear")
	}

	began = time.Now()
	for i := range n {
		if _, err := keyring.Get("batch", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	single := time.Since(began)
	if !m.saw(canary) {
		t.Error("the monitor did not see what go-keyring sends in clear, so it could not have seen ours")
	}
	t.Logf("%d secrets: %v in one batch, %v one by one", n, batch, single)
	if batch > single {
		t.Errorf("a batch of %d takes %v, longer than one by one (%v)", n, batch, single)
	}
}

// The test's bus allows 128 replies to be waited for, which is dbus-daemon's default.
func TestLargeBatch(t *testing.T) {
	r := newRing(t)
	r.set("last", "found")
	paths := make([]string, 400)
	for i := range paths {
		paths[i] = "large/" + strconv.Itoa(i)
	}
	paths[len(paths)-1] = "last"
	m := watch(t, r.env)
	got := fetch(t, r.Provider, paths...)
	if calls := len(m.calls()); calls != len(paths)+4 { // a session, the values, the default collection, its lock
		t.Errorf("%d references took %d calls", len(paths), calls)
	}
	want(t, "the first", got[0], "", resolve.NotFound)
	want(t, "the last", got[len(got)-1], "found", "")
}

func TestManyAtOnce(t *testing.T) {
	r := newRing(t)
	r.set("a", "A")
	r.set("b", "B")
	ctx := soon(t, 30*time.Second)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			got := r.Fetch(ctx, refs("a", "b", "c"))
			want(t, "a", got[0], "A", "")
			want(t, "b", got[1], "B", "")
			want(t, "c", got[2], "", resolve.NotFound)
		})
	}
	wg.Wait()
}

// each runs every operation of a Provider.
func each(p *Provider, check func(what string, do func(ctx context.Context) error)) {
	ref := resolve.Ref{Path: "a"}
	check("Fetch", func(ctx context.Context) error { return p.Fetch(ctx, []resolve.Ref{ref})[0].Err })
	check("Store", func(ctx context.Context) error { return p.Store(ctx, ref, resolve.NewSecret(canary)) })
	check("Delete", func(ctx context.Context) error { return p.Delete(ctx, ref) })
	check("Available", p.Available)
}

func TestUnreachable(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	port := tcp.Addr().(*net.TCPAddr).Port

	for name, tt := range map[string]struct {
		env  []string
		text string
	}{
		"no service":     {keyringtest.StartBus(t), "no keychain service is running"},
		"no socket":      {[]string{busVariable + "=unix:path=/nonexistent/bus"}, "session bus: no such file or directory"},
		"no transport":   {[]string{busVariable + "=nonsense"}, "session bus: no Unix socket in DBUS_SESSION_BUS_ADDRESS"},
		"over a network": {[]string{fmt.Sprintf("%s=tcp:host=127.0.0.1,port=%d", busVariable, port)}, "session bus: no Unix socket in DBUS_SESSION_BUS_ADDRESS"},
	} {
		t.Run(name, func(t *testing.T) {
			each(New(tt.env), func(what string, do func(context.Context) error) {
				err := do(soon(t, 10*time.Second))
				want(t, what, resolve.Result{Err: err}, "", resolve.Unreachable)
				if err != nil && err.Error() != tt.text {
					t.Errorf("%s leads to %q, want %q", what, err, tt.text)
				}
			})
		})
	}
	_ = tcp.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if conn, err := tcp.Accept(); err == nil {
		_ = conn.Close()
		t.Error("a bus on a network was connected to")
	}
}

// go-keyring and godbus would start the dbus-launch that PATH leads to.
func TestNoBusIsStarted(t *testing.T) {
	usual := fmt.Sprintf("/run/user/%d/bus", os.Geteuid())
	if _, err := os.Stat(usual); err == nil {
		t.Skipf("%s exists: this would reach the user's own keyring", usual)
	}
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte("#!/bin/sh\n: >'"+mark+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(busVariable, "")
	for _, env := range [][]string{nil, {busVariable + "=autolaunch:"}, {"XDG_RUNTIME_DIR=" + dir}} {
		each(New(env), func(what string, do func(context.Context) error) {
			want(t, what, resolve.Result{Err: do(soon(t, 10*time.Second))}, "", resolve.Unreachable)
		})
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("dbus-launch was run")
	}
}

func TestBusByConvention(t *testing.T) {
	r := newRing(t)
	r.set("a", "A")
	rest := slices.DeleteFunc(slices.Clone(r.env), func(e string) bool { return strings.HasPrefix(e, busVariable) })
	want(t, "XDG_RUNTIME_DIR/bus", fetch(t, New(rest), "a")[0], "A", "")

	auto := append(rest, busVariable+"=autolaunch:")
	want(t, "instead of autolaunch:", fetch(t, New(auto), "a")[0], "A", "")

	t.Chdir(strings.TrimPrefix(r.env[1], "XDG_RUNTIME_DIR="))
	for _, env := range [][]string{nil, {"XDG_RUNTIME_DIR=."}, {"XDG_RUNTIME_DIR="}} {
		if address, err := busAddress(env); err == nil && !strings.HasPrefix(address, "unix:path=/") {
			t.Errorf("with %q the bus is %q, in whatever directory that is", env, address)
		}
	}

	second := []string{busVariable + "=tcp:host=x;unix:path=/nonexistent;" + strings.TrimPrefix(r.env[0], busVariable+"=") + ",guid=0"}
	want(t, "the third address", fetch(t, New(second), "a")[0], "A", "")
}

func TestSocketName(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/user/1000/bus":     "/run/user/1000/bus",
		"unix:path=/tmp/a%2cb,guid=12":     "/tmp/a,b",
		"unix:guid=12,path=/x":             "/x",
		"unix:abstract=/tmp/dbus-x,guid=1": "@/tmp/dbus-x",
		"unix:path=":                       "",
		"unix:path=%zz":                    "",
		"unix:tmpdir=/tmp":                 "",
		"unix:":                            "",
		"":                                 "",
		"path=/x":                          "",
		"tcp:path=/x":                      "",
		"unixexec:path=/bin/sh,argv1=-c,argv2=reboot": "",
	} {
		if got := socketName(address); got != want {
			t.Errorf("socketName(%q) gives %q, want %q", address, got, want)
		}
	}
}

// The name of an abstract socket is anybody's once its bus is gone.
func TestBusOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	name := "kz-test-" + strconv.Itoa(os.Getpid())
	// A socket belongs to whom its thread is at that moment, which in Linux is a
	// matter of the thread's own.
	become := func(uid uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uid, ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	runtime.LockOSThread()
	become(65534)
	l, err := net.Listen("unix", "@"+name)
	become(0)
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()

	each(New([]string{busVariable + "=unix:abstract=" + name}), func(what string, do func(context.Context) error) {
		err := do(soon(t, 10*time.Second))
		want(t, what, resolve.Result{Err: err}, "", resolve.Unreachable)
		if err == nil || err.Error() != "session bus: belongs to another user" {
			t.Errorf("%s leads to %v", what, err)
		}
	})
}

func TestNoAnswer(t *testing.T) {
	const patience = 80 * time.Millisecond
	frozen := newRing(t)
	frozen.set("a", canary)
	keyringtest.Freeze(t, frozen.env)
	for name, env := range map[string][]string{"hanging bus": keyringtest.StartHanging(t), "frozen keyring": frozen.env} {
		t.Run(name, func(t *testing.T) {
			each(New(env), func(what string, do func(context.Context) error) {
				ends(t, what, context.DeadlineExceeded, patience, func() error { return do(soon(t, patience)) })
			})
			each(New(env), func(what string, do func(context.Context) error) {
				ends(t, what, context.Canceled, patience, func() error {
					ctx, cancel := context.WithCancel(context.Background())
					time.AfterFunc(patience, cancel)
					return do(ctx)
				})
			})
		})
	}
}

// ends checks that do fails with cause soon after patience. Being late counts when it happens
// three times in a row: the machine may be busy with other tests.
func ends(t *testing.T, what string, cause error, patience time.Duration, do func() error) {
	t.Helper()
	fastest := time.Hour
	for range 3 {
		began := time.Now()
		if err := do(); !errors.Is(err, cause) {
			t.Errorf("%s leads to %v, want %v", what, err, cause)
		}
		if fastest = min(fastest, time.Since(began)); fastest <= patience+500*time.Millisecond {
			return
		}
	}
	t.Errorf("%s takes %v, want %v", what, fastest, patience)
}

func TestCancelledBefore(t *testing.T) {
	r := newRing(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	each(r.Provider, func(what string, do func(context.Context) error) {
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s leads to %v", what, err)
		}
	})
}

// A monitor sees every message of a bus.
type monitor struct {
	t        *testing.T
	conn     *dbus.Conn // an ordinary connection, to send what ends the waiting
	messages chan *dbus.Message
	seen     []*dbus.Message
}

func watch(t *testing.T, env []string) *monitor {
	t.Helper()
	dial := func() *dbus.Conn {
		conn, err := dbus.Connect(strings.TrimPrefix(env[0], busVariable+"="))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	m := &monitor{t: t, conn: dial(), messages: make(chan *dbus.Message, 1<<16)}
	eyes := dial()
	if err := eyes.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, []string{}, uint32(0)).Err; err != nil {
		t.Fatal(err)
	}
	eyes.Eavesdrop(m.messages)
	return m
}

// drain reads what was sent until now.
func (m *monitor) drain() {
	m.t.Helper()
	last := m.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "kz.last.message")
	if last.Err != nil {
		m.t.Fatal(last.Err)
	}
	for {
		select {
		case msg := <-m.messages:
			m.seen = append(m.seen, msg)
			if len(msg.Body) == 1 && msg.Body[0] == "kz.last.message" {
				return
			}
		case <-time.After(10 * time.Second):
			m.t.Fatal("the monitor is blind")
		}
	}
}

// calls returns the methods of the keyring that were called since watch.
func (m *monitor) calls() (methods []string) {
	m.drain()
	for _, msg := range m.seen {
		iface, _ := msg.Headers[dbus.FieldInterface].Value().(string)
		member, _ := msg.Headers[dbus.FieldMember].Value().(string)
		if msg.Type == dbus.TypeMethodCall && msg.Headers[dbus.FieldDestination].Value() == secretsName {
			methods = append(methods, iface+"."+member)
		}
	}
	return methods
}

// saw reports whether text was in any message.
func (m *monitor) saw(text string) bool {
	m.drain()
	return slices.ContainsFunc(m.seen, func(msg *dbus.Message) bool {
		return bytes.Contains(fmt.Appendf(nil, "%s", msg.Body), []byte(text))
	})
}
