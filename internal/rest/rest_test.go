package rest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// A probe is the smallest provider: a reference is a name below /v1.
type probe struct{ client *rest.Client }

func (p probe) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	return resolve.Each(ctx, refs, 8, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		answer, err := p.client.Do(ctx, rest.Call{
			Path: "/v1/" + url.PathEscape(ref.Path), Header: map[string]string{"Authorization": "Bearer " + token},
		})
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			return resolve.Secret{}, err
		}
		var body struct{ Value *string }
		if err := answer.JSON(&body); err != nil {
			return resolve.Secret{}, err
		}
		if body.Value == nil {
			return resolve.Secret{}, &resolve.Error{Class: resolve.Malformed}
		}
		return resolve.NewSecret(*body.Value), nil
	})
}

const token = "token-77aa"

func client(t *testing.T, o rest.Options) *rest.Client {
	t.Helper()
	c, err := rest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStore(t *testing.T) {
	t.Parallel()
	resttest.Store{
		New: func(t *testing.T, address, caFile string) resolve.Provider {
			return probe{client(t, rest.Options{Address: address, CAFile: caFile})}
		},
		Ref: "a", Path: "/v1/", Token: token,
		Answer: func(value string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+token {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				resttest.Answer(w, 200, map[string]string{"value": value})
			}
		},
	}.Run(t)
}

func TestAddresses(t *testing.T) {
	for address, fits := range map[string]bool{
		"https://store.example": true, "https://store.example:8200/base/": true, "http://127.0.0.1:1": true,
		"http://localhost:1": true, "http://[::1]:1": true,
		"": false, "store.example": false, "http://store.example": false, "http://127.0.0.1.evil.example": false,
		"https://": false, "https://:443": false, "https:store.example": false, "ftp://store.example": false,
		"https://u:p@store.example": false, "https://store.example?x=1": false, "https://store.example?": false,
		"https://store.example/#x": false, "https://store.example/%zz": false, "https://a\nb": false,
	} {
		_, err := rest.New(rest.Options{Address: address})
		if (err == nil) != fits {
			t.Errorf("New with the address %q: %v", address, err)
		}
		if err != nil {
			resttest.Class(t, err, resolve.Malformed)
			resttest.Discreet(t, err, "u:p")
		}
	}
}

// What is asked is what was said, escapes and all, below the address's own path.
func TestRequest(t *testing.T) {
	srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) { resttest.Answer(w, 200, 1) })
	c := client(t, rest.Options{Address: srv.URL + "/base/", CAFile: srv.CAFile})
	_, err := c.Do(t.Context(), rest.Call{
		Method: "POST", Path: "/a%2Fb", Query: url.Values{"q": {"x&y=z"}},
		Header: map[string]string{"X-Token": "t"}, Body: map[string]string{"k": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := srv.Requests()[0]
	if r.Line != "POST /base/a%2Fb?q=x%26y%3Dz" || r.Body != `{"k":"v"}` || r.Header.Get("X-Token") != "t" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("asked %+v", r)
	}
}

func TestRequestThatCannotBeSent(t *testing.T) {
	srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) { resttest.Answer(w, 200, 1) })
	c := client(t, rest.Options{Address: srv.URL, CAFile: srv.CAFile})
	for name, call := range map[string]rest.Call{
		"a path that goes on with the host": {Path: ".evil.example/"},
		"a user's name before another host": {Path: "@evil.example/"},
		"a newline in a header":             {Header: map[string]string{"X-Token": "a\r\nX-Other: canary"}},
		"a broken escape":                   {Path: "/%zz"},
		"a method that is none":             {Method: "GET /x"},
	} {
		_, err := c.Do(t.Context(), call)
		if err == nil {
			t.Errorf("%s: sent", name)
		}
		resttest.Class(t, err, resolve.Malformed)
		resttest.Discreet(t, err, "canary")
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// A request that changes something is not sent again, unless it says that it may be.
func TestRepeats(t *testing.T) {
	for name, test := range map[string]struct {
		call  rest.Call
		times int
	}{
		"GET":               {rest.Call{}, 3},
		"POST":              {rest.Call{Method: "POST"}, 1},
		"POST that may be":  {rest.Call{Method: "POST", Again: true, Body: "x"}, 3},
		"PATCH":             {rest.Call{Method: "PATCH"}, 1},
		"GET with its name": {rest.Call{Method: "GET"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
			answer, err := client(t, rest.Options{Address: srv.URL, CAFile: srv.CAFile}).Do(t.Context(), test.call)
			if err != nil || answer.Status != 503 || len(srv.Requests()) != test.times {
				t.Errorf("status %d, %v after %d requests, want %d", answer.Status, err, len(srv.Requests()), test.times)
			}
			for _, r := range srv.Requests() {
				if test.call.Body != nil && r.Body != `"x"` {
					t.Errorf("sent again with the body %q", r.Body)
				}
			}
		})
	}
}

// A store may ask to wait, but not longer than is left, nor for ever.
func TestRetryAfter(t *testing.T) {
	for after, waits := range map[string]bool{
		"0": true, "1": true, "60000": false, "9999999999999": false, "99999999999999999999999": true, "-1": true, "soon": true,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): false, "Fri, 31 Dec 9999 23:59:59 GMT": false,
	} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					w.Header().Set("Retry-After", after)
					w.WriteHeader(429)
				}
			})
			start := time.Now()
			answer, err := client(t, rest.Options{Address: srv.URL, CAFile: srv.CAFile}).Do(t.Context(), rest.Call{})
			if err != nil || (answer.Status == 200) != waits {
				t.Errorf("status %d and %v, asked %d times", answer.Status, err, asked.Load())
			}
			if took := time.Since(start); took > 3*time.Second || after == "1" && took < time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestRetryKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(429)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	answer, err := client(t, rest.Options{Address: srv.URL, CAFile: srv.CAFile}).Do(ctx, rest.Call{})
	if err != nil || answer.Status != 429 || time.Since(start) > 400*time.Millisecond {
		t.Errorf("status %d and %v after %v: a wait that cannot end in time is none", answer.Status, err, time.Since(start))
	}
}

