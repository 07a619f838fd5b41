// Package keyringtest gives tests a real keychain: gnome-keyring on a bus of its
// own, with directories of its own, gone when the test ends. It also gives the
// keychains that tests need to be afraid of: locked, frozen, absent, hanging.
package keyringtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	secrets     = "org.freedesktop.secrets"
	secretsPath = "/org/freedesktop/secrets"
	patience    = 20 * time.Second // a first start on a busy machine took 1.6 s
)

// Start starts a bus and an unlocked keyring, and returns the variables that
// lead a process to them: DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR and HOME.
// They are also all that the daemons know of, but for PATH, so that nothing of the user's own
// keyring is ever touched. Without the programs the test is skipped, or fails
// when KZ_NEED_SHELLS is 1.
func Start(t testing.TB) []string {
	t.Helper()
	need(t, "gnome-keyring-daemon", "secret-tool")
	env := startBus(t, "<standard_session_servicedirs/>")

	daemon := exec.Command("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	daemon.Stdin = strings.NewReader("test-pass\n")
	start(t, daemon, env)

	conn := connect(t, env)
	await(t, "the unlocked keyring", func() bool {
		locked, err := defaultLocked(conn)
		return err == nil && !locked
	})
	return env
}

// StartBus starts a bus on which there is no keyring and nothing to start one.
func StartBus(t testing.TB) []string {
	t.Helper()
	return startBus(t, "")
}

// StartHanging returns the variables of a bus that accepts and never answers.
func StartHanging(t testing.TB) []string {
	t.Helper()
	env, socket := place(t)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return env
}

// Set stores a value with secret-tool, in an item as go-keyring would make it.
func Set(t testing.TB, env []string, service, account, value string) {
	t.Helper()
	cmd := exec.Command("secret-tool", "store", "--label=kz test", "service", service, "username", account)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stdin = strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secret-tool store: %v\n%s", err, out)
	}
}

// Lock locks the keyring, as a screen saver or the user would.
func Lock(t testing.TB, env []string) {
	t.Helper()
	conn := connect(t, env)
	path, err := defaultCollection(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Object(secrets, secretsPath).Call("org.freedesktop.Secret.Service.Lock", 0, []dbus.ObjectPath{path}).Err; err != nil {
		t.Fatal(err)
	}
	await(t, "the lock", func() bool {
		locked, err := defaultLocked(conn)
		return err == nil && locked
	})
}

// Freeze stops the keyring in its tracks: the bus still answers, the keyring does not.
func Freeze(t testing.TB, env []string) {
	t.Helper()
	var pid uint32
	conn := connect(t, env)
	if err := conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, secrets).Store(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(pid), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The signal reaches each of its threads a little later.
	await(t, "the frozen keyring", func() bool { return stopped(pid) })
}

// stopped reports whether no thread of a process runs.
func stopped(pid uint32) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, task := range tasks {
		stat, _ := os.ReadFile(task)
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(tasks) > 0
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("KZ_NEED_SHELLS") == "1" {
			t.Fatalf("%s is missing and KZ_NEED_SHELLS is 1", p)
		}
		t.Skipf("%s is missing", p)
	}
}

// place makes the directories and names the socket. Not t.TempDir, whose name
// holds the test's and soon makes a path too long for a socket.
func place(t testing.TB) (env []string, socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kz-keyring-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home, run := filepath.Join(dir, "home"), filepath.Join(dir, "run")
	for _, d := range []string{home, run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	socket = filepath.Join(run, "bus")
	return []string{"DBUS_SESSION_BUS_ADDRESS=unix:path=" + socket, "XDG_RUNTIME_DIR=" + run, "HOME=" + home}, socket
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  %s
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

func startBus(t testing.TB, services string) []string {
	t.Helper()
	need(t, "dbus-daemon")
	env, socket := place(t)
	config := filepath.Join(filepath.Dir(socket), "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket, services), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := exec.Command("dbus-daemon", "--nofork", "--nosyslog", "--nopidfile", "--print-address=1", "--config-file="+config)
	out, err := bus.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, bus, env)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // the address, once it listens
		t.Fatalf("dbus-daemon: %v", err)
	}
	return env
}

// start runs a daemon until the end of the test, in a group of its own that
// what it starts shares.
func start(t testing.TB, cmd *exec.Cmd, env []string) {
	t.Helper()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(cmd.SysProcAttr) // a test that panics or runs out of time cleans up nothing
	started, done := make(chan error), make(chan struct{})
	go func() {
		// On Linux it dies with the thread that started it, which other tests may
		// end before us unless it is ours alone.
		runtime.LockOSThread()
		started <- cmd.Start()
		<-done
	}()
	if err := <-started; err != nil {
		close(done)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer close(done)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
}

func connect(t testing.TB, env []string) *dbus.Conn {
	t.Helper()
	for _, e := range env {
		if address, ok := strings.CutPrefix(e, "DBUS_SESSION_BUS_ADDRESS="); ok {
			conn, err := dbus.Connect(address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
	}
	t.Fatal("no DBUS_SESSION_BUS_ADDRESS")
	return nil
}

func defaultCollection(conn *dbus.Conn) (path dbus.ObjectPath, err error) {
	// No auto-start: the daemon that the test started is the one to wait for.
	err = conn.Object(secrets, secretsPath).Call("org.freedesktop.Secret.Service.ReadAlias", dbus.FlagNoAutoStart, "default").Store(&path)
	return path, err
}

func defaultLocked(conn *dbus.Conn) (locked bool, err error) {
	path, err := defaultCollection(conn)
	if err != nil {
		return false, err
	}
	err = conn.Object(secrets, path).StoreProperty("org.freedesktop.Secret.Collection.Locked", &locked)
	return locked, err
}

func await(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come within %v", what, patience)
		}
	}
}
