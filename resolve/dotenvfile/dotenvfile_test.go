//go:build unix

package dotenvfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/resolve"
)

// A value that no error may show.
const canary = "hunter2"

func noEnv(string) (string, bool) { return "", false }

// write fills dir with files. A content that begins with "->" makes a symbolic link.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func fetch(t *testing.T, p *Provider, dir string, paths ...string) []resolve.Result {
	t.Helper()
	var refs []resolve.Ref
	for _, path := range paths {
		refs = append(refs, resolve.Ref{Path: path, Dir: dir})
	}
	results := p.Fetch(t.Context(), refs)
	if len(results) != len(refs) {
		t.Fatalf("Fetch gives %d results for %d refs", len(results), len(refs))
	}
	return results
}

func TestFetch(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".env":      "A=1\nB=\nTWICE=x\nTWICE=y\nHOST=file\nURL=$HOST/$HOME_\nHOME_\n[k].é=z\n",
		"a#b":       "A=2",
		"sub/.env":  "A=3",
		"sub/up":    "->../.env",
		"link":      "->sub/.env",
		"linkdir":   "->sub",
		"-flag":     "A=4",
		"~/%00.env": "A=5",
		`back\s`:    "A=6",
	})
	getenv := func(name string) (string, bool) {
		value, ok := map[string]string{"HOST": "env", "HOME_": "home"}[name]
		return value, ok
	}
	tests := map[string]string{
		".env#A":            "1",
		".env#B":            "",
		".env#TWICE":        "y",
		".env#URL":          "file/home",
		".env#HOME_":        "home",
		".env#[k].é":        "z",
		"./.env#A":          "1",
		"a#b#A":             "2",
		"sub/.env#A":        "3",
		"sub/up#A":          "1",
		"sub/../.env#A":     "1",
		"link#A":            "3",
		"linkdir/.env#A":    "3",
		"linkdir/../.env#A": "1",
		"-flag#A":           "4",
		"~/%00.env#A":       "5",
		`back\s#A`:          "6",
	}
	var paths []string
	for path := range tests {
		paths = append(paths, path)
	}
	for i, r := range fetch(t, New(getenv), dir, paths...) {
		if want := tests[paths[i]]; r.Err != nil || r.Secret.Reveal() != want {
			t.Errorf("%s is %q, %v; want %q", paths[i], r.Secret.Reveal(), r.Err, want)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"env": "A=" + canary})
	dir := filepath.Join(outside, "project")
	write(t, dir, map[string]string{
		".env":    "A=" + canary + "\n",
		"bad":     "A=1\nB='" + canary + "\n",
		"name":    canary + "/x=" + canary,
		"needs":   "A=${NO:?" + canary + "}",
		"nul":     "A=" + canary + "\x00",
		"big":     "A=" + canary + strings.Repeat("x", dotenv.MaxSize),
		"huge":    "",
		"up":      "->../env",
		"updir":   "->..",
		"abs":     "->" + filepath.Join(outside, "env"),
		"self":    "->" + filepath.Join(dir, ".env"),
		"hop":     "->up",
		"loop":    "->loop",
		"nowhere": "->gone",
		"sub/.x":  "",
	})
	if err := os.Truncate(filepath.Join(dir, "huge"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		class resolve.Class
		text  string
	}{
		"gone#A":                        {resolve.NotFound, "gone: no such file"},
		"gone/.env#A":                   {resolve.NotFound, "gone/.env: no such file"},
		".env/x#A":                      {resolve.NotFound, ".env/x: no such file"},
		"nowhere#A":                     {resolve.NotFound, "nowhere: no such file"},
		".env#NO":                       {resolve.NotFound, `.env: no variable "NO"`},
		".env#a b":                      {resolve.NotFound, `.env: no variable "a b"`},
		".env#\u202e":                   {resolve.NotFound, `.env: no variable "\u202e"`},
		"\u202e#A":                      {resolve.NotFound, `\u202e: no such file`},
		"":                              {resolve.Malformed, "not of the form FILE or FILE#KEY"},
		"#":                             {resolve.Malformed, "not of the form FILE or FILE#KEY"},
		".env":                          {resolve.Malformed, "not of the form FILE#NAME"},
		".env#":                         {resolve.Malformed, "not of the form FILE or FILE#KEY"},
		"#A":                            {resolve.Malformed, "not of the form FILE or FILE#KEY"},
		".env\x00#A":                    {resolve.Malformed, "control character in the reference"},
		".env#A\x00":                    {resolve.Malformed, "control character in the reference"},
		"a\nb#A":                        {resolve.Malformed, "control character in the reference"},
		".env#\x1b[31m":                 {resolve.Malformed, "control character in the reference"},
		".env#\u009b":                   {resolve.Malformed, "control character in the reference"},
		"../env#A":                      {resolve.Malformed, `"../env" is not within the config's directory`},
		"sub/../../env#A":               {resolve.Malformed, `"sub/../../env" is not within the config's directory`},
		"/etc/passwd#A":                 {resolve.Malformed, `"/etc/passwd" is not within the config's directory`},
		"up#A":                          {resolve.Denied, "up: not within the config's directory"},
		"up/#A":                         {resolve.Denied, "up: not within the config's directory"},
		"updir/env#A":                   {resolve.Denied, "updir/env: not within the config's directory"},
		"abs#A":                         {resolve.Denied, "abs: not within the config's directory"},
		"self#A":                        {resolve.Denied, "self: not within the config's directory"},
		"hop#A":                         {resolve.Denied, "hop: not within the config's directory"},
		".#A":                           {resolve.Malformed, ".: not a regular file"},
		"sub#A":                         {resolve.Malformed, "sub: not a regular file"},
		"fifo#A":                        {resolve.Malformed, "fifo: not a regular file"},
		"bad#A":                         {resolve.Malformed, "bad:2: the quote is not closed"},
		"name#A":                        {resolve.Malformed, "name:1: a variable name has letters, digits and _.-[] only"},
		"needs#A":                       {resolve.Malformed, "needs:1: a variable that the value requires is missing"},
		"nul#A":                         {resolve.Malformed, "nul:1: the value has a NUL byte"},
		"big#A":                         {resolve.Malformed, "big: more than 1 MiB"},
		"huge#A":                        {resolve.Malformed, "huge: more than 1 MiB"},
		"loop#A":                        {"", "loop: " + syscall.ELOOP.Error()},
		strings.Repeat("x", 300) + "#A": {"", strings.Repeat("x", 300) + ": " + syscall.ENAMETOOLONG.Error()},
	}
	for path, test := range tests {
		t.Run(path, func(t *testing.T) {
			done := make(chan resolve.Result, 1)
			go func() { done <- fetch(t, New(noEnv), dir, path)[0] }()
			select {
			case r := <-done:
				checkError(t, path, r, test.class, test.text)
			case <-time.After(10 * time.Second):
				t.Fatal("Fetch hangs")
			}
		})
	}
}

