package hashicorp

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

const (
	mountPath = "/v1/sys/internal/ui/mounts/secret/app"
	readPath  = "/v1/secret/data/app"
	selfPath  = "/v1/auth/token/lookup-self"
)

// What a server may answer, and what becomes of it.
func TestAnswers(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	tests := map[string]struct {
		answers map[string]http.HandlerFunc
		want    string
		asked   int // requests
	}{
		"the value": {nil, canary, 2},
		"throttled at first": {map[string]http.HandlerFunc{
			readPath: inTurn(text(429, canary), text(200, app(`{"value":"a"}`)))}, "a", 3},
		"throttled to the end": {map[string]http.HandlerFunc{
			readPath: text(429, canary)}, "throttled: too many requests", 4},
		"failing at first": {map[string]http.HandlerFunc{
			mountPath: inTurn(text(502, canary), text(200, mounted))}, canary, 3},
		"failing": {map[string]http.HandlerFunc{
			readPath: text(500, `{"errors":["`+canary+canaryToken+`"]}`)}, "unreachable: the store answered with status 500", 4},
		"sealed": {map[string]http.HandlerFunc{
			mountPath: text(503, `{"errors":["Vault is sealed"]}`)}, "locked: the server is sealed (vault operator unseal)", 3},
		"OpenBao sealed": {map[string]http.HandlerFunc{
			mountPath: text(503, `{"errors":["OpenBao is sealed"]}`)}, "locked: the server is sealed (vault operator unseal)", 3},
		"in maintenance": {map[string]http.HandlerFunc{
			mountPath: text(503, canary)}, "unreachable: the store answered with status 503", 3},
		"a living token that may not": {map[string]http.HandlerFunc{
			readPath: text(403, `{"errors":["`+canary+`"]}`)}, "denied: access denied", 3},
		"a living token that may do nothing in the mount": {map[string]http.HandlerFunc{
			mountPath: text(403, `{"errors":["`+canary+`"]}`)}, `denied: "secret/app" is in no mount that this token may use`, 2},
		"root, and no such mount": {map[string]http.HandlerFunc{
			mountPath: text(403, `{}`), selfPath: text(200, `{"data":{"policies":["root"]}}`)}, `not_found: no mount holds "secret/app"`, 2},
		"a dead token": {map[string]http.HandlerFunc{
			mountPath: text(403, `{}`), selfPath: text(403, canary)}, "expired: the token is expired or revoked (unset VAULT_TOKEN && vault login)", 2},
		"it died before the reading": {map[string]http.HandlerFunc{
			readPath: text(403, `{}`), selfPath: text(403, canary)}, "expired: the token is expired or revoked (unset VAULT_TOKEN && vault login)", 3},
		"an agent without a token": {map[string]http.HandlerFunc{
			mountPath: text(400, `{"errors":["missing client token"]}`)}, "not_logged_in: not signed in (unset VAULT_TOKEN && vault login)", 1},
		"a bad request": {map[string]http.HandlerFunc{
			mountPath: text(400, canary)}, "malformed: the store answered with status 400", 1},
		"no JSON": {map[string]http.HandlerFunc{
			readPath: text(200, canary)}, "malformed: the store's answer is not of its form", 2},
		"no JSON about the mount": {map[string]http.HandlerFunc{
			mountPath: text(200, canary)}, "malformed: the store's answer is not of its form", 1},
		"no JSON about the token": {map[string]http.HandlerFunc{
			readPath: text(403, canary), selfPath: text(200, canary)}, "denied: access denied", 3},
		"half an answer, and the end": {map[string]http.HandlerFunc{
			readPath: text(200, app(`{"value":"` + canary + `"}`)[:60])}, "malformed: the store's answer is not of its form", 2},
		"a list": {map[string]http.HandlerFunc{
			readPath: text(200, app(`["`+canary+`"]`))}, "malformed: the store's answer is not of its form", 2},
		"no fields": {map[string]http.HandlerFunc{
			readPath: text(200, `{"data":{}}`)}, "malformed: the store's answer is not of its form", 2},
		"about another path": {map[string]http.HandlerFunc{
			mountPath: text(200, `{"data":{"path":"other/","type":"kv","options":{"version":"2"}}}`)}, "malformed: the store's answer is about another path", 1},
		"a path that is no mount": {map[string]http.HandlerFunc{
			mountPath: text(200, `{"data":{"path":"","type":"kv"}}`)}, "malformed: the store's answer is about another path", 1},
		"another engine": {map[string]http.HandlerFunc{
			mountPath: text(200, `{"data":{"path":"secret/","type":"`+canary+`"}}`)}, `malformed: the mount of "secret/app" does not hold keys and values`, 1},
		"1 MiB":         {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":"`+big+`"}`))}, big, 2},
		"5 MiB":         {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":"`+strings.Repeat(big, 5)+`"}`))}, "malformed: the store's answer has more than 4194304 bytes", 2},
		"not UTF-8":     {map[string]http.HandlerFunc{readPath: text(200, app("{\"value\":\"hunter2\xff\"}"))}, "malformed: the store's answer is not UTF-8", 2},
		"a NUL":         {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":"a\u0000b"}`))}, "a\x00b", 2},
		"a number":      {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":12345678901234567890.10}`))}, "12345678901234567890.10", 2},
		"an object":     {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":{"a": [1, "<b>"]}}`))}, `{"a":[1,"<b>"]}`, 2},
		"true":          {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":true}`))}, "true", 2},
		"null":          {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":null}`))}, "not_found: the field is null", 2},
		"empty":         {map[string]http.HandlerFunc{readPath: text(200, app(`{"value":""}`))}, "", 2},
		"one field":     {map[string]http.HandlerFunc{readPath: text(200, app(`{"only":"1"}`))}, "1", 2},
		"two fields":    {map[string]http.HandlerFunc{readPath: text(200, app(`{"b":"hunter2","a":"hunter2"}`))}, `malformed: "secret/app" has the fields "a", "b": add #FIELD`, 2},
		"not one field": {map[string]http.HandlerFunc{readPath: text(200, app(`{}`))}, `malformed: "secret/app" has no fields: add #FIELD`, 2},
		"many fields of strange names": {map[string]http.HandlerFunc{readPath: text(200, app(`{"1\u001b[31m":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0}`))},
			`malformed: "secret/app" has the fields "1\x1b[31m", "2", "3", "4", "5", "6", "7", "8", and 1 more: add #FIELD`, 2},
		"not found": {map[string]http.HandlerFunc{readPath: text(404, `{"errors":[]}`)}, `not_found: no secret at "secret/app"`, 2},
		"deleted": {map[string]http.HandlerFunc{readPath: text(404, `{"data":{"data":null,"metadata":{"version":3,"deletion_time":"2020-01-01T00:00:00Z"}}}`)},
			`not_found: version 3 of "secret/app" is deleted`, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, test.answers)
			got := fetch(t, within(t, 20*time.Second), provider(t, s.setup(t)), "secret/app")
			if got[0] != test.want {
				t.Errorf("got %.200q, want %.200q", got[0], test.want)
			}
			if asked := s.requests(); len(asked) != test.asked {
				t.Errorf("%d requests, want %d: %q", len(asked), test.asked, asked)
			}
		})
	}
}

// All fields of a version are one reading, and a mount is asked for once.
func TestRequestsAreFew(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]http.HandlerFunc{
		"/v1/secret/data/other": text(200, app(`{"a":"A"}`)),
		"/v1/secret/data/a b/ü": text(200, app(`{"a":"B"}`)),
	})
	got := fetch(t, t.Context(), provider(t, s.setup(t)),
		"secret/app#value", "secret/app#user", "secret/app", "secret/app#none", "secret/other#a",
		"secret/gone#a", "secret/a b/ü", "/etc/passwd", "secret/app?version=1#user", "secret/app#value?version=1", "secret/app#user")
	same(t, "results", got, []string{
		canary, "me", canary, `not_found: "secret/app" has no field "none", but the fields "user", "value"`, "A",
		`not_found: no secret at "secret/gone"`, "B", "malformed: not of the form MOUNT/PATH#FIELD", "me", canary, "me",
	})
	asked := s.requests()
	slices.Sort(asked)
	if n := len(asked); n != 6 || !strings.HasPrefix(asked[5], "GET /v1/sys/internal/ui/mounts/secret/") {
		t.Fatalf("%d requests, want one about the mount and 5 readings: %q", n, asked)
	}
	same(t, "readings", asked[:5], []string{
		"GET /v1/secret/data/a%20b/%C3%BC", "GET /v1/secret/data/app", "GET /v1/secret/data/app?version=1",
		"GET /v1/secret/data/gone", "GET /v1/secret/data/other",
	})
}

// What ends all ends it at once: 100 secrets of a sealed server are one call.
func TestSealedIsAskedOnce(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]http.HandlerFunc{mountPath: text(503, `{"errors":["Vault is sealed"]}`)})
	var paths []string
	for i := range 100 {
		paths = append(paths, fmt.Sprintf("secret/app?version=%d", i+1))
	}
	for _, got := range fetch(t, t.Context(), provider(t, s.setup(t)), paths...) {
		if got != "locked: the server is sealed (vault operator unseal)" {
			t.Error(got)
		}
	}
	if n := len(s.requests()); n != 3 {
		t.Errorf("%d requests to a sealed server, want 3 tries of one", n)
	}
}

func TestEightAtATime(t *testing.T) {
	t.Parallel()
	var now atomic.Int32
	full := make(chan struct{})
	s := newStandIn(t, nil)
	var paths []string
	for i := range 2 * parallel {
		name := string(rune('a' + i))
		paths = append(paths, "secret/"+name)
		s.answers["/v1/secret/data/"+name] = func(w http.ResponseWriter, r *http.Request) {
			switch n := now.Add(1); {
			case n == parallel:
				time.Sleep(50 * time.Millisecond) // in which a ninth would come
				close(full)
			case n > parallel:
				select {
				case <-full:
				default:
					t.Errorf("%d requests at once", n)
				}
			}
			select { // the first eight answer when they are eight
			case <-full:
				text(200, app(`{"value":"x"}`))(w, r)
			case <-r.Context().Done():
			}
		}
	}
	setup := s.setup(t)
	setup.Settings["kv"] = "2"
	for _, got := range fetch(t, within(t, 5*time.Second), provider(t, setup), paths...) {
		if got != "x" {
			t.Error(got)
		}
	}
	if n := len(s.requests()); n != len(paths) {
		t.Errorf("%d requests, want one for each path as the setting says what the mount is", n)
	}
}

func TestAnotherVersion(t *testing.T) {
	t.Parallel()
	got := fetch(t, t.Context(), provider(t, newStandIn(t, nil).setup(t)), "secret/app?version=2#user", "secret/app#user")
	same(t, "results", got, []string{"malformed: the store's answer is about another version", "me"})
}

// What does not end, ends with the deadline; what came before it counts.
func TestDeadline(t *testing.T) {
	tests := map[string]map[string]http.HandlerFunc{
		"the mount hangs":            {mountPath: hang},
		"the secret hangs":           {readPath: hang},
		"the secret stalls":          {readPath: half},
		"the question hangs":         {readPath: text(403, ""), selfPath: hang},
		"throttled for a long while": {readPath: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "3600"); hang(w, r) }},
	}
	for name, answers := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, answers)
			s.answers["/v1/secret/data/other"] = text(200, app(`{"a":"A"}`))
			const deadline = 700 * time.Millisecond
			var got []string
			var took time.Duration
			for range 3 { // the machine may be busy with something else
				start := time.Now()
				got = fetch(t, within(t, deadline), provider(t, s.setup(t)), "secret/app", "secret/app#user")
				if took = time.Since(start); took <= deadline+100*time.Millisecond {
					break
				}
			}
			if took > deadline+100*time.Millisecond {
				t.Errorf("Fetch took %v", took)
			}
			want := "timeout: context deadline exceeded"
			if name == "the question hangs" { // the refusal itself is known
				want = "denied: access denied"
			}
			same(t, "results", got, []string{want, want})
		})
	}
}