func TestRedirectWithinTheOrigin(t *testing.T) {
	srv := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "/b", http.StatusFound)
		}
	})
	answer, err := client(t, rest.Options{Address: srv.URL, CAFile: srv.CAFile}).Do(t.Context(), rest.Call{Path: "/a"})
	if err != nil || answer.Status != 200 || srv.Asked("/b") != 1 {
		t.Errorf("status %d and %v", answer.Status, err)
	}
}

func TestRedirectsForEver(t *testing.T) {
	srv := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a", http.StatusFound) })
	_, err := client(t, rest.Options{Address: srv.URL, CAFile: srv.CAFile}).Do(t.Context(), rest.Call{Path: "/a"})
	resttest.Class(t, err, resolve.Unreachable)
}

func TestOldTLSIsRefused(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	srv.StartTLS()
	defer srv.Close()
	_, err := client(t, rest.Options{Address: srv.URL}).Do(t.Context(), rest.Call{})
	resttest.Class(t, err, resolve.Unreachable)
}

func TestNoTLS(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, err := client(t, rest.Options{Address: "https://" + srv.Listener.Addr().String()}).Do(t.Context(), rest.Call{})
	resttest.Class(t, err, resolve.Unreachable)
	if err == nil || err.Error() != "the store does not speak TLS" {
		t.Errorf("the error is %v", err)
	}
}

func TestHostThatIsNotKnown(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := client(t, rest.Options{Address: "https://store.invalid"}).Do(ctx, rest.Call{Header: map[string]string{"X": token}})
	if err == nil {
		t.Fatal("a host that cannot exist answered")
	}
	resttest.Discreet(t, err, token)
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { resttest.Answer(w, 200, r.Host) }))
	srv.Listener.Close()
	srv.Listener = listener
	srv.Start()
	defer srv.Close()
	answer, err := client(t, rest.Options{Address: "http://localhost:1", Socket: path}).Do(t.Context(), rest.Call{})
	if err != nil || !strings.Contains(string(answer.Body), "localhost:1") {
		t.Errorf("the socket answers %q and %v", answer.Body, err)
	}
}

func TestCAFile(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, filepath.Join(dir, "none.pem")} {
		_, err := rest.New(rest.Options{Address: "https://store.example", CAFile: file})
		resttest.Class(t, err, resolve.Malformed)
		if err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("%v does not say which file", err)
		}
	}
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]resolve.Class{
		write("good", " s.abc\n"): "", write("empty", "\n"): resolve.NotLoggedIn, filepath.Join(dir, "none"): resolve.NotLoggedIn,
		write("two", "canary one"): resolve.Malformed, write("control", "canary\x1b"): resolve.Malformed,
		write("binary", "canary\xff"): resolve.Malformed, write("big", strings.Repeat("canary", 1<<20)): resolve.Malformed,
		dir: resolve.Malformed, fifo: resolve.Malformed, filepath.Join(dir, "good", "x"): resolve.NotLoggedIn,
	} {
		got, err := rest.ReadToken(path, "~/token")
		if resolve.ClassOf(err) != want || (err == nil) != (got == "s.abc") {
			t.Errorf("ReadToken(%s) = %q, %v; want class %q", path, got, err, want)
		}
		resttest.Discreet(t, err, "canary", dir)
	}
}

// What decides where a credential goes is read only if nobody else could have written it.
func TestReadOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]resolve.Class{0o600: "", 0o644: "", 0o602: resolve.Denied, 0o666: resolve.Denied} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		got, err := rest.ReadOwn(file, "~/file")
		if resolve.ClassOf(err) != want || (err == nil) != (string(got) == "canary") {
			t.Errorf("mode %v: %q, %v", mode, got, err)
		}
		resttest.Discreet(t, err, "canary", filepath.Dir(file))
	}
	if _, err := rest.ReadFile(file, "~/file"); err != nil {
		t.Errorf("ReadFile asks who wrote it: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(file, 0o600), os.Chown(file, 4321, 4321)); err != nil {
			t.Fatal(err)
		}
		_, err := rest.ReadOwn(file, "~/file")
		resttest.Class(t, err, resolve.Denied)
	}
	_, err := rest.ReadOwn(file+"-none", "~/file")
	resttest.Class(t, err, resolve.NotLoggedIn)
}

