package bitwarden

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/tooltest"
)

const (
	canary = "kz-canary-20c8"
	id1    = "11111111-1111-4111-8111-111111111111"
	id2    = "22222222-2222-4222-8222-222222222222"
	id3    = "33333333-3333-4333-8333-333333333333"
	proj1  = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	proj2  = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
)

func TestMain(m *testing.M) {
	tooltest.Main(m, map[string]func([]string) int{
		"bws": bws, "bw": bw, "rbw": rbw, "holder": func([]string) int { time.Sleep(20 * time.Second); return 0 },
	})
}

// The three stand in for the programs, which cannot be had here: they were written from
// what is public of their commands and messages. BW_DIR has what is stored, and BW_MODE
// says what goes wrong.

// begin does what all of them do first. It returns nil if the program ends with that.
func begin(args []string, refusals map[string]string) (dir string, end func(), status int, goes bool) {
	dir, mode := os.Getenv("BW_DIR"), os.Getenv("BW_MODE")
	tooltest.Record(dir, args)
	if said, ok := refusals[mode]; ok {
		fmt.Println(canary)
		return dir, nil, complain(said), false
	}
	if mode == "throttled once" {
		if f, err := os.OpenFile(filepath.Join(dir, "throttled"), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_ = f.Close()
			return dir, nil, complain("Too many requests"), false
		}
	}
	if said, ok := strings.CutPrefix(mode, "prints "); ok { // and succeeds
		fmt.Println(said)
		return dir, nil, 0, false
	}
	if mode == "leaves a child" {
		child := exec.Command(os.Args[0])
		child.Env = []string{"KZ_TEST_STANDS_IN_FOR=holder"}
		child.Stdout = os.Stdout
		_ = child.Start()
	}
	status, goes = tooltest.Behave(mode, canary)
	end = func() {
		if mode == "hangs at the end" {
			time.Sleep(time.Minute)
		}
	}
	return dir, end, status, goes
}

func complain(text string) int {
	fmt.Fprintln(os.Stderr, text, canary)
	return 1
}

func text(dir, name string) string {
	data, _ := os.ReadFile(filepath.Join(dir, name))
	return string(data)
}

var bwsRefusals = map[string]string{
	"signed out":  "Error: \n   0: Missing access token",
	"revoked":     `Error: Received error message from server: [400 Bad Request] {"error":"invalid_client"}`,
	"expired":     "Error: the access token has expired",
	"denied":      "Error: Received error message from server: [403 Forbidden]",
	"throttled":   "Error: Received error message from server: [429 Too Many Requests] Too many requests",
	"broken":      "Error: Received error message from server: [500 Internal Server Error]",
	"unreachable": "Error: error sending request for url (https://api.example.com/)",
	"unknown":     "Error: what is this",
}

func bws(args []string) int {
	dir, end, status, goes := begin(args, bwsRefusals)
	if !goes {
		return status
	}
	defer end()
	switch strings.Join(args[:2], " ") {
	case "project list":
		fmt.Print(text(dir, "projects"))
	case "secret list":
		if strings.HasPrefix(args[2], "--") {
			fmt.Print(text(dir, "secrets"))
		} else {
			fmt.Print(text(dir, "secrets-"+args[2]))
		}
	case "secret get":
		found := text(dir, "secret-"+args[2])
		if found == "" {
			return complain("Error: Received error message from server: [404 Not Found] Resource not found.")
		}
		fmt.Print(found)
	default:
		return 97
	}
	return 0
}

var bwRefusals = map[string]string{
	"signed out":  "You are not logged in.",
	"locked":      "Vault is locked.",
	"throttled":   "Too many requests",
	"unreachable": "FetchError: connect ECONNREFUSED 192.0.2.1:443",
	"unknown":     "Cannot read properties of undefined",
	"expired":     "Session key is invalid.",
	"denied":      "Request failed: 403 Forbidden",
	"broken":      "Request failed: 502 Bad Gateway",
}

func bw(args []string) int {
	dir, end, status, goes := begin(args, bwRefusals)
	if !goes {
		return status
	}
	defer end()
	switch args[0] {
	case "status":
		fmt.Print(text(dir, "status"))
	case "list":
		fmt.Print(text(dir, "items"))
	case "create", "edit":
		stdin, _ := io.ReadAll(os.Stdin)
		data, err := base64.StdEncoding.DecodeString(string(stdin))
		if err != nil || !json.Valid(data) {
			return complain("Error parsing the encoded request data.")
		}
		_ = os.WriteFile(filepath.Join(dir, "written"), data, 0o600)
		fmt.Print(string(data)) // as bw shows what it wrote
	default:
		return 97
	}
	return 0
}

var rbwRefusals = map[string]string{
	"signed out": "rbw get: failed to log in: please run `rbw login`",
	"locked":     "rbw get: agent is locked",
	"cancelled":  "rbw get: failed to unlock: failed to read password from pinentry: cancelled",
	"expired":    "rbw get: api request returned error: the token has expired",
	"denied":     "rbw get: api request returned error: 403 Forbidden",
	"broken":     "rbw get: api request returned error: 503 Service Unavailable",
	"throttled":  "rbw get: api request returned error: 429 Too Many Requests: too many requests",
}

func rbw(args []string) int {
	dir, end, status, goes := begin(args, rbwRefusals)
	if !goes {
		return status
	}
	defer end()
	switch args[0] {
	case "unlocked":
		if os.Getenv("BW_MODE") == "is locked" {
			return 1
		}
	case "list":
		fmt.Print(text(dir, "list"))
	case "get":
		name := args[3]
		if name == "forgotten" {
			return complain("rbw get: agent is locked")
		}
		if found := text(dir, "item-"+name); found != "" {
			fmt.Print(found)
			return 0
		}
		if name == "twin" {
			return complain("rbw get: couldn't find entry for 'twin': multiple entries found: a@twin, b@twin")
		}
		return complain("rbw get: couldn't find entry for '" + name + "': no entry found")
	default:
		return 97
	}
	return 0
}
