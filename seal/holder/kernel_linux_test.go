package holder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/getkeyzero/kz/internal/shelltest"
	"github.com/getkeyzero/kz/seal"
)

// TestMain is also the program that the tests start in sessions of their choice:
// it says on each line what one word of its arguments led to.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "holder" {
		os.Exit(m.Run())
	}
	h := Choose(context.Background(), os.Environ())
	for _, word := range os.Args[2:] {
		fmt.Println(act(h, word))
	}
}

// act does "about", "keep", "key" or "forget", the key being testKey under the name "n".
func act(h Holder, word string) any {
	ctx := context.Background()
	switch word {
	case "about":
		return h.About().Name
	case "keep":
		return h.Keep(ctx, "n", testKey(), time.Minute)
	case "forget":
		return h.Forget(ctx, "n")
	case "second": // whether the holder behind the kernel has it
		return same(h.(chain).second.Key(ctx, "n"))
	case "key":
		return same(h.Key(ctx, "n"))
	}
	panic(word)
}

func same(key seal.Key, err error) any {
	if err == nil && string(key.Reveal()) != canary {
		return "another key"
	}
	return err
}

// start runs this program in the session of the caller's thread, behind a wrapper if there is one.
func start(t *testing.T, env, wrapper []string, words ...string) []string {
	t.Helper()
	out, err := program(env, wrapper, words...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", words, err, out)
	}
	if hasKey(string(out)) {
		t.Errorf("the key is in %q", out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func program(env, wrapper []string, words ...string) *exec.Cmd {
	args := slices.Concat(wrapper, []string{os.Args[0], "holder"}, words)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

var noBus = []string{"DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent"}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// join gives the test's goroutine, and the processes it starts, a session keyring of
// its own. The goroutine keeps its thread, which ends with it, and the keyring with that.
func join(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	// A NULL name, for which unix.KeyctlJoinSessionKeyring has no word.
	_, _, errno := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if errno != 0 && os.Getenv("KZ_NEED_SHELLS") != "1" {
		t.Skipf("no kernel keyring: %v", errno)
	}
	if errno != 0 {
		t.Fatalf("no kernel keyring: %v", errno)
	}
}

func newKernel(t testing.TB) kernel {
	t.Helper()
	join(t)
	h, err := Kernel()
	if err != nil {
		t.Fatal(err)
	}
	return h.(kernel)
}

func keep(t testing.TB, h Holder, name string, key seal.Key, d time.Duration) {
	t.Helper()
	if err := h.Keep(t.Context(), name, key, d); err != nil {
		t.Fatalf("Keep(%q): %v", name, err)
	}
}

func wantKey(t testing.TB, what string, h Holder, name string, want seal.Key) {
	t.Helper()
	got, err := h.Key(t.Context(), name)
	if err != nil || string(got.Reveal()) != string(want.Reveal()) {
		t.Errorf("%s: Key(%q) leads to %v, want the key", what, name, err)
	}
}

func wantNone(t testing.TB, what string, h Holder, name string) {
	t.Helper()
	_, err := h.Key(t.Context(), name)
	if !errors.Is(err, ErrNoKey) {
		t.Errorf("%s: Key(%q) leads to %v, want %v", what, name, err, ErrNoKey)
	}
	if err != nil && hasKey(err.Error()) {
		t.Errorf("%s: the error holds the key: %v", what, err)
	}
}

func TestKernelKeeps(t *testing.T) {
	k := newKernel(t)
	a, b := seal.NewKey(), seal.NewKey()
	wantNone(t, "at first", k, "a")
	keep(t, k, "a", a, time.Minute)
	keep(t, k, "b/ø %", b, Longest)
	wantKey(t, "kept", k, "a", a)
	wantKey(t, "kept", k, "b/ø %", b)
	keep(t, k, "a", b, time.Minute)
	wantKey(t, "replaced", k, "a", b)
	for range 2 {
		if err := k.Forget(t.Context(), "a"); err != nil {
			t.Errorf("Forget: %v", err)
		}
		wantNone(t, "forgotten", k, "a")
	}
	wantKey(t, "its neighbour", k, "b/ø %", b)
	if !strings.Contains(k.About().Name, "login") {
		t.Errorf("About = %+v", k.About())
	}
}

// Nothing of a key stays in the thread that kept it, and one of each name in the ring.
func TestKernelLeavesOneKey(t *testing.T) {
	k := newKernel(t)
	for range 5 {
		keep(t, k, "a", seal.NewKey(), time.Minute)
	}
	if list, err := read(k.ring); err != nil || len(list) != 4 {
		t.Errorf("the ring holds %d keys, %v", len(list)/4, err)
	}
	if list, err := read(unix.KEY_SPEC_THREAD_KEYRING); err != nil || len(list) != 0 {
		t.Errorf("the thread's keyring holds %d keys, %v", len(list)/4, err)
	}
}

// Two sessions of one user, in which the other even knows the number of the key.
func TestSessionsAreApart(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), time.Minute)
	id, err := k.find(keyPrefix + "n")
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "a child", start(t, noBus, nil, "key"), "<nil>")
	t.Run("other", func(t *testing.T) {
		other := newKernel(t)
		wantNone(t, "the other session", other, "n")
		wantLines(t, "its child", start(t, noBus, nil, "key"), ErrNoKey.Error())
		if _, err := read(id); !errors.Is(err, unix.EACCES) {
			t.Errorf("the other session reads the key by its number: %v", err)
		}
		if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, id, other.ring, 0, 0); !errors.Is(err, unix.EACCES) {
			t.Errorf("the other session links the key: %v", err)
		}
		if text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id); !errors.Is(err, unix.EACCES) {
			t.Errorf("the other session sees %q, %v", text, err)
		}
		keep(t, other, "n", seal.NewKey(), time.Minute)
	})
	wantKey(t, "after the other kept one", k, "n", testKey())
	wantLines(t, "a child forgets", start(t, noBus, nil, "forget", "key"), "<nil>", ErrNoKey.Error())
	wantNone(t, "what a child forgot", k, "n")
}

