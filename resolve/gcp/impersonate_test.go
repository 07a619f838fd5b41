package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	account = "deploy@p1.iam.gserviceaccount.com"
	acting  = "ya29.canary-acting" // the token of those who act as account
)

// iamStandIn stands in for Secret Manager, the token endpoint and the service that makes
// tokens, by their public references. The values are for account alone.
func iamStandIn(status int, said string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/token":
			resttest.Answer(w, 200, object{"access_token": acting, "token_type": "Bearer", "expires_in": 3599})
		case strings.HasSuffix(r.URL.Path, ":generateAccessToken") && auth == "Bearer "+acting:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, said)
		case auth == "Bearer "+access:
			resttest.Answer(w, 200, answer("projects/123/secrets/A/versions/7", "1"))
		default:
			refuse(w, 401, "UNAUTHENTICATED")
		}
	}
}

// impersonating is what gcloud writes for a login that acts as account.
func impersonating(address string) object {
	return object{
		"type": impersonated, "delegates": []string{},
		"service_account_impersonation_url": address + "/v1/projects/-/serviceAccounts/" + account + ":generateAccessToken",
		"source_credentials":                object{"type": "authorized_user", "client_secret": "canary", "refresh_token": refresh, "token_uri": address + "/token"},
	}
}

// impersonator has the credentials of a file, and the stand-in in place of Google's service.
func impersonator(t *testing.T, srv *resttest.Server, file object) *Provider {
	t.Helper()
	s := setup(t, srv.URL, srv.CAFile)
	s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS="+write(t, filepath.Join(s.Home(), "key.json"), file))
	p := provider(t, s)
	p.iam = srv.URL
	return p
}

const granted = `{"accessToken":"` + access + `","expireTime":"2026-01-02T03:04:05Z"}`

func TestImpersonation(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		said   string
		change func(object)
		want   string
		asked  int // for tokens of the account
	}{
		"granted":                 {200, granted, nil, "1", 1},
		"by a service account":    {200, granted, func(f object) { f["source_credentials"].(object)["type"] = "service_account" }, "1", 1},
		"may not":                 {403, "canary", nil, "!denied", 1},
		"no such account":         {404, "canary", nil, "!not_logged_in", 1},
		"delegates that may not":  {400, "canary", nil, "!not_logged_in", 1},
		"refused":                 {401, "canary", nil, "!not_logged_in", 1},
		"throttled":               {429, "canary", nil, "!throttled", 3},
		"failing":                 {503, "canary", nil, "!unreachable", 3},
		"not of the form":         {200, "canary", nil, "!malformed", 1},
		"no token":                {200, "{}", nil, "!malformed", 1},
		"two words":               {200, `{"accessToken":"canary canary"}`, nil, "!malformed", 1},
		"nobody who acts":         {200, granted, func(f object) { delete(f, "source_credentials") }, "!malformed", 0},
		"nobody known who acts":   {200, granted, func(f object) { f["source_credentials"].(object)["type"] = "canary" }, "!malformed", 0},
		"one who acts as another": {200, granted, func(f object) { f["source_credentials"].(object)["type"] = impersonated }, "!malformed", 0},
		"a program that acts":     {200, granted, func(f object) { f["source_credentials"] = object{"type": "external_account"} }, "!denied", 0},
		"one whose login is over": {200, granted, func(f object) { f["source_credentials"].(object)["token_uri"] = "https://127.0.0.1:1/token" }, "!unreachable", 0},
		"nothing to ask":          {200, granted, func(f object) { delete(f, "service_account_impersonation_url") }, "!malformed", 0},
		"what is not an access token": {200, granted, func(f object) {
			f["service_account_impersonation_url"] = strings.Replace(f["service_account_impersonation_url"].(string), "AccessToken", "IdToken", 1)
		}, "!malformed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, iamStandIn(test.status, test.said))
			file := impersonating(srv.URL)
			file["source_credentials"].(object)["private_key"] = privateKey(t)
			if test.change != nil {
				test.change(file)
			}
			p := impersonator(t, srv, file)
			if got := outcomes(t, p.Fetch(t.Context(), refs("A", "A?version=7"))); !slices.Equal(got, []string{test.want, test.want}) {
				t.Errorf("Fetch gives %q, want %q", got, test.want)
			}
			if n := srv.Asked(":generateAccessToken"); n != test.asked {
				t.Errorf("asked %d times for a token of the account, want %d", n, test.asked)
			}
			if test.want != "1" {
				return
			}
			standing, err := p.Probe(t.Context())
			if want := (resolve.Standing{Through: srv.URL, As: account, Credential: "file ~/key.json", Plain: true, Asked: true}); err != nil || standing != want {
				t.Errorf("Probe gives %+v and %v, want %+v", standing, err, want)
			}
		})
	}
}

