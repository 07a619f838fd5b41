package main

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"
)

// places are the paths that kz keeps things at.
type places struct {
	home       string
	userConfig string
	trust      string // consent
	key        string // seals the state variable
	marks      string // see mark
	twins      string // see package watch
	files      string // delivered files
	cache      string // values of remote stores, sealed
	vault      string // the embedded store
	leases     string // what keeps it unlocked
}

const folder = "keyzero"

// check returns an error unless each place is an absolute path: with a relative
// HOME they would lie in whatever directory one is in, a project's included.
func (p places) check() error {
	for _, path := range []string{p.home, p.userConfig, p.trust, p.key, p.marks, p.twins, p.files, p.cache, p.vault, p.leases} {
		if !filepath.IsAbs(path) {
			return &refusal{"HOME and the XDG directories must be absolute paths; " + strconv.Quote(path) + " is not one", ""}
		}
	}
	return nil
}

func findPlaces() places {
	if !filepath.IsAbs(xdg.Home) {
		// Relative places would lie in the current directory, where a project
		// could put consent and settings of its own.
		_ = os.Setenv("HOME", registeredHome())
		xdg.Reload()
	}
	state := filepath.Join(xdg.StateHome, folder)
	run := runtimeDir(state)
	return places{
		home:       xdg.Home,
		userConfig: userConfig(),
		trust:      filepath.Join(xdg.DataHome, folder, "trust"),
		key:        filepath.Join(state, "session.key"),
		marks:      filepath.Join(state, "marks"),
		twins:      filepath.Join(run, "watch"),
		files:      filepath.Join(run, "files"),
		cache:      filepath.Join(run, "cache"),
		vault:      filepath.Join(xdg.DataHome, folder, "vault.kz"),
		leases:     filepath.Join(run, "unlocked"),
	}
}

// registeredHome returns the home directory that the system has for the user,
// or one that does not exist, as the system calls the home of those without.
func registeredHome() string {
	_ = os.Unsetenv("HOME") // which os/user would believe
	if u, err := user.Current(); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	return "/nonexistent"
}

// userConfig prefers ~/.config on macOS too, if there is a file.
func userConfig() string {
	path := filepath.Join(xdg.ConfigHome, folder, "config.toml")
	if runtime.GOOS == "darwin" {
		common := filepath.Join(xdg.Home, ".config", folder, "config.toml")
		if _, err := os.Lstat(common); err == nil {
			return common
		}
	}
	return path
}

// runtimeDir returns where what a login session needs is kept: in the runtime
// directory if that is the user's own, closed to others and can be written, else
// below state.
func runtimeDir(state string) string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 || info.Mode()&fs.ModeSymlink != 0 {
		return filepath.Join(state, "run")
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Geteuid() || unix.Access(dir, unix.W_OK|unix.X_OK) != nil {
		return filepath.Join(state, "run")
	}
	return filepath.Join(dir, folder)
}