func TestKernelPermissionsAndTimeout(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), 90*time.Second)
	id, err := k.find(keyPrefix + "n")
	if err != nil {
		t.Fatal(err)
	}
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
	if err != nil || !strings.Contains(text, fmt.Sprintf(";%08x;", possessorOnly)) {
		t.Errorf("the key is %q, %v", text, err)
	}
	if limit := timeout(t, id); limit != "1m" && limit != "89s" && limit != "90s" {
		t.Errorf("the kernel keeps it for %s", limit)
	}
	keep(t, k, "n", testKey(), 3*time.Hour)
	if id, err = k.find(keyPrefix + "n"); err != nil {
		t.Fatal(err)
	}
	if limit := timeout(t, id); limit != "2h" && limit != "3h" {
		t.Errorf("once kept anew, the kernel keeps it for %s", limit)
	}
}

// timeout returns what /proc/keys says of a key, rounded by the kernel: "89s", "2h".
func timeout(t *testing.T, id int) string {
	t.Helper()
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(keys)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[0] == fmt.Sprintf("%08x", id) {
			return fields[3]
		}
	}
	t.Fatalf("key %08x is not in /proc/keys", id)
	return ""
}

// The kernel itself lets go of the key, and of every copy.
func TestKernelExpires(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), time.Second)
	wantKey(t, "at once", k, "n", testKey())
	id, err := k.find(keyPrefix + "n")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, err = read(id)
	}
	if !errors.Is(err, unix.EKEYEXPIRED) {
		t.Errorf("after its time the kernel says %v", err)
	}
	wantNone(t, "after its time", k, "n")
	if err := k.Forget(t.Context(), "n"); err != nil {
		t.Errorf("Forget: %v", err)
	}
	keep(t, k, "n", testKey(), time.Minute)
	wantKey(t, "kept anew", k, "n", testKey())
}