// What the file says goes to the service as it is, and a token for what is read alone.
func TestImpersonationSays(t *testing.T) {
	srv := resttest.Start(t, iamStandIn(200, granted))
	file := impersonating(srv.URL)
	file["delegates"] = []string{"projects/-/serviceAccounts/between@p1.iam.gserviceaccount.com"}
	if got := outcomes(t, impersonator(t, srv, file).Fetch(t.Context(), refs("A")))[0]; got != "1" {
		t.Fatalf("Fetch gives %q", got)
	}
	for _, r := range srv.Requests() {
		if !strings.Contains(r.Line, "generateAccessToken") {
			continue
		}
		var got object
		if err := json.Unmarshal([]byte(r.Body), &got); err != nil {
			t.Fatal(err)
		}
		want := object{"scope": []any{scope}, "lifetime": "3600s", "delegates": []any{"projects/-/serviceAccounts/between@p1.iam.gserviceaccount.com"}}
		if fmt.Sprint(got) != fmt.Sprint(want) || r.Line != "POST /v1/projects/-/serviceAccounts/"+account+":generateAccessToken" {
			t.Errorf("asked %s with %v, want %v", r.Line, got, want)
		}
	}
}

// The token of who acts goes to Google's service alone: nobody is asked for one where
// the file names another, however alike.
func TestImpersonationElsewhere(t *testing.T) {
	srv := resttest.Start(t, iamStandIn(200, granted))
	path := "/v1/projects/-/serviceAccounts/" + account + ":generateAccessToken"
	for _, address := range []string{
		srv.URL + path, "http://iamcredentials.googleapis.com" + path, "https://iamcredentials.googleapis.com.evil.example" + path,
		"https://evil.example/iamcredentials.googleapis.com" + path, "https://iamcredentials.googleapis.com@evil.example" + path,
		"https://iamcredentials.googleapis.com:8443" + path, "https://iamcredentials.googleapis.com" + path + "?x=y", "https://iamcredentials.googleapis.com" + path + "#x",
		"https://iamcredentials.googleapis.com/x/.." + path, "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a/../b:generateAccessToken",
		"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a%2fb:generateAccessToken", "//evil.example" + path, "%zz", path,
	} {
		file := impersonating(srv.URL)
		file["service_account_impersonation_url"] = address
		p := impersonator(t, srv, file)
		p.iam = provider(t, resolve.Setup{}).iam
		if got := outcomes(t, p.Fetch(t.Context(), refs("A")))[0]; got != "!malformed" {
			t.Errorf("%s: Fetch gives %q", address, got)
		}
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("asked %v", srv.Requests())
	}
}

// Tokens are asked for again where the one who makes them is busy, and no longer than
// the deadline allows.
func TestTokenEndpointThatIsBusy(t *testing.T) {
	t.Parallel()
	key := privateKey(t)
	for name, file := range map[string]object{
		"user":            {"type": "authorized_user", "refresh_token": refresh},
		"service account": {"type": "service_account", "private_key": key},
	} {
		for _, wait := range []string{"0", "30"} {
			t.Run(name+" "+wait, func(t *testing.T) {
				t.Parallel()
				var asked atomic.Int32
				usual := &standIn{secrets: map[string]string{"projects/p1/secrets/A/versions/latest": "1"}}
				srv := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/token" && asked.Add(1) == 1 {
						w.Header().Set("Retry-After", wait)
						w.WriteHeader(429)
						return
					}
					usual.ServeHTTP(w, r)
				})
				s := setup(t, srv.URL, srv.CAFile)
				file := maps.Clone(file)
				file["token_uri"] = srv.URL + "/token"
				s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS="+write(t, filepath.Join(s.Home(), "key.json"), file))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				got := outcomes(t, provider(t, s).Fetch(ctx, refs("A")))[0]
				want, times := map[string]string{"0": "1", "30": "!throttled"}[wait], map[string]int{"0": 2, "30": 1}[wait]
				if got != want || srv.Asked("/token") != times || time.Since(start) > 4*time.Second {
					t.Errorf("Fetch gives %q after %v and %d requests, want %q after %d", got, time.Since(start), srv.Asked("/token"), want, times)
				}
			})
		}
	}
}
