//go:build unix

// Package projectfile reads files that references name, relative to the directory
// of the config that holds the reference.
//
// References come from a project and are not trusted: neither .. nor a symbolic link
// leads out of that directory, nothing but a regular file is read, and none that
// another user could have written. Relative links within the directory are followed.
package projectfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
)

// MaxSize is the most bytes that a file may have.
const MaxSize = 1 << 20

// A File is a name within an absolute directory.
type File struct{ Dir, Name string }

// String returns the name as an error shows it.
func (f File) String() string { return printable.Text(f.Name) }

// Path returns the whole path.
func (f File) Path() string { return filepath.Join(f.Dir, f.Name) }

// Parse splits a reference FILE or FILE#KEY at its last #. An error is Malformed.
func Parse(ref resolve.Ref) (f File, key string, err error) {
	name, key, keyed := ref.Path, "", false
	if at := strings.LastIndexByte(ref.Path, '#'); at >= 0 {
		name, key, keyed = ref.Path[:at], ref.Path[at+1:], true
	}
	switch {
	case name == "" || keyed && key == "":
		err = resolve.Errorf(resolve.Malformed, "not of the form FILE or FILE#KEY")
	case strings.ContainsFunc(ref.Path, unicode.IsControl) || !utf8.ValidString(ref.Path):
		err = resolve.Errorf(resolve.Malformed, "control character in the reference")
	case !filepath.IsLocal(name):
		err = resolve.Errorf(resolve.Malformed, "%q is not within the config's directory", name)
	case !filepath.IsAbs(ref.Dir):
		err = resolve.Errorf(resolve.Malformed, "the config's directory is not known")
	}
	if err != nil {
		return File{}, "", err
	}
	return File{ref.Dir, filepath.Clean(name)}, key, nil
}

var (
	errNotRegular = errors.New("not a regular file")
	errWriters    = errors.New("other users can write it")
	errTooLarge   = errors.New("more than 1 MiB")
)

// Read returns what the file holds, or an error that has a class, names the file
// once and quotes nothing of it.
func (f File) Read() ([]byte, error) {
	data, err := f.read()
	if err != nil {
		return nil, f.classify(err)
	}
	return data, nil
}

func (f File) read() ([]byte, error) {
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Without O_NONBLOCK the opening of a FIFO waits for its writer.
	file, err := root.OpenFile(f.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	case !OnlyOurs(info):
		return nil, errWriters
	}
	if err := f.checkParents(root); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if len(data) > MaxSize {
		return nil, errTooLarge
	}
	return data, err
}

// CheckPlace returns nil if the file can be written or created: the directories
// between it and the config's are there and lead nowhere else, and what is at its
// place is a regular file, of which Mode are the permissions, or nothing.
func (f File) CheckPlace() (mode fs.FileMode, err error) {
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return 0, f.classify(err)
	}
	defer root.Close()
	if err := f.checkParents(root); err != nil {
		return 0, f.classify(err)
	}
	switch info, err := root.Lstat(f.Name); {
	case errors.Is(err, fs.ErrNotExist):
		return 0o600, nil
	case err != nil:
		return 0, f.classify(err)
	case !info.Mode().IsRegular():
		return 0, f.classify(errNotRegular)
	default:
		return info.Mode().Perm(), nil
	}
}

// checkParents returns an error unless each directory between the file and the
// config's is only the user's or root's to write.
func (f File) checkParents(root *os.Root) error {
	for dir := filepath.Dir(f.Name); dir != "."; dir = filepath.Dir(dir) {
		info, err := root.Stat(dir)
		if err != nil {
			return err
		}
		if !OnlyOurs(info) {
			return errWriters
		}
	}
	return nil
}

// OnlyOurs reports whether nobody but the user and root can write it. A group with
// the user's own number has nobody else in it, by convention.
func OnlyOurs(info fs.FileInfo) bool {
	st, mode := info.Sys().(*syscall.Stat_t), info.Mode().Perm()
	private := int(st.Gid) == os.Geteuid() && int(st.Gid) == os.Getegid()
	ours := st.Uid == 0 || int(st.Uid) == os.Geteuid()
	return ours && mode&0o002 == 0 && (mode&0o020 == 0 || private)
}

func (f File) classify(err error) error {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case err == errTooLarge, err == errNotRegular:
		return resolve.Errorf(resolve.Malformed, "%v: %v", f, err)
	case err == errWriters:
		return resolve.Errorf(resolve.Denied, "%v: %v", f, err)
	case errors.Is(err, fs.ErrNotExist), errno == syscall.ENOTDIR:
		return resolve.Errorf(resolve.NotFound, "%v: no such file", f)
	case errors.Is(err, fs.ErrPermission):
		return resolve.Errorf(resolve.Denied, "%v: permission denied", f)
	case isErrno:
		return fmt.Errorf("%v: %w", f, errno)
	}
	// What is left is a refusal of os.Root, whose error has no name.
	return resolve.Errorf(resolve.Denied, "%v: not within the config's directory", f)
}
