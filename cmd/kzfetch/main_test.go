package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkeyzero/kz/bench/stores"
)

// bin is where the programs are built.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "kz-programs-"); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(bin)
	os.Exit(status)
}

// programs builds kz and kz-fetch beside each other, once, and returns the path of kz.
func programs(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, "kz")
}

var build = sync.OnceValue(func() error {
	for name, source := range map[string]string{"kz": "../kzhook", "kz-fetch": "."} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(bin, name), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", source, err, out)
		}
		if err := os.Chmod(filepath.Join(bin, name), 0o755); err != nil {
			return err
		}
	}
	return nil
})

// One configuration mixes five stores, and each is asked in as few calls as it has.
// The servers are stand-ins; see package stores.
func TestManyStores(t *testing.T) {
	projects, err := stores.Measure(programs(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	most := map[string]int64{
		"1 secret of doppler": 1, "1 secret of gcp": 2, "1 secret of aws": 1, "100 secrets of aws": 5,
		"30 secrets of 5 stores": 1 + 1 + 1 + (1 + 3) + (1 + 6), // doppler, aws, infisical, hashicorp, gcp
		"none, kz alone":         0,
		"none, kz-fetch alone":   0,
	}
	for _, p := range projects {
		if want, ok := most[p.Name]; !ok || p.Requests > want || p.Requests == 0 && want > 0 {
			t.Errorf("%s took %d requests, want %d", p.Name, p.Requests, want)
		}
	}
	if text := stores.Table(projects); strings.Count(text, "\n| ") != 2+len(projects) {
		t.Errorf("the table is\n%s", text)
	}
}
