package dotenv

import "strings"

// maxDepth bounds how often the text of a default is scanned again.
const maxDepth = 16

// substitute replaces $NAME, ${NAME}, ${NAME:-word} and its relatives, and $$.
// A dollar sign before anything else stands for itself.
func (p *parser) substitute(text string) (string, error) {
	out, err := p.appendText(nil, text, 0)
	return string(out), err
}

// appendText appends text with its substitutions made. It works line by line,
// for none goes beyond the end of its line.
func (p *parser) appendText(out []byte, text string, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	var err error
	for line := range strings.SplitAfterSeq(text, "\n") {
		if out, err = p.appendLine(out, line, depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *parser) appendLine(out []byte, line string, depth int) ([]byte, error) {
	last := strings.LastIndexByte(line, '}') // once a line: looking again for each ${ would be quadratic
	for at := 0; ; {
		i := strings.IndexByte(line[at:], '$')
		if i < 0 {
			return append(out, line[at:]...), nil
		}
		out = append(out, line[at:at+i]...)
		at += i + 1
		rest := line[at:]
		n := nameLen(rest)
		switch {
		case n > 0:
			value, _ := p.get(rest[:n])
			out = append(out, value...)
			at += n
		case strings.HasPrefix(rest, "$"):
			out = append(out, '$')
			at++
		case strings.HasPrefix(rest, "{"):
			b, ok := cutBraces(line[at : max(at, last)+1])
			if !ok {
				return nil, errSubst
			}
			var err error
			if out, err = p.appendBraces(out, b, depth); err != nil {
				return nil, err
			}
			at += b.len
		default:
			out = append(out, '$')
		}
		if len(out) > p.room {
			return nil, errExpanded
		}
	}
}

// A braces is what follows a dollar sign: {name op word}.
type braces struct {
	name, op, word string
	len            int
}

// cutBraces takes apart the start of s, which begins with the opening brace and
// ends with the last closing one of the line, or at once if there is none.
func cutBraces(s string) (braces, bool) {
	n := 1 + nameLen(s[1:])
	b := braces{name: s[1:n]}
	if b.name == "" {
		return b, false
	}
	if strings.HasPrefix(s[n:], "}") {
		b.len = n + 1
		return b, true
	}
	for _, op := range []string{":-", ":+", ":?", "-", "+", "?"} {
		if strings.HasPrefix(s[n:], op) {
			end := closingBrace(s)
			b.op, b.word, b.len = op, s[n+len(op):end], end+1
			return b, true
		}
	}
	return b, false
}

// closingBrace returns where the brace that opens s is closed. Like Compose it
// does not look at the byte after an opening brace, and takes the last closing
// brace if there are too few.
func closingBrace(s string) int {
	open := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			open++
			i++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return len(s) - 1
}

func (p *parser) appendBraces(out []byte, b braces, depth int) ([]byte, error) {
	value, present := p.get(b.name)
	op, colon := strings.CutPrefix(b.op, ":")
	present = present && !(colon && value == "")
	switch {
	case op == "?" && !present:
		return nil, errRequired // word is a message for people, and is in the file
	case op == "-" && !present, op == "+" && present:
		return p.appendText(out, b.word, depth+1)
	}
	return append(out, value...), nil // of + without a variable there is no value
}

// nameLen returns the length of the variable name at the start of s.
func nameLen(s string) int {
	for i, r := range s {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case '0' <= r && r <= '9' && i > 0:
		case r == 'ſ', r == '\u212a': // Compose's pattern ignores case, and these are an s and a k
		default:
			return i
		}
	}
	return len(s)
}