// A server that takes connections and never speaks, for the secret as for the sign-in.
func TestMute(t *testing.T) {
	t.Parallel()
	address := resttest.Mute(t)
	for name, env := range map[string][]string{
		"token":   {"VAULT_TOKEN=" + canaryToken},
		"approle": {"VAULT_ROLE_ID=id", "VAULT_SECRET_ID=hunter2-secret-id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			setup := resolve.Setup{Env: append(env, "HOME="+t.TempDir(), "VAULT_ADDR="+address)}
			const deadline = 300 * time.Millisecond
			var took time.Duration
			for range 3 { // the machine may be busy with something else
				start := time.Now()
				got := fetch(t, within(t, deadline), provider(t, setup), "secret/app", "secret/b")
				want := "timeout: context deadline exceeded"
				same(t, "results", got, []string{want, want})
				if took = time.Since(start); took <= deadline+100*time.Millisecond {
					return
				}
			}
			t.Errorf("Fetch took %v", took)
		})
	}
}

func TestPartial(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]http.HandlerFunc{
		"/v1/secret/data/slow":   hang,
		"/v1/secret/data/denied": text(403, ""),
		"/v1/secret/data/broken": text(200, canary),
	})
	got := fetch(t, within(t, 2*time.Second), provider(t, s.setup(t)),
		"secret/app", "secret/slow", "secret/denied", "secret/broken", "secret/gone", "../app")
	same(t, "results", got, []string{
		canary, "timeout: context deadline exceeded", "denied: access denied",
		"malformed: the store's answer is not of its form", `not_found: no secret at "secret/gone"`,
		"malformed: not of the form MOUNT/PATH#FIELD",
	})
}

func TestThrottledLongIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]http.HandlerFunc{readPath: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		text(429, "")(w, r)
	}})
	start := time.Now()
	got := fetch(t, within(t, 8*time.Second), provider(t, s.setup(t)), "secret/app")
	same(t, "results", got, []string{"throttled: too many requests"})
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("Fetch waited %v for what comes after the deadline", d)
	}
}

// The token goes to the address and nowhere else.
func TestRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := newStandIn(t, nil)
		s := newStandIn(t, map[string]http.HandlerFunc{mountPath: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}})
		got := fetch(t, t.Context(), provider(t, s.setup(t)), "secret/app")
		same(t, "results", got, []string{"unreachable: the store sends elsewhere, which kz does not follow"})
		same(t, "requests elsewhere", elsewhere.requests(), nil)
	}
	s := newStandIn(t, nil) // of a standby to itself, say
	s.answers["/v1/moved"] = s.answers[readPath]
	s.answers[readPath] = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/v1/moved", http.StatusTemporaryRedirect)
	}
	same(t, "results of one origin", fetch(t, t.Context(), provider(t, s.setup(t)), "secret/app"), []string{canary})
}

func TestConnections(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = quiet()
	old.StartTLS()
	t.Cleanup(old.Close)
	s := newStandIn(t, nil)
	host := strings.TrimPrefix(s.URL, "https://127.0.0.1")
	tests := map[string]struct{ address, ca, want string }{
		"nobody there":      {"https://" + closed.Addr().String(), "", "unreachable: cannot be reached"},
		"not for this name": {"https://localhost" + host, "", "unreachable: the store's certificate is not trusted: it is not for localhost"},
		"not signed":        {s.URL, "none", "unreachable: the store's certificate is not trusted: nobody known signed it"},
		"no TLS":            {"https://" + plain.Listener.Addr().String(), "", "unreachable: "},
		"TLS of old":        {old.URL, "", "unreachable: cannot be reached"},
		"plain http":        {"http://192.0.2.1", "", "malformed: the address 192.0.2.1 is not of https"},
		"no address at all": {"vault.example.com", "", "malformed: the address is not of the form https://HOST"},
		"with a password":   {"https://hunter2:hunter2@127.0.0.1", "", "malformed: the address is not of the form https://HOST"},
		"CA file missing":   {s.URL, "/nonexistent/ca.pem", "malformed: no file /nonexistent/ca.pem"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			setup := s.setup(t)
			setup.Settings["address"] = test.address
			switch test.ca {
			case "":
			case "none":
				delete(setup.Settings, "ca_file")
			default:
				setup.Settings["ca_file"] = test.ca
			}
			// VAULT_SKIP_VERIFY is for others.
			setup.Env = append(setup.Env, "VAULT_SKIP_VERIFY=1", "BAO_SKIP_VERIFY=true")
			got := fetch(t, within(t, 5*time.Second), provider(t, setup), "secret/app")
			if !strings.HasPrefix(got[0], test.want) {
				t.Errorf("got %q, want %q", got[0], test.want)
			}
		})
	}
	same(t, "requests", s.requests(), nil)
}

