package hashicorp

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// What no error may show.
const (
	canary      = "hunter2-the-value"
	canaryToken = "hvs.hunter2-the-token"
)

// A standIn is a server that behaves as one cannot make a real one behave. It is
// written from the public reference of the HTTP API: a mount of version 2 at secret,
// whose one secret is at secret/app.
type standIn struct {
	*httptest.Server
	answers map[string]http.HandlerFunc // by path; the others are those below

	mu    sync.Mutex
	asked []string // "METHOD PATH?QUERY" of each request, in order
}

func newStandIn(t *testing.T, answers map[string]http.HandlerFunc) *standIn {
	t.Helper()
	s := &standIn{answers: map[string]http.HandlerFunc{
		"/v1/secret/data/app":        text(200, app(`{"value":"`+canary+`","user":"me"}`)),
		"/v1/auth/token/lookup-self": text(200, `{"data":{"display_name":"token","ttl":3600,"policies":["default"]}}`),
	}}
	maps.Copy(s.answers, answers)
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// mounted is an answer about the mount.
const mounted = `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`

// app is an answer with the first version of a secret.
func app(fields string) string {
	return `{"data":{"data":` + fields + `,"metadata":{"version":1,"destroyed":false,"deletion_time":""}}}`
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	switch answer, ok := s.answers[r.URL.Path]; {
	case r.Header.Get(tokenHeader) != canaryToken && !strings.Contains(r.URL.Path, "/login"):
		text(403, `{"errors":["permission denied"]}`)(w, r)
	case !ok && strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/secret/"):
		text(200, mounted)(w, r)
	case !ok:
		text(404, `{"errors":[]}`)(w, r)
	default:
		answer(w, r)
	}
}

func (s *standIn) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// inTurn answers with each of the answers once, and with the last of them for ever.
func inTurn(answers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		answer(w, r)
	}
}

// hang answers nothing until the client has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// half sends a part of an answer and no more.
func half(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"data":{"data":{"value":"` + canary))
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// setup is of a user who has a token and no more.
func (s *standIn) setup(t *testing.T) resolve.Setup {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	put(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	return resolve.Setup{
		Settings: map[string]string{"ca_file": ca},
		Env:      []string{"HOME=" + t.TempDir(), "VAULT_ADDR=" + s.URL, "VAULT_TOKEN=" + canaryToken},
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func provider(t *testing.T, s resolve.Setup) *Provider {
	t.Helper()
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func refs(paths ...string) []resolve.Ref {
	refs := make([]resolve.Ref, len(paths))
	for i, p := range paths {
		refs[i].Path = p
	}
	return refs
}

// fetch asks for paths and returns a line for each: the value, or the error in full.
func fetch(t *testing.T, ctx context.Context, p *Provider, paths ...string) []string {
	t.Helper()
	results := p.Fetch(ctx, refs(paths...))
	if len(results) != len(paths) {
		t.Fatalf("Fetch gives %d results for %d references", len(results), len(paths))
	}
	lines := make([]string, len(results))
	for i, r := range results {
		if lines[i] = r.Secret.Reveal(); r.Err != nil {
			if lines[i] != "" {
				t.Errorf("%s: has a value beside its error", paths[i])
			}
			lines[i] = line(t, r.Err)
		}
	}
	return lines
}

// line is an error's class, cause and hint. It fails the test if they show a secret.
func line(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	text := fmt.Sprintf("%s: %v", resolve.ClassOf(err), err)
	if e := new(resolve.Error); errors.As(err, &e) && e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	if strings.Contains(text+fmt.Sprintf("%#v", err), "hunter2") {
		t.Errorf("an error shows a secret: %s", text)
	}
	return text
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
