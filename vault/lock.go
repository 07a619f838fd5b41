package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/getkeyzero/kz/internal/atomicfile"
)

// How long a writer waits for another, and how often it looks.
const (
	lockWait = 2 * time.Second
	lockLook = 10 * time.Millisecond
)

// lock keeps every other writer of the vault away until unlock is called or the
// process ends. The lock is on a file of its own, which stays: the vault is
// replaced, and a lock on the old one would keep nobody away.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, f); err != nil {
		_ = f.Close()
		return nil, &Error{path, err}
	}
	sign(f, fmt.Sprintf("%d\n", os.Getpid()))
	return func() {
		sign(f, "")
		_ = f.Close()
	}, nil
}

func await(ctx context.Context, f *os.File) error {
	for end := time.Now().Add(lockWait); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EWOULDBLOCK) && time.Now().After(end):
			return busy(f)
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("cannot be locked: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockLook):
		}
	}
}

// sign writes who has the lock, for people. A full disk must not matter.
func sign(f *os.File, text string) {
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(text), 0)
}

func busy(f *os.File) error {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ErrBusy
	}
	return fmt.Errorf("%w, process %d", ErrBusy, pid)
}
