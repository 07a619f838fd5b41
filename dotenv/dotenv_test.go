package dotenv

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func testEnv(name string) (string, bool) {
	value, ok := map[string]string{"SET": "env", "EMPTY": "", "A": "old"}[name]
	return value, ok
}

// The values are those that compose-go 2.16.2, Compose's reader, gave for the same
// files, save where the sentence says otherwise.
func TestParse(t *testing.T) {
	tests := map[string]struct {
		file string
		want []Entry
	}{
		"empty":                              {"", nil},
		"a byte order mark alone":            {"\ufeff", nil},
		"blank lines and comments":           {"\n \t\r\n# A=1\n  #B=2\n#", nil},
		"a value":                            {"A=1", []Entry{{"A", "1", 1}}},
		"byte order mark":                    {"\ufeffA=1\n", []Entry{{"A", "1", 1}}},
		"CRLF":                               {"A=a\r\nB='b'\r\nC=\r\n", []Entry{{"A", "a", 1}, {"B", "b", 2}, {"C", "", 3}}},
		"a lone CR ends no line":             {"A=a\rB=b", []Entry{{"A", "a\rB=b", 1}}},
		"a line separator ends no line":      {"A=a\u2028B=b", []Entry{{"A", "a\u2028B=b", 1}}},
		"blanks around":                      {" \tA \t= \v1 2\u00a0\u3000\n", []Entry{{"A", "1 2", 1}}},
		"a wide blank to the left counts":    {"A=\u30001", []Entry{{"A", "\u30001", 1}}},
		"lines are counted":                  {"\n#\nA='\n\n'\n\nB=1", []Entry{{"A", "\n\n", 3}, {"B", "1", 7}}},
		"the same name twice":                {"A=1\nA=2\nB=$A", []Entry{{"A", "1", 1}, {"A", "2", 2}, {"B", "2", 3}}},
		"export":                             {"export A=1\n export\tB: 2\n", []Entry{{"A", "1", 1}, {"B", "2", 2}}},
		"names that begin with export":       {"exportA=1\nexport_B=2\nexport.C=3\nexport=4", []Entry{{"exportA", "1", 1}, {"export_B", "2", 2}, {"export.C", "3", 3}, {"export", "4", 4}}},
		"unusual names":                      {"a.b-c[1]=1\n2=2\nÉ٣=3", []Entry{{"a.b-c[1]", "1", 1}, {"2", "2", 2}, {"É٣", "3", 3}}},
		"a colon":                            {"A: 1\nB:2\nC : x=y\nhttp://h\nD=1:2", []Entry{{"A", "1", 1}, {"B", "2", 2}, {"C", "x=y", 3}, {"http", "//h", 4}, {"D", "1:2", 5}}},
		"more signs":                         {"A==\nB=c=d=", []Entry{{"A", "=", 1}, {"B", "c=d=", 2}}},
		"a name alone, set":                  {"SET\nexport SET\r\nEMPTY\n", []Entry{{"SET", "env", 1}, {"SET", "env", 2}, {"EMPTY", "", 3}}},
		"a name alone, not set":              {"NO\nexport NO\n", nil},
		"a name alone asks not the file":     {"SET=1\nSET\n", []Entry{{"SET", "1", 1}, {"SET", "env", 2}}},
		"a name alone at the end (not so)":   {"NO\nSET", []Entry{{"SET", "env", 2}}},
		"empty values":                       {"A=\nB=''\nC=\"\"\nD= \n", []Entry{{"A", "", 1}, {"B", "", 2}, {"C", "", 3}, {"D", "", 4}}},
		"comments after values":              {"A=a # c\nB=a #c\nC=a  #\n", []Entry{{"A", "a", 1}, {"B", "a", 2}, {"C", "a", 3}}},
		"no comments":                        {"A=a#c\nB=a\t# c\nC=#c\nD= # c\n", []Entry{{"A", "a#c", 1}, {"B", "a\t# c", 2}, {"C", "#c", 3}, {"D", "# c", 4}}},
		"comments after quotes":              {"A='a # b' # c\nB=\"b\"#c\nC='c'\u2028 # c", []Entry{{"A", "a # b", 1}, {"B", "b", 2}, {"C", "c", 3}}},
		"quotes inside a word":               {`A=a"b c"'d'`, []Entry{{"A", `a"b c"'d'`, 1}}},
		"no escapes without quotes":          {`A=\n\\\"\'\t`, []Entry{{"A", `\n\\\"\'\t`, 1}}},
		"a backslash stops no substitution":  {`B=\$SET\${SET}`, []Entry{{"B", `\env\env`, 1}}},
		"single quotes are literal":          {`A='$SET ${SET} $$ \n \\ "'`, []Entry{{"A", `$SET ${SET} $$ \n \\ "`, 1}}},
		"single quote in single quotes":      {`A='it\'s'`, []Entry{{"A", "it's", 1}}},
		"backslashes before a closing quote": {`A='a\\'`, []Entry{{"A", `a\\`, 1}}},
		"double quotes escape":               {`A="\a\b\f\n\r\t\v\\\"\0101\01011"`, []Entry{{"A", "\a\b\f\n\r\t\v\\\"AA1", 1}}},
		"unknown escapes stay":               {`A="\c \z \' \x41 \u0041 \1"`, []Entry{{"A", `\c \z \' \x41 \u0041 \1`, 1}}},
		"octal is a code point":              {`A="\0200\0377"`, []Entry{{"A", "\u0080ÿ", 1}}},
		"values of several lines":            {"A=\"a\n # b\r\n$SET\"\nB='c\n\\\nd'", []Entry{{"A", "a\n # b\r\nenv", 1}, {"B", "c\n\\\nd", 4}}},
		"bytes that are not UTF-8":           {"A=\xff\x85\nB=\"\xc3\"\nC='\x80'", []Entry{{"A", "\xff\x85", 1}, {"B", "\xc3", 2}, {"C", "\x80", 3}}},

		"substitution":                        {"B=$SET-${SET}x$SETx", []Entry{{"B", "env-envx", 1}}},
		"in double quotes":                    {`B="$SET ${SET}"`, []Entry{{"B", "env env", 1}}},
		"escaped dollar":                      {`B=$$SET $$$SET` + "\n" + `C="\$SET \${SET}"`, []Entry{{"B", "$SET $env", 1}, {"C", "$SET ${SET}", 2}}},
		"escaped backslash before a dollar":   {`B="\\$SET"`, []Entry{{"B", `\env`, 1}}},
		"a dollar before an escaped one":      {`B="$\$SET"`, []Entry{{"B", `$env`, 1}}},
		"an octal dollar":                     {`B="\0044SET"`, []Entry{{"B", `env`, 1}}},
		"a dollar before anything else":       {"B=$ $1 $- $", []Entry{{"B", "$ $1 $- $", 1}}},
		"not set":                             {"B=[$NO${NO}]", []Entry{{"B", "[]", 1}}},
		"the file, not what it held (not so)": {"B=$A\nA=new\nC=$A", []Entry{{"B", "old", 1}, {"A", "new", 2}, {"C", "new", 3}}},
		"values are not substituted again":    {"B='$SET'\nC=$B", []Entry{{"B", "$SET", 1}, {"C", "$SET", 2}}},
		"minus":                               {"B=${SET-d},${EMPTY-d},${NO-d}", []Entry{{"B", "env,,d", 1}}},
		"colon minus":                         {"B=${SET:-d},${EMPTY:-d},${NO:-d}", []Entry{{"B", "env,d,d", 1}}},
		"plus":                                {"B=${SET+y},${EMPTY+y},${NO+y}", []Entry{{"B", "y,y,", 1}}},
		"colon plus":                          {"B=${SET:+y},${EMPTY:+y},${NO:+y}", []Entry{{"B", "y,,", 1}}},
		"question":                            {"B=${SET?m},${EMPTY?m}", []Entry{{"B", "env,", 1}}},
		"colon question":                      {"B=${SET:?m}", []Entry{{"B", "env", 1}}},
		"nested":                              {"B=${NO:-${NO-${SET}}y}z,${SET:+a${EMPTY:-b}$$c}", []Entry{{"B", "envyz,ab$c", 1}}},
		"operators inside a word":             {"B=${NO-:?x}${NO:-a-b+c}", []Entry{{"B", ":?xa-b+c", 1}}},
		"a word that is not used":             {"B=${SET:-${}}", []Entry{{"B", "env", 1}}},
		"braces inside a word":                {"B=${NO:-{}}\nC=${NO:-{}} x}\nD=${SET:-{{x}}}\nE=${NO:-{b}\nF=${SET}}", []Entry{{"B", "{}", 1}, {"C", "{}} x", 2}, {"D", "env}", 3}, {"E", "{b", 4}, {"F", "env}", 5}}},
		"names that fold to ASCII":            {"B=$ſ.$SET\u212a.${\u212a}", []Entry{{"B", "..", 1}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(test.file), testEnv)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("Parse(%q) = %+v, %v; want %+v", test.file, got, err, test.want)
			}
		})
	}
}

