package azure

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
	_ resolve.Lister   = (*Provider)(nil)
)

// What the tests keep looking for where it must not be.
const (
	canary  = "kz-canary-11ab"
	token   = "x.eyJ1cG4iOiJhZGFAZXhhbXBsZS5jb20ifQ.kz-canary-token" // upn ada@example.com
	version = "0123456789abcdef0123456789abcdef"
)

// The programs that the tests write are not to be ones that others may write to, and the
// SDK must not find the developer's identity.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			_ = os.Unsetenv(name)
		}
	}
	home, err := os.MkdirTemp("", "kz-azure-")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("HOME", home)
	status := m.Run()
	_ = os.RemoveAll(home)
	os.Exit(status)
}

// A standIn answers for a vault and for Entra ID, written from the public API reference.
type standIn struct {
	*httptest.Server
	dir       string
	secrets   map[string]string // by name, or name/version
	resource  string            // of the challenge
	intercept func(w http.ResponseWriter, r *http.Request, n int) bool

	mu     sync.Mutex
	asked  int            // with a token
	tokens map[string]int // by path
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{secrets: map[string]string{}, resource: "https://vault.azure.net", tokens: map[string]int{}, dir: t.TempDir()}
	s.Server = httptest.NewUnstartedServer(s)
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(s.dir, "ca.pem"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	s.az(t, `printf '{"accessToken":"`+token+`","expires_on":4070908800}'`)
	return s
}

// az writes a stand-in of the Azure CLI, which notes how it was called.
func (s *standIn) az(t *testing.T, body string) {
	t.Helper()
	syscall.ForkLock.RLock() // else a child of another test holds it open for writing
	defer syscall.ForkLock.RUnlock()
	if err := os.MkdirAll(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$*\" >> '" + s.dir + "/calls'\n" + body + "\n"
	if err := os.WriteFile(filepath.Join(s.dir, "bin/az"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (s *standIn) calls() []string {
	data, _ := os.ReadFile(filepath.Join(s.dir, "calls"))
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
}

func (s *standIn) setup(more ...string) resolve.Setup {
	return resolve.Setup{
		Settings: map[string]string{"address": s.URL, "ca_file": filepath.Join(s.dir, "ca.pem"), "vault": "prod"},
		Env:      append([]string{"HOME=" + s.dir, "PATH=" + s.dir + "/bin:/usr/bin:/bin", "AZURE_AUTHORITY_HOST=" + s.URL}, more...),
	}
}

func (s *standIn) provider(t *testing.T) *Provider {
	t.Helper()
	return newProvider(t, s.setup())
}

func newProvider(t *testing.T, setup resolve.Setup) *Provider {
	t.Helper()
	p, err := New(setup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/oauth2/") || strings.Contains(r.URL.Path, "/.well-known/") || r.URL.Path == "/identity" {
		s.entra(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.windows.net/challenge-tenant", resource="`+s.resource+`"`)
		w.WriteHeader(401)
		return
	}
	s.mu.Lock()
	s.asked++
	n := s.asked
	s.mu.Unlock()
	if s.intercept == nil || !s.intercept(w, r, n) {
		s.vault(w, r, body)
	}
}

func (s *standIn) entra(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.tokens[r.URL.Path]++
	s.mu.Unlock()
	tenant := strings.Split(r.URL.Path, "/")[1]
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		fmt.Fprintf(w, `{"authorization_endpoint":"%[1]s/%[2]s/oauth2/v2.0/authorize","token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token","issuer":"%[1]s/%[2]s/v2.0"}`, s.URL, tenant)
	case tenant == "over":
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000222: %s","error_codes":[7000222]}`, canary)
	case tenant == "wrong":
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: %s","error_codes":[7000215]}`, canary)
	default:
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"expires_on":"4070908800","resource":"https://vault.azure.net","access_token":"%s"}`, token)
	}
}

func refuse(w http.ResponseWriter, status int, code, inner string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"%s","innererror":{"code":%q}}}`, code, canary, inner)
}

func (s *standIn) vault(w http.ResponseWriter, r *http.Request, body []byte) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/secrets"), "/")
	name := strings.TrimPrefix(path, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		var q struct{ Value string }
		_ = json.Unmarshal(body, &q)
		s.secrets[name] = q.Value
	}
	if name == "" {
		values := []any{}
		for name := range s.secrets {
			values = append(values, map[string]string{"id": s.URL + "/secrets/" + name})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"value": values})
		return
	}
	value, ok := s.secrets[name]
	if !ok {
		refuse(w, 404, "SecretNotFound", "")
		return
	}
	if !strings.Contains(name, "/") {
		name += "/" + version
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"value": value, "id": "https://prod.vault.azure.net/secrets/" + name})
}

func fetch(t *testing.T, p *Provider, paths ...string) []resolve.Result {
	t.Helper()
	return fetchWithin(t, p, 10*time.Second, paths...)
}

func fetchWithin(t *testing.T, p *Provider, limit time.Duration, paths ...string) []resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	refs := make([]resolve.Ref, len(paths))
	for i, path := range paths {
		refs[i].Path = path
	}
	results := p.Fetch(ctx, refs)
	for _, r := range results {
		check(t, r.Err)
	}
	return results
}

