package holder

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/getkeyzero/kz/internal/keyringtest"
	"github.com/getkeyzero/kz/internal/shelltest"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// newKeychain returns a holder in a keyring that only this test has, and what leads to it.
func newKeychain(t testing.TB) (inKeychain, []string) {
	t.Helper()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "") // put back what storing sets
	var shared *dbus.Conn
	t.Cleanup(func() { // after the bus is gone: the next test's go-keyring must connect anew
		for shared != nil && shared.Connected() {
			time.Sleep(time.Millisecond)
		}
	})
	env := keyringtest.Start(t)
	k := Keychain(env).(inKeychain)
	keep(t, k, "warm", seal.NewKey(), time.Minute)
	var err error
	if shared, err = dbus.SessionBus(); err != nil {
		t.Fatal(err)
	}
	return k, env
}

func stored(t *testing.T, k inKeychain, name string) resolve.Result {
	t.Helper()
	return k.store.Fetch(t.Context(), []resolve.Ref{refTo(name)})[0]
}

func TestKeychainKeeps(t *testing.T) {
	k, env := newKeychain(t)
	a, b := seal.NewKey(), seal.NewKey()
	wantNone(t, "at first", k, "a/ø")
	keep(t, k, "a/ø", a, time.Minute)
	keep(t, k, "b", b, Longest)
	wantKey(t, "kept", k, "a/ø", a)
	wantKey(t, "in another process", Keychain(env), "b", b)
	keep(t, k, "a/ø", b, time.Minute)
	wantKey(t, "replaced", k, "a/ø", b)
	for range 2 {
		if err := k.Forget(t.Context(), "a/ø"); err != nil {
			t.Errorf("Forget: %v", err)
		}
		wantNone(t, "forgotten", k, "a/ø")
	}
	wantKey(t, "its neighbour", k, "b", b)
	if k.About().Name != "keychain" {
		t.Errorf("About = %+v", k.About())
	}
}

func TestKeychainExpires(t *testing.T) {
	k, env := newKeychain(t)
	keep(t, k, "n", testKey(), time.Millisecond)
	time.Sleep(2 * time.Millisecond)
	wantNone(t, "after its time", k, "n")
	if r := stored(t, k, "n"); resolve.ClassOf(r.Err) != resolve.NotFound {
		t.Errorf("what is over stays in the keychain: %v", r.Err)
	}
	keyringtest.Set(t, env, service, "n", canary)
	wantNone(t, "what others stored", k, "n")
	if r := stored(t, k, "n"); r.Err != nil {
		t.Errorf("what others stored is gone: %v", r.Err)
	}
}

