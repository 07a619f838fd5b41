// Package resttest has what the tests of stores over HTTPS have in common: a
// stand-in for the store that speaks TLS and keeps what it was asked, and the ways
// in which every such store can fail.
package resttest

import (
	"context"
	"encoding/json"
	"encoding/pem"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// A Request is what a Server was asked.
type Request struct {
	Line   string // method and address
	Header http.Header
	Body   string
}

// A Server stands in for a store, on a loopback address of its own.
type Server struct {
	URL    string
	CAFile string // of the certificate, which is for 127.0.0.1 and not for localhost

	mu       sync.Mutex
	requests []Request
}

// Start returns a Server that lasts as long as the test.
func Start(t *testing.T, answer http.HandlerFunc) *Server {
	t.Helper()
	s := &Server{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.mu.Lock()
		s.requests = append(s.requests, Request{r.Method + " " + r.URL.RequestURI(), r.Header.Clone(), string(body)})
		s.mu.Unlock()
		answer(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(func() {
		srv.CloseClientConnections() // before Close, which waits for handlers that never answer
		srv.Close()
	})
	s.URL = srv.URL
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(s.CAFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Requests returns what was asked so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Asked returns how many requests have a part in their first line.
func (s *Server) Asked(part string) int {
	n := 0
	for _, r := range s.Requests() {
		if strings.Contains(r.Line, part) {
			n++
		}
	}
	return n
}

// Answer writes a status and v as JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// A Store is a provider and its stand-in, for Run.
type Store struct {
	// New makes the provider that asks a server and has Token to sign in.
	New    func(t *testing.T, address, caFile string) resolve.Provider
	Ref    string
	Path   string // of the requests for secrets, the beginning of it
	SignIn string // path of the request that signs in, "" if there is none
	Token  string
	// Answer answers all that the store is asked, the value of Ref being value.
	Answer func(value string) http.HandlerFunc
}

// canary is in answers that must not get into errors.
const canary = "canary-4d1f"

// Run tests what holds for every store.
func (s Store) Run(t *testing.T) {
	t.Run("values come as they are", s.values)
	t.Run("statuses have classes", s.statuses)
	t.Run("throttled, then answered", s.throttledOnce)
	t.Run("answers that are not of the form", s.malformed)
	t.Run("a server that never answers", s.silent)
	t.Run("a server that never speaks", s.mute)
	t.Run("half an answer", s.half)
	t.Run("a certificate for another name", s.wrongName)
	t.Run("a certificate of nobody known", s.unknownAuthority)
	t.Run("a redirect elsewhere", s.redirected)
	if s.SignIn != "" {
		t.Run("a redirect of who signs in", s.signInRedirected)
	}
	t.Run("a server that is gone", s.gone)
	t.Run("a context that has ended", s.ended)
}

// fetch gets Ref within five seconds and checks that no error tells a secret.
func (s Store) fetch(t *testing.T, address, caFile string) resolve.Result {
	t.Helper()
	return s.within(t, 5*time.Second, address, caFile)
}

func (s Store) within(t *testing.T, d time.Duration, address, caFile string) resolve.Result {
	t.Helper()
	var results []resolve.Result
	for try := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		start := time.Now()
		results = s.New(t, address, caFile).Fetch(ctx, []resolve.Ref{{Path: s.Ref}})
		took := time.Since(start)
		cancel()
		if took <= d+100*time.Millisecond {
			break
		}
		if try == 1 { // once may be the machine's fault
			t.Errorf("Fetch took %v of %v", took, d)
		}
	}
	if len(results) != 1 {
		t.Fatalf("Fetch gave %d results", len(results))
	}
	Discreet(t, results[0].Err, s.Token, canary)
	return results[0]
}

// Discreet fails the test if err has one of the secrets in any form.
func Discreet(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if err != nil && secret != "" && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("an error has the secret %q: %v", secret, err)
		}
	}
}

// Class fails the test unless err is of the class.
func Class(t *testing.T, err error, want resolve.Class) {
	t.Helper()
	if got := resolve.ClassOf(err); got != want || err == nil {
		t.Errorf("the error %v is of class %q, want %q", err, got, want)
	}
}

func (s Store) values(t *testing.T) {
	for name, value := range map[string]string{
		"plain": "pw-1", "empty": "", "lines": "a\nb\n", "wide": "ø😀\u2028", "markup": `<&>"\'`,
		"a mebibyte": strings.Repeat("x", 1<<20), "NUL": "a\x00b",
	} {
		t.Run(name, func(t *testing.T) {
			srv := Start(t, s.Answer(value))
			got := s.fetch(t, srv.URL, srv.CAFile)
			if got.Err != nil || got.Secret.Reveal() != value {
				t.Errorf("Fetch gives %d bytes and %v, want %d bytes", len(got.Secret.Reveal()), got.Err, len(value))
			}
		})
	}
}

// only has the requests for secrets answered by f and all others as usual.
func (s Store) only(f http.HandlerFunc) http.HandlerFunc {
	usual := s.Answer("pw")
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, s.Path) {
			f(w, r)
			return
		}
		usual(w, r)
	}
}

