// Package filelock lets one process at a time do something, and the others wait
// for it no longer than they can.
package filelock

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// pause is how long a waiting process sleeps between two looks.
const pause = 10 * time.Millisecond

// Acquire takes the lock at path, a file that it makes if there is none and that
// stays. It waits until ctx is done, whose error it returns then. The lock ends
// with release, and with the process however that ends.
func Acquire(ctx context.Context, path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	return await(ctx, f)
}

// AcquireDir is Acquire of a directory itself, which must exist.
func AcquireDir(ctx context.Context, dir string) (release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return await(ctx, f)
}

// await takes the lock on f, or closes it.
func await(ctx context.Context, f *os.File) (release func(), err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			_ = f.Close()
			return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}