func TestOrigin(t *testing.T) {
	for address, want := range map[string]string{
		"https://A.example": "https://a.example", "https://a.example:443/x?y#z": "https://a.example", "https://a.example:8200/": "https://a.example:8200",
		"http://127.0.0.1:80": "http://127.0.0.1", "http://127.0.0.1:443": "http://127.0.0.1:443", "https://[::1]:443": "https://[::1]", "https://[::1]:1": "https://[::1]:1",
		"https://u:p@a.example": "https://a.example", "https://a.example:": "https://a.example", "HTTPS://a.example": "https://a.example",
		"": "", "a.example": "", "https://": "", "https:///x": "", "https://:443": "", "ftp://a.example": "", "https://a b": "", "//a.example": "", "https://%zz": "",
	} {
		if got := rest.Origin(address); got != want {
			t.Errorf("Origin(%q) = %q, want %q", address, got, want)
		}
	}
}

// A transport for others' clients sends again as Do does, the body with it.
func TestPatient(t *testing.T) {
	for name, test := range map[string]struct {
		statuses []int
		wait     string
		within   time.Duration
		want     int
		times    int
	}{
		"good at once":             {[]int{200}, "", time.Minute, 200, 1},
		"refused":                  {[]int{400}, "", time.Minute, 400, 1},
		"throttled, then good":     {[]int{429, 200}, "0", time.Minute, 200, 2},
		"failing, then good":       {[]int{503, 500, 200}, "", time.Minute, 200, 3},
		"failing on and on":        {[]int{503, 503, 503, 200}, "", time.Minute, 503, 3},
		"longer than the deadline": {[]int{429, 200}, "5", time.Second, 429, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", test.wait)
				w.WriteHeader(test.statuses[asked.Add(1)-1])
				_, _ = w.Write([]byte("said"))
			})
			transport, err := rest.Transport(rest.Options{CAFile: srv.CAFile})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), test.within)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			response, err := rest.Patient{RoundTripper: transport}.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			said, err := io.ReadAll(response.Body)
			if response.StatusCode != test.want || string(said) != "said" || err != nil || len(srv.Requests()) != test.times {
				t.Errorf("status %d with %q and %v after %d requests", response.StatusCode, said, err, len(srv.Requests()))
			}
			for i, r := range srv.Requests() {
				if r.Body != "body" {
					t.Errorf("request %d has the body %q", i, r.Body)
				}
			}
		})
	}
}

func TestGroups(t *testing.T) {
	results := make([]resolve.Result, 100)
	groups := map[int][]int{}
	for i := range results {
		groups[i%20] = append(groups[i%20], i)
	}
	var now, most atomic.Int32
	rest.Groups(results, groups, func(key int, of []int) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		time.Sleep(10 * time.Millisecond)
		for _, i := range of {
			results[i].Secret = resolve.NewSecret("x")
		}
		if key == 7 {
			panic("canary")
		}
	})
	for i, r := range results {
		resttest.Discreet(t, r.Err, "canary")
		if (r.Err != nil) != (i%20 == 7) || (r.Secret.Reveal() == "x") != (i%20 != 7) {
			t.Errorf("result %d is %q, %v", i, r.Secret.Reveal(), r.Err)
		}
	}
	if n := most.Load(); n > 8 || n < 2 {
		t.Errorf("%d groups at once", n)
	}
}

// All share what came of the first, unless its ctx ended.
func TestSession(t *testing.T) {
	var session rest.Session[string]
	var begun atomic.Int32
	ended, cancel := context.WithCancel(t.Context())
	begin := func(answer string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { begun.Add(1); return answer, err }
	}
	_, err := session.Get(ended, func(ctx context.Context) (string, error) { cancel(); return "", ctx.Err() })
	if err == nil {
		t.Error("no error though ctx ended")
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := session.Get(t.Context(), begin("s", nil)); got != "s" || err != nil {
				t.Errorf("Get gives %q and %v", got, err)
			}
		})
	}
	wg.Wait()
	if _, err := session.Get(ended, begin("x", nil)); err == nil || begun.Load() != 1 {
		t.Errorf("begun %d times, %v after ctx ended", begun.Load(), err)
	}
	var refused rest.Session[string]
	for range 2 {
		_, err := refused.Get(t.Context(), begin("", &resolve.Error{Class: resolve.Denied}))
		resttest.Class(t, err, resolve.Denied)
	}
	if begun.Load() != 2 {
		t.Errorf("a refusal is asked for %d times", begun.Load()-1)
	}
}
