package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/protocol"
	"github.com/getkeyzero/kz/resolve"
)

// mark is in all that must stay hidden, and in nothing else on this machine.
var mark = "kzmark" + rand.Text()

// What is hidden: what stores answer, what signs in to them, and what they are given to keep.
var (
	canary = "answer-" + mark
	stored = "stored-" + mark
	tokens = map[string]string{ // by what is signed in to
		"1password": "op-" + mark, "doppler": "dp.st." + mark, "infisical": "st." + mark, "hashicorp": "hvs." + mark,
		"azure": "az-" + mark, "session of aws": "session-" + mark, "refresh of gcp": "1//" + mark, "access of gcp": "ya29." + mark,
		"secret of universal": "universal-" + mark, "access of universal": "made-" + mark,
		"secret of approle": "secret-id-" + mark, "access of approle": "hvs.made-" + mark,
	}
	neverSent = "aws-key-" + mark // which signs
)

// A store is one of the configuration, with a reference to a secret of it.
type store struct{ typ, ref, settings string }

var all = map[string]store{
	"onepassword": {"1password", "onepassword://dev/db/password", ""},
	"aws":         {"aws", "aws://db", ""},
	"parameters":  {"aws", "parameters://ssm:///db", ""},
	"azure":       {"azure", "azure://prod/db", "vault = 'prod'"},
	"doppler":     {"doppler", "doppler://web/dev/DB", ""},
	"gcp":         {"gcp", "gcp://projects/p/secrets/db", "project = 'p'"},
	"hashicorp":   {"hashicorp", "hashicorp://secret/db#password", ""},
	"approle":     {"hashicorp", "approle://secret/db#password", "auth = 'approle'\nrole_id = 'r'\nsecret_id_file = '~/secret-id'"},
	"infisical":   {"infisical", "infisical://p/dev/DB", "project = 'p'\nenvironment = 'dev'"},
	"universal":   {"infisical", "universal://p/dev/DB", "auth = 'universal'\nidentity = 'i'\nclient_secret_file = '~/client-secret'"},
}

// A talker answers for all stores, and tells in every answer what must not be shown.
type talker struct {
	*httptest.Server
	answer  func(w http.ResponseWriter, r *http.Request)
	signsIn bool // those who want a token get one

	mu   sync.Mutex
	seen bytes.Buffer // all that was sent
}

func (s *talker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	fmt.Fprintln(&s.seen, r.Header, string(body))
	s.mu.Unlock()
	for _, name := range []string{"Content-Language", "Retry-After", "Set-Cookie", "X-Amzn-Errortype", "X-Amzn-Requestid", "X-Ms-Request-Id", "X-Vault-Error"} {
		w.Header().Set(name, canary)
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://login.example/%s", resource="https://vault.azure.net"`, canary))
	w.Header().Set("Content-Type", "application/json")
	switch path := r.URL.Path; {
	case s.signsIn && path == "/token":
		reply(w, 200, map[string]any{"access_token": tokens["access of gcp"], "token_type": "Bearer", "expires_in": 3600})
	case s.signsIn && path == "/v1/auth/approle/login":
		reply(w, 200, map[string]any{"auth": map[string]any{"client_token": tokens["access of approle"]}})
	case s.signsIn && path == "/api/v1/auth/universal-auth/login":
		reply(w, 200, map[string]any{"accessToken": tokens["access of universal"], "tokenType": "Bearer", "expiresIn": 3600})
	case strings.HasPrefix(path, "/secrets") && r.Header.Get("Authorization") == "": // by which azure begins
		w.WriteHeader(http.StatusUnauthorized)
	default:
		s.answer(w, r)
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with the words of a refusal in the forms that stores have for them.
func refuse(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		said := map[string]any{
			"__type": canary, "message": canary, "Message": canary, "error": canary, "error_description": canary,
			"errors": []string{canary}, "messages": []string{canary}, "warnings": []string{canary},
		}
		if strings.HasPrefix(r.URL.Path, "/v1/projects/") || strings.HasPrefix(r.URL.Path, "/secrets") { // gcp, azure
			said["error"] = map[string]any{"code": canary, "status": canary, "message": canary, "details": []any{map[string]string{"reason": canary}}}
		}
		reply(w, status, said)
	}
}

// answers are the ways to tell.
func answers(elsewhere string) map[string]http.HandlerFunc {
	table := map[string]http.HandlerFunc{
		"half of an answer": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"data":{"value":"%s`, canary) },
		"of no form": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 200, map[string]any{"data": canary, "secrets": canary, "payload": canary, "SecretValues": canary, "Parameters": canary, canary: canary})
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+"/"+canary, http.StatusFound)
		},
	}
	for _, status := range []int{401, 403, 404, 429, 500} {
		table[fmt.Sprint("status ", status)] = refuse(status)
	}
	return table
}

