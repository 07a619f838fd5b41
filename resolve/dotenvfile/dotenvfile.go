// Package dotenvfile resolves references to variables in .env files.
//
// A reference is FILE#NAME, FILE being relative to the directory of the config
// that holds the reference. Neither .. nor a symbolic link leads out of that
// directory; relative links within it are followed.
package dotenvfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
)

// A Provider reads .env files.
type Provider struct {
	getenv func(string) (string, bool)
}

// New returns a Provider. Getenv, which may be nil, is asked for the variables
// that a file refers to and does not set.
func New(getenv func(string) (string, bool)) *Provider { return &Provider{getenv} }

// Fetch implements [resolve.Provider]. Each file is read once, so that all its
// values are of one version. Between files it heeds ctx.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	files := map[source]contents{}
	for i, ref := range refs {
		src, name, err := parseRef(ref)
		if err != nil {
			results[i].Err = err
			continue
		}
		file, seen := files[src]
		if !seen {
			if err := ctx.Err(); err != nil {
				results[i].Err = err
				continue
			}
			file = p.read(src)
			files[src] = file
		}
		results[i] = file.find(src, name)
	}
	return results
}

// A source is a file: its name within a directory.
type source struct{ dir, name string }

// String returns the name as an error shows it.
func (s source) String() string { return printable.Text(s.name) }

// contents are the variables of a file, or why there are none.
type contents struct {
	values map[string]resolve.Secret
	err    error
}

func (c contents) find(src source, name string) resolve.Result {
	if c.err != nil {
		return resolve.Result{Err: c.err}
	}
	secret, ok := c.values[name]
	if !ok {
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "%v: no variable %q", src, name)}
	}
	return resolve.Result{Secret: secret}
}

// parseRef splits a reference at its last #, which no variable's name holds.
func parseRef(ref resolve.Ref) (source, string, error) {
	at := strings.LastIndexByte(ref.Path, '#')
	if at < 1 || at+1 == len(ref.Path) {
		return source{}, "", resolve.Errorf(resolve.Malformed, "not of the form FILE#NAME")
	}
	file, name := ref.Path[:at], ref.Path[at+1:]
	switch {
	case strings.ContainsFunc(ref.Path, unicode.IsControl):
		return source{}, "", resolve.Errorf(resolve.Malformed, "control character in the reference")
	case !filepath.IsLocal(file):
		return source{}, "", resolve.Errorf(resolve.Malformed, "%q is not within the config's directory", file)
	case !filepath.IsAbs(ref.Dir):
		return source{}, "", resolve.Errorf(resolve.Malformed, "the config's directory is not known")
	}
	return source{ref.Dir, filepath.Clean(file)}, name, nil
}

func (p *Provider) read(src source) contents {
	data, err := load(src)
	if err != nil {
		return contents{err: classify(src, err)}
	}
	entries, err := dotenv.Parse(data, p.getenv)
	if err != nil {
		return contents{err: classify(src, err)}
	}
	values := make(map[string]resolve.Secret, len(entries))
	for _, e := range entries {
		values[e.Name] = resolve.NewSecret(e.Value)
	}
	return contents{values: values}
}

var (
	errNotRegular = errors.New("not a regular file")
	errWriters    = errors.New("other users can write it")
)

// checkWriters returns an error unless the file, and each directory between it
// and the config's, is only the user's or root's to write. A group with the
// user's own number has nobody else in it, by convention.
func checkWriters(root *os.Root, name string, file fs.FileInfo) error {
	infos := []fs.FileInfo{file}
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		info, err := root.Stat(dir)
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	for _, info := range infos {
		st, mode := info.Sys().(*syscall.Stat_t), info.Mode().Perm()
		private := int(st.Gid) == os.Geteuid() && int(st.Gid) == os.Getegid()
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() || mode&0o002 != 0 || mode&0o020 != 0 && !private {
			return errWriters
		}
	}
	return nil
}

// load reads at most one byte more than a file may have.
func load(src source) ([]byte, error) {
	root, err := os.OpenRoot(src.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Without O_NONBLOCK the opening of a FIFO waits for its writer.
	f, err := root.OpenFile(src.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	if err := checkWriters(root, src.name, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, dotenv.MaxSize+1))
}

// classify turns an error into one that names the file once and quotes nothing
// of it.
func classify(src source, err error) error {
	syntax, isSyntax := errors.AsType[*dotenv.SyntaxError](err)
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case isSyntax:
		return resolve.Errorf(resolve.Malformed, "%v:%d: %s", src, syntax.Line, syntax.Msg)
	case err == dotenv.ErrTooLarge, err == errNotRegular:
		return resolve.Errorf(resolve.Malformed, "%v: %v", src, err)
	case err == errWriters:
		return resolve.Errorf(resolve.Denied, "%v: %v", src, err)
	case errors.Is(err, fs.ErrNotExist), errno == syscall.ENOTDIR:
		return resolve.Errorf(resolve.NotFound, "%v: no such file", src)
	case errors.Is(err, fs.ErrPermission):
		return resolve.Errorf(resolve.Denied, "%v: permission denied", src)
	case isErrno:
		return fmt.Errorf("%v: %w", src, errno)
	}
	// What is left is a refusal of os.Root, whose error has no name.
	return resolve.Errorf(resolve.Denied, "%v: not within the config's directory", src)
}