// The kernel counts whole seconds of a clock that can be set; the key's own time is exact.
func TestKernelKeyHasATimeOfItsOwn(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), time.Millisecond)
	time.Sleep(2 * time.Millisecond)
	wantNone(t, "after a millisecond", k, "n")
	if id, err := k.find(keyPrefix + "n"); err == nil && timeout(t, id) == "perm" {
		t.Error("the kernel keeps it for ever")
	}
}

func TestKernelKeyIsTakenAway(t *testing.T) {
	k := newKernel(t)
	for what, command := range map[string]int{"revoked": unix.KEYCTL_REVOKE, "invalidated": unix.KEYCTL_INVALIDATE} {
		keep(t, k, "n", testKey(), time.Minute)
		id, err := k.find(keyPrefix + "n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.KeyctlInt(command, id, 0, 0, 0); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		wantNone(t, what, k, "n")
		if err := k.Forget(t.Context(), "n"); err != nil {
			t.Errorf("%s: Forget: %v", what, err)
		}
	}
	keep(t, k, "n", testKey(), time.Minute)
	wantKey(t, "kept anew", k, "n", testKey())
}

// What links a child made lead nowhere once the key is forgotten.
func TestForgetReachesCopies(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), time.Minute)
	id, err := k.find(keyPrefix + "n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, id, unix.KEY_SPEC_PROCESS_KEYRING, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := k.Forget(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	if _, err := read(id); !errors.Is(err, unix.EKEYREVOKED) {
		t.Errorf("the copy: %v", err)
	}
}

// pam_keyinit revokes the keyring of a login that ends, while tmux goes on.
func TestRevokedSession(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), time.Minute)
	if _, err := unix.KeyctlInt(unix.KEYCTL_REVOKE, k.ring, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	wantNone(t, "after the logout", k, "n")
	if err := k.Keep(t.Context(), "n", testKey(), time.Minute); err == nil {
		t.Error("a revoked keyring keeps a key")
	}
	if h, err := Kernel(); !errors.Is(err, unix.EKEYREVOKED) {
		t.Errorf("Kernel = %v, %v", h, err)
	}
	wantLines(t, "a child", start(t, noBus, nil, "about", "keep"), "none", ErrNone.Error())
}

// The keyrings that a session links to are open to the user's other sessions, which
// could leave a key there that they know.
func TestPlantedKey(t *testing.T) {
	k := newKernel(t)
	name := fmt.Sprint("hholder-planted-", os.Getpid())
	// A keyring that stands for the user's.
	ring, err := unix.AddKey("keyring", "hholder-ring", nil, k.ring)
	if err != nil {
		t.Fatal(err)
	}
	planted := kernel{ring: ring}
	keep(t, planted, name, testKey(), time.Minute)
	wantKey(t, "whoever planted it", planted, name, testKey())
	if id, err := unix.KeyctlSearch(k.ring, keyType, keyPrefix+name, 0); err != nil || id == 0 {
		t.Fatalf("the kernel's search does not find what was planted: %v", err)
	}
	wantNone(t, "we", k, name)
	if err := k.Forget(t.Context(), name); err != nil {
		t.Errorf("Forget: %v", err)
	}
	mine := seal.NewKey()
	keep(t, k, name, mine, time.Minute)
	wantKey(t, "beside what was planted", k, name, mine)
}