// check looks for what must not be in an error.
func check(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v", err, err)
	if e := new(resolve.Error); errors.As(err, &e) {
		text += e.Hint
	}
	if strings.Contains(text, "kz-canary") || strings.ContainsRune(text, '\n') {
		t.Errorf("the error tells too much: %q", text)
	}
}

// wants compares results with texts, of which those in <> are classes.
func wants(t *testing.T, results []resolve.Result, want ...string) {
	t.Helper()
	for i, r := range results {
		got := r.Secret.Reveal()
		if r.Err != nil {
			got = "<" + string(resolve.ClassOf(r.Err)) + ">"
		}
		if got != want[i] {
			t.Errorf("reference %d gives %.80q, want %.80q (%v)", i, got, want[i], r.Err)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"db": canary, "db/" + version: "old", "nul": "a\x00b", "empty": ""}
	wants(t, fetch(t, s.provider(t), "db", "prod/db", "PROD/db", "db/"+version, "prod/db/"+version, "https://prod.vault.azure.net/secrets/db",
		"https://prod.vault.azure.net/secrets/db/"+version, "absent", "nul", "empty"),
		canary, canary, canary, "old", "old", canary, "old", "<not_found>", "a\x00b", "")
	if s.asked != 5 {
		t.Errorf("%d requests for five items", s.asked)
	}
	want := []string{"account get-access-token --output json --resource https://vault.azure.net --tenant challenge-tenant"}
	if got := s.calls(); !slices.Equal(got, want) {
		t.Errorf("az is run with %q, want %q", got, want)
	}
}

// Fifty secrets are under way eight at a time, for one run of az.
func TestMany(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	var refs, want []string
	for i := range 50 {
		name := fmt.Sprintf("n%d", i)
		s.secrets[name] = "v" + name
		refs, want = append(refs, name, "prod/"+name), append(want, "v"+name, "v"+name)
	}
	var mu sync.Mutex
	now, most := 0, 0
	s.intercept = func(http.ResponseWriter, *http.Request, int) bool {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return false
	}
	wants(t, fetch(t, s.provider(t), refs...), want...)
	if s.asked != 50 || len(s.calls()) != 1 || most < 2 || most > parallel {
		t.Errorf("%d requests, %d at once, %d runs of az", s.asked, most, len(s.calls()))
	}
}

func TestNothingIsAsked(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	bad := []string{
		"", "/", "a/b/c", "prod/", "prod//", "prod/db/", "prod/db/x/y", "db/..", "prod/../db", "a b", "a\n", "a\x00", "é", "prod/a?b", "a%2fb", "-a", "other/db",
		"http://prod.vault.azure.net/secrets/db", "https://prod.vault.azure.net.evil.com/secrets/db", "https://evil.com/secrets/db",
		"https://u@prod.vault.azure.net/secrets/db", "https://prod.vault.azure.net:8443/secrets/db", "https://prod.vault.azure.net/secrets/db?x=1",
		"https://prod.vault.azure.net/keys/db", "https://a.prod.vault.azure.net/secrets/db", "https://prod.vault.azure.cn/secrets/db",
		"https://prod.vault.azure.net/secrets/db/%2e%2e",
	}
	for i, r := range fetch(t, s.provider(t), bad...) {
		if resolve.ClassOf(r.Err) != resolve.Malformed {
			t.Errorf("%q gives %v", bad[i], r.Err)
		}
	}
	if s.asked != 0 || len(s.calls()) != 0 {
		t.Errorf("%d requests, az run with %q", s.asked, s.calls())
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		vault, cloud, path string
		want               item
	}{
		{"", "", "v1/db", item{"v1", "db", ""}},
		{"", "", "v1/db/" + version, item{"v1", "db", version}},
		{"v2", "", "v1/db", item{"v1", "db", ""}},
		{"v2", "", "db", item{"v2", "db", ""}},
		{"v2", "", "db/" + version, item{"v2", "db", version}},
		{"", "china", "https://v1.vault.azure.cn/secrets/db", item{"v1", "db", ""}},
		{"", "government", "https://v1.vault.usgovcloudapi.net/secrets/db", item{"v1", "db", ""}},
		{"", "", "db", item{}},
		{"", "china", "https://v1.vault.azure.net/secrets/db", item{}},
	} {
		p := newProvider(t, resolve.Setup{Settings: map[string]string{"vault": c.vault, "cloud": c.cloud}})
		if got, err := p.parse(c.path); got != c.want || (err == nil) != (c.want != item{}) {
			t.Errorf("%q with vault %q gives %+v, %v", c.path, c.vault, got, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status      int
		code, inner string
		want        resolve.Class
		text        string
	}{
		{404, "SecretNotFound", "", resolve.NotFound, ""},
		{403, "Forbidden", "AccessDenied", resolve.Denied, ""},
		{403, "Forbidden", "SecretDisabled", resolve.Denied, "disabled"},
		{403, "Forbidden", "ForbiddenByFirewall", resolve.Denied, "firewall"},
		{400, "BadParameter", "", resolve.Malformed, ""},
		{409, "Conflict", "ObjectIsDeletedButRecoverable", resolve.Denied, "recovered"},
		{401, "Unauthorized", "", resolve.NotLoggedIn, "tenant"},
	} {
		t.Run(c.code+c.inner, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
				refuse(w, c.status, c.code, c.inner)
				return true
			}
			r := fetch(t, s.provider(t), "db")[0]
			if resolve.ClassOf(r.Err) != c.want || !strings.Contains(r.Err.Error(), c.text) || s.asked != 1 {
				t.Errorf("%d %s gives %v (%v) after %d requests", c.status, c.code, r.Err, resolve.ClassOf(r.Err), s.asked)
			}
		})
	}
}

func TestThrottled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status, times int
		after, want   string
		limit         time.Duration
		most          int
	}{
		"then answered":       {429, 2, "", "1", 5 * time.Second, 3},
		"then, after a while": {429, 1, "1", "1", 8 * time.Second, 2},
		"for a long while":    {429, 99, "60", "<throttled>", 5 * time.Second, 1},
		"to the end":          {429, 99, "", "<throttled>", 5 * time.Second, 3},
		"near the end":        {429, 99, "1", "<throttled>", 700 * time.Millisecond, 3},
		"failing, then ok":    {500, 1, "", "1", 5 * time.Second, 2},
		"failing":             {503, 99, "", "<unreachable>", 5 * time.Second, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.secrets["db"] = "1"
			s.intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
				if n <= c.times {
					w.Header().Set("Retry-After", c.after)
					refuse(w, c.status, "x", "")
				}
				return n <= c.times
			}
			wants(t, fetchWithin(t, s.provider(t), c.limit, "db"), c.want)
			if s.asked > c.most {
				t.Errorf("%d requests, want at most %d", s.asked, c.most)
			}
		})
	}
}

