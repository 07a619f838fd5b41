package githubid_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/githubid"
	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	bearer = "canary-bearer"
	issued = "canary.issued.jwt"
	path   = "/token/1?api-version=2.0&serviceConnectionId=a%2Fb"
)

func job(url, token string) resolve.Setup {
	return resolve.Setup{Env: []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + token}}
}

// standIn stands in for GitHub's service, by its public reference: it takes the job's
// token and says the audience back.
func standIn(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer "+bearer:
		resttest.Answer(w, 401, map[string]string{"message": "canary"})
	case r.URL.Path != "/token/1" || q.Get("api-version") != "2.0" || q.Get("serviceConnectionId") != "a/b" || len(q["audience"]) != 1:
		resttest.Answer(w, 404, map[string]string{"message": "canary"})
	default:
		resttest.Answer(w, 200, map[string]any{"value": issued + "." + q.Get("audience"), "count": 1})
	}
}

func TestOffered(t *testing.T) {
	for _, test := range []struct {
		setup resolve.Setup
		want  bool
	}{
		{resolve.Setup{}, false}, {job("https://x", ""), false}, {job("", "x"), false}, {job("https://x", "x"), true},
	} {
		if got := githubid.Offered(test.setup); got != test.want {
			t.Errorf("%q: %v", test.setup.Env, got)
		}
	}
}

func TestToken(t *testing.T) {
	srv := resttest.Start(t, standIn)
	for _, more := range []string{"", "&audience=another"} { // which counts no more
		got, err := githubid.Token(t.Context(), job(srv.URL+path+more, bearer), "https://vault.example:8200", srv.CAFile)
		if want := issued + ".https://vault.example:8200"; err != nil || got != want {
			t.Errorf("Token gives %q and %v, want %q", got, err, want)
		}
	}
	for _, r := range srv.Requests() {
		if strings.Contains(r.Line, "canary") {
			t.Errorf("the job's token is in the address %s", r.Line)
		}
	}
}

func TestAddressesThatAreNotAsked(t *testing.T) {
	srv := resttest.Start(t, standIn)
	plain := strings.Replace(srv.URL, "https:", "http:", 1) + path
	for name, setup := range map[string]resolve.Setup{
		"plain http": job(plain, bearer), "none": job("", bearer), "no URL": job("%zz canary", bearer), "no host": job("https://", bearer), "opaque": job("https:canary", bearer),
		"with a password": job("https://u:canary@"+strings.TrimPrefix(srv.URL, "https://")+path, bearer), "another scheme": job("file:///canary", bearer),
		"two words": job(srv.URL+path, "canary bearer"), "a newline": job(srv.URL+path, "canary\r\nX-Evil: 1"), "no token": job(srv.URL+path, ""),
	} {
		token, err := githubid.Token(t.Context(), setup, "a", srv.CAFile)
		if resolve.ClassOf(err) != resolve.Malformed || token != "" {
			t.Errorf("%s: Token gives %q and %v", name, token, err)
		}
		resttest.Discreet(t, err, "canary")
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestRefusals(t *testing.T) {
	other := resttest.Start(t, standIn)
	for name, test := range map[string]struct {
		status int
		said   string
		want   resolve.Class
		times  int
	}{
		"not this job":      {401, "canary", resolve.NotLoggedIn, 1},
		"not permitted":     {403, "canary", resolve.Denied, 1},
		"not there":         {404, "canary", resolve.NotLoggedIn, 1},
		"throttled":         {429, "canary", resolve.Throttled, 3},
		"failing":           {503, "canary", resolve.Unreachable, 3},
		"elsewhere":         {302, "", resolve.Unreachable, 1},
		"not of the form":   {200, "canary", resolve.Malformed, 1},
		"no token":          {200, "{}", resolve.Malformed, 1},
		"two words":         {200, `{"value":"canary canary"}`, resolve.Malformed, 1},
		"another type":      {200, `{"value":["canary"]}`, resolve.Malformed, 1},
		"more than is read": {200, strings.Repeat("canary", 1<<20), resolve.Malformed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", other.URL+path)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.said)
			})
			token, err := githubid.Token(t.Context(), job(srv.URL+path, bearer), "a", srv.CAFile)
			resttest.Class(t, err, test.want)
			resttest.Discreet(t, err, "canary")
			if token != "" || len(srv.Requests()) != test.times {
				t.Errorf("Token gives %q after %d requests", token, len(srv.Requests()))
			}
		})
	}
	t.Cleanup(func() {
		if n := len(other.Requests()); n != 0 {
			t.Errorf("%d requests followed a redirect", n)
		}
	})
}

func TestCertificateAndDeadline(t *testing.T) {
	srv := resttest.Start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := githubid.Token(t.Context(), job(srv.URL+path, bearer), "a", "")
	resttest.Class(t, err, resolve.Unreachable)
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("one whose certificate nobody vouches for was asked %d times", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = githubid.Token(ctx, job(srv.URL+path, bearer), "a", srv.CAFile)
	resttest.Class(t, err, resolve.Timeout)
	resttest.Discreet(t, err, "canary")
	ended, stop := context.WithCancel(t.Context())
	stop()
	if _, err = githubid.Token(ended, job(srv.URL+path, bearer), "a", srv.CAFile); err != context.Canceled {
		t.Errorf("after ctx ended: %v", err)
	}
}
