package cache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/seal/holder"
)

const (
	purpose = "cache"
	suffix  = ".kz"
	maxFile = 8 << 20 // bytes; all values of a project have half a MiB
)

// path returns the file of a place. Those of one project begin alike.
func (c Cache) path(place Place) string {
	sum := sha256.Sum256([]byte(place.Environment))
	return c.stem(place.Config) + hex.EncodeToString(sum[:8]) + suffix
}

func (c Cache) stem(config string) string {
	sum := sha256.Sum256([]byte(config))
	return filepath.Join(c.Dir, hex.EncodeToString(sum[:16])+"-")
}

// read returns what is kept for place: nothing if there is no key or no file, or
// if anything about the file is not as this key sealed it.
func (c Cache) read(ctx context.Context, place Place) (*pages, error) {
	p, err := c.open(ctx, c.path(place))
	if err == nil && p.Place != place {
		err = errors.New("another project's")
	}
	if err != nil {
		return newPages(place), err
	}
	return p, nil
}

func (c Cache) open(ctx context.Context, path string) (*pages, error) {
	key, err := c.Holder.Key(ctx, c.keyName())
	if err != nil {
		return nil, err
	}
	sealed, err := readFile(path)
	if err != nil {
		return nil, err
	}
	text, err := key.Open(purpose, filepath.Base(path), sealed)
	if err != nil {
		return nil, err
	}
	p := newPages(Place{})
	return p, json.Unmarshal(text, p)
}

func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, errors.Join(err, errors.New("not a file of the cache"))
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func (c Cache) write(ctx context.Context, p *pages) error {
	key, err := c.key(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	c.sweep()
	path := c.path(p.Place)
	return atomicfile.Write(path, key.Seal(purpose, filepath.Base(path), text), 0o600)
}

// sweep removes the files for which no key can be held any more.
func (c Cache) sweep() {
	for _, path := range c.files() {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > holder.Longest {
			_ = os.Remove(path)
		}
	}
}

func (c Cache) files() []string {
	entries, _ := os.ReadDir(c.Dir)
	var list []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			list = append(list, filepath.Join(c.Dir, e.Name()))
		}
	}
	return list
}

// Drop forgets what is kept for a project in every environment. Who is asking a
// store meanwhile is waited for, or else would keep an answer from before.
func (c Cache) Drop(ctx context.Context, config string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := os.Lstat(c.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil // and nobody is asking, who would have made it
	}
	if release, err := c.lock(ctx, config); err == nil {
		defer release()
	}
	errs := []error{newGeneration(c.stem(config) + generationFile)}
	for _, path := range c.files() {
		if strings.HasPrefix(path, c.stem(config)) {
			errs = append(errs, removed(path))
		}
	}
	return errors.Join(errs...)
}

// generation is another text after each time that what is kept of a project was forgotten.
func (c Cache) generation(config string) string {
	own, _ := os.ReadFile(c.stem(config) + generationFile)
	all, _ := os.ReadFile(filepath.Join(c.Dir, generationFile))
	return string(own) + " " + string(all)
}

const generationFile = "generation"

func newGeneration(path string) error { return atomicfile.Write(path, []byte(rand.Text()), 0o600) }

func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Clear forgets everything, the key too.
func (c Cache) Clear(ctx context.Context) error {
	if _, err := os.Lstat(c.Dir); errors.Is(err, fs.ErrNotExist) {
		return c.Holder.Forget(ctx, c.keyName())
	}
	errs := []error{newGeneration(filepath.Join(c.Dir, generationFile))}
	for _, path := range c.files() {
		errs = append(errs, removed(path))
	}
	return errors.Join(append(errs, c.Holder.Forget(ctx, c.keyName()))...)
}

// A Kept is a value that is kept, without the value.
type Kept struct {
	Place
	From string        // provider and reference
	Left time.Duration // how long it is good from now on; below 0 if that is over
}

// List returns what is kept, by project, environment and origin. Files that the
// key does not open are left out.
func (c Cache) List(ctx context.Context) []Kept {
	var list []Kept
	now := c.Now()
	for _, path := range c.files() {
		p, err := c.open(ctx, path)
		if err != nil {
			continue
		}
		for _, v := range p.Values {
			if age, ok := v.At.Age(now); ok && age < v.TTL+v.Stale {
				list = append(list, Kept{p.Place, v.From, v.TTL - age})
			}
		}
	}
	slices.SortFunc(list, func(a, b Kept) int {
		return strings.Compare(a.Config+"\x00"+a.Environment+"\x00"+a.From, b.Config+"\x00"+b.Environment+"\x00"+b.From)
	})
	return list
}
