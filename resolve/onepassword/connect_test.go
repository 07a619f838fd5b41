package onepassword

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	vaultID = "abcdefghijklmnopqrstuvwxy1"
	itemID  = "abcdefghijklmnopqrstuvwxy2"
)

// A server stands in for a Connect server: it was written from the public reference of
// that API.
type server struct {
	*httptest.Server
	ca string

	mu       sync.Mutex
	requests []string
	bodies   []string
	tokens   []string
	answer   http.HandlerFunc // comes first if not nil, and may be once only
}

const connectItem = `{"id":"` + itemID + `","title":"DB","category":"LOGIN","vault":{"id":"` + vaultID + `"},"sections":[{"id":"s1","label":"Admin"}],"fields":[
{"id":"username","type":"STRING","purpose":"USERNAME","label":"username","value":"me"},
{"id":"password","type":"CONCEALED","purpose":"PASSWORD","label":"password","value":"` + canary + `"},
{"id":"f1","type":"CONCEALED","label":"Token","section":{"id":"s1"},"value":"in admin"},
{"id":"f2","type":"CONCEALED","label":"twin","section":{"id":"s1"},"value":"1"},
{"id":"f3","type":"CONCEALED","label":"twin","section":{"id":"s2"},"value":"2"},
{"id":"f4","type":"STRING","label":"empty"},
{"id":"f7","label":"both","section":{"id":"s1"},"value":"inside"},{"id":"f8","label":"both","section":{"id":"add more"},"value":"outside"},
{"id":"f6/~","type":"STRING","label":"slashed","value":"x"},
{"id":"f5","type":"OTP","label":"one-time password","value":"otpauth://x","totp":"123456"},
{"id":"big","label":"big","value":"` + "BIG" + `"},{"id":"nul","label":"nul","value":"a\u0000b"}]}`

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.ca, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	filter := r.URL.Query().Get("filter")
	s.mu.Lock()
	s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+filter))
	s.bodies = append(s.bodies, string(body))
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	s.serve(w, r, filter)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, filter string) {
	const vault = `{"id":"` + vaultID + `","name":"Dev"}`
	items := map[string]string{
		"db":   `{"id":"` + itemID + `","title":"DB","category":"LOGIN"}`,
		"twin": `{"id":"t1","title":"Twin","category":"LOGIN"},{"id":"t2","title":"twin","category":"LOGIN"}`,
		"odd":  `{"id":"` + itemID + `","title":"another","category":"LOGIN"}`,
		"swap": `{"id":"swapped","title":"swap","category":"LOGIN"}`,
	}
	title := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(filter, `title eq "`), `"`))
	switch path := r.URL.Path; {
	case r.Header.Get("Authorization") != "Bearer "+canary+"-token":
		http.Error(w, `{"status":401,"message":"Invalid bearer token `+canary+`"}`, http.StatusUnauthorized)
	case path == "/v1/vaults" && (filter == "" || title == "dev"):
		fmt.Fprint(w, "["+vault+"]")
	case path == "/v1/vaults":
		fmt.Fprint(w, "[]")
	case path == "/v1/vaults/"+vaultID:
		fmt.Fprint(w, vault)
	case path == "/v1/vaults/"+vaultID+"/items" && r.Method == http.MethodPost:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "{}")
	case path == "/v1/vaults/"+vaultID+"/items" && filter == "":
		fmt.Fprint(w, listed)
	case path == "/v1/vaults/"+vaultID+"/items":
		fmt.Fprint(w, "["+items[title]+"]")
	case path == "/v1/vaults/"+vaultID+"/items/"+itemID || strings.HasSuffix(path, "/swapped"):
		fmt.Fprint(w, strings.Replace(connectItem, "BIG", strings.Repeat("long", 1<<18), 1))
	default:
		http.Error(w, `{"status":404,"message":"`+canary+`"}`, http.StatusNotFound)
	}
}

