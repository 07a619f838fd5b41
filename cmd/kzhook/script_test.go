package main

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	ownKeyring()
	testscript.Main(tests{m}, map[string]func(){"kz": main, "kz-fetch": standInFetch, "terminal": terminal, "measured": measured})
}

// tests run with the usual umask: what others may write kz does not read. The
// programs above, which are the same file, keep the one that they are given.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	syscall.Umask(0o022)
	return t.m.Run()
}

// The scripts are kz's specification, command by command. Each runs in an
// environment of its own that has nothing of the machine's: not its locale, its
// agents, its directories or its keychain.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("KZ_UPDATE") != "",
		Setup:               scrub,
		Cmds:                scriptCommands,
	})
}

func scrub(e *testscript.Env) error {
	home, run := filepath.Join(e.WorkDir, "home"), filepath.Join(e.WorkDir, "run")
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		return err
	}
	kz := filepath.SplitList(e.Getenv("PATH"))[0] // where testscript put it
	e.Vars = []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + run, "WORK=" + e.WorkDir, "DOCS=" + docs,
		"PATH=" + kz + ":/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + filepath.Join(e.WorkDir, ".tmp"), "LANG=C.UTF-8", "$=$",
		"GORACE=atexit_sleep_ms=0", // under the race detector a program would else take a second to end
	}
	if runtime.GOOS == "darwin" { // which has directories of its own
		e.Vars = append(e.Vars, "XDG_DATA_HOME="+home+"/.local/share", "XDG_STATE_HOME="+home+"/.local/state", "XDG_CONFIG_HOME="+home+"/.config")
	}
	for _, dir := range []string{home, run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	e.Values[scriptKey{}] = &script{test: e.T().(testing.TB)}
	e.Cd = home
	return os.Chmod(e.WorkDir, 0o755)
}
