package watch

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long nothing may happen before a Watcher speaks: to save a file
// takes editors several steps, and people several files.
const quiet = 100 * time.Millisecond

// A Watcher tells that files may have changed, appeared or gone. It watches
// directories, for a file that is replaced is another one; and for what lies in
// a directory that does not exist, the one in which that would appear.
type Watcher struct {
	// C gets one message for all that happens until it is quiet again.
	C <-chan struct{}

	fs    *fsnotify.Watcher
	mu    sync.Mutex
	names map[string]bool // whatever happens to others is of no concern
}

// NewWatcher returns a Watcher of nothing.
func NewWatcher() (*Watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	c := make(chan struct{}, 1)
	w := &Watcher{C: c, fs: fs}
	go w.listen(c)
	return w, nil
}

// Close ends it. C gets nothing more.
func (w *Watcher) Close() { _ = w.fs.Close() }

// Set has the files at these absolute paths watched, and no others. What happened
// to them before it returns may go unseen. On error some may not be watched.
func (w *Watcher) Set(paths []string) error {
	s := sights{names: map[string]bool{}, dirs: map[string]bool{}}
	for _, path := range paths {
		s.add(path)
	}
	w.mu.Lock()
	w.names = s.names
	w.mu.Unlock()
	for _, dir := range w.fs.WatchList() {
		if !s.dirs[dir] {
			_ = w.fs.Remove(dir)
		}
	}
	var errs []error
	for _, dir := range slices.Sorted(maps.Keys(s.dirs)) {
		errs = append(errs, w.fs.Add(dir))
	}
	return errors.Join(errs...)
}

// sights are the names to look for and the directories to look into.
type sights struct{ names, dirs map[string]bool }

// add watches a path, and if that is a symbolic link what it leads to.
func (s sights) add(path string) {
	path = filepath.Clean(path)
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	s.addPlain(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		s.addPlain(real)
	}
}

func (s sights) addPlain(path string) {
	for !s.names[path] {
		s.names[path] = true
		dir := filepath.Dir(path)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			s.dirs[dir] = true
			s.names[dir] = true // may be removed or renamed
			return
		}
		path = dir
	}
}

// listen speaks when something that concerns w was followed by quiet.
func (w *Watcher) listen(c chan<- struct{}) {
	timer := time.NewTimer(quiet)
	timer.Stop()
	for {
		select {
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if w.concerns(e) {
				timer.Reset(quiet)
			}
		case <-w.fs.Errors: // events were lost, or it is closed, which the other channel tells
			timer.Reset(quiet)
		case <-timer.C:
			select {
			case c <- struct{}{}:
			default: // there is a message already
			}
		}
	}
}

func (w *Watcher) concerns(e fsnotify.Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[e.Name] && e.Op != fsnotify.Chmod
}

// Changed reports whether one of files is not as it was when it was noted.
func Changed(files []File) bool {
	return slices.ContainsFunc(files, func(f File) bool {
		now := Note(f.Path)
		return now.Missing != f.Missing || !now.ModTime.Equal(f.ModTime)
	})
}
