package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/shelltest"
)

// cycling is a loop that enters a project and leaves it as often as it is told,
// with the hook called as at prompts.
var cycling = map[string]string{
	"bash": `cycles() { local cycles_i; for ((cycles_i = 0; cycles_i < $1; cycles_i++)); do
  cd ~/app; _kz_hook; cd ~; _kz_hook
done; }`,
	// A change of directory calls the hook by itself.
	"zsh": `cycles() { local cycles_i; for ((cycles_i = 0; cycles_i < $1; cycles_i++)); do
  cd ~/app; _kz_hook; cd ~; _kz_hook
done }`,
	"fish": `function cycles; for i in (seq $argv[1]); cd ~/app; _kz_hook; cd ~; _kz_hook; end; end`,
}

const cycleFiles = `
-- app/ --
[secrets]
FILE = { provider = "dotenv", ref = "values#A", as = "file" }
B = "dotenv://values#B"
[env]
OUT = "kz ${B}"
C = "c"
D = "d"
-- app/values --
A=contents
B=b
`

// cycleCount is how many cycles a test has by default, and with KZ_LONG=1.
func cycleCount() int {
	if os.Getenv("KZ_LONG") == "1" {
		return 10_000
	}
	return 300
}

// However often one enters and leaves, the environment is the same byte for byte,
// the shell is no larger, and no file is left.
func TestTerminalCycles(t *testing.T) {
	const most = 2 << 10 // KiB
	inShells(t, allShells, func(t *testing.T, shell string) {
		shelltest.Need(t, "bash")
		d := sit(t, shell, seat{files: cycleFiles, env: []string{"OUT=outer\nvalue", "KZ_LOG=none"}, before: cycling[shell]})
		d.age("app", ".config", ".local")
		d.cycles(100) // what shells keep from the first times on
		env, files, size := d.plainEnv(), d.allFiles(), d.size()
		begun := time.Now()
		n := cycleCount()
		for left := n; left > 0; left -= 100 {
			d.cycles(min(left, 100))
		}
		took := time.Since(begun)
		grown := d.size() - size
		t.Logf("%s: %d cycles in %v, of %d KiB the shell grew by %d", shell, n, took.Round(time.Millisecond), size, grown)
		if size > 0 && grown > most {
			t.Errorf("after %d cycles the shell is %d KiB larger", n, grown)
		}
		if after := d.plainEnv(); after != env {
			t.Errorf("the environment was\n%q\nand is\n%q", env, after)
		}
		if after := d.allFiles(); !slices.Equal(after, files) {
			t.Errorf("the files were\n%q\nand are\n%q", files, after)
		}
		d.Run("cd app")
		d.has("OUT=kz b", "C=c")
		d.Run("cd ~")
		d.has("OUT=outer\nvalue", "C")
		d.alive()
	})
}

func (d *desk) cycles(n int) {
	d.t.Helper()
	d.expect("cycles "+strconv.Itoa(n), "")
}

// plainEnv is what a child of the shell sees, byte for byte, less the name of the
// child itself.
func (d *desk) plainEnv() string {
	d.t.Helper()
	var list []string
	for name, value := range d.Env() {
		list = append(list, fmt.Sprintf("%s=%s", name, value))
	}
	slices.Sort(list)
	return strings.Join(list, "\x00")
}

// allFiles lists what kz and projects have below home, less what tests keep.
func (d *desk) allFiles() []string {
	d.t.Helper()
	var list []string
	for _, dir := range []string{"run", ".local", ".config", "app"} {
		err := filepath.WalkDir(d.path(dir), func(path string, e os.DirEntry, err error) error {
			if err == nil && !strings.Contains(path, "/fish") {
				list = append(list, path)
			}
			return err
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
	return list
}

// size is what the shell has in memory, in KiB, or 0 where nobody knows.
func (d *desk) size() int {
	d.t.Helper()
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Pid()))
	_, rest, ok := strings.Cut(string(status), "VmRSS:")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}
