// Package stores measures how long kz takes for secrets of remote stores: one, many
// of one store, and many of five stores, which all answer after the same delay.
package stores

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const delay = 50 * time.Millisecond

// A Project is what is measured: a configuration, with what the runs took.
type Project struct {
	Name     string
	Requests int64 // that the servers saw in the last run
	Took     []time.Duration

	config string // "" for kz-fetch alone, which is asked for nothing
}

// Measure has the program at kz, beside which kz-fetch lies, resolve each project anew, so
// many times, by turns.
func Measure(kz string, rounds int) ([]Project, error) {
	home, err := os.MkdirTemp("", "bench-stores-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	s, err := start(home, delay)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return nil, err
	}
	b := &bench{kz: kz, home: home, servers: s}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	for range rounds {
		for i := range b.projects {
			if err := b.run(i); err != nil {
				return nil, err
			}
		}
	}
	return b.projects, nil
}

type bench struct {
	kz, home string
	servers  *servers
	projects []Project
}

// nothing is a request for no store.
const nothing = `{"protocol":"kz.provider/1","op":"fetch","deadline_unix_ms":99999999999999,"providers":[]}`

var refs = map[string]func(i int) string{
	"aws":       func(i int) string { return fmt.Sprintf("sm://app/s%d", i) },
	"hashicorp": func(i int) string { return fmt.Sprintf("hashicorp://secret/app%d#s%d", i/2, i) },
	"gcp":       func(i int) string { return fmt.Sprintf("gcp://projects/p/secrets/s%d", i) },
	"doppler":   func(i int) string { return fmt.Sprintf("doppler://web/dev/S%d", i) },
	"infisical": func(i int) string { return fmt.Sprintf("infisical://p/dev/S%d", i) },
}

// secrets returns a configuration with n secrets of a store.
func secrets(store string, n int) string {
	text := "[secrets]\n"
	for i := range n {
		text += fmt.Sprintf("%s_%d = %q\n", strings.ToUpper(store), i, refs[store](i))
	}
	return text
}

// prepare writes the user's configuration and a project for each measurement.
func (b *bench) prepare() error {
	b.projects = []Project{
		{Name: "1 secret of doppler", config: secrets("doppler", 1)},
		{Name: "1 secret of gcp", config: secrets("gcp", 1)},
		{Name: "1 secret of aws", config: secrets("aws", 1)},
		{Name: "100 secrets of aws", config: secrets("aws", 100)},
		{Name: "30 secrets of 5 stores", config: "[secrets]\n"},
		{Name: "none, kz alone", config: "[env]\nA = \"1\"\n"},
		{Name: "none, kz-fetch alone"},
	}
	for _, store := range slices.Sorted(maps.Keys(refs)) {
		b.projects[4].config += strings.TrimPrefix(secrets(store, 6), "[secrets]\n")
	}
	var user strings.Builder
	for store, address := range b.servers.addr {
		fmt.Fprintf(&user, "[providers.%s]\ntype = %q\naddress = %q\nca_file = %q\n", store, store, address, b.servers.ca)
	}
	fmt.Fprintf(&user, "[trust]\nprefixes = [%q]\n", b.home)
	if err := write(filepath.Join(b.home, ".config/keyzero/config.toml"), user.String()); err != nil {
		return err
	}
	for i, p := range b.projects {
		if err := write(filepath.Join(b.home, fmt.Sprint(i), ".keyzero.toml"), p.config); err != nil {
			return err
		}
	}
	return nil
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// run has kz resolve a project once, and notes how long that took.
func (b *bench) run(index int) error {
	p := &b.projects[index]
	cmd := exec.Command(b.kz, "run", "--", "true")
	if p.config == "" {
		cmd = exec.Command(filepath.Join(filepath.Dir(b.kz), "kz-fetch"))
		cmd.Stdin = strings.NewReader(nothing)
	}
	cmd.Dir = filepath.Join(b.home, fmt.Sprint(index))
	cmd.Env = []string{
		"HOME=" + b.home, "XDG_RUNTIME_DIR=" + b.home, "PATH=/usr/bin:/bin",
		"AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true",
		"VAULT_TOKEN=t", "DOPPLER_TOKEN=dp.st.x", "INFISICAL_TOKEN=st.x.y.z", "GOOGLE_APPLICATION_CREDENTIALS=" + filepath.Join(b.home, "adc.json"),
	}
	before, begin := b.servers.requests.Load(), time.Now()
	out, err := cmd.CombinedOutput()
	p.Took = append(p.Took, time.Since(begin))
	p.Requests = b.servers.requests.Load() - before
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", p.Name, err, out)
	}
	return nil
}

// Table returns what was measured in Markdown.
func Table(projects []Project) string {
	one := median(projects[0].Took)
	text := fmt.Sprintf("Servers of five stores on this machine, over TLS, that answer after %v; `kz run -- true`, which always asks anew;\n"+
		"medians of %d, by turns. gcp asks for a token first, which is a call of its own.\n\n", delay, len(projects[0].Took))
	text += "| | requests | median ms | times the first | times a call of 50 ms |\n| --- | --- | --- | --- | --- |\n"
	for _, p := range projects {
		m := median(p.Took)
		text += fmt.Sprintf("| %s | %d | %.1f | %.2f | %.2f |\n", p.Name, p.Requests, float64(m.Microseconds())/1000, float64(m)/float64(one), float64(m)/float64(delay))
	}
	return text
}

// Targets says whether many secrets take little longer than one.
func Targets(projects []Project) string {
	took := map[string]time.Duration{}
	for _, p := range projects {
		took[p.Name] = median(p.Took)
	}
	text := "| target | measured | met |\n| --- | --- | --- |\n"
	for _, t := range []struct {
		many, one string
		most      float64
	}{{"30 secrets of 5 stores", "1 secret of doppler", 2.5}, {"30 secrets of 5 stores", "1 secret of gcp", 2.5}, {"100 secrets of aws", "1 secret of aws", 3}} {
		ratio, met := float64(took[t.many])/float64(took[t.one]), "yes"
		if ratio > t.most {
			met = "**no**"
		}
		text += fmt.Sprintf("| %s at most %v times %s | %.2f | %s |\n", t.many, t.most, t.one, ratio, met)
	}
	return text
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
