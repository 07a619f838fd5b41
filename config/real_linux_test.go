package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
)

// Where names have no case, every spelling of a directory is the same one.
func TestRealDirWithoutCase(t *testing.T) {
	roottest.Casefold(t, roottest.Dir(t), func(dir string) {
		project := filepath.Join(dir, "Work", "Café")
		must(t, os.MkdirAll(project, 0o755))
		must(t, os.WriteFile(filepath.Join(project, Name), []byte("[env]\n"), 0o600))
		for _, spelling := range []string{"Work/Café", "work/café", "WORK/CAFÉ", "wORK/Café", "./work//Café/"} {
			f, err := Read(filepath.Join(dir, spelling, Name))
			if want := filepath.Join(project, Name); err != nil || f.Path != want {
				t.Errorf("Read(%s) has path %q, %v; want %q", spelling, f.Path, err, want)
			}
		}
	})
}

// Where they have one, another spelling is another directory or a link.
func TestRealDirWithCase(t *testing.T) {
	dir := roottest.Dir(t)
	for _, name := range []string{"work", "Work", "only", "12", "ﬁ"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	must(t, os.Symlink("only", filepath.Join(dir, "ONLY")))
	for name, want := range map[string]string{"work": "work", "Work": "Work", "only": "only", "ONLY": "only", "12": "12", "ﬁ": "ﬁ"} {
		if got, err := RealDir(filepath.Join(dir, name)); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("RealDir(%s) = %q, %v; want %s", name, got, err, want)
		}
	}
	if got, err := RealDir(filepath.Join(dir, "WORK")); !os.IsNotExist(err) {
		t.Errorf("RealDir of what is not there = %q, %v", got, err)
	}
}
