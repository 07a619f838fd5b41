package tool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/getkeyzero/kz/resolve"
)

// A search finds programs that nobody but the user and root can have put where
// they are.
type search struct {
	path      []string // the entries of PATH that may be used
	skipped   []skip
	forbidden []fs.FileInfo
	blind     error // why a forbidden directory cannot be recognized
}

// A skip is an entry of PATH that may not be used.
type skip struct {
	dir string
	why error
}

func newSearch(o Options) *search {
	s := &search{}
	for _, dir := range o.Avoid {
		info, err := os.Stat(dir)
		switch {
		case err == nil:
			s.forbidden = append(s.forbidden, info)
		case !errors.Is(err, fs.ErrNotExist): // no program is in what does not exist
			s.blind = err
		}
	}
	path := ""
	for _, entry := range o.Env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) || slices.Contains(s.path, dir) {
			continue
		}
		if err := s.checkEntry(dir); err != nil {
			s.skipped = append(s.skipped, skip{dir, err})
			continue
		}
		s.path = append(s.path, dir)
	}
	return s
}

// find returns the absolute path of a program. Names are looked for as a shell
// does, in the entries of PATH that may be used.
func (s *search) find(program string) (string, error) {
	switch {
	case filepath.IsAbs(program):
		if err := s.checkProgram(program); err != nil {
			return "", refuse(program, err)
		}
		return program, nil
	case program == "" || program == "." || program == "..":
		return "", resolve.Errorf(resolve.NoTool, "program %q: is not a name", program)
	case strings.ContainsRune(program, '/'):
		return "", resolve.Errorf(resolve.NoTool, "program %q: want a name or an absolute path", program)
	}
	var refused error
	for _, dir := range s.path {
		full := filepath.Join(dir, program)
		err := s.checkProgram(full)
		if err == nil {
			return full, nil
		}
		if refused == nil && !errors.Is(err, fs.ErrNotExist) {
			refused = refuse(full, err)
		}
	}
	for _, sk := range s.skipped {
		full := filepath.Join(sk.dir, program)
		if _, err := os.Lstat(full); err == nil && refused == nil {
			refused = refuse(full, sk.why)
		}
	}
	if refused == nil {
		refused = resolve.Errorf(resolve.NoTool, "program %q: not found in PATH", program)
	}
	return "", refused
}

func refuse(program string, why error) error {
	return resolve.Errorf(resolve.NoTool, "program %q: %v", program, why)
}

// checkEntry decides on an entry of PATH. What a project's package manager installs is
// refused even where the project is not known.
func (s *search) checkEntry(dir string) error {
	real, info, err := s.walk(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return syscall.ENOTDIR
	}
	for _, name := range strings.Split(dir+"/"+real, "/") {
		if name == "node_modules" || name == ".venv" {
			return errors.New("lies in a project's " + name)
		}
	}
	return trust(info)
}

func (s *search) checkProgram(program string) error {
	if s.blind != nil {
		return errors.New("a forbidden directory cannot be examined")
	}
	real, info, err := s.walk(program)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("is a directory")
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	case info.Mode()&0o111 == 0:
		return errors.New("is not executable")
	}
	// Its directory once more: walk lets the sticky ones pass, where others cannot
	// replace a file of the user's but can link one of them under a new name.
	parent, err := os.Lstat(filepath.Dir(real))
	if err != nil {
		return cause(err)
	}
	return trust(parent)
}

// walk follows an absolute path step by step as the kernel does, through symbolic links, and
// returns what is at its end and where that really is. All that it passes
// must be root's or the user's, must not be open to others, and must not be
// forbidden: else somebody could lead the path elsewhere.
func (s *search) walk(path string) (real string, info fs.FileInfo, err error) {
	const maxLinks = 40 // Linux's
	real = "/"
	if info, err = s.step(real); err != nil {
		return "", nil, err
	}
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(real, rest[0]) // .. is its parent: real has no links in it
		rest = rest[1:]
		if info, err = s.step(next); err != nil {
			return "", nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return "", nil, syscall.ELOOP
		}
		if filepath.IsAbs(target) {
			real = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return real, info, nil
}

// step examines one place on the way.
func (s *search) step(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, cause(err)
	}
	if slices.ContainsFunc(s.forbidden, func(f fs.FileInfo) bool { return os.SameFile(f, info) }) {
		return nil, errors.New("lies in a project")
	}
	if info.Mode()&fs.ModeSymlink != 0 || info.IsDir() && info.Mode()&fs.ModeSticky != 0 {
		return info, trustOwner(info)
	}
	return info, trust(info)
}

// trust returns an error if another user could change the file.
func trust(info fs.FileInfo) error {
	if err := trustOwner(info); err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&0o002 != 0:
		return errors.New("others may write to it or its directory")
	case info.Mode()&0o020 != 0 && !trustedGroup(st.Uid, st.Gid):
		return errors.New("a group may write to it or its directory")
	}
	return nil
}

func trustOwner(info fs.FileInfo) error {
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 && int(uid) != os.Geteuid() {
		return errors.New("it or its directory belongs to another user")
	}
	return nil
}

// trustedGroup reports whether a group has nobody in it but the owner. By convention that is the
// group with the owner's own number. On macOS Homebrew opens its directories
// to the admin group, whose members are root for the asking.
func trustedGroup(owner, group uint32) bool {
	const admin = 80
	return group == owner || runtime.GOOS == "darwin" && group == admin
}

// cause strips the path, which the error that is made of it names already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