// A machine is a home with a project, whose stores are all the talker.
type machine struct {
	*talker
	home, kz string
	env      []string
}

func newMachine(t *testing.T, answer http.HandlerFunc, signsIn bool) *machine {
	t.Helper()
	s := &talker{answer: answer, signsIn: signsIn}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	m := &machine{talker: s, home: t.TempDir(), kz: programs(t)}
	m.put(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	m.put(t, "secret-id", tokens["secret of approle"])
	m.put(t, "client-secret", tokens["secret of universal"])
	m.put(t, "adc.json", fmt.Sprintf(`{"type":"authorized_user","client_id":"c","client_secret":%q,"refresh_token":%q,"token_uri":%q}`,
		mark, tokens["refresh of gcp"], s.URL+"/token"))
	m.put(t, "bin/az", fmt.Sprintf("#!/bin/sh\necho '{\"accessToken\":\"%s\"}'\n", tokens["azure"]))
	m.put(t, ".config/keyzero/config.toml", m.user())
	m.put(t, "app/.keyzero.toml", project())
	m.env = []string{
		"HOME=" + m.home, "XDG_RUNTIME_DIR=" + m.home, "PATH=" + m.home + "/bin:/usr/bin:/bin", "PWD=" + m.home + "/app", "KZ_LOG=debug",
		"AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=" + neverSent, "AWS_SESSION_TOKEN=" + tokens["session of aws"],
		"AWS_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true", "GOOGLE_APPLICATION_CREDENTIALS=" + m.home + "/adc.json",
		"VAULT_TOKEN=" + tokens["hashicorp"], "DOPPLER_TOKEN=" + tokens["doppler"], "INFISICAL_TOKEN=" + tokens["infisical"],
		"OP_CONNECT_TOKEN=" + tokens["1password"],
	}
	return m
}

func (m *machine) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) user() string {
	var text strings.Builder
	for name, s := range all {
		fmt.Fprintf(&text, "[providers.%s]\ntype = %q\naddress = %q\nca_file = '~/ca.pem'\n%s\n", name, s.typ, m.URL, s.settings)
	}
	fmt.Fprintf(&text, "[trust]\nprefixes = [%q]\n", m.home)
	return text.String()
}

func variable(name string) string { return "DB_" + strings.ToUpper(name) }

func project() string {
	text := "[secrets]\n"
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text += fmt.Sprintf("%s = %q\n", variable(name), all[name].ref)
	}
	return text
}

// run has a program do something, which it does not manage, and returns all that it wrote.
func (m *machine) run(t *testing.T, stdin []byte, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = filepath.Join(m.home, "app"), m.env, bytes.NewReader(stdin)
	out, _ := cmd.CombinedOutput()
	if line := strings.Join(args, " "); strings.Contains(string(out), mark) {
		t.Errorf("%s %s shows what it must not:\n%s", filepath.Base(program), line, out)
	}
	return string(out)
}

// Whatever a store answers, and by whatever one signs in to it, nothing of that is seen
// in what kz and kz-fetch write, or in how the programs are called.
func TestNothingLeaks(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect is followed") }))
	defer elsewhere.Close()
	watched := watchProcesses(t)
	t.Run("answers", func(t *testing.T) {
		for name, answer := range answers(elsewhere.URL) {
			for _, signsIn := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, signed in %v", name, signsIn), func(t *testing.T) {
					t.Parallel()
					newMachine(t, answer, signsIn).testAll(t)
				})
			}
		}
	})
	watched(programs(t))
}

