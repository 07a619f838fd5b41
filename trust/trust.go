// Package trust remembers which configurations the user has agreed to load.
//
// Consent is to bytes at a path: those of the project file, of the local file
// beside it and of the files it inherits from. Change any of them, move them or
// add one, and it lapses. A denial holds whatever the bytes are.
package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
)

// A File is a configuration as it was read: what Check approves is what the
// caller then parses, and the disk is not asked again.
type File struct {
	Path    string // absolute, symbolic links resolved
	Data    []byte
	Missing bool // there is no such file, which is part of what is agreed to
	Shared  bool // everybody may make files in its directory
}

// A Store is where consent is kept.
type Store struct {
	Dir string
	// Prefixes are directories below which every configuration counts as
	// allowed, unless it is denied. They come from the user's own settings.
	Prefixes []string
}

// A Decision is what the user said about a configuration.
type Decision string

// The decisions.
const (
	Allowed Decision = "allowed"
	Denied  Decision = "denied"
)

// A Record is one decision, as it is kept.
type Record struct {
	Path     string // of the project file
	Decision Decision
	Time     time.Time
	Shared   bool // the directory may be one that everybody can write
	// Digest is over all files, Own over the first two. The latter is what can
	// be checked before anything is parsed.
	Digest, Own string
	Files       []RecordFile // what was agreed to, to show later what changed
}

// A RecordFile is the content that one file had. Configurations hold no secrets.
type RecordFile struct {
	Path    string
	Text    string
	Missing bool
}

// A Reason says why a configuration may not be used.
type Reason string

// The reasons.
const (
	NotAllowed Reason = "is not allowed"
	Changed    Reason = "has changed since it was allowed"
	Inherited  Reason = "inherits from a file that has changed since it was allowed"
	IsDenied   Reason = "is denied"
	IsShared   Reason = "lies in a directory that everybody can write"
)

// A BlockedError is a configuration that may not be used.
type BlockedError struct {
	Path   string
	Reason Reason
}

func (e *BlockedError) Error() string {
	return printable.Text(e.Path) + ": " + string(e.Reason)
}

// Digest returns the digest of files, in the form sha256:HEX. Every field is
// preceded by its length, so no path and contents can be cut at another place
// to give the same bytes.
func Digest(files []File) string {
	h := sha256.New()
	fmt.Fprintf(h, "kz trust 1\n%d\n", len(files))
	for _, f := range files {
		fmt.Fprintf(h, "%d\n%s%d %t\n%s", len(f.Path), f.Path, len(f.Data), f.Missing, f.Data)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// RecordPath returns where the record about the configuration at path is or would be.
func (s Store) RecordPath(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(s.Dir, hex.EncodeToString(sum[:]))
}

// Lookup returns the record about the configuration at path, or nil if there is none.
func (s Store) Lookup(path string) (*Record, error) {
	r, err := s.readRecord(s.RecordPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// A Consent is a decision that covers at least a project file and its local file.
type Consent struct {
	record   *Record
	prefixed bool
}

// Check returns the consent to load own, the project file and the local file
// beside it. It is asked before they are parsed; what they inherit from is then
// asked of the Consent. Without consent the error is a *BlockedError; any other
// tells why the store cannot be read.
func (s Store) Check(own []File) (Consent, error) {
	path := own[0].Path
	r, err := s.Lookup(path)
	c := Consent{r, s.prefixed(path)}
	switch {
	case err != nil:
		return c, err
	case r != nil && r.Decision == Denied:
		return c, &BlockedError{path, IsDenied}
	case own[0].Shared && (r == nil || !r.Shared):
		return c, &BlockedError{path, IsShared}
	case c.prefixed, r != nil && r.Own == Digest(own):
		return c, nil
	case r != nil:
		return c, &BlockedError{path, Changed}
	}
	return c, &BlockedError{path, NotAllowed}
}

// Covers returns nil if the consent is to files: those given to Check and then
// what they inherit from. Otherwise the error is a *BlockedError.
func (c Consent) Covers(files []File) error {
	if c.prefixed || c.record != nil && c.record.Digest == Digest(files) {
		return nil
	}
	return &BlockedError{files[0].Path, Inherited}
}

func (s Store) prefixed(path string) bool {
	return slices.ContainsFunc(s.Prefixes, func(prefix string) bool { return within(path, prefix) })
}

// within reports whether prefix is a directory above path, component by component.
func within(path, prefix string) bool {
	if real, err := filepath.EvalSymlinks(prefix); err == nil {
		prefix = real
	}
	prefix = strings.TrimSuffix(filepath.Clean(prefix), "/")
	return strings.HasPrefix(path, prefix+"/")
}

// Allow records that the user agreed to files, of which the first two are the
// project file and its local file. shared says that they agreed to it lying in
// a directory that everybody can write.
func (s Store) Allow(files []File, shared bool) error {
	r := Record{Decision: Allowed, Path: files[0].Path, Shared: shared, Digest: Digest(files), Own: Digest(files[:2])}
	for _, f := range files {
		r.Files = append(r.Files, RecordFile{f.Path, string(f.Data), f.Missing})
	}
	return s.write(r)
}

// Deny records that the user refuses the configuration at path, whatever it says.
func (s Store) Deny(path string) error { return s.write(Record{Decision: Denied, Path: path}) }

func (s Store) write(r Record) error {
	r.Time = time.Now().UTC().Truncate(time.Second)
	if err := atomicfile.MkdirPrivate(s.Dir); err != nil {
		return err
	}
	return atomicfile.Write(s.RecordPath(r.Path), r.encode(), 0o600)
}