// Without a session keyring it is the user's, and nothing silently makes a private one.
func TestNoSessionKeyring(t *testing.T) {
	runtime.LockOSThread()
	user, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, false)
	if err != nil {
		join(t) // skips, or fails
	}
	if session, _ := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); session != user {
		if _, err := unix.KeyctlJoinSessionKeyring(fmt.Sprint("_uid_ses.", os.Getuid())); err != nil {
			t.Skipf("no way out of the login's own keyring: %v", err)
		}
		if session, _ := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); session != user {
			t.Skip("no way out of the login's own keyring")
		}
	}
	t.Cleanup(func() { _ = kernel{ring: user}.Forget(context.Background(), "n") })
	about := kernel{}.About().Name
	wantLines(t, "one process", start(t, noBus, nil, "about", "keep", "key"), about, "<nil>", "<nil>")
	wantLines(t, "the next", start(t, noBus, nil, "about", "key"), about, "<nil>")
	if session, _ := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); session != user {
		t.Error("there is a private keyring now")
	}
	wantLines(t, "the last", start(t, noBus, nil, "forget", "key"), "<nil>", ErrNoKey.Error())
}

// Under sudo the keyring is the caller's.
func TestSessionOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can change the user")
	}
	join(t)
	ring, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_CHOWN, ring, 65534, -1, 0); err != nil {
		t.Fatal(err)
	}
	if h, err := Kernel(); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("Kernel = %v, %v", h, err)
	}
}

// A reader beside a writer always gets a key: an old one or a new one.
func TestKernelReplacesAtomically(t *testing.T) {
	k := newKernel(t)
	keep(t, k, "n", testKey(), time.Minute)
	reader := program(noBus, nil, slices.Repeat([]string{"key"}, 5000)...)
	pipe, err := reader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(); err != nil { // on this thread, for its session
		t.Fatal(err)
	}
	done := make(chan struct{})
	var out []byte
	go func() {
		defer close(done)
		out, _ = io.ReadAll(pipe)
	}()
	replaced := 0
	for running := true; running; replaced++ {
		keep(t, k, "n", testKey(), time.Minute)
		time.Sleep(time.Millisecond) // the quota counts what was replaced until the kernel has swept it
		select {
		case <-done:
			running = false
		default:
		}
	}
	if err := reader.Wait(); err != nil || string(out) != strings.Repeat("<nil>\n", 5000) || replaced < 20 {
		t.Errorf("while the key was replaced %d times: %v\n%.200s", replaced, err, strings.ReplaceAll(string(out), "<nil>\n", ""))
	}
}

func inject(what string) []string {
	return []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=add_key,keyctl,request_key", "-e", "inject=" + what}
}

// What strace injects: a container that forbids the calls, an old kernel, a full quota.
func TestKernelForbidden(t *testing.T) {
	shelltest.Need(t, "strace")
	join(t)
	for _, errno := range []string{"EPERM", "ENOSYS", "EACCES"} {
		got := start(t, noBus, inject("add_key,keyctl,request_key:error="+errno), "about", "keep", "key", "forget")
		wantLines(t, errno, got, "none", ErrNone.Error(), noKey(ErrNone).Error(), "<nil>")
	}
	for errno, says := range map[string]string{"EPERM": "operation not permitted", "EDQUOT": "disk quota exceeded"} {
		got := start(t, noBus, inject("add_key:error="+errno), "about", "keep", "key", "forget")
		wantLines(t, "add_key: "+errno, got, chain{first: kernel{login: true}}.About().Name,
			"kernel keyring: "+says+"; keychain: session bus: no such file or directory", ErrNoKey.Error(), "<nil>")
	}
}

func BenchmarkKernelKeep(b *testing.B) {
	k := newKernel(b)
	for b.Loop() {
		keep(b, k, "n", testKey(), time.Minute)
	}
}

func BenchmarkKernelKey(b *testing.B) {
	k := newKernel(b)
	keep(b, k, "n", testKey(), time.Minute)
	for b.Loop() {
		wantKey(b, "kept", k, "n", testKey())
	}
}

func BenchmarkKernelProbe(b *testing.B) {
	newKernel(b)
	for b.Loop() {
		if _, err := Kernel(); err != nil {
			b.Fatal(err)
		}
	}
}