func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *server) provider(t *testing.T, address string) *Provider {
	t.Helper()
	p, err := New(resolve.Setup{
		Settings: map[string]string{"ca_file": s.ca},
		Env:      []string{"OP_CONNECT_HOST=" + address, "OP_CONNECT_TOKEN=" + canary + "-token", "HOME=" + t.TempDir()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *server) fetch(t *testing.T, refs ...string) []resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return inquire(ctx, t, s.provider(t, s.URL), refs...)
}

func TestConnect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		ref, value string
		class      resolve.Class
	}{
		{"op://Dev/DB/password", canary, ""},
		{"op://dev/db/USERNAME", "me", ""},
		{"op://dev/db/admin/token", "in admin", ""},
		{"op://dev/db/s1/f1", "in admin", ""},
		{"op://dev/db/both", "outside", ""},
		{"op://dev/db/Admin/both", "inside", ""},
		{"op://dev/db/token", "in admin", ""},
		{"op://" + vaultID + "/" + itemID + "/f1", "in admin", ""},
		{"op://dev/db/one-time password?attribute=otp", "123456", ""},
		{"op://dev/db/one-time password", "otpauth://x", ""},
		{"op://dev/db/password?attribute=type", "CONCEALED", ""},
		{"op://dev/db/password?attribute=purpose", "PASSWORD", ""},
		{"op://dev/db/f1?attribute=title", "Token", ""},
		{"op://dev/db/big", strings.Repeat("long", 1<<18), ""},
		{"op://dev/db/nul", "a\x00b", ""},
		{"op://dev/db/password?attribute=otp", "", resolve.NotFound},
		{"op://dev/db/none", "", resolve.NotFound},
		{"op://dev/db/other/token", "", resolve.NotFound},
		{"op://dev/db/empty", "", resolve.NotFound},
		{"op://dev/db/twin", "", resolve.Ambiguous},
		{"op://dev/twin/password", "", resolve.Ambiguous},
		{"op://dev/none/password", "", resolve.NotFound},
		{"op://dev/odd/password", "", resolve.NotFound},
		{"op://dev/swap/password", "", resolve.Malformed},
		{"op://none/db/password", "", resolve.NotFound},
		{"op://dev/zzzzzzzzzzzzzzzzzzzzzzzzzz/x", "", resolve.NotFound},
		{"op://zzzzzzzzzzzzzzzzzzzzzzzzzz/db/x", "", resolve.NotFound},
		{"op://dev/db/password?ssh-format=openssh", "", resolve.Malformed},
		{`op://dev/db" or title pr/password`, "", resolve.Malformed},
	}
	var refs []string
	for _, tt := range tests {
		refs = append(refs, tt.ref)
	}
	s := newServer(t)
	for i, got := range s.fetch(t, refs...) {
		want(t, tests[i].ref, got, tests[i].value, tests[i].class)
	}
}

// Each vault and each item is asked for once.
func TestConnectRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, got := range s.fetch(t, "op://dev/db/password", "op://Dev/DB/username", "dev/db/f1", "dev/none/x", "op://dev/db/password") {
		if got.Err != nil && resolve.ClassOf(got.Err) != resolve.NotFound {
			t.Error(got.Err)
		}
	}
	got := s.asked()
	slices.Sort(got)
	items := "GET /v1/vaults/" + vaultID + "/items"
	for i := range got {
		got[i] = strings.ToLower(got[i])
	}
	all := []string{"GET /v1/vaults title eq \"dev\"", items + " title eq \"db\"", items + " title eq \"none\"", items + "/" + itemID}
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	slices.Sort(all)
	slices.Sort(got)
	if !slices.Equal(got, all) {
		t.Errorf("asked\n%q, want\n%q", got, all)
	}
	for _, token := range s.tokens {
		if token != "Bearer "+canary+"-token" {
			t.Errorf("the token is %q", token)
		}
	}
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text+canary, code) }
	}
	for name, tt := range map[string]struct {
		answer   http.HandlerFunc
		class    resolve.Class
		requests int
	}{
		"bad token":     {status(401, `{"message":"Invalid token signature"}`), resolve.NotLoggedIn, 1},
		"expired token": {status(401, `{"message":"token is Expired"}`), resolve.Expired, 1},
		"denied":        {status(403, ""), resolve.Denied, 1},
		"throttled":     {status(429, ""), resolve.Throttled, 3},
		"broken":        {status(500, ""), resolve.Unreachable, 3},
		"starting":      {status(503, ""), resolve.Unreachable, 3},
		"not JSON":      {status(200, "<html>"), resolve.Malformed, 1},
		"an object":     {status(200, "{}"), resolve.Malformed, 1},
		"not UTF-8":     {status(200, "[\"\xff\"]"), resolve.Malformed, 1},
		"a bad filter":  {status(400, ""), resolve.Malformed, 1},
		"too much":      {status(200, strings.Repeat("x", 5<<20)), resolve.Malformed, 1},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "[")
		}, resolve.Unreachable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answer = tt.answer
			for _, got := range s.fetch(t, "op://dev/db/password", "op://dev/db/username") {
				want(t, name, got, "", tt.class)
			}
			if n := len(s.asked()); n != tt.requests {
				t.Errorf("asked %d times, want %d", n, tt.requests)
			}
		})
	}
}

