// Package watch lets a shell see with its builtins alone that a file changed.
//
// Shells can compare the modification times of two files, and no more. So each
// watched file gets a twin: an empty file with exactly the same time, under a
// name that no other time shares. While the two agree, the file is unchanged;
// once it was edited, replaced by an older one or removed, they do not.
package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A File is a file as it was before it was read: an edit after that shows.
type File struct {
	Path    string
	Missing bool
	ModTime time.Time
	noted   time.Time // when that was so
}

// Note looks at the file at path without opening it. Of a symbolic link it is
// the time of what the link leads to that counts, as for the shells.
func Note(path string) File {
	now := time.Now()
	info, err := os.Stat(path)
	if err != nil {
		return File{Path: path, Missing: true, noted: now}
	}
	return File{Path: path, ModTime: info.ModTime(), noted: now}
}

// Times advance in steps. Within one step of its last change a file could
// change again and keep its time.
const (
	fineStep   = 20 * time.Millisecond // the kernel's clock tick, with room to spare
	coarseStep = 2 * time.Second       // file systems that keep seconds, or two
)

// Twin makes the twin of f in dir and returns its path. A file that changed so
// lately that its time could stand for several contents gets a path where no
// file is, and so does one for which none can be made: such a file counts as
// changed when it is next looked at.
func (f File) Twin(dir string, now time.Time) string {
	sum := sha256.Sum256([]byte(f.Path))
	home := filepath.Join(dir, hex.EncodeToString(sum[:8]))
	twin := filepath.Join(home, strconv.FormatInt(f.ModTime.UnixNano(), 10))
	if f.young(now) {
		return filepath.Join(home, "young")
	}
	own := ownDir(home)
	if info, err := os.Lstat(twin); own && err == nil && info.Mode().IsRegular() && info.ModTime().Equal(f.ModTime) {
		return twin
	}
	if own {
		removeOthers(home)
	} else {
		_ = os.Remove(home)
	}
	if os.MkdirAll(home, 0o700) == nil {
		_ = makeEmpty(twin, f.ModTime)
	}
	return twin
}

// makeEmpty makes an empty file where there is nothing. Its name can be guessed,
// so it goes through no link that somebody put there.
func makeEmpty(path string, at time.Time) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	times := unix.NsecToTimespec(at.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{times, times}, unix.AT_SYMLINK_NOFOLLOW)
}

// ownDir reports whether there is a directory at path, and no link to one, whose
// files would be somebody else's.
func ownDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// removeOthers drops the twins that the file had before: whoever still compares
// with one of them finds it gone, and asks again.
func removeOthers(home string) {
	entries, _ := os.ReadDir(home)
	for _, e := range entries {
		_ = os.Remove(filepath.Join(home, e.Name()))
	}
}

// young takes the earlier time, that of Note: what was edited in the step of an
// earlier edit, but after Note, does not show however long the caller waited.
func (f File) young(now time.Time) bool {
	if !f.noted.IsZero() && f.noted.Before(now) {
		now = f.noted
	}
	step := fineStep
	if f.ModTime.Nanosecond() == 0 {
		step = coarseStep
	}
	return now.Sub(f.ModTime).Abs() < step
}