func (m *machine) testAll(t *testing.T) {
	out := m.run(t, nil, m.kz, "run", "--", "true")
	for name := range all {
		if !strings.Contains(out, variable(name)+": ") {
			t.Fatalf("kz run says nothing of %s:\n%s", name, out)
		}
	}
	m.ask(t, protocol.Fetch)
	if m.signsIn { // else the rest differs in nothing
		m.testMore(t)
	}
	m.testSent(t)
}

func (m *machine) testMore(t *testing.T) {
	if out := m.run(t, nil, m.kz, "hook-env", "--shell", "bash"); !strings.Contains(out, "kz: debug: ") {
		t.Errorf("the hook says\n%s", out)
	}
	m.run(t, nil, m.kz, "doctor")
	m.run(t, nil, m.kz, "status", "--probe")
	var wg sync.WaitGroup
	for name := range all {
		wg.Go(func() { m.run(t, []byte(stored), m.kz, "put", variable(name)) })
	}
	wg.Wait()
	for _, op := range []string{protocol.Probe, protocol.List, protocol.Store} {
		m.ask(t, op)
	}
}

// ask has kz-fetch do what kz would have it do.
func (m *machine) ask(t *testing.T, op string) {
	t.Helper()
	if out := m.run(t, m.request(t, op), m.kz+"-fetch"); !strings.Contains(out, `"error":{`) {
		t.Errorf("kz-fetch answers to %s\n%s", op, out)
	}
}

// request is what kz would say to kz-fetch.
func (m *machine) request(t *testing.T, op string) []byte {
	t.Helper()
	q := protocol.Request{Protocol: protocol.Version, Op: op, Deadline: time.Now().Add(5 * time.Second).UnixMilli()}
	for name, s := range all {
		p := protocol.Provider{Name: name, Type: s.typ, Settings: map[string]string{"address": m.URL, "ca_file": m.home + "/ca.pem"}}
		for line := range strings.Lines(s.settings) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			p.Settings[key] = strings.Replace(strings.Trim(value, "'"), "~", m.home, 1)
		}
		if op == protocol.Fetch || op == protocol.Store {
			p.Refs = []protocol.Ref{{Ref: strings.TrimPrefix(s.ref, name+"://"), Dir: m.home + "/app"}}
		}
		if op == protocol.Store {
			p.Value = protocol.NewValue(resolve.NewSecret(stored))
		}
		q.Providers = append(q.Providers, p)
	}
	data, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testSent looks whether what is hidden was there at all.
func (m *machine) testSent(t *testing.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for of, token := range tokens {
		sent := strings.Contains(m.seen.String(), token)
		if !sent && (m.signsIn || !strings.HasPrefix(of, "access")) && !strings.HasPrefix(of, "refresh") {
			t.Errorf("%s was not signed in to", of)
		}
	}
	if m.signsIn != strings.Contains(m.seen.String(), stored) {
		t.Errorf("what was to be stored was sent: %v", !m.signsIn)
	}
	if strings.Contains(m.seen.String(), neverSent) {
		t.Error("the secret key of AWS was sent")
	}
}

// watchProcesses looks at how all processes of the machine are called, until what it
// returns is called, with a program that must have been among them.
func watchProcesses(t *testing.T) func(program string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return func(string) {}
	}
	seen := map[string]bool{}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.Tick(25 * time.Millisecond); ; <-tick {
			files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, file := range files {
				line, _ := os.ReadFile(file)
				seen[string(line)] = true
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	return func(program string) {
		close(done)
		<-ended
		called := 0
		for line := range seen {
			if strings.Contains(line, mark) {
				t.Errorf("a program is called as %q", line)
			}
			if strings.HasPrefix(line, program) {
				called++
			}
		}
		if called < 3 || !seen[program+"-fetch\x00"] {
			t.Errorf("%d calls of kz were seen, and of kz-fetch: %v", called, seen[program+"-fetch\x00"])
		}
	}
}
