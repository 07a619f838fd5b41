package dotenv

import (
	"fmt"
	"strings"
)

// Format returns an assignment that Parse and Compose read back as exactly name
// and value, ending in a newline, so that assignments can be put one after the
// other. A value with newlines takes several lines. Of the forms that would do
// it takes the one that most other readers understand too, and a POSIX shell
// that sources it runs nothing.
//
// It refuses names that a shell cannot export, values with a NUL byte, and what
// would be more than MaxSize bytes.
func Format(name, value string) (string, error) {
	switch {
	case !exportable(name):
		return "", fmt.Errorf("%q is not a variable name", name)
	case strings.ContainsRune(value, 0):
		return "", fmt.Errorf("%s: %w", name, errNUL)
	}
	line := name + "=" + word(value) + "\n"
	if len(line) > MaxSize {
		return "", fmt.Errorf("%s: %w", name, ErrTooLarge)
	}
	return line, nil
}

func word(value string) string {
	switch {
	case !strings.ContainsFunc(value, notPlain):
		return value
	case singleQuotable(value):
		return "'" + value + "'"
	}
	return `"` + escape(value) + `"`
}

// exportable reports whether name matches [A-Za-z_][A-Za-z0-9_]*.
func exportable(name string) bool {
	return name != "" && (name[0] < '0' || name[0] > '9') &&
		!strings.ContainsFunc(name, func(r rune) bool { return r != '_' && !alphanumeric(r) })
}

// notPlain reports whether r means something to any reader or shell.
func notPlain(r rune) bool {
	return !alphanumeric(r) && !strings.ContainsRune("_./:@%+,=-", r)
}

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// singleQuotable reports whether single quotes can hold value as it is. A
// backslash at the end would escape the closing quote unless it follows another.
func singleQuotable(value string) bool {
	if strings.ContainsFunc(value, func(r rune) bool { return r == '\'' || r == '\r' || fragile(r) }) {
		return false
	}
	tail := len(value) - len(strings.TrimRight(value, `\`))
	return tail%2 == 0
}

// escape returns value as it is written between double quotes. The backquote is
// in octal, because only shells take a backslash before it for an escape.
func escape(value string) string {
	var b strings.Builder
	for i := range len(value) {
		switch c := value[i]; {
		case c == '\\' || c == '"' || c == '$':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '`' || fragile(rune(c)):
			fmt.Fprintf(&b, `\0%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fragile reports whether r is a control character that terminals and editors
// do not leave alone.
func fragile(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f
}
