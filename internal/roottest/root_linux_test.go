package roottest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What the helpers arrange holds inside, and is gone outside.
func TestAs(t *testing.T) {
	secret := filepath.Join(Dir(t), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	As(t, 65534, func() {
		if _, err := os.ReadFile(secret); !errors.Is(err, fs.ErrPermission) || os.Geteuid() != 65534 {
			t.Errorf("as 65534: uid %d, ReadFile = %v, want permission denied", os.Geteuid(), err)
		}
	})
	if _, err := os.ReadFile(secret); err != nil || os.Geteuid() != 0 {
		t.Errorf("afterwards: uid %d, ReadFile = %v", os.Geteuid(), err)
	}
}

func TestTmpfs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	Tmpfs(t, dir, "16k", func() {
		if err := os.WriteFile(file, make([]byte, 12<<10), 0o600); err != nil {
			t.Errorf("WriteFile of 12 KiB = %v", err)
		}
		if err := os.WriteFile(file+"2", make([]byte, 12<<10), 0o600); err == nil {
			t.Error("WriteFile of 24 KiB in 16 succeeds")
		}
	})
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("afterwards the file is there: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	ReadOnly(t, dir, func() {
		if err := os.WriteFile(file, nil, 0o600); !errors.Is(err, syscall.EROFS) {
			t.Errorf("WriteFile = %v", err)
		}
	})
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestWithoutProc(t *testing.T) {
	WithoutProc(t, func() {
		if entries, _ := os.ReadDir("/proc"); len(entries) > 0 {
			t.Errorf("there are %d entries in /proc", len(entries))
		}
	})
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
