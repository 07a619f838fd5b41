package vault

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// readOwn reads a file which is the user's, and nobody else's to read or write.
// It follows no link, does not wait for the writer of a FIFO, and reads at most
// one byte more than it is given as the most.
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
		return nil, &Error{path, fmt.Errorf("%w: not a regular file", ErrNotVault)}
	case int(owner) != os.Geteuid() || info.Mode().Perm()&0o077 != 0:
		return nil, &Error{path, ErrUnsafe}
	}
	return io.ReadAll(io.LimitReader(f, most+1))
}
