package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

// A world is a project with a malicious op, and a place with a good one.
type world struct {
	t                   *testing.T
	root, project, good string
	mark                string // exists once the malicious op has run
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, root, filepath.Join(root, "project"), filepath.Join(root, "good"), filepath.Join(root, "mark")}
	script(t, filepath.Join(w.good, "op"), "echo good")
	w.evil(filepath.Join(w.project, "op"))
	w.evil(filepath.Join(w.project, "bin", "op"))
	return w
}

func (w *world) evil(path string) string {
	w.t.Helper()
	return script(w.t, path, ": >"+w.mark+"; echo evil")
}

func (w *world) at(path string) string { return filepath.Join(w.root, path) }

func (w *world) link(target, path string) string {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.at(path)), 0o755))
	w.must(os.Symlink(target, w.at(path)))
	return w.at(path)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// neverRuns checks that with this PATH the good op is found behind the malicious one, and that
// alone the malicious one is not run.
func (w *world) neverRuns(path string) {
	w.t.Helper()
	for _, tt := range []struct {
		path, value string
		class       resolve.Class
	}{
		{path + ":" + w.good, "good", ""},
		{w.good + ":" + path, "good", ""},
		{path, "", resolve.NoTool},
	} {
		p := newProvider(w.t, Options{Argv: []string{"op"}, Options: tool.Options{Env: []string{"PATH=" + tt.path}, Avoid: []string{w.project}}})
		want(w.t, "PATH="+tt.path, fetch(w.t, p, "a"), tt.value, tt.class)
	}
	if _, err := os.Lstat(w.mark); err == nil {
		w.t.Errorf("PATH=%s: the malicious program was run", path)
		w.must(os.Remove(w.mark))
	}
}

func TestProjectsProgramsDoNotRun(t *testing.T) {
	w := newWorld(t)
	t.Chdir(w.project)
	script(t, w.at("elsewhere/node_modules/.bin/op"), ": >"+w.mark)
	script(t, w.at("elsewhere/.venv/bin/op"), ": >"+w.mark)
	w.evil(filepath.Join(w.project, "node_modules/.bin/op"))
	w.link(w.good, "project/good")
	w.evil(w.at("store/bin/op"))
	w.link(w.at("store"), "linked/node_modules")

	for name, path := range map[string]string{
		"dot":                      ".",
		"empty":                    "",
		"two empty":                ":",
		"relative":                 "bin",
		"relative with a dot":      "./bin",
		"relative, upwards":        "../project/bin",
		"tilde":                    "~/bin",
		"the project":              w.project,
		"in the project":           w.project + "/bin",
		"with a slash at the end":  w.project + "/bin/",
		"with slashes":             "//" + w.project + "//bin",
		"with dots":                w.good + "/../project/./bin",
		"node_modules within":      w.project + "/node_modules/.bin",
		"node_modules elsewhere":   w.at("elsewhere/node_modules/.bin"),
		".venv elsewhere":          w.at("elsewhere/.venv/bin"),
		"link to the project":      w.link(w.project, "l1"),
		"link to a directory":      w.link(w.project+"/bin", "l2"),
		"through a link":           w.link(w.project, "l3") + "/bin",
		"relative link":            w.link("project/bin", "l4"),
		"link to a link":           w.link(w.at("l1"), "l5") + "/bin",
		"links to node_modules":    w.link(w.at("elsewhere/node_modules/.bin"), "l6"),
		"node_modules is a link":   w.at("linked/node_modules/bin"),
		"link to the program":      filepath.Dir(w.link(w.project+"/bin/op", "d1/op")),
		"relative link to it":      filepath.Dir(w.link("../project/bin/op", "d2/op")),
		"link out of the project":  w.link(w.project+"/good", "l7"),
		"good link in the project": w.project + "/good",
		"loop":                     w.link(w.at("l8"), "l8"),
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			w.neverRuns(path)
		})
	}
}

