//go:build unix

package dotenv

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is quadratic takes minutes with files of this size. The clock is that of
// the process, which other processes do not slow down.
func TestParseIsLinear(t *testing.T) {
	fill := func(head, part, tail string) string {
		return head + strings.Repeat(part, (MaxSize-len(head)-len(tail))/len(part)) + tail
	}
	half := strings.Repeat("y", MaxSize/2)
	files := map[string]string{
		"comments":               fill("", "#\n", ""),
		"blanks":                 fill("", " ", ""),
		"blank lines":            fill("", "\r\n", ""),
		"names":                  fill("", "A\n", ""),
		"one name":               fill("", "A", ""),
		"empty values":           fill("", "A=\n", ""),
		"quoted values":          fill("", "A=''\n", ""),
		"open quote":             fill("A='", "a", ""),
		"backslashes":            fill("A=\"", `\\`, `"`),
		"escaped quotes":         fill("A='", `\'`, "'"),
		"blanks in a value":      fill("A=x", " ", "x"),
		"hashes":                 fill("A=x", "#", ""),
		"dollars":                fill("A=", "$", ""),
		"variables":              fill("A=", "$B", ""),
		"braces":                 fill("A=", "${B}", ""),
		"open braces":            fill("A=", "${B-", ""),
		"open braces, one close": fill("A=", "${B-", "}"),
		"open braces, half":      fill("A=", "${B-", strings.Repeat("}", MaxSize/8)),
		"nested, closed":         fill("A="+strings.Repeat("${B-", maxDepth), "x", strings.Repeat("}", maxDepth)),
		"curly braces in a word": fill("A=${B-", "{{", "}"),
		"defaults, long tail":    "A=" + strings.Repeat("${B-x}", MaxSize/2/6-1) + half,
		"names in a long line":   "A=\"" + strings.Repeat("$B", MaxSize/4-2) + half + "\"",
		"lines in quotes":        fill("A=\"", "${B-}\n", `"`),
		"quotes, long rest":      fill("", "A=\"$B\" #\n", ""),
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			lookups := 0
			start := cpuTime(t)
			_, err := Parse([]byte(file), func(string) (string, bool) { lookups++; return "", false })
			if took := cpuTime(t) - start; took > 10*time.Second {
				t.Errorf("Parse takes %v", took)
			}
			if errors.Is(err, ErrTooLarge) || lookups > len(file) {
				t.Errorf("Parse gives %v after %d lookups", err, lookups)
			}
		})
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