func TestConnectRecovers(t *testing.T) {
	t.Parallel()
	for _, code := range []int{429, 502} {
		s := newServer(t)
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			if len(s.asked()) == 1 {
				w.WriteHeader(code)
				return
			}
			s.serve(w, r, r.URL.Query().Get("filter"))
		}
		want(t, fmt.Sprint(code), s.fetch(t, "op://dev/db/password")[0], canary, "")
	}
}

// A server that does not answer, and one that stops in the middle of it.
func TestConnectDeadline(t *testing.T) {
	t.Parallel()
	for name, half := range map[string]string{"never": "", "half": "[{\"id\":"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answer = func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, half)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			if half == "" {
				s.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
			}
			soon(t, 500*time.Millisecond, func() time.Duration {
				ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
				defer cancel()
				began := time.Now()
				for _, got := range inquire(ctx, t, s.provider(t, s.URL), "op://dev/db/password", "op://x/db/y") {
					want(t, name, got, "", resolve.Timeout)
				}
				return time.Since(began)
			})
		})
	}
}

func TestConnectToMute(t *testing.T) {
	t.Parallel()
	s := &server{}
	address := resttest.Mute(t)
	soon(t, 400*time.Millisecond, func() time.Duration {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		for _, got := range inquire(ctx, t, s.provider(t, address), "op://dev/db/password", "op://x/db/y") {
			want(t, "a server that never speaks", got, "", resolve.Timeout)
		}
		return time.Since(began)
	})
}

// The token is for the server that was named: no other gets it.
func TestConnectRedirect(t *testing.T) {
	t.Parallel()
	other := newServer(t)
	s := newServer(t)
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	want(t, "a redirect", s.fetch(t, "op://dev/db/password")[0], "", resolve.Unreachable)
	if n := len(other.asked()); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

func TestConnectIsWhoItSays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx := context.Background()
	address := strings.Replace(s.URL, "127.0.0.1", "localhost", 1) // for which the certificate is not
	want(t, "another name", inquire(ctx, t, s.provider(t, address), "op://dev/db/password")[0], "", resolve.Unreachable)
	s.ca = ""
	want(t, "no authority", inquire(ctx, t, s.provider(t, s.URL), "op://dev/db/password")[0], "", resolve.Unreachable)
	if n := len(s.asked()); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	want(t, "nobody there", inquire(ctx, t, s.provider(t, "https://"+closed.Addr().String()), "op://dev/db/password")[0], "", resolve.Unreachable)
}

func TestConnectAddresses(t *testing.T) {
	token := "OP_CONNECT_TOKEN=" + canary
	for name, tt := range map[string]struct {
		address string
		env     []string
		class   resolve.Class
		connect bool
	}{
		"a host and a token":    {"", []string{"OP_CONNECT_HOST=https://c.example.com", token}, "", true},
		"a setting and a token": {"https://c.example.com", []string{token}, "", true},
		"a setting alone":       {"https://c.example.com", nil, resolve.NotLoggedIn, false},
		"plain http":            {"", []string{"OP_CONNECT_HOST=http://c.example.com", token}, resolve.Malformed, false},
		"plain http, loopback":  {"", []string{"OP_CONNECT_HOST=http://127.0.0.1:8080", token}, "", true},
		"a host alone":          {"", []string{"OP_CONNECT_HOST=https://c.example.com"}, "", false},
		"a token alone":         {"", []string{token}, "", false},
	} {
		p, err := New(resolve.Setup{Settings: map[string]string{"address": tt.address}, Env: tt.env})
		checkError(t, err)
		if resolve.ClassOf(err) != tt.class || (err == nil) != (tt.class == "") {
			t.Errorf("%s leads to %v", name, err)
			continue
		}
		if err == nil {
			if _, ok := p.way.(*connect); ok != tt.connect {
				t.Errorf("%s: Connect is asked: %v", name, ok)
			}
		}
	}
}

