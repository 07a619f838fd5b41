package bitwarden

import (
	"context"
	"encoding/json"
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

	"github.com/getkeyzero/kz/resolve"
)

// A server stands in for bw serve on a unix socket: it was written from the public
// reference of that API.
type server struct {
	socket string
	items  string

	mu       sync.Mutex
	requests []string
	written  string
	answer   http.HandlerFunc // comes first if not nil
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "kz") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{socket: filepath.Join(dir, "bw.sock"), items: bwItems}
	listener, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(s)
	_ = h.Listener.Close()
	h.Listener = listener
	h.Start()
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	s.serve(w, r, body)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	switch {
	case r.Header.Get("Origin") != "":
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/status":
		fmt.Fprint(w, `{"success":true,"data":{"object":"template","template":{"status":"unlocked","userEmail":"me@example.com"}}}`)
	case r.URL.Path == "/list/object/items":
		fmt.Fprintf(w, `{"success":true,"data":{"object":"list","data":%s}}`, s.items)
	default:
		s.mu.Lock()
		s.written = string(body)
		s.mu.Unlock()
		fmt.Fprint(w, `{"success":true,"data":{"object":"item"}}`)
	}
}

func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *server) provider(t *testing.T) *Provider {
	t.Helper()
	p, err := New(resolve.Setup{Settings: map[string]string{"socket": s.socket}, Env: []string{"HOME=" + t.TempDir(), "BWS_ACCESS_TOKEN=x"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *server) fetch(t *testing.T, refs ...string) []resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return inquire(ctx, t, s.provider(t), refs...)
}

func TestServe(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.items = items()
	checkItems(t, s.fetch)
	if got := s.asked(); !slices.Equal(got, []string{"GET /list/object/items"}) {
		t.Errorf("asked %q", got)
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, text) }
	}
	for name, tt := range map[string]struct {
		answer   http.HandlerFunc
		class    resolve.Class
		hint     string
		requests int
	}{
		"locked":      {says(400, `{"success":false,"message":"Vault is locked."}`), resolve.Locked, unlockedHint, 1},
		"locked, 200": {says(200, `{"success":false,"message":"Vault is locked."}`), resolve.Locked, unlockedHint, 1},
		"expired":     {says(400, `{"success":false,"message":"Session key is invalid."}`), resolve.Expired, unlockedHint, 1},
		"signed out":  {says(400, `{"success":false,"message":"You are not logged in."}`), resolve.NotLoggedIn, "bw login", 1},
		"unknown":     {says(200, `{"success":false,"message":"`+canary+`"}`), resolve.Malformed, "", 1},
		"forbidden":   {says(403, canary), resolve.Denied, "", 1},
		"throttled":   {says(429, canary), resolve.Throttled, "", 3},
		"broken":      {says(500, canary), resolve.Unreachable, "", 3},
		"not JSON":    {says(200, canary), resolve.Malformed, "", 1},
		"not a list":  {says(200, `{"success":true,"data":{"data":{"`+canary+`":1}}}`), resolve.Malformed, "", 1},
		"not UTF-8":   {says(200, "{\"success\":true,\"data\":{\"data\":[\"\xff\"]}}"), resolve.Malformed, "", 1},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/"+canary, http.StatusFound)
		}, resolve.Unreachable, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answer = tt.answer
			got := s.fetch(t, "db")[0]
			want(t, name, got, "", tt.class)
			if e, ok := got.Err.(*resolve.Error); !ok || e.Hint != tt.hint {
				t.Errorf("hint of %+v, want %q", got.Err, tt.hint)
			}
			if n := len(s.asked()); n != tt.requests {
				t.Errorf("asked %d times, want %d", n, tt.requests)
			}
		})
	}
}

func TestServeDeadline(t *testing.T) {
	t.Parallel()
	for _, half := range []string{"", `{"success":`} {
		s := newServer(t)
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			if half != "" {
				fmt.Fprint(w, half)
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}
		soon(t, 400*time.Millisecond, func() time.Duration {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			want(t, "silence after "+half, inquire(ctx, t, s.provider(t), "db")[0], "", resolve.Timeout)
			return time.Since(began)
		})
	}
}

func TestServeSockets(t *testing.T) {
	t.Parallel()
	none := &server{socket: filepath.Join(t.TempDir(), "none")}
	want(t, "no socket", none.fetch(t, "db")[0], "", resolve.Unreachable)
	file := &server{socket: filepath.Join(t.TempDir(), "file")}
	write(t, filepath.Dir(file.socket), "file", "")
	want(t, "a file", file.fetch(t, "db")[0], "", resolve.Unreachable)
	if os.Geteuid() == 0 {
		s := newServer(t)
		if err := os.Lchown(s.socket, 12345, -1); err != nil {
			t.Fatal(err)
		}
		want(t, "another user's", s.fetch(t, "db")[0], "", resolve.Denied)
		if len(s.asked()) != 0 {
			t.Error("another user's socket was asked")
		}
	}
}

func TestServeStore(t *testing.T) {
	t.Parallel()
	const value = canary + "\n\"x\""
	for ref, tt := range map[string]struct{ call, place string }{
		"db#token": {"PUT /object/item/" + id1, "fields.token"}, "fresh": {"POST /object/item", "login.password"},
	} {
		s := newServer(t)
		if err := s.provider(t).Store(context.Background(), resolve.Ref{Path: ref}, resolve.NewSecret(value)); err != nil {
			t.Fatal(err)
		}
		if got := s.asked(); !slices.Equal(got, []string{"GET /list/object/items", tt.call}) {
			t.Errorf("asked %q", got)
		}
		checkWritten(t, s.written, tt.place, value)
	}
	for ref, class := range storeFailures {
		s := newServer(t)
		err := s.provider(t).Store(context.Background(), resolve.Ref{Path: ref}, resolve.NewSecret(value))
		checkError(t, err)
		if resolve.ClassOf(err) != class || s.written != "" {
			t.Errorf("%s leads to %v", ref, err)
		}
	}
}

func TestServeProbeAndList(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	got, err := s.provider(t).Probe(context.Background())
	if want := (resolve.Standing{Through: s.socket, As: "me@example.com", Credential: "bw serve", Asked: true}); err != nil || got != want {
		t.Errorf("Probe leads to %+v, %v", got, err)
	}
	list, err := s.provider(t).List(context.Background())
	if want := []string{id2, id3, "db"}; err != nil || !slices.Equal(list, want) {
		t.Errorf("List leads to %q, %v; want %q", list, err, want)
	}
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "data": map[string]any{"template": map[string]any{"status": "locked"}}})
	}
	if _, err := s.provider(t).Probe(context.Background()); resolve.ClassOf(err) != resolve.Locked || !strings.Contains(err.(*resolve.Error).Hint, "bw unlock") {
		t.Errorf("a locked vault leads to %v", err)
	}
}
