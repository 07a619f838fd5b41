// Package atomicfile replaces files so that a reader, a crash or a full disk
// never meets half of one.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/getkeyzero/kz/internal/process"
)

// Write replaces the file at path by one with these contents and permissions
// (exactly: the umask does not count). The new file is written and synced in the
// same directory under a name that nobody can guess, then renamed. On error the
// file at path is as it was, and no other file is left behind; one that a killed
// process left is removed by the next Write of the same path. A symbolic link at
// path, or anything else that is not a regular file, is refused.
func Write(path string, data []byte, perm fs.FileMode) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "write", Path: path, Err: errors.New("not a regular file")}
	}
	return write(path, data, perm, os.Rename)
}

// Create is Write of a file that is not there yet: the error is fs.ErrExist if
// there is anything at path, which stays as it is. Of several processes that
// create one file one does, and none ever sees it half. What one that was killed
// left is removed by the next Create of the same path, or by Sweep.
func Create(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, func(temp, path string) error {
		defer os.Remove(temp)
		return os.Link(temp, path)
	})
}

// write makes a file under another name and has put move it to path.
func write(path string, data []byte, perm fs.FileMode, put func(temp, path string) error) error {
	Sweep(path)
	temp := fmt.Sprintf("%s%d-%s", prefix(path), os.Getpid(), rand.Text())
	if err := create(temp, data, perm); err != nil {
		_ = os.Remove(temp)
		return &fs.PathError{Op: "write", Path: path, Err: cause(err)}
	}
	if err := put(temp, path); err != nil {
		_ = os.Remove(temp)
		return &fs.PathError{Op: "write", Path: path, Err: cause(err)}
	}
	// It is done: a directory that cannot be synced makes it less durable, not undone.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// MkdirPrivate makes the directory and its missing parents with mode 0700.
// One that exists stays as it is.
func MkdirPrivate(dir string) error { return os.MkdirAll(dir, 0o700) }

func create(temp string, data []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
}

func prefix(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".kz-")
}

// Sweep removes the temporary files of path whose writers are dead.
func Sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	start := filepath.Base(prefix(path))
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), start)
		pid, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.Atoi(pid); ours && err == nil && n > 0 && !process.Alive(n) {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

// cause strips the temporary file's name, which would tell the user nothing.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
