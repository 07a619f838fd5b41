package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/getkeyzero/kz/trust"
)

// A home is a home directory with projects in it, and nothing of the user's.
type home struct {
	dir     string
	env     []string
	outside string
	beside  string // a directory like outside
	project string // of ten variables
}

// value is what the variable of that number has: 40 bytes.
func value(i int) string { return fmt.Sprintf("value-%034d", i) }

func newHome(dir string, tools []tool) (*home, error) {
	h := &home{
		dir:     dir,
		outside: filepath.Join(dir, "work/a/b/c/outside"),
		beside:  filepath.Join(dir, "work/a/b/c/beside"),
		project: filepath.Join(dir, "work/a/b/c/project"),
	}
	run := filepath.Join(dir, "run")
	h.env = []string{
		"HOME=" + dir, "XDG_RUNTIME_DIR=" + run, "PATH=/usr/local/bin:/usr/bin:/bin", "USER=ann", "TERM=dumb",
		"LANG=C.UTF-8", "MISE_OFFLINE=1",
	}
	for i := range 40 {
		h.env = append(h.env, fmt.Sprintf("AMBIENT_%02d=%s", i, value(i)))
	}
	err := errors.Join(os.MkdirAll(h.outside, 0o700), os.MkdirAll(h.beside, 0o700), os.MkdirAll(run, 0o700))
	if err != nil {
		return nil, err
	}
	return h, h.addProject(h.project, 10, tools)
}

// addProject makes a project of n variables for all of tools, and allows it.
func (h *home) addProject(dir string, n int, tools []tool) error {
	toml, envrc := "[env]\n", ""
	for i := range n {
		toml += fmt.Sprintf("BENCH_%02d = %q\n", i+1, value(i+1))
		envrc += fmt.Sprintf("export BENCH_%02d=%s\n", i+1, value(i+1))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, t := range tools {
		var err error
		switch t.name {
		case "kz":
			err = errors.Join(write(dir, ".keyzero.toml", toml), h.allow(t.program, dir))
		case "direnv":
			err = errors.Join(write(dir, ".envrc", envrc), h.run(dir, t.program, "allow"))
		case "mise":
			err = errors.Join(write(dir, "mise.toml", toml), h.run(dir, t.program, "trust"))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// addKept makes a project of n values of a store that is a command, so that kz
// keeps what it gives.
func (h *home) addKept(dir string, n int, kz string) error {
	store, settings := filepath.Join(h.dir, "store"), filepath.Join(h.dir, ".config/keyzero")
	toml := "[secrets]\n"
	for i := range n {
		toml += fmt.Sprintf("BENCH_%02d = \"store://%d\"\n", i+1, i+1)
	}
	err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(settings, 0o700), write(h.dir, "store", "#!/bin/sh\nprintf 'value-%034d' \"$1\"\n"),
		os.Chmod(store, 0o700), write(settings, "config.toml", fmt.Sprintf("[providers.store]\ntype = \"command\"\ncommand = [%q]\n", store)),
		write(dir, ".keyzero.toml", toml))
	if err != nil {
		return err
	}
	return h.allow(kz, dir)
}

func write(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
}

// allow has kz agree to the project in dir.
func (h *home) allow(kz, dir string) error {
	cmd := h.command(dir, kz, "status", "--json")
	out, _ := cmd.Output() // fails, since the project is not allowed
	var status struct{ Digest string }
	if err := json.Unmarshal(out, &status); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return h.run(dir, kz, "allow", "--digest", status.Digest)
}

func (h *home) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(h.env, "PWD="+dir)
	return cmd
}

func (h *home) run(dir, program string, args ...string) error {
	if out, err := h.command(dir, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// consent adds n records of consent, to projects that do not exist: copies of
// the one to h.project, since kz takes a while to write so many.
func (h *home) consent(n int) error {
	store := trust.Store{Dir: filepath.Join(h.dir, ".local/share/keyzero/trust")}
	record, err := os.ReadFile(store.RecordPath(filepath.Join(h.project, ".keyzero.toml")))
	if err != nil {
		return err
	}
	for i := range n {
		dir := filepath.Join(h.dir, fmt.Sprint("elsewhere/", i))
		text := strings.ReplaceAll(string(record), h.project, dir)
		if err := write(store.RecordPath(filepath.Join(dir, ".keyzero.toml")), "", text); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until what was written is old enough for kz to tell an edit of
// it by the time alone: until then it asks at each prompt.
func settle() { time.Sleep(100 * time.Millisecond) }