func (s Store) statuses(t *testing.T) {
	for status, want := range map[int]resolve.Class{
		401: resolve.NotLoggedIn, 403: resolve.Denied, 404: resolve.NotFound, 429: resolve.Throttled,
		503: resolve.Unreachable, 418: resolve.Malformed,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			srv := Start(t, s.only(func(w http.ResponseWriter, _ *http.Request) {
				Answer(w, status, map[string]any{"message": canary, "error": canary, "messages": []string{canary}})
			}))
			Class(t, s.fetch(t, srv.URL, srv.CAFile).Err, want)
			passing := status == 429 || status >= 500
			if n := srv.Asked(" " + s.Path); passing != (n >= 3) {
				t.Errorf("asked %d times for status %d", n, status)
			}
		})
	}
}

func (s Store) throttledOnce(t *testing.T) {
	var asked atomic.Int32
	usual := s.Answer("pw")
	srv := Start(t, s.only(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 2 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		usual(w, r)
	}))
	if got := s.fetch(t, srv.URL, srv.CAFile); got.Err != nil || got.Secret.Reveal() != "pw" {
		t.Errorf("Fetch gives %v after being throttled once", got.Err)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func (s Store) malformed(t *testing.T) {
	for name, text := range map[string]string{
		"no text": "", "no JSON": "<html>" + canary, "half": `{"` + canary, "a list": `["` + canary + `"]`, "null": "null",
		"no UTF-8": "{\"" + canary + "\": \"\xff\"}", "another form": `{"` + canary + `": 1, "payload": 2, "secrets": "` + canary + `"}`,
		"too much": `{"x": "` + strings.Repeat(canary, 5<<20/len(canary)) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := Start(t, s.only(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
			Class(t, s.fetch(t, srv.URL, srv.CAFile).Err, resolve.Malformed)
		})
	}
}

func (s Store) silent(t *testing.T) {
	t.Parallel()
	srv := Start(t, s.only(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	Class(t, s.within(t, 300*time.Millisecond, srv.URL, srv.CAFile).Err, resolve.Timeout)
}

// Mute returns the address of a server that takes connections and says nothing, not
// even TLS.
func Mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the system connects, though nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "https://" + l.Addr().String()
}

func (s Store) mute(t *testing.T) {
	t.Parallel()
	Class(t, s.within(t, 300*time.Millisecond, Mute(t), "").Err, resolve.Timeout)
}

func (s Store) half(t *testing.T) {
	t.Parallel()
	srv := Start(t, s.only(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"`+canary)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	Class(t, s.within(t, 300*time.Millisecond, srv.URL, srv.CAFile).Err, resolve.Timeout)
}

func (s Store) wrongName(t *testing.T) {
	srv := Start(t, s.Answer("pw"))
	got := s.fetch(t, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), srv.CAFile)
	Class(t, got.Err, resolve.Unreachable)
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("a server with another's certificate was asked %d times", n)
	}
}

func (s Store) unknownAuthority(t *testing.T) {
	srv := Start(t, s.Answer("pw"))
	Class(t, s.fetch(t, srv.URL, "").Err, resolve.Unreachable)
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("a server that nobody vouches for was asked %d times", n)
	}
}

func (s Store) redirected(t *testing.T) {
	other := Start(t, s.Answer("pw"))
	srv := Start(t, s.only(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	Class(t, s.fetch(t, srv.URL, srv.CAFile).Err, resolve.Unreachable)
	if n := len(other.Requests()); n != 0 {
		t.Errorf("%d requests followed a redirect to another origin", n)
	}
}

// signInRedirected looks whether another origin gets the credential, with 307 and 308 in
// the same body.
func (s Store) signInRedirected(t *testing.T) {
	other, usual := Start(t, s.Answer("pw")), s.Answer("pw")
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := Start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == s.SignIn {
				http.Redirect(w, r, other.URL+r.URL.RequestURI(), status)
				return
			}
			usual(w, r)
		})
		Class(t, s.fetch(t, srv.URL, srv.CAFile).Err, resolve.Unreachable)
		if srv.Asked(" "+s.SignIn) == 0 || srv.Asked("") != srv.Asked(s.SignIn) {
			t.Errorf("status %d of the sign-in: asked %v", status, srv.Requests())
		}
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("%d requests followed a redirect to another origin", n)
	}
}

func (s Store) gone(t *testing.T) {
	srv := Start(t, func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			connection.Close()
		}
	})
	Class(t, s.fetch(t, srv.URL, srv.CAFile).Err, resolve.Unreachable)
}

func (s Store) ended(t *testing.T) {
	srv := Start(t, s.Answer("pw"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := s.New(t, srv.URL, srv.CAFile).Fetch(ctx, []resolve.Ref{{Path: s.Ref}})
	if len(got) != 1 || got[0].Err == nil || len(srv.Requests()) != 0 {
		t.Errorf("Fetch gives %v and asks %d times after ctx was cancelled", got, len(srv.Requests()))
	}
}