// A word that is in every file that cannot be read, and must be in no error.
const canary = "hunter2"

var broken = map[string]struct {
	file string
	line int
	err  error
}{
	"no name":                 {"A=1\n=hunter2", 2, errNoName},
	"no name after export":    {"export =hunter2", 1, errNoName},
	"export at the end":       {"A=hunter2\nexport", 2, errNoName},
	"export alone":            {"export\nA=hunter2", 1, errNoName},
	"blank in a name":         {"hunter2 A=1", 1, errName},
	"tab in a name":           {"hunter2\tA=1", 1, errName},
	"two names exported":      {"export A hunter2\n", 1, errName},
	"a sign in a name":        {"\n\nhunter2%=1", 3, errName},
	"a comment after a name":  {"hunter2 # c", 1, errName},
	"a slash in a name":       {"hunter2/=1", 1, errName},
	"a slash, as in a key":    {"A=hunter2\nhunter2/+=\n", 2, errName},
	"a name not UTF-8":        {"hunter2\xff=1", 1, errName},
	"UTF-16":                  {"\xff\xfeh\x00u\x00n\x00t\x00e\x00r\x002\x00", 1, errName},
	"open single quote":       {"\nA='hunter2\nB=1\n", 2, errUnclosed},
	"open double quote":       {"A=\"hunter2", 1, errUnclosed},
	"escaped closing quote":   {`A='hunter2\'`, 1, errUnclosed},
	"backslash at the end":    {`A="hunter2\`, 1, errUnclosed},
	"word after a quote":      {"A='x'hunter2", 1, errAfterQuote},
	"variable after a quote":  {"A='x' B=hunter2", 1, errAfterQuote},
	"doubled quote":           {"A='x''hunter2'", 1, errAfterQuote},
	"short octal":             {`A="\012hunter2"`, 1, errOctal},
	"octal at the end":        {`A="hunter2\0"`, 1, errOctal},
	"octal too great":         {`A="hunter2\0400"`, 1, errOctal},
	"octal with an eight":     {`A="hunter2\0180"`, 1, errOctal},
	"NUL":                     {"A=hunter2\x00", 1, errNUL},
	"NUL in quotes":           {"A='hunter2\x00'", 1, errNUL},
	"octal NUL":               {`A="hunter2\0000"`, 1, errNUL},
	"open brace":              {"A=hunter2${", 1, errSubst},
	"open brace with name":    {"A=hunter2}${SET", 1, errSubst},
	"open brace with word":    {"A=${SET:-hunter2", 1, errSubst},
	"no name in braces":       {"A=${}hunter2", 1, errSubst},
	"digit in braces":         {"A=${1}hunter2", 1, errSubst},
	"unknown operator":        {"A=${SET:hunter2}", 1, errSubst},
	"shell's other operators": {"A=${SET##hunter2}", 1, errSubst},
	"in a word that is used":  {"A=${NO:-${}hunter2}", 1, errSubst},
	"over lines":              {"A=\"${SET:-hunter2\n}\"", 1, errSubst},
	"comment in a word":       {"A=${NO:-hunter2 #}", 1, errSubst},
	"required, not set":       {"A=${NO?hunter2}", 1, errRequired},
	"required, empty":         {"B=hunter2\nA=${EMPTY:?$B}", 2, errRequired},
	"nested deeply":           {"A=" + strings.Repeat("${NO-", maxDepth+1) + "hunter2" + strings.Repeat("}", maxDepth+1), 1, errDeep},
}

func TestParseErrors(t *testing.T) {
	for name, test := range broken {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(test.file), testEnv)
			want := fmt.Sprintf("line %d: %v", test.line, test.err)
			if err == nil || err.Error() != want || got != nil {
				t.Errorf("Parse(%q) = %v, %v; want no entries, %s", test.file, got, err, want)
			}
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Errorf("Parse(%q) fails with a %T", test.file, err)
			}
		})
	}
}

func TestErrorsQuoteNothing(t *testing.T) {
	said := map[string]bool{}
	for name, test := range broken {
		_, err := Parse([]byte(test.file), testEnv)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
		said[test.err.Error()] = true
	}
	for _, err := range faults {
		if err != errExpanded && !said[err.Error()] {
			t.Errorf("no case leads to %q", err)
		}
	}
}

var faults = []error{errNoName, errName, errUnclosed, errAfterQuote, errOctal, errNUL, errSubst, errDeep, errRequired, errExpanded}

func TestParseLimits(t *testing.T) {
	nest := func(n int) string { return "A=" + strings.Repeat("${NO-", n) + "x" + strings.Repeat("}", n) }
	tests := map[string]struct {
		file string
		want error
	}{
		"all that fits":   {"A=" + strings.Repeat("x", MaxSize-2), nil},
		"one byte more":   {"A=" + strings.Repeat("x", MaxSize-1), ErrTooLarge},
		"values grow":     {"A=" + strings.Repeat("x", 1000) + "\nB=" + strings.Repeat("$A", 2000), errExpanded},
		"values add up":   {"A=" + strings.Repeat("x", MaxSize/4) + "\nB=$A$A\nC=$A$", errExpanded},
		"values do fit":   {"A=" + strings.Repeat("x", MaxSize/4) + "\nB=$A$A", nil},
		"environment too": {"BIG\nA=$BIG$BIG", errExpanded},
		"names alone":     {"BIG\nBIG\n", nil},
		"one more":        {"BIG\nBIG\nA=x", errExpanded},
		"deep as may be":  {nest(maxDepth), nil},
		"deeper":          {nest(maxDepth + 1), errDeep},
	}
	lookup := func(name string) (string, bool) { return strings.Repeat("y", MaxSize/2), name == "BIG" }
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.file), lookup)
			if (err == nil) != (test.want == nil) || err != nil && !strings.HasSuffix(err.Error(), test.want.Error()) {
				t.Errorf("Parse gives %v, want %v", err, test.want)
			}
		})
	}
}

func TestParseHoldsNoGreatValue(t *testing.T) {
	file := "A=" + strings.Repeat("x", MaxSize/4) + "\nB=" + strings.Repeat("$A", 4000) // 1 GiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse([]byte(file), nil)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; err == nil || allocated > 32*MaxSize {
		t.Errorf("Parse allocates %d bytes and gives %v", allocated, err)
	}
}

func TestParseWithoutLookup(t *testing.T) {
	got, err := Parse([]byte("SET\nB=$SET${SET-d}"), nil)
	if want := []Entry{{"B", "d", 2}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Parse gives %+v, %v; want %+v", got, err, want)
	}
}

func FuzzParse(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzParse")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lookups := 0
		lookup := func(name string) (string, bool) { lookups++; return testEnv(name) }
		start := time.Now()
		entries, err := Parse(data, lookup)
		if took := time.Since(start); took > 10*time.Second || lookups > len(data) {
			t.Errorf("Parse takes %v and %d lookups for %d bytes", took, lookups, len(data))
		}
		if err != nil {
			checkError(t, err, entries)
			return
		}
		line := 0
		for _, e := range entries {
			if e.Line <= line {
				t.Errorf("%q is at line %d, after line %d", e.Name, e.Line, line)
			}
			line = e.Line
			checkFormat(t, e.Name, e.Value)
		}
	})
}

// checkError fails unless err is made of nothing but a line and a known sentence.
func checkError(t *testing.T, err error, entries []Entry) {
	t.Helper()
	if entries != nil {
		t.Errorf("Parse gives entries with %v", err)
	}
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		known := slices.ContainsFunc(faults, func(f error) bool { return f.Error() == syntax.Msg })
		if !known || syntax.Line < 1 {
			t.Errorf("unknown error %v", err)
		}
	} else if err != ErrTooLarge {
		t.Errorf("Parse fails with a %T", err)
	}
}
