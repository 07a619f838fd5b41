// Package roottest gives tests what only root can arrange: other users, and
// file systems of a test's own. Both belong to one thread, which ends with the
// call, so nothing of them is left behind. Without root the test is skipped.
package roottest

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir is t.TempDir that other users can enter. Its path is canonical.
func Dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kz")
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
