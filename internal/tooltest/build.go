package tooltest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNotBuilt is what Build returns for what it has not built before, where the tests
// of servers need not run: that takes minutes.
var ErrNotBuilt = errors.New("not built yet")

// Build returns the path of what the package pkg of the module in a directory is as a
// program: built once for each edition of the files of the module that are named, and
// for all runs, for it lies in Go's cache. Two calls at once would build it twice.
func Build(name, module, pkg string, files ...string) (string, error) {
	sum := sha256.New()
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(module, file))
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return "", err
	}
	program := filepath.Join(strings.TrimSpace(string(cache)), fmt.Sprintf("kz-%s-%x", name, sum.Sum(nil)[:8]))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if os.Getenv("KZ_NEED_SERVERS") != "1" {
		return "", ErrNotBuilt
	}
	build := exec.Command("go", "build", "-C", module, "-buildvcs=false", "-ldflags=-s -w", "-o", program+".new", pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, os.Rename(program+".new", program)
}
