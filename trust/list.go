package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func readRecord(file string) (*Record, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: not a record of consent", file)
	}
	if r.Schema != schema {
		return nil, fmt.Errorf("%s: written by another version of kz", file)
	}
	return &r, nil
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
		r, err := readRecord(filepath.Join(s.Dir, e.Name()))
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
		if _, err := os.Lstat(r.Path); !errors.Is(err, fs.ErrNotExist) {
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
