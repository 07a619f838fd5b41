package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"mvdan.cc/sh/v3/syntax"

	"github.com/getkeyzero/kz/internal/printable"
)

// A File is a configuration as it was read, once.
type File struct {
	Path    string // canonical: symbolic links of its directory resolved
	Data    []byte
	Missing bool // the file does not exist, which is a fact that consent covers
	// Shared says that everybody may make files in the directory (mode 1777).
	Shared bool
}

// Read opens the file at path, checks it on the open descriptor and reads it.
// It must be a regular file of at most [MaxFile] bytes with one name, belong to
// the user or to root, and not be writable by others; nor may a directory above
// it be. A file that does not exist is an error that wraps [fs.ErrNotExist].
func Read(path string) (File, error) {
	dir, err := RealDir(filepath.Dir(path))
	if err != nil {
		return File{}, err
	}
	path = filepath.Join(dir, filepath.Base(path))
	shared, err := checkAncestors(dir)
	if err != nil {
		return File{}, err
	}
	data, err := readChecked(path, syscall.O_NOFOLLOW)
	return File{Path: path, Data: data, Shared: shared}, err
}

// ReadBeside reads the local file that belongs to a project file. If there is
// none, the File is Missing.
func ReadBeside(main File) (File, error) {
	path := filepath.Join(filepath.Dir(main.Path), LocalName)
	data, err := readChecked(path, syscall.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return File{Path: path, Missing: true}, nil
	}
	return File{Path: path, Data: data}, err
}

// ReadUser reads the user's own configuration. Unlike a project's it may be a
// symbolic link, as people who keep their settings in a repository have it.
// If there is none, the File is Missing.
func ReadUser(path string) (File, error) {
	data, err := readChecked(path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return File{Path: path, Missing: true}, nil
	}
	return File{Path: path, Data: data}, err
}

func readChecked(path string, flags int) ([]byte, error) {
	// Non-blocking, so that a FIFO in place of the file does not hang the prompt.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|flags, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, errorAt(Position{Path: path}, "", "is a symbolic link; kz reads regular files only")
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, errorAt(Position{Path: path}, "", "%v", causeOf(err))
	}
	defer f.Close()
	if err := checkFile(f, path, flags&syscall.O_NOFOLLOW != 0); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return nil, errorAt(Position{Path: path}, "", "%v", causeOf(err))
	case len(data) > MaxFile:
		return nil, errorAt(Position{Path: path}, "", "larger than %d KiB", MaxFile>>10)
	}
	return data, nil
}

func checkFile(f *os.File, path string, single bool) error {
	info, err := f.Stat()
	if err != nil {
		return errorAt(Position{Path: path}, "", "%v", causeOf(err))
	}
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return errorAt(Position{Path: path}, "", "not a regular file")
	case !trustedOwner(st.Uid):
		return &UnsafeError{Path: path, Msg: fmt.Sprintf("belongs to another user (uid %d)", st.Uid)}
	case othersWrite(info.Mode(), st.Gid):
		return &UnsafeError{path, "other users can write it", closing(path)}
	case single && st.Nlink != 1:
		return &UnsafeError{Path: path, Msg: fmt.Sprintf("has %d names (hard links)", st.Nlink)}
	}
	return nil
}

// checkAncestors walks from dir to the root. Only the sticky bit makes a
// directory that everybody can write one that we accept, and shared says that
// dir itself is such a one.
func checkAncestors(dir string) (shared bool, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Lstat(d)
		if err != nil {
			return false, errorAt(Position{Path: d}, "", "%v", causeOf(err))
		}
		st := info.Sys().(*syscall.Stat_t)
		switch open := othersWrite(info.Mode(), st.Gid); {
		case !trustedOwner(st.Uid):
			return false, &UnsafeError{Path: d, Msg: fmt.Sprintf("this directory belongs to another user (uid %d)", st.Uid)}
		case open && info.Mode()&fs.ModeSticky == 0:
			return false, &UnsafeError{d, "other users can write this directory", closing(d)}
		case open && d == dir:
			shared = true
		}
		if d == filepath.Dir(d) {
			return shared, nil
		}
	}
}

func trustedOwner(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// othersWrite reports whether somebody but the owner may write. A group that is
// the user's own (the convention of most distributions: same number as the
// user, which is why their umask is 002) has nobody else in it.
func othersWrite(mode fs.FileMode, gid uint32) bool {
	own := int(gid) == os.Geteuid() && int(gid) == os.Getegid()
	return mode.Perm()&0o002 != 0 || mode.Perm()&0o020 != 0 && !own
}

// closing returns the command that takes the right to write from others, or ""
// if path cannot be shown on a terminal as it is.
func closing(path string) string {
	word, err := syntax.Quote(path, syntax.LangPOSIX)
	if err != nil || printable.Text(word) != word {
		return ""
	}
	return "chmod go-w " + word
}

func causeOf(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
