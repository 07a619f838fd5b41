package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

const testPath = "/home/ada/work/.keyzero.toml"

func parse(text string) (*Layer, error) { return Parse(File{Path: testPath, Data: []byte(text)}) }

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// cost runs f up to three times, until it is quick enough, and returns the least
// time and memory that it took.
func cost(enough time.Duration, f func()) (time.Duration, uint64) {
	took, bytes := time.Hour, ^uint64(0)
	for i := 0; i < 3 && took > enough; i++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		f()
		took = min(took, time.Since(start))
		runtime.ReadMemStats(&after)
		bytes = min(bytes, after.TotalAlloc-before.TotalAlloc)
	}
	return took, bytes
}

// What the TOML reader would choke on does not reach it.
func TestLimitsRefuse(t *testing.T) {
	const keys, size = ": more than 4096 keys or 8 brackets deep", ": larger than 64 KiB"
	for what, test := range map[string]struct{ text, want string }{
		"a hundred thousand keys":         {repeat(100_000, "k%d=1\n"), size},
		"five thousand keys":              {repeat(5000, "k%d=1\n"), ":4097" + keys},
		"keys of an inline table":         {"a={" + repeat(5000, "k%d=1,") + "}", ":1" + keys},
		"tables":                          {repeat(5000, "[k%d]\n"), ":4097" + keys},
		"parts of a dotted key":           {strings.Repeat("a.", 5000) + "a=1", ":1" + keys},
		"inline tables, nested":           {"a=" + strings.Repeat("{a=", 16<<10), ":1" + keys},
		"64 KiB of nested inline tables":  {"a=" + strings.Repeat("{a=", 21<<10), ":1" + keys},
		"more than that":                  {"a=" + strings.Repeat("{a=", 30<<10), size},
		"arrays, nested":                  {"a=" + strings.Repeat("[", 60<<10), ":1" + keys},
		"nine brackets":                   {"a=[[[[[[[[[1]]]]]]]]]", ":1" + keys},
		"nine brackets over lines":        {"a=[\n[\n[[[[[[[1]]]]]]]\n]\n]", ":3" + keys},
		"nine inline tables":              {"a=" + strings.Repeat("{a=", 9), ":1" + keys},
		"nine of both":                    {"a=" + strings.Repeat("[{a=", 5), ":1" + keys},
		"six megabytes of brackets":       {strings.Repeat("[", 6<<20), size},
		"sixty-four KiB of brackets":      {strings.Repeat("[", 64<<10), ":1" + keys},
		"a byte too many":                 {strings.Repeat("#", MaxFile+1), size},
		"keys after a comment":            {"# \"\n" + repeat(5000, "k%d=1\n"), ":4098" + keys},
		"keys with strings":               {repeat(5000, "k%d=''\n"), ":4097" + keys},
		"keys with other strings":         {repeat(5000, "k%d=\"a\"\n"), ":4097" + keys},
		"keys after a string":             {"a=\"\"\"\n\n\"\"\"\n" + repeat(5000, "k%d=1\n"), ":4099" + keys},
		"not UTF-8":                       {"a = \"\xff\"", ": not UTF-8 text"},
		"UTF-16":                          {"\xff\xfea\x00=\x00", ": not UTF-8 text"},
		"an invalid byte after many keys": {repeat(4000, "k%d=1\n") + "\xff", ": not UTF-8 text"},
	} {
		t.Run(what, func(t *testing.T) {
			var err error
			took, bytes := cost(50*time.Millisecond, func() { _, err = parse(test.text) })
			if err == nil || err.Error() != testPath+test.want {
				t.Errorf("Parse of %d bytes = %v, want %s%s", len(test.text), err, testPath, test.want)
			}
			if took > 50*time.Millisecond || bytes > uint64(len(test.text))+64<<10 {
				t.Errorf("Parse of %d bytes takes %v and %d KiB", len(test.text), took, bytes>>10)
			}
		})
	}
}

// Strings hide what is in them, and nothing behind them.
func TestLimitsSeeBehindStrings(t *testing.T) {
	for _, text := range []string{
		`""`, `''`, `""""""`, `''''''`, `"a"`, `'a'`, `"\""`, `"\\"`, `"\\\""`, `'\'`, `'"'`, `"'"`, `"#"`, `'#'`, `"\"\\"`,
		`"""a"""`, `'''a'''`, `"""a""""`, `"""a"""""`, `'''a''''`, `'''a'''''`, `""""a"""`, `"""""a"""`, `''''a'''`, `'''''a'''`, `"""""""`, `""""""""`, `''''''''`,
		`"""\""""`, `"""\"""a"""`, `"""\\"""`, `"""\\\"""a"""`, `"""\\"""`, `"""\\\""""`, `'''\'''`, `"""'''"""`, `'''"""'''`, "\"\"\"\n\"\"\"", "'''\n'''", "\"\"\"a\n\"b\" \"\"c\"\"\n\"\"\"", "'''\n''a''\n'''", "\"\"\"\\\n  \"\"\"",
	} {
		for what, format := range map[string]string{
			"many keys":  "x = [%s, {" + repeat(5000, "k%d=1,") + "}]",
			"many parts": "x = [%s, {" + strings.Repeat("a.", 5000) + "a=1}]",
			"brackets":   "x = [%s, " + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "]",
			"more texts": "x = [%s,\"b\",'c',{" + repeat(5000, "k%d=1,") + "}]",
			"few":        "x = [%s,\"b\",'c',{k=1}]",
		} {
			_, err := parse(fmt.Sprintf(format, text))
			refused := err != nil && strings.Contains(err.Error(), "more than 4096 keys or 8 brackets deep")
			if refused != (what != "few") {
				t.Errorf("%s behind %s: refused is %v (%.80v)", what, text, refused, err)
			}
			if what == "few" && (err == nil || !strings.Contains(err.Error(), "x: unknown key")) {
				t.Errorf("%s is not TOML, so this tests nothing: %v", text, err)
			}
		}
	}
}

