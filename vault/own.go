package vault

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// readOwn reads a file of at most that many bytes which is the user's, and
// nobody else's to read or write. It follows no link, and does not wait for the
// writer of a FIFO.
func readOwn(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch owner := info.Sys().(*syscall.Stat_t).Uid; {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrNotVault)
	case int(owner) != os.Geteuid() || info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: %w", path, ErrUnsafe)
	case info.Size() > most:
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrNotVault, most)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	return data, nil
}