// Whatever a server does, Fetch returns at its deadline.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"value":"`+canary)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool { answer(w, r); return true }
			within(t, func(limit time.Duration) {
				wants(t, fetchWithin(t, s.provider(t), limit, "a", "b"), "<timeout>", "<timeout>")
			})
		})
	}
	t.Run("az", func(t *testing.T) {
		t.Parallel()
		s := newStandIn(t)
		s.az(t, "sleep 60")
		within(t, func(limit time.Duration) { wants(t, fetchWithin(t, s.provider(t), limit, "a"), "<timeout>") })
	})
	t.Run("no TLS", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		setup := newStandIn(t).setup()
		setup.Settings["address"] = "https://" + l.Addr().String()
		within(t, func(limit time.Duration) { wants(t, fetchWithin(t, newProvider(t, setup), limit, "a"), "<timeout>") })
	})
}

// within fails if ask goes on for long after the limit that it is given, three times of
// three: on a machine that others use it may do so once. 100 ms are for kz, and as much
// for az, which is asked to end before it is killed.
func within(t *testing.T, ask func(time.Duration)) {
	t.Helper()
	const limit = 700 * time.Millisecond
	var took time.Duration
	for range 3 {
		begin := time.Now()
		ask(limit)
		if took = time.Since(begin); took <= limit+200*time.Millisecond {
			return
		}
	}
	t.Errorf("took %v of %v", took, limit)
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	id := `"id":"https://prod.vault.azure.net/secrets/a/` + version + `"`
	megabyte := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct{ answer, want string }{
		"a megabyte":   {`{` + id + `,"value":"` + megabyte + `"}`, megabyte},
		"too much":     {`{` + id + `,"value":"` + strings.Repeat(megabyte, 5) + `"}`, "<malformed>"},
		"not UTF-8":    {`{` + id + `,"value":"` + canary + "\xff\"}", "<malformed>"},
		"another name": {`{"id":"https://prod.vault.azure.net/secrets/b/` + version + `","value":"` + canary + `"}`, "<malformed>"},
		"no name":      {`{"value":"` + canary + `"}`, "<malformed>"},
		"no value":     {`{` + id + `}`, "<malformed>"},
		"no JSON":      {`<html>` + canary, "<malformed>"},
		"of a number":  {`{` + id + `,"value":12}`, "<malformed>"},
		"nothing":      {``, "<malformed>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
				_, _ = io.WriteString(w, c.answer)
				return true
			}
			wants(t, fetch(t, s.provider(t), "a"), c.want)
		})
	}
	s := newStandIn(t)
	s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_, _ = io.WriteString(w, `{"value":"`+canary+`","id":"https://prod.vault.azure.net/secrets/a/`+strings.Repeat("b", 32)+`"}`)
		return true
	}
	wants(t, fetch(t, s.provider(t), "a/"+version), "<malformed>")
}

