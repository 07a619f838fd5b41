package config

import (
	"os"
	"path/filepath"
	"strings"
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
		if parent == dir || here == end || here != unknown && next.device != here.device {
			return "", false
		}
		dir, here, above = parent, next, false
	}
	return "", false
}

// AsSeen returns the first configuration that the text of a path leads to, as a
// hook looks for it: name by name up to home or the root. It may be one that
// Find does not accept. "" stands for none. nearest is what Find found, or "":
// places that it has seen to be empty are not looked at again.
func AsSeen(dir, home, nearest string) string {
	dir = strings.TrimSuffix(dir, "/")
	base := strings.TrimSuffix(nearest, "/"+Name)
	if nearest != "" && within(dir, base) && (home == base || !within(home, base)) {
		dir = base
	}
	for {
		candidate := dir + "/" + Name
		if _, err := os.Lstat(candidate); err == nil {
			return candidate
		}
		i := strings.LastIndexByte(dir, '/')
		if i < 0 || dir == home {
			return ""
		}
		dir = dir[:i]
	}
}

// within reports whether a path is base or below it, by the text alone.
func within(path, base string) bool { return path == base || strings.HasPrefix(path, base+"/") }

// An identity tells a directory from all others, whatever path led to it.
type identity struct{ device, inode int64 }

// unknown is the identity of what is not there, such as a directory that was
// removed while a shell is in it.
var unknown = identity{-1, -1}

// identify returns the identity of dir, or unknown.
func identify(dir string) identity {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return unknown
	}
	return identity{int64(st.Dev), int64(st.Ino)}
}
