package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
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

// makeKey links a finished file into place: of several processes one wins, and
// none ever sees a file that is still being written.
func makeKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp := path + "." + rand.Text()
	defer os.Remove(temp)
	key := NewKey()
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(key.Reveal())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