// References come from projects that may be hostile. Nothing is asked for these.
func TestMalformedReferences(t *testing.T) {
	s := newStandIn(t, nil)
	bad := []string{
		"", "/", "secret", "secret/", "/secret/app", "secret//app", "secret/../sys/raw", "../secret/app", "secret/./app",
		"secret/app/..", "secret/app#", "#value", "secret/app#\n", "secret/a\x00b", "secret/a\u0085b", "secret/\xff",
		"secret/app?version=0", "secret/app?version=-1", "secret/app?version=1x", "secret/app?version=1&x=2", "secret/app?x=1",
		"secret/app?version=1?version=2", "secret/app?version=99999999999", "secret/app#?version=1", "secret/" + strings.Repeat("a", 2000),
		"sys/policies/acl/x#policy", "auth/token/lookup-self#id", "identity/entity/id/x#a", "cubbyhole/x#a", // which hold what the token itself may
	}
	for i, got := range fetch(t, t.Context(), provider(t, s.setup(t)), bad...) {
		if !strings.HasPrefix(got, "malformed: ") {
			t.Errorf("%.60q: %s", bad[i], got)
		}
	}
	same(t, "requests", s.requests(), nil)
}

// No part of a reference is more than a step of the path or the version.
func TestEscaping(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, nil)
	setup := s.setup(t)
	setup.Settings["kv"] = "1"
	fetch(t, t.Context(), provider(t, setup), "secret/%2e%2e/a", "secret/a;b", `secret/a\b`, "-x/--y", "secret/a&version=2")
	asked := s.requests()
	slices.Sort(asked)
	same(t, "requests", asked, []string{
		"GET /v1/-x/--y", "GET /v1/secret/%252e%252e/a", "GET /v1/secret/a%3Bb", "GET /v1/secret/a%5Cb", "GET /v1/secret/a&version=2",
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	headers := make(chan http.Header, 2)
	s := newStandIn(t, map[string]http.HandlerFunc{readPath: func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Clone()
		text(200, app(`{"value":"x"}`))(w, r)
	}})
	setup := s.setup(t)
	setup.Env = append(setup.Env, "VAULT_NAMESPACE=team/a")
	fetch(t, t.Context(), provider(t, setup), "secret/app")
	header := <-headers
	for name, want := range map[string]string{tokenHeader: canaryToken, "X-Vault-Namespace": "team/a", "X-Vault-Request": "true", "User-Agent": "kz"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	setup.Settings["namespace"] = "b" // before the variable
	fetch(t, t.Context(), provider(t, setup), "secret/app")
	if got := (<-headers).Get("X-Vault-Namespace"); got != "b" {
		t.Errorf("the namespace is %q, want that of the setting", got)
	}
}

func TestPresent(t *testing.T) {
	home := t.TempDir()
	env := []string{"HOME=" + home}
	if got := Present(resolve.Setup{Env: env}); got != "" {
		t.Errorf("Present says %q where nothing is", got)
	}
	put(t, filepath.Join(home, ".vault-token"), canaryToken)
	if got := Present(resolve.Setup{Env: env}); got != "~/.vault-token" {
		t.Errorf("Present says %q of a token file", got)
	}
	if got := Present(resolve.Setup{Env: append(env, "BAO_ADDR=https://a")}); got != "https://a" {
		t.Errorf("Present says %q of an address", got)
	}
	if got := Present(resolve.Setup{Env: append(env, "VAULT_ADDR=https://me:hunter2@a")}); got != "https://a" {
		t.Errorf("Present says %q of an address with a password", got)
	}
}

func TestNothingToFetch(t *testing.T) {
	if got := provider(t, resolve.Setup{}).Fetch(t.Context(), nil); len(got) != 0 {
		t.Errorf("Fetch of nothing gives %d results", len(got))
	}
}

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
	_ resolve.Lister   = (*Provider)(nil)
)
