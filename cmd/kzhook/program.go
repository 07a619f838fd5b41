package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A startFailure is a command that could not be executed.
type startFailure struct {
	name string
	err  error
	code int
}

func (e *startFailure) Error() string { return fmt.Sprintf("%s: %v", e.name, e.err) }

func (inv *invocation) startError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &startFailure{name, errors.New("no such program, or its interpreter is missing"), exitNoProgram}
	}
	return &startFailure{name, err, exitCannotRun}
}

// findProgram looks a command up as a shell would, but for relative entries of
// PATH, which would run what happens to lie in the directory.
func findProgram(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		file := name
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return file, checkProgram(name, file)
	}
	if name == "" {
		return "", &startFailure{`""`, errors.New("no such program"), exitNoProgram}
	}
	var failed error = &startFailure{name, errors.New("no such program"), exitNoProgram}
	for _, entry := range filepath.SplitList(path) {
		if !filepath.IsAbs(entry) {
			continue
		}
		file := filepath.Join(entry, name)
		err := checkProgram(name, file)
		if err == nil {
			return file, nil
		}
		var start *startFailure
		if errors.As(err, &start) && start.code == exitCannotRun {
			failed = err
		}
	}
	return "", failed
}

func checkProgram(name, file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return &startFailure{name, errors.New("no such program"), exitNoProgram}
	case info.IsDir():
		return &startFailure{name, errors.New("is a directory"), exitCannotRun}
	case unix.Access(file, unix.X_OK) != nil:
		return &startFailure{name, errors.New("may not be run"), exitCannotRun}
	}
	return nil
}