// What is in strings and comments does not count.
func TestLimitsDoNotCountText(t *testing.T) {
	for what, text := range map[string]string{
		"a string":               `A = "` + strings.Repeat("=.[{", 10_000) + `"`,
		"a literal":              "A = '" + strings.Repeat("=.[{", 10_000) + "'",
		"a string over lines":    `A = """` + strings.Repeat("=.[{\n\"", 8000) + `"""`,
		"a literal over lines":   "A = '''" + strings.Repeat("=.[{\n'", 8000) + "'''",
		"an escaped quote":       `A = "` + strings.Repeat(`\"=`, 10_000) + `"`,
		"a comment":              "#" + strings.Repeat("=.[{\"'", 10_000),
		"comments":               strings.Repeat("#=\n", 20_000),
		"a comment at the end":   "A = 1 #" + strings.Repeat("[", 10_000),
		"tables in a row":        repeat(20, "[x%d.env]\n"),
		"inline tables in a row": "[secrets]\n" + repeat(20, "A%d = { ref = 'env://A' }\n"),
		"CR LF":                  strings.Repeat("#=\r\n", 16_000),
		"as long as it may be":   strings.Repeat("\n", MaxFile),
		"as many keys as it may": `A = ""` + strings.Repeat("\n", 100),
	} {
		t.Run(what, func(t *testing.T) {
			_, err := parse("[env]\n"[:min(6, MaxFile-len(text))] + text)
			if err != nil {
				t.Errorf("Parse = %.120v, want no error", err)
			}
		})
	}
}

// What is just within the limits passes them, and what is beyond does not.
func TestLimitsAreExact(t *testing.T) {
	for what, format := range map[string]func(n int) (string, int){
		"keys":     func(n int) (string, int) { return strings.Repeat("k=\n", n), maxKeys },
		"dots":     func(n int) (string, int) { return strings.Repeat("a.", n), maxKeys },
		"brackets": func(n int) (string, int) { return strings.Repeat("[", n), maxDepth },
		"braces":   func(n int) (string, int) { return strings.Repeat("{", n), maxDepth },
		"bytes":    func(n int) (string, int) { return strings.Repeat("#", n), MaxFile },
	} {
		_, limit := format(0)
		for _, n := range []int{limit, limit + 1} {
			text, _ := format(n)
			if err := checkLimits(testPath, []byte(text)); (err != nil) != (n > limit) {
				t.Errorf("%d %s: %v", n, what, err)
			}
		}
	}
}

// What passes the limits is read in bounded time, however it is put.
func TestWithinTheLimits(t *testing.T) {
	for what, text := range map[string]string{
		"a line for each key":   repeat(800, "k%d=1\n"),
		"keys of one table":     "[secrets]\n" + repeat(800, "k%d=1\n"),
		"tables":                repeat(600, "[k%d]\n"),
		"sections":              repeat(300, "[k%d.env]\nA=''\n"),
		"one dotted key":        strings.Repeat("abcdefghijklmn.", 4000) + "a=1",
		"a dotted header":       "[" + strings.Repeat("abcdefghijklmn.", 4000) + "a]",
		"dotted keys":           repeat(1000, "a.b.c.k%d=1\n"),
		"an inline table":       "env={" + repeat(2500, "k%d=1,") + "}",
		"a long array":          "a=[" + strings.Repeat("1,", 5_000) + "]",
		"arrays of tables":      strings.Repeat("[[a]]\n", 2000),
		"dollar signs":          "[env]\nA = '" + strings.Repeat("$", 60_000) + "'",
		"references":            "[env]\nA = '" + strings.Repeat("${A}", 15_000) + "'",
		"substitutions":         "[env]\nA = '" + strings.Repeat("$(", 30_000) + "'",
		"arithmetic":            "[env]\nA = '" + strings.Repeat("$((", 20_000) + "'",
		"expansions unfinished": "[env]\nA = '" + strings.Repeat("${A:-", 12_000) + "'",
		"backslashes":           "[env]\nA = '" + strings.Repeat(`\`, 60_000) + "$'",
		"backticks":             "[env]\nA = '" + strings.Repeat("`", 60_000) + "'",
		"escapes":               "[env]\nA = \"" + strings.Repeat(`\u0041`, 10_000) + "\"",
		"a key of 60 KB":        strings.Repeat("k", 60_000) + " = 1",
		"a full configuration":  "[secrets]\n" + repeat(512, "K%d = { provider = 'env', ref = 'abcdef', required = false, description = '"+strings.Repeat("x", 30)+"' }\n"),
	} {
		t.Run(what, func(t *testing.T) {
			took, bytes := cost(3*time.Second, func() {
				if l, err := parse(text); err == nil {
					_, _ = Merge(User{}, []*Layer{l}, "")
				}
			})
			if took > 3*time.Second || bytes > 48<<20 {
				t.Errorf("Parse of %d bytes takes %v and %d KiB", len(text), took, bytes>>10)
			}
		})
	}
}
