package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/adrg/xdg"
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
}

const folder = "keyzero"

func findPlaces() places {
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
	}
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
// directory if that is the user's own and closed to others, else below state.
func runtimeDir(state string) string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 || info.Mode()&fs.ModeSymlink != 0 {
		return filepath.Join(state, "run")
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Geteuid() {
		return filepath.Join(state, "run")
	}
	return filepath.Join(dir, folder)
}