// Redirects and next pages lead nowhere else, and a token is for vaults alone.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 99)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 307, 308} {
		s := newStandIn(t)
		s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
			return true
		}
		wants(t, fetch(t, s.provider(t), "db"), "<unreachable>")
	}
	s := newStandIn(t)
	s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_, _ = io.WriteString(w, `{"value":[],"nextLink":"`+elsewhere.URL+`/secrets"}`)
		return true
	}
	if _, err := s.provider(t).List(context.Background()); resolve.ClassOf(err) != resolve.Unreachable {
		t.Errorf("a next page elsewhere gives %v", err)
	}
	if len(asked) > 0 {
		t.Errorf("asked elsewhere, with %q", <-asked)
	}
	s = newStandIn(t)
	s.secrets["db"] = canary
	s.resource = "https://management.azure.com"
	wants(t, fetch(t, s.provider(t), "db"), "<denied>")
	if len(s.calls()) > 0 || s.asked > 0 {
		t.Errorf("a token for another resource: %q", s.calls())
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	other, unknown, gone := s.setup(), s.setup(), newStandIn(t)
	other.Settings["address"] = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	delete(unknown.Settings, "ca_file")
	for name, setup := range map[string]resolve.Setup{"wrong name": other, "unknown authority": unknown} {
		r := fetch(t, newProvider(t, setup), "db")[0]
		if resolve.ClassOf(r.Err) != resolve.Unreachable || !strings.Contains(r.Err.Error(), "certificate") {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
	setup := gone.setup()
	gone.Close()
	wants(t, fetch(t, newProvider(t, setup), "db"), "<unreachable>")
}

func TestCLI(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   resolve.Class
		hint   string
	}{
		"not signed in":      {"echo \"ERROR: Please run 'az login' to setup account. " + canary + "\" >&2; exit 1", resolve.NotLoggedIn, "az login"},
		"session over":       {"echo 'ERROR: AADSTS70043: The refresh token has expired " + canary + "' >&2; exit 1", resolve.Expired, "az login"},
		"no network":         {"echo 'Failed to establish a new connection: " + canary + "' >&2; exit 1", resolve.Unreachable, ""},
		"nothing":            {"", resolve.Malformed, ""},
		"no token":           {"echo '{}'", resolve.Malformed, ""},
		"two answers":        {`echo '{"accessToken":"` + canary + `"}{"accessToken":"b"}'`, resolve.Malformed, ""},
		"token of two lines": {`printf '{"accessToken":"` + canary + `\\nX: y"}'`, resolve.Malformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.az(t, c.script)
			r := fetch(t, s.provider(t), "db")[0]
			e := &resolve.Error{}
			if !errors.As(r.Err, &e) || e.Class != c.want || e.Hint != c.hint || s.asked > 0 {
				t.Errorf("%v (%v), hint %q", e, e.Class, e.Hint)
			}
			standing, err := s.provider(t).Probe(context.Background())
			if check(t, err); resolve.ClassOf(err) != c.want || standing.Asked {
				t.Errorf("Probe gives %v", err)
			}
		})
	}
	s := newStandIn(t)
	setup := s.setup()
	setup.Avoid = []string{s.dir} // as a project that has an az of its own
	setup.Env = append(setup.Env, "PATH="+s.dir+"/bin")
	wants(t, fetch(t, newProvider(t, setup), "db"), "<no_tool>")
	setup = s.setup()
	setup.Settings["tenant"] = "example.com"
	s.az(t, "exit 1")
	if r := fetch(t, newProvider(t, setup), "db")[0]; r.Err.(*resolve.Error).Hint != "az login --tenant example.com" || !strings.HasSuffix(s.calls()[0], "--tenant example.com") {
		t.Errorf("with a tenant %v, az is run with %q", r.Err, s.calls())
	}
}