func TestConnectStore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ ref, call, body string }{
		"a field":        {"dev/db/password", "PATCH /items/ID", `[{"op":"replace","path":"/fields/password/value","value":"V"}]`},
		"in a section":   {"dev/db/Admin/Token", "PATCH /items/ID", `[{"op":"replace","path":"/fields/f1/value","value":"V"}]`},
		"an odd id":      {"dev/db/slashed", "PATCH /items/ID", `[{"op":"replace","path":"/fields/f6~1~0/value","value":"V"}]`},
		"new":            {"dev/db/new", "PATCH /items/ID", `[{"op":"add","path":"/fields","value":{"label":"new","type":"CONCEALED","value":"V"}}]`},
		"new in section": {"dev/db/admin/new", "PATCH /items/ID", `[{"op":"add","path":"/fields","value":{"label":"new","section":{"id":"s1"},"type":"CONCEALED","value":"V"}}]`},
		"a new item":     {"dev/none/token", "POST /items", `{"category":"API_CREDENTIAL","fields":[{"label":"token","type":"CONCEALED","value":"V"}],"title":"none","vault":{"id":"` + vaultID + `"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			err := s.provider(t, s.URL).Store(context.Background(), resolve.Ref{Path: tt.ref}, resolve.NewSecret("V"))
			requests := s.asked()
			call := strings.Replace(requests[len(requests)-1], "/v1/vaults/"+vaultID, "", 1)
			call = strings.Replace(call, itemID, "ID", 1)
			if body := s.bodies[len(s.bodies)-1]; err != nil || call != tt.call || body != tt.body {
				t.Errorf("leads to %v, %s %s; want %s %s", err, call, body, tt.call, tt.body)
			}
		})
	}
}

func TestConnectStoreFails(t *testing.T) {
	t.Parallel()
	for ref, class := range map[string]resolve.Class{
		"dev/db/nowhere/x": resolve.NotFound, "dev/db/twin": resolve.Ambiguous, "dev/twin/x": resolve.Ambiguous, "none/db/x": resolve.NotFound, "dev/db/x?attribute=otp": resolve.Malformed,
	} {
		s := newServer(t)
		err := s.provider(t, s.URL).Store(context.Background(), resolve.Ref{Path: ref}, resolve.NewSecret(canary))
		checkError(t, err)
		if resolve.ClassOf(err) != class {
			t.Errorf("%s leads to %v", ref, err)
		}
		for _, r := range s.asked() {
			if !strings.HasPrefix(r, "GET ") {
				t.Errorf("%s: the server was sent %s", ref, r)
			}
		}
	}
	s := newServer(t)
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			http.Error(w, canary, http.StatusForbidden)
			return
		}
		s.serve(w, r, r.URL.Query().Get("filter"))
	}
	err := s.provider(t, s.URL).Store(context.Background(), resolve.Ref{Path: "dev/db/password"}, resolve.NewSecret(canary))
	checkError(t, err)
	if resolve.ClassOf(err) != resolve.Denied {
		t.Errorf("a token that may not write leads to %v", err)
	}
}

func TestConnectProbeAndList(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.provider(t, s.URL)
	standing, err := p.Probe(context.Background())
	if want := (resolve.Standing{Through: s.URL, Credential: "environment OP_CONNECT_TOKEN", Plain: true, Asked: true}); err != nil || standing != want {
		t.Errorf("Probe leads to %+v, %v", standing, err)
	}
	list, err := p.List(context.Background())
	want := []string{"op://Dev/DB/password", "op://Dev/i2/password", "op://Dev/i3/credential", "op://Dev/i4/notesPlain"}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("List leads to %q, %v; want %q", list, err, want)
	}
	s.answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, http.StatusUnauthorized) }
	if _, err := p.Probe(context.Background()); resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("a bad token leads to %v", err)
	}
	if _, err := p.List(context.Background()); resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("a bad token leads to %v", err)
	}
}
