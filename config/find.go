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
func Find(dir, home string) (path string, ok bool) { return find(dir, home, false) }

// FindAbove is Find without a look into dir itself.
func FindAbove(dir, home string) (path string, ok bool) { return find(dir, home, true) }

func find(dir, home string, above bool) (path string, ok bool) {
	here, end := identify(dir), identify(home)
	for range MaxLevels {
		candidate := filepath.Join(dir, Name)
		if _, err := os.Lstat(candidate); err == nil && !above {
			return candidate, true
		}
		parent := filepath.Dir(dir)
		next := identify(parent)
		if parent == dir || here == end || next.device != here.device {
			return "", false
		}
		dir, here, above = parent, next, false
	}
	return "", false
}

// An identity tells a directory from all others, whatever path led to it.
type identity struct{ device, inode int64 }

// identify returns the identity of dir, or one that none has if it cannot be told.
func identify(dir string) identity {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return identity{-1, -1}
	}
	return identity{int64(st.Dev), int64(st.Ino)}
}
