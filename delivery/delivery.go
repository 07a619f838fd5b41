// Package delivery hands secrets to programs that want a file: each lies in a
// directory of the process that asked for it, and goes with it.
package delivery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/process"
	"github.com/getkeyzero/kz/resolve"
)

// An Owner is a process, a shell or a kz run, that files are delivered to.
type Owner struct {
	root string
	pid  int
}

// For returns the owner with the process number pid. Its files lie below root,
// in a directory with mode 0700.
func For(root string, pid int) Owner { return Owner{root, pid} }

// dir asks the system, which takes a while: for most there is nothing to deliver.
func (o Owner) dir() string { return filepath.Join(o.root, name(o.pid)) }

// name tells processes of different containers that share root apart.
func name(pid int) string { return fmt.Sprintf("%d-%s", pid, namespace()) }

func namespace() string {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "0"
	}
	return strings.Trim(strings.TrimPrefix(link, "pid:"), "[]")
}

// Write delivers secret under the name of the variable, for the project that
// place stands for, and returns the path of the file, whose mode is 0600.
// Delivered again the file is replaced and keeps its path. Neither place nor
// variable may be more than a name.
func (o Owner) Write(place, variable string, secret resolve.Secret) (string, error) {
	for _, name := range []string{place, variable} {
		if !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
			return "", fmt.Errorf("%q cannot be the name of a delivered file", name)
		}
	}
	dir := filepath.Join(o.dir(), place)
	if err := atomicfile.MkdirPrivate(dir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, variable)
	return path, atomicfile.Write(path, []byte(secret.Reveal()), 0o600)
}

// Remove removes a file that was delivered to this owner, and what it leaves
// empty. A path that is not the owner's, as one that a shell inherited from the
// shell around it, is left alone.
func (o Owner) Remove(path string) {
	own := o.dir()
	if rel, err := filepath.Rel(own, path); err != nil || !filepath.IsLocal(rel) || rel == "." {
		return
	}
	_ = os.Remove(path)
	_ = os.Remove(filepath.Dir(path))
	_ = os.Remove(own)
}

// RemoveAll removes everything that was delivered to this owner.
func (o Owner) RemoveAll() { _ = os.RemoveAll(o.dir()) }

// Sweep removes what was delivered to processes that have ended without taking
// it back.
func (o Owner) Sweep() {
	entries, _ := os.ReadDir(o.root)
	for _, e := range entries {
		number, space, _ := strings.Cut(e.Name(), "-")
		pid, err := strconv.Atoi(number)
		if err == nil && pid > 0 && space == namespace() && !process.Alive(pid) {
			_ = os.RemoveAll(filepath.Join(o.root, e.Name()))
		}
	}
}

// Exists reports whether a delivered file is still there.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
