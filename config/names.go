package config

import (
	_ "embed"
	"strings"
)

// ValidName reports whether name can be a variable: a letter or underscore,
// then letters, digits, underscores, at most [MaxName] bytes.
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= MaxName
}

// validLabel reports whether s can name an environment or a provider: letters,
// digits, dots, underscores, hyphens, beginning with a letter or digit, at most 64
// bytes. Such a name is harmless in a path, a prompt and an argument.
func validLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

//go:embed dangerous.txt
var dangerousTable string

// Dangerous returns the line of the table that name matches, or "". A project
// may not set such a name unless the user's own configuration lists it:
// programs take code, paths or trust from it. Case does not count, for some
// programs read these names in any.
func Dangerous(name string) string {
	if name == "" {
		return ""
	}
	upper := strings.ToUpper(name)
	for line := range strings.Lines(dangerousTable) {
		// The first letter alone tells most of the table from a name.
		if line[0] == '#' || line[0] != '*' && line[0]&^0x20 != upper[0] {
			continue
		}
		if line = strings.TrimSpace(line); line != "" && matches(upper, strings.ToUpper(line)) {
			return line
		}
	}
	return ""
}

// matches compares with a pattern in which each * stands for any letters.
func matches(name, pattern string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return name == pattern
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	for name = name[len(head):]; ; name = name[1:] {
		if matches(name, rest) || rest == "" {
			return true
		}
		if name == "" {
			return false
		}
	}
}
