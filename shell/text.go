package shell

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// A text is a script under construction, along with the words that a parser
// must find in it.
type text struct {
	shell *Shell
	b     strings.Builder
	want  [][]string
	err   error
}

func (t *text) line(want []string, format string, args ...any) {
	t.want = append(t.want, want)
	fmt.Fprintf(&t.b, format+"\n", args...)
}

// quote returns value as a word of the shell. Errors name the variable only.
func (t *text) quote(name, value string) string {
	quoted, err := t.shell.quote(value)
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("%s: %w", name, err)
	}
	return quoted
}

func (t *text) name(name string) string {
	if !validName(name) && t.err == nil {
		t.err = fmt.Errorf("%q cannot be the name of a variable", name)
	}
	return name
}

func (t *text) call(command string, names []string) {
	if len(names) == 0 {
		return
	}
	words := []string{command}
	for _, name := range names {
		words = append(words, t.name(name))
	}
	t.line(words, "%s", strings.Join(words, " "))
}

func (t *text) set(name, value string) {
	t.line(t.exported(name, value), t.shell.set, t.name(name), t.quote(name, value))
}

// exported returns the words of the statement that sets an exported variable.
func (t *text) exported(name, value string) []string {
	words := []string{"export", name + "=" + value}
	if strings.HasPrefix(t.shell.set, builtin) {
		return append([]string{`\builtin`}, words...)
	}
	return words
}

func (t *text) unset(name string) {
	words := strings.Fields(fmt.Sprintf(t.shell.unset, name))
	t.line(words, t.shell.unset, t.name(name))
}

// guarded sets a variable in one of the careful forms of the shell.
func (t *text) guarded(form, name, value string) {
	set := fmt.Sprintf(t.shell.set, t.name(name), t.quote(name, value))
	guard, _, _ := strings.Cut(fmt.Sprintf(form, name, ""), "&&")
	words := append(strings.Fields(guard), "&&")
	t.line(append(words, t.exported(name, value)...), form, name, set)
}

// assignments has command set all variables that are new, if there is one.
func (t *text) assignments(command string, steps []Step) {
	want, quoted := []string{command}, []string{command}
	for _, s := range steps {
		if s.Op == Add && command != "" {
			pair := t.name(s.Name) + "=" + s.Value
			want, quoted = append(want, pair), append(quoted, t.quote(s.Name, pair))
		}
	}
	if len(want) > 1 {
		t.line(want, "%s", strings.Join(quoted, " "))
	}
}

func (t *text) scalar(name, value string) {
	t.line([]string{name + "=" + value}, t.shell.scalar, name, t.quote(name, value))
}

func (t *text) list(name string, values ...string) {
	var quoted []string
	for _, v := range values {
		quoted = append(quoted, t.quote(name, v))
	}
	t.line(append([]string{name + "="}, values...), t.shell.list, name, strings.Join(quoted, " "))
}

