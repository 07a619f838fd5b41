package shell

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/environ"
)

var update = Update{
	Steps: []Step{
		{Add, "NEW", "it's $(new) `x`\n"},
		{Replace, "OLD", "ø\u2028\xff"},
		{Restore, "BACK", ""},
		{Remove, "GONE", ""},
	},
	State:  "abc",
	Config: "/a b/.keyzero.toml",
	Watch:  []Watch{{"/a b/.keyzero.toml", "/run/1"}, {"/x", "/run/2"}},
	Absent: []string{"/it's", "/$(x)\n"},
	Names:  []string{"NEW", "OLD"},
	Said:   "0a1b",
}

// What is written to a shell is whole or nothing.
func TestUpdateIsWholeOrNothing(t *testing.T) {
	for _, s := range shells {
		var good bytes.Buffer
		if err := s.WriteUpdate(&good, update); err != nil || good.Len() == 0 {
			t.Errorf("%s: WriteUpdate: %v, %d bytes", s.Name, err, good.Len())
		}
		for what, bad := range map[string]Step{
			"a NUL in a value":       {Add, "X", "a\x00b"},
			"a name with a command":  {Add, "X;id", "v"},
			"a name with a newline":  {Remove, "X\nid", ""},
			"an empty name":          {Replace, "", "v"},
			"a name with an array":   {Restore, "X[0]", "v"},
			"a name like a function": {Add, "BASH_FUNC_x%%", "() { :;}"},
		} {
			u := update
			u.Steps = append([]Step{{Add, "FIRST", "canary"}}, bad)
			var out bytes.Buffer
			err := s.WriteUpdate(&out, u)
			if err == nil || out.Len() > 0 {
				t.Errorf("%s: with %s WriteUpdate writes %q, error %v", s.Name, what, out.String(), err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: the error %q has a value", s.Name, err)
			}
		}
	}
}

// A quoter that errs must not get past the parser that reads the text again:
// what is written is right in the real shell, or is not written.
func TestParserStandsBetweenQuoterAndShell(t *testing.T) {
	quoters := map[string]func(string) (string, error){
		"none":                func(s string) (string, error) { return s, nil },
		"double quotes":       func(s string) (string, error) { return `"` + s + `"`, nil },
		"single, not escaped": func(s string) (string, error) { return "'" + s + "'", nil },
		"another value":       func(string) (string, error) { return "'other'", nil },
		"a comment":           func(s string) (string, error) { return "#" + s, nil },
	}
	values := []string{"plain", "a b", "$(id)", "`id`", "a'; id; '", "x\nid\n", "${HOME}", "a && id", "~", "~/x", "a:~", "{a,b}", "*", "a;id", "$((1+1))", "<(id)", "\\", "a\\nb"}
	refused := 0
	for name, quote := range quoters {
		for _, value := range values {
			broken := *shells[0]
			broken.quote = quote
			var out bytes.Buffer
			err := broken.WriteExports(&out, []environ.Change{{Name: "V", Value: value}})
			if err != nil {
				refused++
				if out.Len() > 0 {
					t.Errorf("quoting by %s refuses %q and writes %q", name, value, out.String())
				}
				continue
			}
			cmd := exec.Command("bash", "-c", out.String()+"printenv V")
			cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
			got, err := cmd.Output()
			if err != nil || string(got) != value+"\n" {
				t.Errorf("quoting by %s lets %q out as %q, which bash reads as %q", name, value, out.String(), got)
			}
		}
	}
	if refused < len(values) {
		t.Errorf("only %d of the broken texts were refused", refused)
	}
}

func TestReadsAsIsStrict(t *testing.T) {
	want := [][]string{{"_kz_take", "A", "&&", `\builtin`, "export", "A=1"}}
	for script, ok := range map[string]bool{
		`_kz_take A && \builtin export A=1`:           true,
		`_kz_take A && \builtin export A='1'`:         true,
		`_kz_take A || \builtin export A=1`:           false,
		`_kz_take A && \builtin export A=$(id)`:       false,
		`_kz_take A && \builtin export A="$x"`:        false,
		`_kz_take A && \builtin export A=1 >/tmp/x`:   false,
		`_kz_take A && \builtin export A=1 &`:         false,
		`! _kz_take A && \builtin export A=1`:         false,
		`X=1 _kz_take A && \builtin export A=1`:       false,
		`_kz_take A && { \builtin export A=1; }`:      false,
		"_kz_take A && \\builtin export A=1\nid":      false,
		`_kz_take A && \builtin export A=1 B=2`:       false,
		`_kz_take A && \builtin export 'A=1'; :`:      false,
		`f() { :; }`:                                  false,
		`_kz_take A && \builtin export A=1 # comment`: true,
	} {
		if got := readsAs(script, want); got != ok {
			t.Errorf("readsAs(%q) = %v, want %v", script, got, ok)
		}
	}
}

func TestReadsAsKnowsTheFunction(t *testing.T) {
	want := [][]string{{"_kz_fresh()", "-e", "/", "-e", "/a b", "!", "/a b", "-nt", "/t", "!", "-e", "/x"}}
	for script, ok := range map[string]bool{
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; }`:                true,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/y' ]]; }`:                false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -ot '/t' && ! -e '/x' ]]; }`:                false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && '/a b' -nt '/t' && ! -e '/x' ]]; }`:                  false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' || ! -e '/x' ]]; }`:                false,
		`_kz_fresh() { [[ -e '/' && -e "/a $b" && ! '/a b' -nt '/t' && ! -e '/x' ]]; }`:               false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e $(id) ]]; }`:               false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; id; }`:            false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]] >/x; }`:            false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]] & }`:               false,
		`_kz_fresh() { ! [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; }`:              false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; } >/x`:            false,
		`_kz_fresh() ( [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]] )`:                 false,
		`_kz_fresh() [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]`:                     false,
		`function _kz_fresh { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; }`:         false,
		`cd() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; }`:                       false,
		`_kz_fresh() { [[ -e '/' && -e '/a b' && ! '/a b' -nt '/t' && ! -e '/x' ]]; }; _kz_fresh`:     false,
		`_kz_fresh() { test -e '/' && -e '/a b'; }`:                                                   false,
		`_kz_fresh() { [[ -e '/' && ( -e '/a b' || -e '/z' ) && ! '/a b' -nt '/t' && ! -e '/x' ]]; }`: false,
	} {
		if got := readsAs(script, want); got != ok {
			t.Errorf("readsAs(%q) = %v, want %v", script, got, ok)
		}
	}
}

func TestExportsArePlainStatements(t *testing.T) {
	changes := []environ.Change{{Name: "A", Value: "1"}, {Name: "B", Unset: true}}
	want := map[string]string{
		"bash": "export A='1'\nunset -v B\n",
		"zsh":  "export A='1'\nunset B\n",
		"fish": "set -gx A '1'\nset -e -g B\n",
	}
	for _, s := range shells {
		var out bytes.Buffer
		if err := s.WriteExports(&out, changes); err != nil || out.String() != want[s.Name] {
			t.Errorf("%s: WriteExports = %q, %v, want %q", s.Name, out.String(), err, want[s.Name])
		}
	}
}

// The path of kz is quoted like any value: it may have blanks and quotes in it.
func TestHookQuotesThePathOfKz(t *testing.T) {
	for _, s := range shells {
		hook, err := s.Hook(`/opt/my tools/$(touch x)/kz`)
		if err != nil || strings.Contains(hook, selfMark) || !strings.Contains(hook, `'/opt/my tools/$(touch x)/kz'`) {
			t.Errorf("%s: Hook: %v, %.300s", s.Name, err, hook)
		}
		if strings.Count(s.hook, selfMark) != 1 {
			t.Errorf("%s: the hook has %d marks", s.Name, strings.Count(s.hook, selfMark))
		}
	}
}

func TestUnknownShellNamesTheNearest(t *testing.T) {
	_, err := Named("bsh")
	if err == nil || !strings.Contains(err.Error(), `"bash"`) {
		t.Errorf("Named(%q): %v", "bsh", err)
	}
}