func TestForbidden(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		forbidden string
		class     resolve.Class
	}{
		"the directory":       {w.good, resolve.NoTool},
		"one further up":      {w.root, resolve.NoTool},
		"a link to it":        {w.link(w.good, "l"), resolve.NoTool},
		"with dots":           {w.project + "/../good/.", resolve.NoTool},
		"another":             {w.project, ""},
		"what is not there":   {w.at("nowhere"), ""},
		"what is not a place": {w.link(w.at("loop"), "loop"), resolve.NoTool}, // and may be one tomorrow
	} {
		for _, program := range []string{"op", w.good + "/op"} {
			p := newProvider(t, Options{Argv: []string{program}, Options: tool.Options{Env: []string{"PATH=" + w.good}, Avoid: []string{w.project, tt.forbidden}}})
			value := ""
			if tt.class == "" {
				value = "good"
			}
			want(t, fmt.Sprintf("%s forbidden, %s", name, program), fetch(t, p, "a"), value, tt.class)
		}
	}
}

func TestOthersMayNotInterfere(t *testing.T) {
	for name, tt := range map[string]struct {
		setUp func(w *world) (path string)
		runs  bool
		root  bool // needs root to set up
	}{
		"directory open to all": {func(w *world) string { w.must(os.Chmod(w.good, 0o777)); return w.good }, false, false},
		"even if sticky":        {func(w *world) string { w.must(os.Chmod(w.good, 0o777|os.ModeSticky)); return w.good }, false, false},
		"parent open to all":    {func(w *world) string { w.must(os.Chmod(w.root, 0o777)); return w.good }, false, false},
		"sticky parent":         {func(w *world) string { w.must(os.Chmod(w.root, 0o777|os.ModeSticky)); return w.good }, true, false},
		"program open to all":   {func(w *world) string { w.must(os.Chmod(w.good+"/op", 0o777)); return w.good }, false, false},
		"directory of a group": {func(w *world) string {
			w.must(os.Chmod(w.good, 0o775))
			w.must(os.Chown(w.good, -1, 50))
			return w.good
		}, false, true},
		"directory of the own group": {func(w *world) string {
			w.must(os.Chmod(w.good, 0o775))
			w.must(os.Chown(w.good, -1, os.Geteuid()))
			return w.good
		}, true, true},
		"group may read only": {func(w *world) string { w.must(os.Chown(w.good, -1, 50)); return w.good }, true, true},
		"program of a group": {func(w *world) string {
			w.must(os.Chmod(w.good+"/op", 0o775))
			w.must(os.Chown(w.good+"/op", -1, 50))
			return w.good
		}, false, true},
		"directory of another user": {func(w *world) string { w.must(os.Chown(w.good, 65534, -1)); return w.good }, false, true},
		"parent of another user":    {func(w *world) string { w.must(os.Chown(w.root, 65534, -1)); return w.good }, false, true},
		"program of another user":   {func(w *world) string { w.must(os.Chown(w.good+"/op", 65534, -1)); return w.good }, false, true},
		"another user's link": {func(w *world) string {
			l := w.link(w.good, "l")
			w.must(os.Lchown(l, 65534, -1))
			return l
		}, false, true},
		"link into an open directory": {func(w *world) string {
			w.must(os.MkdirAll(w.at("open"), 0o755))
			w.must(os.Rename(w.good+"/op", w.at("open/op")))
			w.must(os.Chmod(w.at("open"), 0o777|os.ModeSticky))
			w.must(os.Symlink(w.at("open/op"), w.good+"/op"))
			return w.good
		}, false, false},
		// As npm and others install for all projects: the link is where the user put it.
		"link into node_modules": {func(w *world) string {
			script(w.t, w.at("lib/node_modules/cli/op.js"), "echo good")
			w.link("../lib/node_modules/cli/op.js", "npm/op")
			return w.at("npm")
		}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			w := newWorld(t)
			path := tt.setUp(w)
			for _, program := range []string{"op", path + "/op"} {
				p := newProvider(t, Options{Argv: []string{program}, Options: tool.Options{Env: []string{"PATH=" + path}}})
				got := fetch(t, p, "a")
				if tt.runs {
					want(t, program, got, "good", "")
					continue
				}
				want(t, program, got, "", resolve.NoTool)
				if got.Err != nil && !strings.HasPrefix(got.Err.Error(), fmt.Sprintf("program %q: ", path+"/op")) {
					t.Errorf("the error does not say where it is: %v", got.Err)
				}
			}
		})
	}
}