func (t *text) write(w io.Writer) error {
	if t.err == nil && t.shell.verify && !readsAs(t.b.String(), t.want) {
		t.err = errors.New("internal: the statements do not read as meant; nothing is loaded")
	}
	if t.err != nil {
		return t.err
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// readsAs reports whether a parser for bash finds in script exactly the
// commands of want, each of literal words only.
func readsAs(script string, want [][]string) bool {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil || len(file.Stmts) != len(want) {
		return false
	}
	for i, stmt := range file.Stmts {
		got, ok := commandWords(stmt)
		if !ok || !slices.Equal(got, want[i]) {
			return false
		}
	}
	return true
}

// commandWords returns the words of a simple command, of two that && joins,
// of one assignment of a list, or of a function that is one test, and false for
// everything else.
func commandWords(stmt *syntax.Stmt) ([]string, bool) {
	if !plain(stmt) {
		return nil, false
	}
	switch c := stmt.Cmd.(type) {
	case *syntax.DeclClause:
		if c.Variant.Value == "export" && len(c.Args) == 1 {
			words, ok := assignWords(c.Args[0])
			return append([]string{"export"}, words...), ok
		}
	case *syntax.BinaryCmd:
		left, ok := commandWords(c.X)
		right, ok2 := commandWords(c.Y)
		return append(append(left, "&&"), right...), ok && ok2 && c.Op == syntax.AndStmt
	case *syntax.FuncDecl:
		return functionWords(c)
	case *syntax.CallExpr:
		if len(c.Assigns) == 1 && len(c.Args) == 0 {
			return assignWords(c.Assigns[0])
		}
		return literals(nil, c.Args, len(c.Assigns) == 0)
	}
	return nil, false
}

func functionWords(f *syntax.FuncDecl) ([]string, bool) {
	block, ok := f.Body.Cmd.(*syntax.Block)
	if !ok || f.RsrvWord || !plain(f.Body) || len(block.Stmts) != 1 || !plain(block.Stmts[0]) {
		return nil, false
	}
	test, ok := block.Stmts[0].Cmd.(*syntax.TestClause)
	if !ok {
		return nil, false
	}
	return testWords([]string{f.Name.Value + "()"}, test.X)
}

// plain reports whether a statement is its command and nothing more.
func plain(stmt *syntax.Stmt) bool {
	return !stmt.Negated && !stmt.Background && !stmt.Coprocess && !stmt.Disown && len(stmt.Redirs) == 0
}

// testWords appends the words of tests of files that && joins.
func testWords(list []string, test syntax.TestExpr) ([]string, bool) {
	switch x := test.(type) {
	case *syntax.UnaryTest:
		return testWords(append(list, x.Op.String()), x.X)
	case *syntax.Word:
		return literals(list, []*syntax.Word{x}, true)
	case *syntax.BinaryTest:
		list, ok := testWords(list, x.X)
		if x.Op != syntax.AndTest {
			list = append(list, x.Op.String())
		}
		list, ok2 := testWords(list, x.Y)
		return list, ok && ok2
	}
	return nil, false
}

func assignWords(a *syntax.Assign) ([]string, bool) {
	if a.Append || a.Naked || a.Index != nil {
		return nil, false
	}
	if a.Array == nil {
		value := ""
		ok := true
		if a.Value != nil {
			value, ok = literal(a.Value)
		}
		return []string{a.Name.Value + "=" + value}, ok
	}
	var words []*syntax.Word
	for _, e := range a.Array.Elems {
		if e.Index != nil {
			return nil, false
		}
		words = append(words, e.Value)
	}
	return literals([]string{a.Name.Value + "="}, words, true)
}

// literals appends the texts of words to list, provided that no word has
// anything to expand.
func literals(list []string, words []*syntax.Word, ok bool) ([]string, bool) {
	for _, w := range words {
		text, literal := literal(w)
		list, ok = append(list, text), ok && literal
	}
	return list, ok
}

func literal(w *syntax.Word) (string, bool) {
	if lit := w.Lit(); lit == `\builtin` {
		return lit, true
	}
	exact, text := true, ""
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.SglQuoted:
			exact, text = exact && !p.Dollar, text+p.Value
		case *syntax.Lit:
			if strings.ContainsFunc(p.Value, special) {
				return "", false
			}
			text += p.Value
		case *syntax.DblQuoted:
			exact = false
			for _, inner := range p.Parts {
				if _, ok := inner.(*syntax.Lit); !ok {
					return "", false
				}
			}
		default:
			return "", false
		}
	}
	if exact { // what stands there is the value; asking for it takes as long as parsing
		return text, true
	}
	text, err := expand.Literal(&expand.Config{}, w)
	return text, err == nil
}

// special reports whether an unquoted r could mean something to a shell, under
// one option or another.
func special(r rune) bool {
	plain := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !plain && !strings.ContainsRune("_./:,+@%=-", r)
}

func validName(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
