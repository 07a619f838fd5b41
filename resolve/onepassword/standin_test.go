package onepassword

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/tooltest"
)

const canary = "kz-canary-71d3"

func TestMain(m *testing.M) {
	tooltest.Main(m, map[string]func([]string) int{"op": op, "holder": func([]string) int { time.Sleep(20 * time.Second); return 0 }})
}

// op stands in for 1Password's program, which cannot be had here: it was written from
// what is public of its commands, messages and templates. OP_DIR has its items, by
// reference in lower case, and OP_MODE what goes wrong.
func op(args []string) int {
	dir, mode := os.Getenv("OP_DIR"), os.Getenv("OP_MODE")
	tooltest.Record(dir, args)
	command := strings.Join(args[:min(2, len(args))], " ")
	if said, ok := refusals[mode]; ok && command != "account list" {
		fmt.Println(canary)
		return complain(said)
	}
	if name, ok := strings.CutPrefix(mode, "throttled once"); ok {
		if f, err := os.OpenFile(filepath.Join(dir, "throttled"+name), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_ = f.Close()
			return complain(refusals["throttled"])
		}
	}
	if mode == "signs out" {
		if strings.Count(read(dir, "calls"), "\n") > 1 {
			return complain(refusals["signed out"])
		}
	}
	status, goes := tooltest.Behave(mode, canary)
	if !goes {
		return status
	}
	defer func() {
		switch mode {
		case "hangs at the end":
			time.Sleep(time.Minute)
		case "chatters later":
			fmt.Print("\n" + canary)
		}
	}()
	if mode == "leaves a child" {
		child := exec.Command(os.Args[0])
		child.Env = []string{"KZ_TEST_STANDS_IN_FOR=holder"}
		child.Stdout = os.Stdout
		_ = child.Start()
	}
	switch command {
	case "account list":
		fmt.Print(read(dir, "accounts"))
	case "vault list":
		fmt.Print(`[{"id":"v1","name":"Dev"}]`)
	case "item list":
		fmt.Print(read(dir, "list"))
	case "item get", "item edit", "item create":
		return opItem(dir, args)
	default:
		return opValues(dir, mode, args)
	}
	return 0
}

var refusals = map[string]string{
	"signed out": "account is not signed in",
	"no account": "No accounts configured for use with 1Password CLI.",
	"expired":    "session expired, sign in to create a new session",
	"locked":     "error initializing client: connecting to desktop app: the app is locked",
	"dismissed":  "authorization prompt dismissed, please try again",
	"denied":     "(403) (Forbidden), You aren't authorized to perform this action.",
	"throttled":  "Too many requests. Your client has been rate-limited.",
	"offline":    `Get "https://my.1password.com": dial tcp: lookup my.1password.com: no such host`,
}

func complain(text string) int {
	fmt.Fprintf(os.Stderr, "[ERROR] 2026/08/01 10:00:00 %s %s\n", text, canary)
	return 1
}

func read(dir, name string) string {
	data, _ := os.ReadFile(filepath.Join(dir, name))
	return string(data)
}

var enclosed = regexp.MustCompile(`\{\{ (op://[^}]*) \}\}`)

func opValues(dir, mode string, args []string) int {
	var values map[string]string
	if err := json.Unmarshal([]byte(read(dir, "values")), &values); err != nil {
		return 98
	}
	say := func(ref string) (string, bool) {
		value, ok := values[strings.ToLower(ref)]
		return value, ok && !strings.HasPrefix(value, "!")
	}
	refused := func(ref string) int {
		if said := strings.TrimPrefix(values[strings.ToLower(ref)], "!"); said != "" {
			return complain(said)
		}
		return complain(fmt.Sprintf("could not read secret '%s': %q isn't an item in the \"Dev\" vault.", ref, strings.Split(ref, "/")[3]))
	}
	template, _ := io.ReadAll(os.Stdin)
	_ = os.WriteFile(filepath.Join(dir, "template"), template, 0o600)
	for _, m := range enclosed.FindAllStringSubmatch(string(template), -1) {
		if _, ok := say(m[1]); !ok {
			return refused(m[1])
		}
	}
	out := enclosed.ReplaceAllStringFunc(string(template), func(s string) string {
		value, _ := say(enclosed.FindStringSubmatch(s)[1])
		return value
	})
	if mode == "garbles" {
		out = strings.ReplaceAll(out, canary, canary+"\xff")
	}
	if mode == "swaps" {
		out = strings.Replace(out, " 1>", " 2>", 1)
	}
	fmt.Print(out)
	return 0
}

func opItem(dir string, args []string) int {
	switch args[1] {
	case "get":
		item := read(dir, "item")
		if item == "" {
			return complain(fmt.Sprintf("%q isn't an item. Specify the item with its UUID, name, or domain.", args[2]))
		}
		fmt.Print(item)
	default:
		data, _ := io.ReadAll(os.Stdin)
		_ = os.WriteFile(filepath.Join(dir, "written"), data, 0o600)
		fmt.Print(string(data)) // as op shows what it wrote
	}
	return 0
}
