package installtest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// shells are the ways to run install.sh.
var shells = map[string][]string{
	"dash":    {"dash"},
	"bash":    {"bash"},
	"busybox": {"busybox", "sh"},
	"zsh":     {"zsh", "--emulate", "sh"},
}

// inEachShell runs test once a shell, in parallel.
func inEachShell(t *testing.T, test func(t *testing.T, m *machine)) {
	t.Helper()
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, shell[0])
			test(t, newMachine(t, shell))
		})
	}
}

// need skips the test where a program is missing, or fails it where
// KZ_NEED_SHELLS says that none may be. Homebrew has no busybox.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("KZ_NEED_SHELLS") != "" && !(program == "busybox" && runtime.GOOS == "darwin") {
		t.Fatalf("%s is not installed: run tools/need", program)
	}
	t.Skipf("%s is not installed", program)
}

// A machine is what one run of install.sh sees: a home, and the folder that the
// script lies in.
type machine struct {
	t      *testing.T
	shell  []string
	home   string
	source string
	env    map[string]string
}

// newMachine returns a machine whose every path is awkward.
func newMachine(t *testing.T, shell []string) *machine {
	t.Helper()
	root := t.TempDir()
	m := &machine{
		t: t, shell: shell,
		home:   filepath.Join(root, `it's "my" $HOME`),
		source: filepath.Join(root, "down loads: *"),
	}
	m.env = map[string]string{
		"HOME":   m.home,
		"PATH":   os.Getenv("PATH"),
		"TMPDIR": root,
		"LC_ALL": "C",
		// The build of a checkout shares the cache of the test's own build.
		"GOCACHE":           goCache(),
		"GOTOOLCHAIN":       "local",
		"GIT_CONFIG_GLOBAL": os.DevNull,
	}
	script, err := os.ReadFile("../../install.sh")
	if err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.source, "install.sh"), string(script), 0o755)
	// Otherwise the go command may still be counting when the home is removed.
	m.write(filepath.Join(m.home, ".config/go/telemetry/mode"), "off\n", 0o644)
	m.write(filepath.Join(m.home, "Library/Application Support/go/telemetry/mode"), "off\n", 0o644)
	return m
}

// goCache returns the go command's build cache.
var goCache = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(out))
})

func (m *machine) write(path, text string, mode fs.FileMode) {
	m.t.Helper()
	// No child may start meanwhile: it would hold the file open, and a program
	// that is open for writing cannot be run.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(path string) string {
	m.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(data)
}

// bin is where kz goes by default.
func (m *machine) bin() string { return filepath.Join(m.home, ".local/bin") }

// A result is how a program ended and what it said.
type result struct {
	status         int
	stdout, stderr string
}

// install runs install.sh.
func (m *machine) install(args ...string) result {
	m.t.Helper()
	script := filepath.Join(m.source, "install.sh")
	return m.run(m.command(append(append(m.shell[1:len(m.shell):len(m.shell)], script), args...)...))
}

// command returns a run of the machine's shell with these arguments.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(m.shell[0], args...)
	cmd.Dir = m.home
	for name, value := range m.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func (m *machine) run(cmd *exec.Cmd) result {
	m.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		m.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want fails the test unless r is a success without a word on stderr.
func (m *machine) want(r result) {
	m.t.Helper()
	if r.status != 0 || r.stderr != "" {
		m.t.Fatalf("install.sh: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	m.wantClean()
}

// wantRefusal fails the test unless r is one line on stderr with this in it.
func (m *machine) wantRefusal(r result, status int, message string) {
	m.t.Helper()
	if r.status != status || !strings.Contains(r.stderr, message) {
		m.t.Errorf("install.sh: status %d, want %d; stderr has no %q:\n%s", r.status, status, message, r.stderr)
	}
	if !strings.HasPrefix(r.stderr, "kz: install: ") || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
		m.t.Errorf("a refusal is one line with a prefix, not:\n%s%s", r.stdout, r.stderr)
	}
	m.wantClean()
}

// wantClean fails the test if anything but programs was left in the home, the
// source or the temporary directory.
func (m *machine) wantClean() {
	m.t.Helper()
	root := m.env["TMPDIR"]
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if strings.Contains(name, ".kz-install") || strings.Contains(name, "evil") {
			m.t.Errorf("install.sh left %s", strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
}

// archiveName is the name of a release for this system.
func archiveName(version string) string {
	return "kz_" + version + "_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
}

// release puts an archive of kz 2 and its checksum beside install.sh.
func (m *machine) release(members ...tar.Header) {
	m.t.Helper()
	if len(members) == 0 {
		members = []tar.Header{{Name: "kz"}, {Name: "kz-fetch"}, {Name: "LICENSE"}}
	}
	data := archive(m.t, program, members...)
	m.write(filepath.Join(m.source, archiveName("2")), data, 0o644)
	m.write(filepath.Join(m.source, "SHA256SUMS"), sumLine(data, archiveName("2")), 0o644)
}

func sumLine(data, name string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:]) + "  " + name + "\n"
}

// program is a stand-in for kz 2: its hook sets a variable.
const program = `#!/bin/sh
case $* in
--version) echo "kz 2" ;;
"hook --shell "*) echo "export KZ_TEST=$3" ;;
*) exit 2 ;;
esac
`

// archive returns a .tar.gz of members. Those that are regular files all hold
// this text.
func archive(t *testing.T, text string, members ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, h := range members {
		h.Typeflag = cmp.Or(h.Typeflag, tar.TypeReg)
		h.Mode = 0o644
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size == 0 {
			continue
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
