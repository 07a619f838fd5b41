package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/shelltest"
)

// completions are the files that are installed, by shell.
var completions = map[string]string{"bash": "kz.bash", "zsh": "_kz", "fish": "kz.fish"}

// What is installed is what kz prints.
func TestCompletionFiles(t *testing.T) {
	for sh, name := range completions {
		var out bytes.Buffer
		inv := &invocation{args: []string{"completion", sh}, stdout: &out}
		if err := inv.command().execute(t.Context()); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join("../../completions", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, out.Bytes()) {
			t.Errorf("completions/%s is not what kz completion %s prints; run make completions", name, sh)
		}
	}
}

// Each shell, with nothing else installed, offers the commands that exist, and
// the names of the nearest configuration once that is allowed.
func TestCompletions(t *testing.T) {
	inShells(t, allShells, func(t *testing.T, sh string) {
		b := newBench(t)
		b.write("proj/.keyzero.toml", "[env]\nLEVEL = \"1\"\n[secrets]\nTOKEN = \"env://X\"\nTOKEN_2 = \"env://X\"\n")
		b.write("proj/sub/file", "")
		s := completer(t, b, sh)
		if got, want := s.offers("kz "), commandNames(t); !slices.Equal(got, want) {
			t.Errorf("it offers %q, want %q", got, want)
		}
		if got, want := s.offers("kz trust "), []string{"list", "prune"}; !slices.Equal(got, want) {
			t.Errorf("for kz trust it offers %q, want %q", got, want)
		}
		if got, want := s.offers("kz export --format "), []string{"dotenv", "json", "shell"}; !slices.Equal(got, want) {
			t.Errorf("for kz export --format it offers %q, want %q", got, want)
		}
		commands := []string{"kz get ", "kz put ", "kz rm "}
		for _, line := range commands {
			if got := s.offers(line); len(got) > 0 {
				t.Errorf("before consent it offers %q for %s", got, line)
			}
		}
		b.allow("proj")
		for _, line := range commands {
			if got, want := s.offers(line), []string{"LEVEL", "TOKEN", "TOKEN_2"}; !slices.Equal(got, want) {
				t.Errorf("for %sit offers %q, want %q", line, got, want)
			}
		}
	})
}

// commandNames are the commands that kz help shows.
func commandNames(t *testing.T) []string {
	t.Helper()
	inv := &invocation{}
	root := inv.command().root
	root.InitDefaultHelpCmd()
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	slices.Sort(names)
	if len(names) < 10 {
		t.Fatalf("kz has the commands %q", names)
	}
	return names
}

// A completing shell is one whose Tab key can be asked.
type completing struct {
	*shelltest.Session
	t     *testing.T
	shell string
	home  string
}

// completer starts a shell in a directory of the project.
func completer(t *testing.T, b *bench, sh string) *completing {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("../../completions", completions[sh]))
	if err != nil {
		t.Fatal(err)
	}
	source := "source '" + file + "'\n"
	rc := map[string]string{
		"bash": source + "bind 'set show-all-if-ambiguous on' 'set completion-display-width 0' 'set page-completions off' 2>/dev/null\n",
		"zsh":  "autoload -Uz compinit\ncompinit -u -D\n" + source,
		"fish": source,
	}
	if sh == "bash" {
		rc[sh] = source
		for _, setting := range []string{"show-all-if-ambiguous on", "completion-display-width 0", "page-completions off", "enable-bracketed-paste off"} {
			rc[sh] += "bind 'set " + setting + "'\n"
		}
	}
	c := &completing{t: t, shell: sh, home: b.home}
	c.Session = shelltest.Start(t, shelltest.Config{
		Shell: sh, Home: b.home, Dir: filepath.Join(b.home, "proj/sub"), RC: rc[sh], Env: []string{"PATH=" + built.dir},
	})
	return c
}

// offers returns what the Tab key offers after a line.
func (c *completing) offers(line string) []string {
	c.t.Helper()
	var list []string
	if c.shell == "fish" { // which has a command that asks it
		for l := range strings.Lines(c.Output("complete -C '" + line + "'")) {
			name, _, _ := strings.Cut(l, "\t")
			list = append(list, name)
		}
		return names(list)
	}
	// Tab, and then another line instead of this one.
	from := len(c.Screen())
	c.Send(line + "\t\x15:\r")
	c.AwaitPrompt()
	shown := cursorMoves.ReplaceAllString(c.Screen()[from:], "\n")
	_, shown, _ = strings.Cut(sequences.ReplaceAllString(shown, ""), "\n") // what was typed
	return names(strings.Split(shown, "\n"))
}

// What a terminal obeys and does not show; some of it leads to another line.
var (
	cursorMoves = regexp.MustCompile("\x1b\\[[0-9;]*[A-HJ]")
	sequences   = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b[=>]|[\r\a\b]")
)

// names returns the names of a list, sorted. A line has a name with what it is
// about, or any number of names. A prompt, and a line after it, are no part of the list.
func names(list []string) []string {
	var names []string
	for _, line := range list {
		words := strings.Fields(line)
		switch {
		case len(words) == 0, strings.Contains(line, "<kz:"), words[0] == "kz", words[0] == ":":
		case len(words) > 1 && (words[1] == "--" || strings.HasPrefix(words[1], "(")):
			names = append(names, words[0])
		default:
			names = append(names, words...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
