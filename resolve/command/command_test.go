package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

const canary = "kz-canary-52b9"

var _ resolve.Provider = (*Provider)(nil)

// script writes a program, and returns its path.
func script(t *testing.T, path, body string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// A child that another test forks now would hold the file open for writing, and
	// the kernel would not run it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func newProvider(t *testing.T, o Options) *Provider {
	t.Helper()
	if o.Env == nil {
		o.Env = []string{"PATH=/usr/bin:/bin"}
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// of returns a Provider that runs a script with this body.
func of(t *testing.T, body string) *Provider {
	t.Helper()
	return newProvider(t, Options{Argv: []string{script(t, filepath.Join(t.TempDir(), "prog"), body)}})
}

func fetch(t *testing.T, p *Provider, ref string) resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.Fetch(ctx, []resolve.Ref{{Path: ref}})[0]
}

// want is a value, or a class of errors.
func want(t *testing.T, what string, got resolve.Result, value string, class resolve.Class) {
	t.Helper()
	if resolve.ClassOf(got.Err) != class || (got.Err == nil) != (class == "") || got.Secret.Reveal() != value {
		t.Errorf("%s leads to %.60q, %v; want %.60q, class %q", what, got.Secret.Reveal(), got.Err, value, class)
	}
	if got.Err != nil && strings.Contains(got.Err.Error(), canary) {
		t.Errorf("%s: the error holds what the program wrote: %v", what, got.Err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no program":                   {},
		"a program from the project":   {Argv: []string{"{ref}"}},
		"a directory of the project":   {Argv: []string{"/opt/{ref}/bin/x"}},
		"NUL":                          {Argv: []string{"a", "b\x00c"}},
		"kz's own variables":           {Argv: []string{"a"}, Options: tool.Options{Pass: []string{"KZ_*"}}},
		"kz's own state":               {Argv: []string{"a"}, Options: tool.Options{Pass: []string{"__KZ_STATE"}}},
		"relative forbidden directory": {Argv: []string{"a"}, Options: tool.Options{Avoid: []string{"work"}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: New has no objection", name)
		}
	}
}

// What a program sees is one argument, to the byte, whatever a shell would make of it.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	dump := script(t, filepath.Join(dir, "dump"), `for a; do printf '%s|' "$a"; done`)
	mark := filepath.Join(dir, "mark")
	for _, ref := range []string{
		"plain", "op://vault/item/field", "two words", " ", "$(touch " + mark + ")", ";touch " + mark, "`touch " + mark + "`",
		"&& touch " + mark, "| touch " + mark, "> " + mark, "$IFS", "%h", "*", "~", `'"\`, "{ref}", "a{ref}b", "{ref}{ref}", "größe", "!!", "a=b", "@file",
	} {
		for _, tt := range []struct {
			argv []string
			want string
		}{
			{nil, ref + "|"},
			{[]string{"read"}, "read|" + ref + "|"},
			{[]string{"{ref}"}, ref + "|"},
			{[]string{"get", "{ref}", "--plain"}, "get|" + ref + "|--plain|"},
			{[]string{"--item={ref}"}, "--item=" + ref + "|"},
			{[]string{"{ref}", "--again={ref}/{ref}"}, ref + "|--again=" + ref + "/" + ref + "|"},
			{[]string{"", "$HOME"}, "|$HOME|" + ref + "|"},
		} {
			p := newProvider(t, Options{Argv: append([]string{dump}, tt.argv...)})
			want(t, fmt.Sprintf("%q with %q", tt.argv, ref), fetch(t, p, ref), tt.want, "")
		}
	}
	if _, err := os.Lstat(mark); err == nil {
		t.Error("a shell read a reference")
	}
}

func TestReferencesRefused(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	prog := script(t, filepath.Join(t.TempDir(), "prog"), ": >"+mark)
	for _, ref := range []string{
		"", "a\nb", "a\x00b", "a\tb", "a\x1b[2Jb", "a\x7f", "a\u0085b", "a\xff", strings.Repeat("a", maxRef+1),
		"-", "--", "-x", "--config=/work/evil",
	} {
		for _, argv := range [][]string{{prog}, {prog, "{ref}"}, {prog, "{ref}/field"}} {
			got := fetch(t, newProvider(t, Options{Argv: argv}), ref)
			want(t, fmt.Sprintf("%q with %.20q", argv[1:], ref), got, "", resolve.Malformed)
			if got.Err != nil && (strings.ContainsAny(got.Err.Error(), "\n\x00\t\x1b\x7f\u0085") || !utf8.ValidString(got.Err.Error())) {
				t.Errorf("reference %q: control characters in the error", ref)
			}
		}
	}
	if _, err := os.Lstat(mark); err == nil {
		t.Error("the program was run")
	}
	// Behind an option's name a dash leads nothing.
	dump := script(t, filepath.Join(t.TempDir(), "dump"), `printf %s "$*"`)
	p := newProvider(t, Options{Argv: []string{dump, "--item={ref}"}})
	want(t, "a dash inside an argument", fetch(t, p, "-x"), "--item=-x", "")
	want(t, "the longest", fetch(t, p, strings.Repeat("a", maxRef)), "--item="+strings.Repeat("a", maxRef), "")
}

func TestValue(t *testing.T) {
	for name, tt := range map[string]struct {
		body, value string
		class       resolve.Class
	}{
		"no newline":           {`printf v`, "v", ""},
		"a newline":            {`printf 'v\n'`, "v", ""},
		"a newline of Windows": {`printf 'v\r\n'`, "v", ""},
		"two newlines":         {`printf 'v\n\n'`, "v\n", ""},
		"a lone return":        {`printf 'v\r'`, "v\r", ""},
		"lines":                {`printf 'a\nb\n'`, "a\nb", ""},
		"spaces":               {`printf ' v \n'`, " v ", ""},
		"bytes":                {`printf '\377\001\n'`, "\xff\x01", ""},
		"in pieces":            {`printf a; sleep 0.05; printf b`, "ab", ""},
		"output closed early":  {`printf v; exec >&-; sleep 0.05`, "v", ""},
		"stderr besides":       {`echo ` + canary + ` >&2; echo v`, "v", ""},
		"much stderr besides":  {`head -c 3000000 /dev/zero >&2; echo v`, "v", ""},
		"1 MiB":                {`head -c 1048576 /dev/zero | tr '\0' x`, strings.Repeat("x", 1<<20), ""},
		"1 MiB and a byte":     {`head -c 1048577 /dev/zero | tr '\0' x`, "", resolve.Malformed},
		"nothing":              {`:`, "", resolve.Malformed},
		"an empty line":        {`echo`, "", resolve.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, name, fetch(t, of(t, tt.body), "a"), tt.value, tt.class)
		})
	}
}

func TestFailures(t *testing.T) {
	says := func(text string) string {
		return "cat >&2 <<'END'\n" + canary + " " + text + "\nEND\necho " + canary + "; exit 1"
	}
	for name, tt := range map[string]struct {
		body  string
		class resolve.Class
		text  string
	}{
		"exit 3":         {"echo " + canary + " >&2; echo " + canary + "; exit 3", "", "the program ended with exit status 3"},
		"a signal":       {"echo " + canary + "; kill -9 $$", "", "the program ended with signal: killed"},
		"silently":       {"exit 1", "", "the program ended with exit status 1"},
		"no interpreter": {"", resolve.NoTool, "no such file or directory"},
		"op":             {says("[ERROR] account is not signed in"), resolve.NotLoggedIn, "not signed in"},
		"op, no item":    {says(`[ERROR] "x" isn't an item`), resolve.NotFound, "not found"},
		"op, several":    {says("More than one item matches"), resolve.Ambiguous, "more than one match"},
		"bw":             {says("Vault is locked."), resolve.Locked, "locked"},
		"infisical":      {says("your session has expired, you must be logged in"), resolve.Expired, "session expired"},
		"vault":          {says("Code: 403. Errors: permission denied"), resolve.Denied, "access denied"},
		"pass":           {says("Error: x is not in the password store."), resolve.NotFound, "not found"},
		"said early":     {"echo vault is locked >&2; head -c 100000 /dev/zero >&2; exit 1", "", "the program ended with exit status 1"},
		"said last":      {"head -c 300000 /dev/zero >&2; echo vault is locked >&2; exit 1", resolve.Locked, "locked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := of(t, tt.body)
			if name == "no interpreter" {
				p = newProvider(t, Options{Argv: []string{interpretedBy(t, "/no-such-directory/interpreter")}})
			}
			got := fetch(t, p, "a")
			if got.Err == nil || resolve.ClassOf(got.Err) != tt.class || !strings.HasSuffix(got.Err.Error(), tt.text) {
				t.Errorf("leads to %v, class %q; want %q, class %q", got.Err, resolve.ClassOf(got.Err), tt.text, tt.class)
			}
			if got.Err != nil && strings.Contains(got.Err.Error(), canary) || got.Secret.Reveal() != "" {
				t.Errorf("what the program wrote came out: %v, %q", got.Err, got.Secret.Reveal())
			}
		})
	}
}

func interpretedBy(t *testing.T, interpreter string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(path, []byte("#!"+interpreter+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvironment(t *testing.T) {
	passes := []string{
		"HOME=/home/me", "USER=me", "LANG=de_DE.UTF-8", "LC_ALL=C", "TERM=xterm", "XDG_RUNTIME_DIR=/run/user/1",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/x", "SSH_AUTH_SOCK=/s", "GPG_TTY=/dev/tty1", "GNUPGHOME=/g",
		"OP_SERVICE_ACCOUNT_TOKEN=t", "VAULT_ADDR=https://v", "AWS_PROFILE=p", "BW_SESSION=s", "https_proxy=http://p",
		"MYSTORE_TOKEN=x", "MYSTORE_=y", "EXACT=z", "EMPTY_OK_=", "LD_LIBRARY_PATH=/l",
	}
	stays := []string{
		"__KZ_STATE=s", "KZ_LOG=debug", "KZ_STATE=x", "KEYZERO_ENV=production", "LD_PRELOAD=/evil.so", "NODE_OPTIONS=--require=/evil",
		"PYTHONPATH=/evil", "GIT_DIR=/evil", "BASH_ENV=/evil", "ENV=/evil", "IFS=x", "DATABASE_URL=" + canary, "OPAQUE=1", "LCX=1",
		"EXACTLY=1", "MYSTOREX=1", "PWD=/work", "nonsense", "=odd",
	}
	dir := t.TempDir()
	script(t, filepath.Join(dir, "dump"), "/usr/bin/env")
	open := t.TempDir()
	if err := os.Chmod(open, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	p := newProvider(t, Options{
		Argv: []string{"dump"},
		Options: tool.Options{
			Env:  slices.Concat(passes, stays, []string{"PATH=relative:" + dir + ":/no-such-directory::" + open + ":/usr/bin"}),
			Pass: []string{"MYSTORE_*", "EXACT", "EMPTY_OK_", "LD_LIBRARY_PATH"},
		},
	})
	got := fetch(t, p, "a")
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	lines := strings.Split(got.Secret.Reveal(), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { // the shell's own
		return strings.HasPrefix(l, "_=") || strings.HasPrefix(l, "SHLVL=") || strings.HasPrefix(l, "OLDPWD=") || l == "PWD=/"
	})
	all := append(slices.Clone(passes), "PATH="+dir+":/usr/bin")
	slices.Sort(lines)
	slices.Sort(all)
	if !slices.Equal(lines, all) {
		t.Errorf("the program's environment is\n%q, want\n%q", lines, all)
	}
}

// What kz keeps for itself stays, however much the user passes on, and PATH is
// always the filtered one.
func TestPassEverything(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "dump"), `echo "$ANY|$KZ_LOG$__KZ_STATE$KEYZERO_ENV|$PATH"`)
	p := newProvider(t, Options{
		Argv: []string{"dump"},
		Options: tool.Options{
			Env:  []string{"ANY=any", "KZ_LOG=x", "__KZ_STATE=x", "KEYZERO_ENV=x", "PATH=relative:" + dir},
			Pass: []string{"*"},
		},
	})
	want(t, "everything", fetch(t, p, "a"), "any||"+dir, "")
}

// Without an environment the program has none, and in particular not that of kz.
func TestNoEnvironment(t *testing.T) {
	t.Setenv("HOME", canary)
	t.Setenv("OP_SESSION_x", canary)
	prog := script(t, filepath.Join(t.TempDir(), "dump"), `echo "<$HOME$OP_SESSION_x>"`)
	p, err := New(Options{Argv: []string{prog}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "an empty environment", fetch(t, p, "a"), "<>", "")

	// An empty PATH would be the current directory.
	p, err = New(Options{Argv: []string{script(t, filepath.Join(t.TempDir(), "dump"), "/usr/bin/env -u PWD; echo end")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, p, "a"); got.Err != nil || strings.Contains(got.Secret.Reveal(), "PATH=") {
		t.Errorf("the program's environment is %q, %v", got.Secret.Reveal(), got.Err)
	}
}

func TestEachReferenceHasItsOwnAnswer(t *testing.T) {
	p := of(t, `test "$1" != bad && echo "<$1>"`)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var refs []resolve.Ref
	for i := range 30 {
		refs = append(refs, resolve.Ref{Path: fmt.Sprint("r", i)})
	}
	refs[3].Path, refs[4].Path = "bad", "-x"
	for i, got := range p.Fetch(ctx, refs) {
		switch i {
		case 3:
			if got.Err == nil || resolve.ClassOf(got.Err) != "" {
				t.Errorf("a failure leads to %v", got.Err)
			}
		case 4:
			want(t, "an option", got, "", resolve.Malformed)
		default:
			want(t, refs[i].Path, got, "<"+refs[i].Path+">", "")
		}
	}
	if got := p.Fetch(ctx, nil); len(got) != 0 {
		t.Errorf("Fetch of nothing gives %d results", len(got))
	}
}
