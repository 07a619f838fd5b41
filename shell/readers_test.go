package shell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A reader is a shell that evaluates what kz writes.
type reader struct {
	name  string
	shell string
	args  []string
	loop  string // evaluates the files that standard input names, and says so
	setup string // the user's options
	quote func(string) (string, error)
	set   string // a statement that exports: name and word
	unset string // a statement that removes: names
}

var (
	inBash = reader{name: "bash", shell: "bash", args: []string{"--noprofile", "--norc"},
		loop:  `while read -r file; do eval "$(<"$file")"; echo done; done`,
		quote: posixQuote, set: "export %s=%s\n", unset: "unset -v%s\n"}
	inZsh = reader{name: "zsh", shell: "zsh", args: []string{"-f"},
		loop:  `while read -r file; do eval "$(<$file)"; echo done; done`,
		quote: posixQuote, set: "export %s=%s\n", unset: "unset%s\n"}
	inFish = reader{name: "fish", shell: "fish", args: []string{"--no-config"},
		loop:  `while read -l file; source <$file; echo done; end`,
		quote: fishQuote, set: "set -gx %s %s\n", unset: "set -e%s\n"}
)

func (r reader) with(options, setup string) reader {
	r.name, r.setup = r.name+" with "+options, setup
	return r
}

var (
	plainReaders = []reader{inBash, inZsh, inFish}
	otherReaders = []reader{
		inBash.with("options", "set -eu -o posix -o history -o histexpand; shopt -s extglob globstar nocaseglob failglob"),
		inZsh.with("options", "setopt csh_junkie_quotes rc_quotes extended_glob ksh_glob glob_subst magic_equal_subst "+
			"brace_ccl ksh_arrays sh_word_split no_unset; alias -g abc=xyz"),
		inZsh.with("sh emulation", "emulate sh"),
	}
)

// A sample is a value, and the word that stands for it.
type sample struct{ value, word string }

func (r reader) samples(t *testing.T, values []string) []sample {
	t.Helper()
	var samples []sample
	for _, value := range values {
		word, err := r.quote(value)
		if err != nil {
			t.Fatalf("%s: quoting %.80q: %v", r.name, value, err)
		}
		samples = append(samples, sample{value, word})
	}
	return samples
}

// A reading is a reader at work.
type reading struct {
	reader
	dir string
	in  io.Writer
	out *bufio.Reader
}

// start starts the shell in a locale, until the test ends.
func (r reader) start(t testing.TB, locale []string) *reading {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "loop"), r.setup+"\n"+r.loop+"\n")
	cmd := exec.Command(r.shell, append(r.args[:len(r.args):len(r.args)], "loop")...)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "PATH=/usr/local/bin:/usr/bin:/bin"}, locale...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &reading{r, dir, in, bufio.NewReader(out)}
}

// A child gets no more than this at a time. Linux has room for 2 MiB of
// arguments and environment.
const (
	batchValues = 200
	batchBytes  = 256 << 10
)

// check has the shell load the samples, and fails the test at the first that a
// child reads otherwise, as a variable or as an argument.
func (r *reading) check(t *testing.T, samples []sample) {
	t.Helper()
	for len(samples) > 0 {
		n, size := 0, 0
		for n < min(len(samples), batchValues) && (n == 0 || size+len(samples[n].value) <= batchBytes) {
			size += len(samples[n].value)
			n++
		}
		r.send(t, samples[:n])
		r.compare(t, samples[:n])
		samples = samples[n:]
	}
}

// send gives the shell a batch to load, and children that write what they read.
func (r *reading) send(t *testing.T, batch []sample) {
	t.Helper()
	var b, words, names strings.Builder
	for i, s := range batch {
		name := "V" + strconv.Itoa(i)
		fmt.Fprintf(&b, r.set, name, s.word)
		words.WriteString(" " + s.word)
		names.WriteString(" " + name)
	}
	b.WriteString("/usr/bin/env -0 >env\n/usr/bin/printf '%s\\0'" + words.String() + " >args\n")
	fmt.Fprintf(&b, r.unset, names.String())
	write(t, filepath.Join(r.dir, "text"), b.String())
	if _, err := io.WriteString(r.in, "text\n"); err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
}

// compare waits for the children of a batch.
func (r *reading) compare(t *testing.T, batch []sample) {
	t.Helper()
	if said, err := r.out.ReadString('\n'); said != "done\n" {
		t.Fatalf("%s says %q, %v", r.name, said, err)
	}
	env := map[string]string{}
	for entry := range strings.SplitSeq(read(t, r.dir, "env"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	args := strings.Split(read(t, r.dir, "args"), "\x00")
	if len(args) != len(batch)+1 {
		t.Fatalf("%s: of %d arguments a child reads %d", r.name, len(batch), len(args)-1)
	}
	for i, s := range batch {
		got, ok := env["V"+strconv.Itoa(i)]
		if !ok || got != s.value {
			t.Fatalf("%s: a child reads %.200q, want %.200q; written %.200q", r.name, got, s.value, s.word)
		}
		if args[i] != s.value {
			t.Fatalf("%s: a child's argument is %.200q, want %.200q; written %.200q", r.name, args[i], s.value, s.word)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err := errors.Join(err, os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// locales are those that every system has and, where it can be made, one in
// which a backslash may be the second byte of a character.
func locales(t testing.TB) [][]string {
	t.Helper()
	all := [][]string{{"LC_ALL=C.UTF-8"}, {"LC_ALL=C"}}
	dir := t.TempDir()
	gbk := []string{"LOCPATH=" + dir, "LC_ALL=kz.GBK"}
	_ = exec.Command("localedef", "-c", "-i", "POSIX", "-f", "GBK", filepath.Join(dir, "kz.GBK")).Run()
	charmap := exec.Command("locale", "charmap")
	charmap.Env = gbk
	if out, _ := charmap.Output(); string(out) == "GBK\n" {
		return append(all, gbk)
	}
	t.Log("no locale of GBK can be made here")
	return all
}