func checkError(t *testing.T, path string, r resolve.Result, class resolve.Class, text string) {
	t.Helper()
	if r.Err == nil || r.Secret.Reveal() != "" {
		t.Fatalf("Fetch(%q) = %q, %v; want an error", path, r.Secret.Reveal(), r.Err)
	}
	if resolve.ClassOf(r.Err) != class || r.Err.Error() != text {
		t.Errorf("Fetch(%q) fails with %s %q, want %s %q", path, resolve.ClassOf(r.Err), r.Err, class, text)
	}
	for err := r.Err; err != nil; err = errors.Unwrap(err) {
		if shown := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(shown, canary) {
			t.Errorf("Fetch(%q): the error shows the value: %s", path, shown)
		}
	}
}

func TestFetchWantsDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".env": "A=" + canary})
	t.Chdir(dir)
	tests := map[string]struct {
		dir   string
		class resolve.Class
		text  string
	}{
		"empty":    {"", resolve.Malformed, "the config's directory is not known"},
		"relative": {".", resolve.Malformed, "the config's directory is not known"},
		"missing":  {filepath.Join(dir, "gone"), resolve.NotFound, ".env: no such file"},
		"a file":   {filepath.Join(dir, ".env"), resolve.Denied, ".env: not within the config's directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			checkError(t, ".env#A", fetch(t, New(noEnv), test.dir, ".env#A")[0], test.class, test.text)
		})
	}
}

func TestFetchPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{".env": "A=" + canary})
	if err := os.Chmod(filepath.Join(dir, ".env"), 0); err != nil {
		t.Fatal(err)
	}
	checkError(t, ".env#A", fetch(t, New(noEnv), dir, ".env#A")[0], resolve.Denied, ".env: permission denied")
}

func TestFetchReadsOnce(t *testing.T) {
	dir := t.TempDir()
	other := t.TempDir()
	write(t, dir, map[string]string{".env": "PASSED\nA=1\n", "bad": "PASSED\n'"})
	write(t, other, map[string]string{".env": "PASSED\nA=2\n"})
	reads := 0
	p := New(func(string) (string, bool) { reads++; return "", true })

	var refs []resolve.Ref
	for i := range 100 {
		name := []string{".env#A", "./.env#PASSED", "bad#A", ".env#NO"}[i%4]
		refs = append(refs, resolve.Ref{Path: name, Dir: dir}, resolve.Ref{Path: ".env#A", Dir: other})
	}
	results := p.Fetch(t.Context(), refs)
	if reads != 3 {
		t.Errorf("3 files are read %d times", reads)
	}
	if a, b := results[0].Secret.Reveal(), results[1].Secret.Reveal(); a != "1" || b != "2" {
		t.Errorf("of two directories the values are %q and %q", a, b)
	}

	if fetch(t, p, dir, ".env#A"); reads != 4 {
		t.Errorf("the next batch is not read anew: %d reads", reads)
	}
}

func TestFetchHeedsContext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"one": "A=1\nPASSED", "two": "A=2"})
	ctx, cancel := context.WithCancel(t.Context())
	p := New(func(string) (string, bool) { cancel(); return "", false })
	refs := []resolve.Ref{{Path: "one#A", Dir: dir}, {Path: "two#A", Dir: dir}, {Path: "one#A", Dir: dir}, {Path: "#", Dir: dir}}

	r := p.Fetch(ctx, refs)
	if r[0].Err != nil || r[2].Err != nil || r[0].Secret.Reveal() != "1" {
		t.Errorf("what was read when ctx ended is lost: %v, %v", r[0].Err, r[2].Err)
	}
	if r[1].Err != context.Canceled {
		t.Errorf("after ctx ended a file gives %v", r[1].Err)
	}
	if resolve.ClassOf(r[3].Err) != resolve.Malformed {
		t.Errorf("after ctx ended a malformed reference gives %v", r[3].Err)
	}

	ctx, cancel = context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if r := p.Fetch(ctx, refs); resolve.ClassOf(r[0].Err) != resolve.Timeout {
		t.Errorf("after the deadline a file gives %v", r[0].Err)
	}
}

// A directory on the way turns into a symbolic link and back while it is read.
func TestFetchStaysWithinWhenRaced(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret/.env": "A=" + canary})
	dir := t.TempDir()
	write(t, dir, map[string]string{"sub/.env": "A=1", "trap": "->" + filepath.Join(outside, "secret")})
	sub, aside, trap := filepath.Join(dir, "sub"), filepath.Join(dir, "aside"), filepath.Join(dir, "trap")

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, move := range [][2]string{{sub, aside}, {trap, sub}, {sub, trap}, {aside, sub}} {
				if err := os.Rename(move[0], move[1]); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	read, refused, fetched := 0, 0, 0
	for end := time.Now().Add(20 * time.Second); fetched < 5000 || read == 0 || refused == 0; fetched++ {
		r := fetch(t, New(noEnv), dir, "sub/.env#A")[0]
		if r.Secret.Reveal() == canary {
			t.Error("a file outside was read")
			break
		}
		switch {
		case r.Err == nil:
			read++
		case resolve.ClassOf(r.Err) == resolve.Denied:
			refused++
		}
		if time.Now().After(end) {
			t.Errorf("of %d times the file was read %d, and the link refused %d: nothing was raced", fetched, read, refused)
			break
		}
	}
	close(stop)
	<-stopped
	t.Logf("of %d times the file was read %d, and the link refused %d", fetched, read, refused)
}
