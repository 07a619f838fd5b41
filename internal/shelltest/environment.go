package shelltest

import (
	"maps"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const fixedPath = "/usr/local/bin:/usr/bin:/bin"

// environment is all that a shell inherits.
func environment(c Config, shell, runtimeDir, zdotdir string) []string {
	env := map[string]string{
		"HOME":            c.Home,
		"LANG":            "C.UTF-8",
		"PATH":            fixedPath,
		"SHELL":           shell,
		"TERM":            "xterm",
		"USER":            userName(),
		"XDG_CACHE_HOME":  filepath.Join(c.Home, ".cache"),
		"XDG_CONFIG_HOME": filepath.Join(c.Home, ".config"),
		"XDG_DATA_HOME":   filepath.Join(c.Home, ".local/share"),
		"XDG_RUNTIME_DIR": runtimeDir,
		"XDG_STATE_HOME":  filepath.Join(c.Home, ".local/state"),
	}
	if filepath.Base(shell) == "zsh" {
		env["ZDOTDIR"] = zdotdir
	}
	for _, entry := range c.Env {
		name, value, _ := strings.Cut(entry, "=")
		if name == "PATH" {
			value += ":" + fixedPath
		}
		env[name] = value
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// userName is the real one, because fish replaces any other for root.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "kz"
}

// privateDir returns a new directory that only its owner can enter.
func privateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unignoreSignals gives children the signals that whoever started the tests had
// ignored: a shell without job control does so for what it runs in the
// background, and then no Control-C would reach a shell's child.
func unignoreSignals() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}
