package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// readRecord returns the record in file, or an error if anything about it is
// not as this version of kz leaves it: what cannot be understood must neither
// allow nor lift a denial.
func (s Store) readRecord(file string) (*Record, error) {
	data, err := readOwn(file)
	if err != nil {
		return nil, err
	}
	r, err := decode(string(data))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case s.RecordPath(r.Path) != file:
		return nil, fmt.Errorf("%s: is about another configuration", file)
	}
	return &r, nil
}

// readOwn reads a file that nobody but the user or root can have written.
func readOwn(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || owner != 0 && int(owner) != os.Geteuid() {
		return nil, fmt.Errorf("%s: other users may have written it; remove it", path)
	}
	return io.ReadAll(f)
}

// List returns all records, sorted by path. Files that are no records are left
// out; err joins what is wrong with them.
func (s Store) List() (records []Record, err error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		r, err := s.readRecord(filepath.Join(s.Dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		records = append(records, *r)
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.Path, b.Path) })
	return records, errors.Join(errs...)
}

// Prune removes the records about configurations that no longer exist and
// returns them.
func (s Store) Prune() ([]Record, error) {
	records, err := s.List()
	errs := []error{err}
	var gone []Record
	for _, r := range records {
		if _, err := os.Lstat(r.Path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err := os.Remove(s.RecordPath(r.Path)); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, r)
	}
	return gone, errors.Join(errs...)
}