func TestNotAProgram(t *testing.T) {
	w := newWorld(t)
	t.Chdir(w.project)
	w.must(os.MkdirAll(w.at("odd/dir"), 0o755))
	w.must(syscall.Mkfifo(w.at("odd/fifo"), 0o755))
	w.must(os.WriteFile(w.at("odd/data"), []byte("#!/bin/sh\n: >"+w.mark), 0o644))
	w.must(os.WriteFile(w.at("odd/empty"), nil, 0o755))
	w.link("nowhere", "odd/dangling")
	path := strings.Join([]string{w.good + "/op", w.at("odd"), w.good, "/no-such-directory", w.project, "relative"}, ":")

	for program, text := range map[string]string{
		"":                    `program "": is not a name`,
		".":                   `program ".": is not a name`,
		"..":                  `program "..": is not a name`,
		"./op":                `program "./op": want a name or an absolute path`,
		"bin/op":              `program "bin/op": want a name or an absolute path`,
		"op/":                 `program "op/": want a name or an absolute path`,
		"nope":                `program "nope": not found in PATH`,
		"a\x1bb":              `program "a\x1bb": not found in PATH`,
		"dir":                 fmt.Sprintf(`program %q: is a directory`, w.at("odd/dir")),
		"fifo":                fmt.Sprintf(`program %q: is not a regular file`, w.at("odd/fifo")),
		"data":                fmt.Sprintf(`program %q: is not executable`, w.at("odd/data")),
		"dangling":            `program "dangling": not found in PATH`,
		"/":                   `program "/": is a directory`,
		"/no-such-directory":  `program "/no-such-directory": no such file or directory`,
		"/dev/null":           `program "/dev/null": others may write to it or its directory`,
		w.at("odd/dir"):       fmt.Sprintf(`program %q: is a directory`, w.at("odd/dir")),
		w.at("odd/fifo"):      fmt.Sprintf(`program %q: is not a regular file`, w.at("odd/fifo")),
		w.at("odd/data"):      fmt.Sprintf(`program %q: is not executable`, w.at("odd/data")),
		w.at("odd/empty"):     fmt.Sprintf(`program %q: exec format error`, w.at("odd/empty")),
		w.good + "/op/":       fmt.Sprintf(`program %q: not a directory`, w.good+"/op/"),
		w.good + "/op/x":      fmt.Sprintf(`program %q: not a directory`, w.good+"/op/x"),
		w.project + "/bin/op": fmt.Sprintf(`program %q: lies in a project`, w.project+"/bin/op"),
	} {
		p := newProvider(t, Options{Argv: []string{program}, Options: tool.Options{Env: []string{"PATH=/first-counts-not", "PATH=" + path}, Avoid: []string{w.project}}})
		got := fetch(t, p, "a")
		want(t, fmt.Sprintf("%q", program), got, "", resolve.NoTool)
		if got.Err != nil && got.Err.Error() != text {
			t.Errorf("%q leads to %q, want %q", program, got.Err, text)
		}
	}
	if _, err := os.Lstat(w.mark); err == nil {
		t.Error("something was run")
	}
	// What is no program does not hide one further on, as in a shell.
	w.must(os.MkdirAll(w.at("odd/op"), 0o755))
	p := newProvider(t, Options{Argv: []string{"op"}, Options: tool.Options{Env: []string{"PATH=" + path}}})
	want(t, "op behind a directory of that name", fetch(t, p, "a"), "good", "")
}
