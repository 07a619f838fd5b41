package main

import (
	"encoding/json"
	goversion "go/version"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/getkeyzero/kz/"

// dependencies returns the packages that kz is made of, with what each imports.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		imports[p.ImportPath] = p.Imports
	}
	if len(imports[module+"cmd/kzhook"]) == 0 {
		t.Fatal("go list names no imports of kz: this test would pass whatever they are")
	}
	return imports
}

// What runs at prompts links nothing that a prompt does not need: the
// initialization of a package costs time even if it is never called.
func TestPromptLinksNoNetworkCode(t *testing.T) {
	banned := []string{"net/http", "crypto/tls", "google.golang.org/", "github.com/aws/", "github.com/Azure/", "github.com/getsops/", "filippo.io/age"}
	for name := range dependencies(t) {
		for _, b := range banned {
			if name == strings.TrimSuffix(b, "/") || strings.HasPrefix(name, b) {
				t.Errorf("kz links %s", name)
			}
		}
	}
}

// Data flows from cmd down. The packages that face the outside do not know each
// other, and those that hold plain data know nothing.
func TestPackagesDependDownwards(t *testing.T) {
	allowed := map[string][]string{
		"environ": {},
		"trust":   {},
		"resolve": {},
		"seal":    {},
		"clock":   {},
		"dotenv":  {},
		"watch":   {},
		"config":  {},
		"session": {"clock", "environ", "seal"},

		"seal/holder":          {"clock", "resolve", "resolve/keychain", "seal"},
		"resolve/cache":        {"clock", "seal", "seal/holder"},
		"internal/projectfile": {"resolve"},
		"internal/tool":        {"resolve"},
		"protocol":             {"resolve"},

		"shell":             {"environ"},
		"delivery":          {"resolve"},
		"project":           {"config", "environ", "resolve", "trust", "watch"},
		"vault":             {"clock", "resolve", "seal", "seal/holder"},
		"resolve/remote":    {"protocol"},
		"resolve/vaultfile": {"seal", "seal/holder", "vault"},
	}
	for name, imports := range dependencies(t) {
		own, ours := strings.CutPrefix(name, module)
		if !ours || own == "cmd/kzhook" {
			continue
		}
		for _, i := range imports {
			used, ours := strings.CutPrefix(i, module)
			if !ours {
				continue
			}
			leaf := strings.HasPrefix(used, "internal/")
			store := strings.HasPrefix(own, "resolve/") && slices.Contains([]string{"resolve", "dotenv"}, used)
			inside := strings.HasPrefix(own, "internal/") && leaf
			if !leaf && !store && !inside && !slices.Contains(allowed[own], used) {
				t.Errorf("%s imports %s", own, used)
			}
		}
	}
}

// kz is built by no release of Go whose faults would be kz's own. It leaves it to
// os.Root that a project's references stay within the project's directory, and
// before go1.26.5 a link with a slash after its name led out (CVE-2026-39822).
func TestGoIsMended(t *testing.T) {
	const least = "go1.26.8" // with which all tests have run, and not only that one
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(text)
	if m == nil || !goversion.IsValid("go"+string(m[1])) {
		t.Fatalf("go.mod names no release of Go:\n%s", text)
	}
	if wanted := "go" + string(m[1]); goversion.Compare(wanted, least) < 0 {
		t.Errorf("go.mod is content with %s, want %s at least", wanted, least)
	}
}
