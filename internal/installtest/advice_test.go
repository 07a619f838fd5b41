package installtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// advice returns the lines that the user is to copy.
func advice(stdout string) []string {
	var lines []string
	for line := range strings.Lines(stdout) {
		if text, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimSuffix(text, "\n"))
		}
	}
	return lines
}

// evaluate runs a script in the user's shell, where PATH has no kz, and returns
// what it printed.
func (m *machine) evaluate(shell, script string) string {
	m.t.Helper()
	need(m.t, shell)
	cmd := exec.Command(shell, map[string]string{"zsh": "-fc", "bash": "-c", "fish": "-c"}[shell], script)
	cmd.Dir = m.home
	cmd.Env = []string{"HOME=" + m.home, "PATH=" + m.env["PATH"], "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return string(out)
}

// The printed lines do in the user's shell what they are for, from a path that
// is hard to quote.
func TestAdviceWorks(t *testing.T) {
	for _, shell := range []string{"zsh", "bash", "fish"} {
		t.Run(shell, func(t *testing.T) {
			inEachShell(t, func(t *testing.T, m *machine) {
				m.release()
				m.env["SHELL"] = "/usr/local/bin/" + shell
				r := m.install("--dir", m.home+`/back\slash`)
				m.want(r)
				lines := advice(r.stdout)
				if len(lines) != 2 {
					t.Fatalf("two lines of advice are not in:\n%s", r.stdout)
				}
				if got := m.evaluate(shell, lines[0]+"\nprintenv KZ_TEST"); got != shell+"\n" {
					t.Errorf("%s evaluates %s: the child reads %q", shell, lines[0], got)
				}
				if got := m.evaluate(shell, lines[1]+"\nkz --version"); got != "kz 2\n" {
					t.Errorf("%s evaluates %s: then kz is %q", shell, lines[1], got)
				}
			})
		})
	}
}

func TestAdvice(t *testing.T) {
	const bash = `eval "$(kz hook --shell bash)"`
	const zsh = `eval "$(kz hook --shell zsh)"`
	const fish = `kz hook --shell fish | source`
	tests := map[string]struct {
		shell, config string
		lines         []string
		file          string
	}{
		"bash":                 {"/bin/bash", "", []string{bash}, "~/.bashrc"},
		"zsh":                  {"/bin/zsh", "", []string{zsh}, "~/.zshrc"},
		"fish":                 {"/usr/bin/fish", "", []string{fish}, "~/.config/fish/config.fish"},
		"zsh kept elsewhere":   {"/bin/zsh", "/etc/me", []string{zsh}, "/etc/me/.zshrc"},
		"fish kept elsewhere":  {"/bin/fish", "/etc/me", []string{fish}, "/etc/me/fish/config.fish"},
		"a shell without hook": {"/bin/ksh", "", []string{bash, zsh, fish}, "~/.zshrc"},
		"no shell":             {"", "", []string{bash, zsh, fish}, "~/.bashrc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inEachShell(t, func(t *testing.T, m *machine) {
				m.release()
				m.env["SHELL"] = test.shell
				m.env["PATH"] = m.bin() + "/:" + m.env["PATH"]
				if test.config != "" {
					m.env["ZDOTDIR"], m.env["XDG_CONFIG_HOME"] = test.config, test.config
				}
				r := m.install()
				m.want(r)
				if got := advice(r.stdout); strings.Join(got, "\n") != strings.Join(test.lines, "\n") {
					t.Errorf("install.sh advises %q, want %q", got, test.lines)
				}
				if !strings.Contains(r.stdout, "\nadd to the end of "+test.file+":\n") {
					t.Errorf("%s is not named in:\n%s", test.file, r.stdout)
				}
			})
		})
	}
}

// Where another kz comes first on PATH, the word kz would not do.
func TestAdviceBesideAnotherKz(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *machine) {
		m.release()
		m.env["SHELL"] = "/bin/bash"
		other := filepath.Join(m.home, "other")
		m.write(filepath.Join(other, "kz"), program, 0o755)
		m.env["PATH"] = strings.Join([]string{other, m.bin(), m.env["PATH"]}, ":")
		r := m.install()
		m.want(r)
		if lines := advice(r.stdout); len(lines) != 2 || !strings.Contains(lines[0], ".local/bin/kz") {
			t.Errorf("the line names no path in:\n%s", r.stdout)
		}
	})
}
