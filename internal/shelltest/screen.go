package shelltest

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A screen collects what a terminal prints.
type screen struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed at the next change, nil after the last

	at, number, scanned int // see lastPrompt; prompts are sought in the text up to scanned
}

func newScreen(terminal io.ReadWriter) *screen {
	s := &screen{changed: make(chan struct{})}
	go s.collect(terminal)
	return s
}

// collect reads until the terminal is closed at either end.
func (s *screen) collect(terminal io.ReadWriter) {
	buf := make([]byte, 32<<10)
	for {
		n, err := terminal.Read(buf)
		// From 4.1 on, fish draws no prompt until the terminal has said what it is.
		if bytes.Contains(buf[:n], []byte("\x1b[0c")) {
			_, _ = terminal.Write([]byte("\x1b[?1;2c"))
		}
		s.add(buf[:n], err != nil)
		if err != nil {
			return
		}
	}
}

func (s *screen) add(text []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, text...)
	close(s.changed)
	s.changed = make(chan struct{})
	if last {
		s.changed = nil
	}
}

// contents returns the text so far, and a channel that is closed when there is
// more; it is nil if there will be no more.
func (s *screen) contents() (text string, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text), s.changed
}

var prompt = regexp.MustCompile(`<kz:([0-9]+)> `)

// lastPrompt returns where the first drawing of the highest-numbered prompt
// begins, and its number. Without any, both are 0.
func (s *screen) lastPrompt() (at, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := max(0, s.scanned-len("<kz:1234567> ")) // one may have been half there
	for _, m := range prompt.FindAllSubmatchIndex(s.text[from:], -1) {
		if n, err := strconv.Atoi(string(s.text[from+m[2] : from+m[3]])); err == nil && n > s.number {
			s.at, s.number = from+m[0], n
		}
	}
	s.scanned = len(s.text)
	return s.at, s.number
}

var (
	escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[ -/]+[0-~]|[0-Z\\^-~])`)
	// What fish draws before a prompt, to show whether the last line was complete.
	lineEnd = regexp.MustCompile(`(⏎|\^J|¶) +\r(⏎|\^J|¶) +\r`)
)

// plain returns text as a person would see it, more or less.
func plain(text string) string {
	text = escapes.ReplaceAllString(text, "")
	text = lineEnd.ReplaceAllString(text, "")
	return strings.ReplaceAll(text, "\r", "")
}
