package config

import (
	"bytes"
	"unicode/utf8"
)

// checkLimits refuses, in one pass and without building anything, bytes on
// which the TOML reader would spend long: too many keys, too deep brackets.
// It over-counts rather than under-counts and leaves every other error to the reader.
func checkLimits(path string, data []byte) error {
	if len(data) > MaxFile {
		return errorAt(Position{Path: path}, "", "larger than %d KiB", MaxFile>>10)
	}
	keys, depth, line := 0, 0, 1
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '\n':
			line++
		case '#':
			i += lineEnd(data[i:]) - 1
		case '"', '\'':
			n := stringEnd(data[i:])
			line += bytes.Count(data[i:i+n], []byte("\n"))
			i += n - 1
		case '=', '.':
			keys++
		case '[', '{':
			keys++
			depth++
		case ']', '}':
			depth--
		}
		if keys > maxKeys || depth > maxDepth {
			return errorAt(Position{path, line}, "", "more than %d keys or %d brackets deep", maxKeys, maxDepth)
		}
	}
	if !utf8.Valid(data) {
		return errorAt(Position{Path: path}, "", "not UTF-8 text")
	}
	return nil
}

func lineEnd(data []byte) int {
	if n := bytes.IndexByte(data, '\n'); n >= 0 {
		return n
	}
	return len(data)
}

// quotes returns how many of the first two bytes are quotes that a string of
// several lines may have before the three that end it.
func quotes(data []byte, quote byte) int {
	n := 0
	for n < min(2, len(data)) && data[n] == quote {
		n++
	}
	return n
}

// stringEnd returns the length of the TOML string that data begins with. An
// unfinished one ends with its line, or with data if it may have several lines.
func stringEnd(data []byte) int {
	quote := data[0]
	if triple := []byte{quote, quote, quote}; bytes.HasPrefix(data, triple) {
		for i := 3; i < len(data); i++ {
			switch {
			case data[i] == '\\' && quote == '"':
				i++
			case bytes.HasPrefix(data[i:], triple):
				return i + 3 + quotes(data[i+3:], quote)
			}
		}
		return len(data)
	}
	for i := 1; i < len(data); i++ {
		switch {
		case data[i] == quote:
			return i + 1
		case data[i] == '\n':
			return i
		case data[i] == '\\' && quote == '"':
			i++
		}
	}
	return len(data)
}