func TestServicePrincipal(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["db"] = canary
	principal := func(tenant string, more ...string) resolve.Setup {
		return s.setup(append([]string{"AZURE_TENANT_ID=" + tenant, "AZURE_CLIENT_ID=id"}, more...)...)
	}
	secret := "AZURE_CLIENT_SECRET=" + canary
	wants(t, fetch(t, newProvider(t, principal("good", secret)), "db"), canary)
	wants(t, fetch(t, newProvider(t, principal("wrong", secret)), "db"), "<not_logged_in>")
	wants(t, fetch(t, newProvider(t, principal("over", secret)), "db"), "<expired>")
	wants(t, fetch(t, newProvider(t, principal("", secret)), "db"), "<not_logged_in>")
	file := filepath.Join(s.dir, "jwt")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	workload := principal("good", "AZURE_FEDERATED_TOKEN_FILE="+file)
	wants(t, fetch(t, newProvider(t, workload), "db"), canary)
	standing, err := newProvider(t, workload).Probe(context.Background())
	if want := (resolve.Standing{Through: s.URL, As: "ada@example.com", Credential: "file " + file, Plain: true, Asked: true}); err != nil || standing != want {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
	wants(t, fetch(t, newProvider(t, principal("good", "AZURE_CLIENT_CERTIFICATE_PATH="+file)), "db"), "<not_logged_in>")
	if len(s.calls()) > 0 {
		t.Errorf("az is run with %q", s.calls())
	}
	narrowed := principal("good", secret)
	narrowed.Settings["auth"] = "cli"
	wants(t, fetch(t, newProvider(t, narrowed), "db"), canary)
	if len(s.calls()) != 1 {
		t.Error("auth does not narrow")
	}
}

// Where the machine is asked, the SDK reads from the environment of the process.
func TestManaged(t *testing.T) {
	s := newStandIn(t)
	s.secrets["db"] = canary
	t.Setenv("IDENTITY_ENDPOINT", s.URL+"/identity")
	t.Setenv("IDENTITY_HEADER", "h")
	setup := s.setup("IDENTITY_ENDPOINT="+s.URL+"/identity", "IDENTITY_HEADER=h")
	wants(t, fetch(t, newProvider(t, setup), "db"), canary)
	standing, err := newProvider(t, setup).Probe(context.Background())
	if err != nil || standing.Credential != "metadata service" || standing.Plain || len(s.calls()) > 0 {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := s.provider(t)
	put := func(ref, value string) error {
		err := p.Store(context.Background(), resolve.Ref{Path: ref}, resolve.NewSecret(value))
		check(t, err)
		return err
	}
	for _, value := range []string{canary, canary + "\n"} {
		if err := put("db", value); err != nil {
			t.Fatal(err)
		}
		wants(t, fetch(t, p, "db"), value)
	}
	before := s.asked
	for ref, value := range map[string]string{"db/" + version: canary, "db": canary + "\xff", "a b": canary} {
		if err := put(ref, value); resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if s.asked != before || strings.Contains(fmt.Sprint(s.calls()), canary) {
		t.Errorf("%d requests, az run with %q", s.asked-before, s.calls())
	}
	s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool { refuse(w, 403, "Forbidden", ""); return true }
	if err := put("db", canary); resolve.ClassOf(err) != resolve.Denied {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"b": canary, "a": canary}
	p := s.provider(t)
	got, err := p.List(context.Background())
	if want := []string{"prod/a", "prod/b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("List gives %q, %v", got, err)
	}
	wants(t, fetch(t, p, got...), canary, canary)
	s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_, _ = io.WriteString(w, `{"value":[{"id":"https://x/secrets/a"}],"nextLink":"`+s.URL+`/secrets?more"}`)
		return true
	}
	s.asked = 0
	if got, err = p.List(context.Background()); err != nil || s.asked != mostPages {
		t.Errorf("a list without end: %d names, %v, %d requests", len(got), err, s.asked)
	}
	if _, err := newProvider(t, resolve.Setup{}).List(context.Background()); resolve.ClassOf(err) != resolve.Malformed {
		t.Errorf("without a vault %v", err)
	}
}

func TestNewAndPresent(t *testing.T) {
	t.Parallel()
	for _, settings := range []map[string]string{{"address": "http://example.com", "vault": "v"}, {"address": "https://x"}, {"tenant": "-x"}, {"tenant": "a b"}} {
		if _, err := New(resolve.Setup{Settings: settings}); resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("%v gives %v", settings, err)
		}
	}
	s := newStandIn(t)
	if got := Present(s.setup()); got != "az at "+s.dir+"/bin/az" {
		t.Errorf("%q", got)
	}
	if got := Present(s.setup("AZURE_CLIENT_SECRET=" + canary)); got != "environment AZURE_CLIENT_SECRET" {
		t.Errorf("%q", got)
	}
	if got := Present(resolve.Setup{Env: []string{"PATH=/nonexistent"}}); got != "" || len(s.calls()) > 0 {
		t.Errorf("%q; az is run with %q", got, s.calls())
	}
}
