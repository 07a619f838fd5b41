package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/getkeyzero/kz/internal/atomicfile"
)

// FileKey returns the key that the file at path holds, and makes the file with
// a random key if there is none. When several processes do so at once, all get
// the same key. The file must be the user's own and nobody else's to read.
func FileKey(path string) (Key, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKey(path); err != nil {
		return Key{}, err
	}
	return readKey(path)
}

func readKey(path string) (Key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Key{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return Key{}, fmt.Errorf("%s: other users may have read or written this key; remove it", path)
	}
	if st.Nlink > 1 { // whoever made it was killed before it could remove the other name
		atomicfile.Sweep(path)
	}
	data, err := io.ReadAll(io.LimitReader(f, KeySize+1))
	if err != nil {
		return Key{}, err
	}
	key, err := KeyFrom(data)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w; remove it", path, err)
	}
	return key, nil
}

func makeKey(path string) error {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return err
	}
	key := NewKey()
	if err := atomicfile.Create(path, key.Reveal(), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
