package project

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/roottest"
	"github.com/getkeyzero/kz/trust"
)

// A bench is a home directory with projects in it, and what opens them.
type bench struct {
	t    *testing.T
	home string
	Opener
}

func newBench(t *testing.T) *bench {
	t.Helper()
	home := filepath.Join(roottest.Dir(t), "ada")
	b := &bench{t: t, home: home}
	b.Opener = Opener{
		Home: home, Trust: trust.Store{Dir: filepath.Join(home, ".local", "trust")},
		Select: func(sections []string) (string, error) {
			return config.Select(sections, "", func(string) string { return "" })
		},
	}
	b.write("work/.keep", "")
	return b
}

// write makes a file of the home directory and returns its path.
func (b *bench) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// allow agrees to the configuration at path, as it is.
func (b *bench) allow(path string) {
	b.t.Helper()
	p, err := b.Review(path)
	if err == nil {
		err = b.Trust.Allow(p.TrustFiles(), false)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) blocked(path string) (reason trust.Reason, about string) {
	b.t.Helper()
	_, err := b.Open(path)
	var blocked *trust.BlockedError
	if err != nil && !errors.As(err, &blocked) {
		b.t.Fatalf("Open(%q) = %v, want a *trust.BlockedError", path, err)
	}
	if blocked == nil {
		return "", ""
	}
	return blocked.Reason, blocked.Path
}

func (b *bench) checkBlocked(path string, want trust.Reason) {
	b.t.Helper()
	if got, about := b.blocked(path); got != want || want != "" && about != path {
		b.t.Errorf("Open(%q): %q %q, want %q", path, about, got, want)
	}
}

func (b *bench) values(p *Project) string {
	var list []string
	for _, e := range p.Entries {
		list = append(list, e.Name+"="+e.Text+e.Provider)
	}
	return strings.Join(list, " ")
}

// names returns the files by their path below home.
func (b *bench) names(p *Project) string {
	var list []string
	for _, f := range p.Files {
		name := strings.TrimPrefix(f.Path, b.home+"/")
		if f.Missing {
			name += " (missing)"
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}

func TestOpen(t *testing.T) {
	b := newBench(t)
	path := b.write("work/.keyzero.toml", "[env]\nA = \"main\"\nB = \"main\"\n")
	b.checkBlocked(path, trust.NotAllowed)
	b.allow(path)
	p, err := b.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if p.Path != path || p.Dir != filepath.Dir(path) || b.values(p) != "A=main B=main" || p.Digest != trust.Digest(p.TrustFiles()) {
		t.Errorf("Open gives %q in %q with %s, digest %s", p.Path, p.Dir, b.values(p), p.Digest)
	}
	if got := b.names(p); got != "work/.keyzero.toml, work/.keyzero.local.toml (missing)" {
		t.Errorf("the files are %s", got)
	}
	first := p.Digest

	local := b.write("work/.keyzero.local.toml", "[env]\nB = \"local\"\n")
	b.checkBlocked(path, trust.Changed)
	b.allow(path)
	if p, err = b.Open(path); err != nil || b.values(p) != "A=main B=local" || p.Digest == first {
		t.Errorf("with a local file: %s, %v, digest %s", b.values(p), err, p.Digest)
	}
	b.write("work/.keyzero.local.toml", "[env]\nB = \"other\"\n")
	b.checkBlocked(path, trust.Changed)
	if err := os.Remove(local); err != nil {
		t.Fatal(err)
	}
	b.checkBlocked(path, trust.Changed)
	b.allow(path)
	b.checkBlocked(path, "")
	if err := b.Trust.Deny(path); err != nil {
		t.Fatal(err)
	}
	b.checkBlocked(path, trust.IsDenied)
}

// A copy is another configuration, and so is one that was moved.
func TestOpenElsewhere(t *testing.T) {
	b := newBench(t)
	path := b.write("a/.keyzero.toml", "[env]\nA = \"1\"\n")
	b.allow(path)
	b.checkBlocked(b.write("b/.keyzero.toml", "[env]\nA = \"1\"\n"), trust.NotAllowed)
	b.checkBlocked(b.write("a/a/.keyzero.toml", "[env]\nA = \"1\"\n"), trust.NotAllowed)
	if err := os.Rename(filepath.Join(b.home, "a"), filepath.Join(b.home, "c")); err != nil {
		t.Fatal(err)
	}
	b.checkBlocked(filepath.Join(b.home, "c", ".keyzero.toml"), trust.NotAllowed)
}

// However the path is spelt, there is one record, and what was said last holds.
func TestOneRecordForAllSpellings(t *testing.T) {
	b := newBench(t)
	b.write("real/.keyzero.toml", "[env]\nA = \"1\"\n")
	if err := os.Symlink("real", filepath.Join(b.home, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(b.home, filepath.Join(b.home, "round")); err != nil {
		t.Fatal(err)
	}
	var spellings []string
	for _, dir := range []string{"real", "link", "link/.", "./real/../link", "real//", "round/link", "round/round/real", "real/"} {
		spellings = append(spellings, b.home+"/"+dir+"/.keyzero.toml")
	}
	for _, allowed := range spellings {
		for _, denied := range spellings {
			b.allow(allowed)
			for _, s := range spellings {
				if reason, _ := b.blocked(s); reason != "" {
					t.Errorf("allowed as %q, then opened as %q: it %q", allowed, s, reason)
				}
			}
			p, err := b.Review(denied)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Trust.Deny(p.Path); err != nil {
				t.Fatal(err)
			}
			for _, s := range spellings {
				if reason, _ := b.blocked(s); reason != trust.IsDenied {
					t.Errorf("denied as %q, then opened as %q: it %q", denied, s, reason)
				}
			}
		}
	}
	if records, err := b.Trust.List(); err != nil || len(records) != 1 {
		t.Errorf("there are %d records, %v, want one", len(records), err)
	}
}

// Before consent nothing is parsed: what is in the files cannot matter.
func TestNothingIsParsedBeforeConsent(t *testing.T) {
	for what, text := range map[string]string{
		"not TOML":             "[env",
		"not text":             "\xff\x00",
		"a forbidden name":     "[env]\nLD_PRELOAD = \"x\"\n",
		"a key of the user":    "trust.prefixes = [\"/\"]\n",
		"too many keys":        strings.Repeat("a = 1\n", 5000),
		"too deep":             strings.Repeat("[", 1000),
		"inherits from itself": "inherit = true\n",
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			path := b.write("work/.keyzero.toml", text)
			b.checkBlocked(path, trust.NotAllowed)
			local := b.write("other/.keyzero.local.toml", text)
			b.checkBlocked(b.write("other/.keyzero.toml", "[env]\n"), trust.NotAllowed)

			p, err := b.Open(path)
			if p == nil || p.Path != path || len(p.Files) != 2 || len(p.Watch) != 3 || err == nil {
				t.Errorf("Open gives %v, %v, want the files and the watches", p, err)
			}
			// With consent it is parsed, and the error names the file at fault.
			if err := b.Trust.Allow(p.TrustFiles(), false); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Open(path); err == nil || !strings.HasPrefix(err.Error(), path) {
				t.Errorf("with consent Open(%q) = %v, want what is wrong with it", path, err)
			}
			b.Trust.Prefixes = []string{b.home}
			if _, err := b.Open(filepath.Join(b.home, "other", ".keyzero.toml")); err == nil || !strings.HasPrefix(err.Error(), local) {
				t.Errorf("with consent Open of the other = %v, want what is wrong with its local file", err)
			}
		})
	}
}

// A broken parent is no reason to parse it: it is asked for consent first.
func TestInheritedIsNotParsedBeforeConsent(t *testing.T) {
	b := newBench(t)
	parent := b.write(".keyzero.toml", "[env]\nA = \"1\"\n")
	child := b.write("work/.keyzero.toml", "inherit = true\n")
	b.allow(parent)
	b.allow(child)
	b.write(".keyzero.toml", "[env")
	if got, about := b.blocked(child); got != trust.Changed || about != parent {
		t.Errorf("with a broken parent: %q %q, want that %q %q", about, got, parent, trust.Changed)
	}
}

func TestInherit(t *testing.T) {
	b := newBench(t)
	top := b.write(".keyzero.toml", "[env]\nA = \"top\"\nB = \"top\"\nC = \"top\"\n")
	middle := b.write("work/.keyzero.toml", "inherit = true\n[env]\nB = \"middle\"\nC = \"middle\"\n")
	child := b.write("work/app/x/.keyzero.toml", "inherit = true\n[env]\nC = \"child\"\n")
	b.write("work/app/x/.keyzero.local.toml", "[env]\nD = \"local\"\n")

	// Each needs a consent of its own, from the top down.
	b.allow(child)
	if got, about := b.blocked(child); got != trust.NotAllowed || about != middle {
		t.Errorf("with consent to the child alone: %q %q, want that %q %q", about, got, middle, trust.NotAllowed)
	}
	b.allow(middle)
	if got, about := b.blocked(child); got != trust.NotAllowed || about != top {
		t.Errorf("without consent to the top: %q %q, want that %q %q", about, got, top, trust.NotAllowed)
	}
	b.allow(top)
	p, err := b.Open(child)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.values(p), "A=top B=middle C=child D=local"; got != want {
		t.Errorf("the child has %s, want %s", got, want)
	}
	if got, want := b.names(p), "work/app/x/.keyzero.toml, work/app/x/.keyzero.local.toml, work/.keyzero.toml, "+
		"work/.keyzero.local.toml (missing), .keyzero.toml, .keyzero.local.toml (missing)"; got != want {
		t.Errorf("the files are %s, want %s", got, want)
	}
	if got, want := strings.Join(p.Dirs(), " "), strings.Join([]string{filepath.Dir(child), filepath.Dir(middle), b.home}, " "); got != want {
		t.Errorf("the directories are %s, want %s", got, want)
	}

	// Changing the top voids those below it, also after consent to the top.
	b.write(".keyzero.toml", "[env]\nA = \"new\"\n")
	for _, path := range []string{child, middle, top} {
		if got, about := b.blocked(path); got != trust.Changed || about != top {
			t.Errorf("with a changed top, %q: %q %q, want that %q %q", path, about, got, top, trust.Changed)
		}
	}
	b.allow(top)
	b.checkBlocked(top, "")
	b.checkBlocked(middle, trust.Inherited)
	if got, about := b.blocked(child); got != trust.Inherited || about != middle {
		t.Errorf("after consent to the new top: %q %q, want that %q %q", about, got, middle, trust.Inherited)
	}
	b.allow(middle)
	b.checkBlocked(child, trust.Inherited)
	b.allow(child)
	b.checkBlocked(child, "")

	// So does a file that comes in between, and a local file.
	between := b.write("work/app/.keyzero.toml", "inherit = true\n")
	if got, about := b.blocked(child); got != trust.NotAllowed || about != between {
		t.Errorf("with a file in between: %q %q, want that %q %q", about, got, between, trust.NotAllowed)
	}
	b.allow(between)
	b.checkBlocked(child, trust.Inherited)
	if err := os.Remove(between); err != nil {
		t.Fatal(err)
	}
	b.checkBlocked(child, "")
	b.write(".keyzero.local.toml", "[env]\nA = \"mine\"\n")
	if got, about := b.blocked(child); got != trust.Changed || about != top {
		t.Errorf("with a local file at the top: %q %q, want that %q %q", about, got, top, trust.Changed)
	}
}

func TestInheritDeniedParent(t *testing.T) {
	b := newBench(t)
	parent := b.write(".keyzero.toml", "[env]\nA = \"1\"\n")
	child := b.write("work/.keyzero.toml", "inherit = true\n")
	b.allow(parent)
	b.allow(child)
	if err := b.Trust.Deny(parent); err != nil {
		t.Fatal(err)
	}
	b.Trust.Prefixes = []string{filepath.Join(b.home, "work")}
	if got, about := b.blocked(child); got != trust.IsDenied || about != parent {
		t.Errorf("with a denied parent: %q %q, want that %q %q", about, got, parent, trust.IsDenied)
	}
}

// A prefix covers what lies below it, and nothing that this inherits from above.
func TestInheritOutOfAPrefix(t *testing.T) {
	b := newBench(t)
	parent := b.write(".keyzero.toml", "[env]\nA = \"1\"\n")
	child := b.write("work/.keyzero.toml", "inherit = true\n")
	b.Trust.Prefixes = []string{filepath.Join(b.home, "work")}
	if got, about := b.blocked(child); got != trust.NotAllowed || about != parent {
		t.Errorf("%q %q, want that %q %q", about, got, parent, trust.NotAllowed)
	}
	b.allow(parent)
	b.checkBlocked(child, "")
	b.write(".keyzero.toml", "[env]\nA = \"2\"\n")
	b.allow(parent)
	b.checkBlocked(child, "")
}

func TestInheritFromNothing(t *testing.T) {
	b := newBench(t)
	above := filepath.Join(filepath.Dir(b.home), ".keyzero.toml")
	if err := os.WriteFile(above, []byte("[env]\nA = \"1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Trust.Prefixes = []string{"/"}
	for what, name := range map[string]string{"no file further up": "work/.keyzero.toml", "home itself": ".keyzero.toml"} {
		t.Run(what, func(t *testing.T) {
			path := b.write(name, "inherit = true\n[env]\nA = \"1\"\n")
			_, err := b.Open(path)
			if want := path + ": inherit: there is no .keyzero.toml further up"; err == nil || err.Error() != want {
				t.Errorf("Open(%q) = %v, want %q", path, err, want)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
	// Home by another name is home all the same.
	link := filepath.Join(filepath.Dir(b.home), "link")
	if err := os.Symlink(b.home, link); err != nil {
		t.Fatal(err)
	}
	b.Home = link
	path := b.write("work/.keyzero.toml", "inherit = true\n")
	if _, err := b.Open(path); err == nil || !strings.Contains(err.Error(), "there is no .keyzero.toml further up") {
		t.Errorf("with home behind a link, Open(%q) = %v", path, err)
	}
}

func TestInheritEndsAtFileSystem(t *testing.T) {
	b := newBench(t)
	b.write(".keyzero.toml", "[env]\nA = \"1\"\n")
	b.Trust.Prefixes = []string{"/"}
	roottest.Tmpfs(t, filepath.Join(b.home, "work"), "64k", func() {
		path := b.write("work/.keyzero.toml", "inherit = true\n")
		if _, err := b.Open(path); err == nil || !strings.Contains(err.Error(), "there is no .keyzero.toml further up") {
			t.Errorf("Open(%q) = %v", path, err)
		}
	})
}

// Sixty-four levels are enough for anybody, and a chain without an end has one.
func TestInheritOverManyLevels(t *testing.T) {
	b := newBench(t)
	b.Trust.Prefixes = []string{"/"}
	name := "work"
	for i := range config.MaxLevels + 2 {
		text := "inherit = true\n"
		if i == 0 {
			text = ""
		}
		b.write(name+"/.keyzero.toml", text+fmt.Sprintf("[env]\nA%d = \"1\"\n", i))
		path := filepath.Join(b.home, name, ".keyzero.toml")
		name += "/d"
		if i < config.MaxLevels-1 {
			continue
		}
		p, err := b.Open(path)
		if (err == nil) != (i <= config.MaxLevels) || err == nil && len(p.Entries) != i+1 {
			t.Fatalf("over %d levels Open gives %d entries, %v", i, len(p.Entries), err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	for what, test := range map[string]struct {
		prepare func(b *bench) string
		want    string // after the path of the file
	}{
		"no file": {func(b *bench) string { return filepath.Join(b.home, "work", ".keyzero.toml") }, "no such file or directory"},
		"a link": {func(b *bench) string {
			real := b.write("work/real", "[env]\n")
			path := filepath.Join(filepath.Dir(real), ".keyzero.toml")
			_ = os.Symlink(real, path)
			return path
		}, "is a symbolic link; kz reads regular files only"},
		"a link for a local file": {func(b *bench) string {
			path := b.write("work/.keyzero.toml", "[env]\n")
			_ = os.Symlink(b.write("work/real", "[env]\n"), filepath.Join(filepath.Dir(path), ".keyzero.local.toml"))
			return path
		}, ".keyzero.local.toml: is a symbolic link; kz reads regular files only"},
		"an environment that is not there": {func(b *bench) string {
			b.Select = func(sections []string) (string, error) { return config.Select(sections, "prodution", nil) }
			return b.write("work/.keyzero.toml", "[production.env]\nA = \"1\"\n")
		}, `--env: there is no environment "prodution"; did you mean "production"?`},
		"a plan that is wrong": {func(b *bench) string { return b.write("work/.keyzero.toml", "[env]\nLD_PRELOAD = \"x\"\n") },
			".keyzero.toml:2: LD_PRELOAD: changes how programs run, so projects may not set it (LD_*)"},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			b.Trust.Prefixes = []string{b.home}
			path := test.prepare(b)
			p, err := b.Open(path)
			if err == nil || !strings.HasSuffix(err.Error(), test.want) || p == nil {
				t.Errorf("Open(%q) = %v, %v, want …%s", path, p, err, test.want)
			}
			if p != nil && (len(p.Watch) == 0 || p.Watch[0].Path != path) {
				t.Errorf("Open(%q) has %v to watch, want that path first", path, p.Watch)
			}
			if p != nil && len(p.Files) > 0 && (p.Path != path || p.Dir != filepath.Dir(path) || p.Digest == "") {
				t.Errorf("Open(%q) gives the path %q and the digest %q", path, p.Path, p.Digest)
			}
		})
	}
}

// What is watched was noted before it was read, and is all that was looked at.
func TestWatch(t *testing.T) {
	b := newBench(t)
	top := b.write(".keyzero.toml", "[env]\n")
	child := b.write("work/.keyzero.toml", "inherit = true\n")
	b.allow(top)
	b.allow(child)
	p, err := b.Open(child)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range p.Watch {
		got = append(got, fmt.Sprintf("%s %v", w.Path, w.Missing))
	}
	want := []string{
		child + " false", filepath.Join(filepath.Dir(child), ".keyzero.local.toml") + " true", b.Trust.RecordPath(child) + " false",
		top + " false", filepath.Join(b.home, ".keyzero.local.toml") + " true", b.Trust.RecordPath(top) + " false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the watches are %q, want %q", got, want)
	}
	if p, err = b.Review(child); err != nil || len(p.Watch) != 4 {
		t.Errorf("Review watches %v, %v, want the four files", p.Watch, err)
	}
}

func TestEnvironments(t *testing.T) {
	b := newBench(t)
	b.Trust.Prefixes = []string{b.home}
	path := b.write("work/.keyzero.toml", "[env]\nA = \"base\"\n[production.env]\nA = \"production\"\n[staging.env]\nB = \"staging\"\n")
	b.write("work/.keyzero.local.toml", "[mine.env]\nA = \"mine\"\n[production.env]\nC = \"local\"\n")
	b.Select = func(sections []string) (string, error) {
		if want := []string{"mine", "production", "staging"}; !slices.Equal(sections, want) {
			t.Errorf("there are the environments %q, want %q", sections, want)
		}
		return "production", nil
	}
	p, err := b.Open(path)
	if err != nil || p.Environment != "production" || b.values(p) != "A=production C=local" {
		t.Errorf("in production: %q %s, %v", p.Environment, b.values(p), err)
	}
	for environment, want := range map[string]string{"": "A=base", "staging": "A=base B=staging", "mine": "A=mine", "none": "A=base"} {
		plan, err := p.In(environment)
		if got := b.values(&Project{Plan: plan}); err != nil || got != want || plan.Path != path || plan.Dir != filepath.Dir(path) {
			t.Errorf("In(%q) = %s, %v, want %s", environment, got, err, want)
		}
	}
	if p.Environment != "production" || b.values(p) != "A=production C=local" {
		t.Errorf("afterwards the project is in %q with %s", p.Environment, b.values(p))
	}
}

func TestRecall(t *testing.T) {
	b := newBench(t)
	b.write(".keyzero.toml", "[env]\nA = \"top\"\nB = \"top\"\n")
	path := b.write("work/.keyzero.toml", "inherit = true\n[env]\nB = \"main\"\nC = \"main\"\n[production.env]\nC = \"production\"\n")
	b.write("work/.keyzero.local.toml", "[env]\nD = \"local\"\n")
	p, err := b.Review(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(b.home, "work")); err != nil {
		t.Fatal(err)
	}
	again, err := Recall(b.User, p.Files)
	if err != nil || b.values(again) != b.values(p) || b.values(again) != "A=top B=main C=main D=local" || again.Path != path {
		t.Errorf("Recall gives %s, %v, want %s", b.values(again), err, b.values(p))
	}
	if plan, err := again.In("production"); err != nil || !strings.Contains(b.values(&Project{Plan: plan}), "C=production") {
		t.Errorf("Recall, then In(production) gives %v, %v", plan.Entries, err)
	}
	broken := slices.Clone(p.Files)
	broken[2].Data = []byte("[env")
	if _, err := Recall(b.User, broken); err == nil {
		t.Error("Recall takes what is not TOML")
	}
}
