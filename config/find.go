package config

import (
	"os"
	"path/filepath"
	"syscall"
)

// Find returns the path of the nearest .keyzero.toml in dir, an absolute path,
// or above it. The search ends at the root, after home (so that a file beside
// home directories cannot reach into them), where a directory lies on another
// file system than the one below it, and after [MaxLevels]. Whatever has the
// name counts, be it a file or not: an obstacle must not uncover a file further up.
func Find(dir, home string) (path string, ok bool) {
	device := deviceOf(dir)
	for range MaxLevels {
		candidate := filepath.Join(dir, Name)
		if _, err := os.Lstat(candidate); err == nil {
			return candidate, true
		}
		parent := filepath.Dir(dir)
		if parent == dir || dir == home || deviceOf(parent) != device {
			return "", false
		}
		dir = parent
	}
	return "", false
}

// deviceOf returns the file system that dir lies on, or -1 if it cannot be told.
func deviceOf(dir string) int64 {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return -1
	}
	return int64(st.Dev)
}