// Nobody is asked: each call says at once that the keychain is locked.
func TestKeychainLocked(t *testing.T) {
	k, env := newKeychain(t)
	keep(t, k, "n", testKey(), time.Minute)
	keyringtest.Lock(t, env)
	unlocks := watchUnlocks(t, env)
	began := time.Now()
	_, keyErr := k.Key(t.Context(), "n")
	if !errors.Is(keyErr, ErrNoKey) {
		t.Errorf("Key leads to %v", keyErr)
	}
	for what, err := range map[string]error{
		"Key":    keyErr,
		"Keep":   k.Keep(t.Context(), "n", testKey(), time.Minute),
		"Forget": k.Forget(t.Context(), "n"),
	} {
		if resolve.ClassOf(err) != resolve.Locked || hasKey(err.Error()) {
			t.Errorf("%s leads to %v", what, err)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if !k.answers(t.Context()) {
		t.Error("a locked keychain does not answer")
	}
	if n := unlocks(); n != 0 {
		t.Errorf("the keychain was asked %d times to unlock", n)
	}
}

// watchUnlocks returns a function that tells how often the keyring was asked to
// unlock since, which would show a prompt where there is a screen.
func watchUnlocks(t *testing.T, env []string) func() int {
	t.Helper()
	address := strings.TrimPrefix(env[0], "DBUS_SESSION_BUS_ADDRESS=")
	dial := func() *dbus.Conn {
		conn, err := dbus.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	eyes, other := dial(), dial()
	messages := make(chan *dbus.Message, 100)
	rules := []string{"member='Unlock'", "member='GetId'"}
	if err := eyes.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, rules, uint32(0)).Err; err != nil {
		t.Fatal(err)
	}
	eyes.Eavesdrop(messages)
	return func() (n int) {
		if err := other.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil {
			t.Fatal(err)
		}
		for m := range messages {
			switch m.Headers[dbus.FieldMember].Value() {
			case "Unlock":
				n++
			case "GetId": // which ends the waiting
				return n
			}
		}
		t.Fatal("the monitor is blind")
		return 0
	}
}

func TestKeychainAbsentOrHanging(t *testing.T) {
	frozen := keyringtest.Start(t)
	keyringtest.Freeze(t, frozen)
	for what, env := range map[string][]string{
		"no bus":     noBus,
		"no service": keyringtest.StartBus(t),
		"hanging":    keyringtest.StartHanging(t),
		"frozen":     frozen,
	} {
		k := Keychain(env).(inKeychain)
		for call, do := range map[string]func(context.Context) error{
			"Keep":    func(ctx context.Context) error { return k.Keep(ctx, "n", testKey(), time.Minute) },
			"Key":     func(ctx context.Context) error { _, err := k.Key(ctx, "n"); return err },
			"Forget":  func(ctx context.Context) error { return k.Forget(ctx, "n") },
			"answers": func(ctx context.Context) error { return map[bool]error{false: ErrNone}[k.answers(ctx)] },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			began := time.Now()
			err := do(ctx)
			if took := time.Since(began); err == nil || took > 2*time.Second || hasKey(err.Error()) {
				t.Errorf("%s: %s leads to %v after %v", what, call, err, took)
			}
			if call == "Key" && !errors.Is(err, ErrNoKey) {
				t.Errorf("%s: Key leads to %v", what, err)
			}
			cancel()
		}
	}
}

// Without a deadline of the caller's there is one all the same.
func TestKeychainIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	began := time.Now()
	wantNone(t, "hanging", Keychain(keyringtest.StartHanging(t)), "n")
	if took := time.Since(began); took < 2*time.Second || took > 6*time.Second {
		t.Errorf("it took %v, want about 3 s", took)
	}
}

func TestChoose(t *testing.T) {
	shelltest.Need(t, "strace")
	join(t)
	forbidden := inject("add_key,keyctl,request_key:error=EPERM")
	_, env := newKeychain(t)
	wantLines(t, "no kernel", start(t, env, forbidden, "about", "key", "keep"), "keychain", ErrNoKey.Error(), "<nil>")
	wantLines(t, "the next process", start(t, env, forbidden, "about", "key", "forget", "key"), "keychain", "<nil>", "<nil>", ErrNoKey.Error())
	keyringtest.Lock(t, env)
	wantLines(t, "locked", start(t, env, forbidden, "about", "key", "keep"), "keychain",
		"no key is held: keychain: locked", "keychain: locked")
	wantLines(t, "a kernel", start(t, env, nil, "about", "keep", "key"), kernel{login: true}.About().Name, "<nil>", "<nil>")
}

// A kernel that answers and takes no key.
func TestKernelIsFull(t *testing.T) {
	shelltest.Need(t, "strace")
	k := newKernel(t)
	second, env := newKeychain(t)
	old := seal.NewKey()
	keep(t, k, "n", old, time.Minute)
	keep(t, k, "other", old, time.Minute)
	full := inject("add_key:error=EDQUOT")
	wantLines(t, "full", start(t, env, full, "keep", "key"), "<nil>", "<nil>")
	wantLines(t, "full no more", start(t, env, nil, "key", "second"), "<nil>", "<nil>")
	wantKey(t, "the neighbour", k, "other", old)
	wantKey(t, "the keychain", second, "n", testKey())
	wantNone(t, "the kernel", k, "n")

	// The keychain's would come up again when the kernel's time is out.
	wantLines(t, "kept by the kernel", start(t, env, nil, "keep", "second", "key"), "<nil>", ErrNoKey.Error(), "<nil>")

	wantLines(t, "full once more", start(t, env, full, "keep"), "<nil>")
	wantLines(t, "forgotten in both", start(t, env, nil, "forget", "key", "second"), "<nil>", ErrNoKey.Error(), ErrNoKey.Error())
}

// What the kernel has settled does not wait for a keychain that hangs.
func TestChainWithHangingKeychain(t *testing.T) {
	k := newKernel(t)
	c := chain{k, Keychain(keyringtest.StartHanging(t)), new(atomic.Bool)}
	began := time.Now()
	keep(t, c, "n", testKey(), time.Minute)
	wantKey(t, "kept", c, "n", testKey())
	wantNone(t, "never kept", c, "other")
	if took := time.Since(began); took > 2*brief+time.Second {
		t.Errorf("it took %v", took)
	}
	if !strings.HasPrefix(c.About().Against, k.About().Against) {
		t.Errorf("About = %+v", c.About())
	}
}

func BenchmarkKeychainKeep(b *testing.B) {
	k, _ := newKeychain(b)
	for b.Loop() {
		keep(b, k, "n", testKey(), time.Minute)
	}
}

func BenchmarkKeychainKey(b *testing.B) {
	k, _ := newKeychain(b)
	keep(b, k, "n", testKey(), time.Minute)
	for b.Loop() {
		wantKey(b, "kept", k, "n", testKey())
	}
}

// A miss in the kernel asks the keychain too.
func BenchmarkChainMiss(b *testing.B) {
	first := newKernel(b)
	k, _ := newKeychain(b)
	for b.Loop() {
		wantNone(b, "never kept", chain{first, k, new(atomic.Bool)}, "other")
	}
}
