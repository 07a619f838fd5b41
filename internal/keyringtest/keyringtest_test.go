package keyringtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// lookup asks secret-tool.
func lookup(t *testing.T, env []string) string {
	t.Helper()
	cmd := exec.Command("secret-tool", "lookup", "service", "s", "username", "a")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, _ := cmd.Output()
	return string(out)
}

func TestKeyring(t *testing.T) {
	one, other := Start(t), Start(t)
	Set(t, one, "s", "a", "value\n")
	if got := lookup(t, one); got != "value\n" {
		t.Errorf("the keyring holds %q", got)
	}
	if got := lookup(t, other); got != "" {
		t.Errorf("another keyring holds %q", got)
	}
	Lock(t, one)
	if got := lookup(t, one); got != "" {
		t.Errorf("the locked keyring gives %q", got)
	}
}

func TestFreeze(t *testing.T) {
	env := Start(t)
	Freeze(t, env)
	call := connect(t, env).Object(secrets, secretsPath).Go("org.freedesktop.DBus.Peer.Ping", 0, make(chan *dbus.Call, 1))
	select {
	case <-call.Done:
		t.Error("the frozen keyring answers")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestNoService(t *testing.T) {
	call := connect(t, StartBus(t)).Object(secrets, secretsPath).Call("org.freedesktop.DBus.Peer.Ping", 0)
	if call.Err == nil {
		t.Error("there is a keyring")
	}
}

// What is started goes with its test, and knows no directory but its own.
func TestNothingStays(t *testing.T) {
	var env []string
	running := func() (found int) {
		home := []byte("\x00" + env[2] + "\x00")
		all, _ := os.ReadDir("/proc")
		for _, p := range all {
			text, err := os.ReadFile("/proc/" + p.Name() + "/environ")
			if err == nil && bytes.Contains(append([]byte{0}, text...), home) {
				found++
				if bytes.Contains(text, fmt.Appendf(nil, "=%s", os.Getenv("HOME")+"\x00")) {
					t.Errorf("process %s knows the real HOME", p.Name())
				}
			}
		}
		return found
	}
	t.Run("", func(t *testing.T) {
		env = Start(t)
		if n := running(); n < 2 {
			t.Errorf("%d processes run, want a bus and a keyring", n)
		}
	})
	await(t, "their end", func() bool { return running() == 0 })
	if _, err := os.Stat(strings.TrimPrefix(env[2], "HOME=")); err == nil {
		t.Error("the directory stays")
	}
}
