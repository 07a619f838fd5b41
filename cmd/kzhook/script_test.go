package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kz": main})
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
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"digest": digest, "mode": mode},
	})
}

func scrub(e *testscript.Env) error {
	home, run := filepath.Join(e.WorkDir, "home"), filepath.Join(e.WorkDir, "run")
	kz := filepath.SplitList(e.Getenv("PATH"))[0] // where testscript put it
	e.Vars = []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + run, "WORK=" + e.WorkDir,
		"PATH=" + kz + ":/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + filepath.Join(e.WorkDir, ".tmp"), "LANG=C.UTF-8", "$=$",
	}
	for _, dir := range []string{home, run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	e.Cd = home
	return os.Chmod(e.WorkDir, 0o755)
}

// digest NAME sets the variable to the digest of the configuration here.
func digest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: digest NAME")
	}
	ts.Check(ts.Exec("kz", "status", "--json"))
	var report statusReport
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &report))
	if report.Digest == "" {
		ts.Fatalf("kz status --json names no digest")
	}
	ts.Setenv(args[0], report.Digest)
}

// mode FILE PERM fails unless the file has these permissions.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().Perm().String(); (got == args[1]) == neg {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}
