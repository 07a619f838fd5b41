package infisical

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const userToken = "canary.user.jwt"

// ring stands in for the system's keyring, as Infisical's own program fills it.
type ring struct{}

func (ring) Fetch(_ context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	for i, ref := range refs {
		text, ok := map[string]string{
			"infisical-cli/ada@example.com":   `{"email":"ada@example.com","privateKey":"","JTWToken":"` + userToken + `","RefreshToken":"canary-refresh"}`,
			"infisical-cli/old@example.com":   `{"email":"old@example.com","JTWToken":"old"}`,
			"infisical-cli/ended@example.com": `{"email":"ended@example.com","JTWToken":"forged"}`,
			"infisical-cli/empty@example.com": `{"email":"empty@example.com","JTWToken":""}`,
			"infisical-cli/two@example.com":   `{"JTWToken":"canary two"}`,
			"infisical-cli/odd@example.com":   `canary`,
			"infisical-cli/a/b@example.com":   `{"JTWToken":"` + userToken + `"}`,
		}[ref.Path]
		switch {
		case ok:
			results[i].Secret = resolve.NewSecret(text)
		case strings.Contains(ref.Path, "/locked@"):
			results[i].Err = &resolve.Error{Class: resolve.Locked}
		case strings.Contains(ref.Path, "/nobus@"):
			results[i].Err = &resolve.Error{Class: resolve.Unreachable}
		default:
			results[i].Err = &resolve.Error{Class: resolve.NotFound}
		}
	}
	return results
}

func writeOwn(t *testing.T, home, text string) string {
	t.Helper()
	file := filepath.Join(home, ownFile)
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func hintOf(err error) string {
	var e *resolve.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// The session of `infisical login` is used where nothing else is, and by its own server.
func TestOwnLogin(t *testing.T) {
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	of := func(email, more string) string {
		return `{"loggedInUserEmail":"` + email + `","LoggedInUserDomain":"` + srv.URL + `/api","loggedInUsers":[{"email":"x"}],"profiles":{}` + more + `}`
	}
	for name, test := range map[string]struct {
		own   string
		env   string
		want  string // a value or a class
		hint  string
		cause string // in the error
		sent  int    // requests
	}{
		"good":                     {of("ada@example.com", ""), "", "1", "", "", 1},
		"kept as it thinks fit":    {of("ada@example.com", `,"vaultBackendType":"auto","vaultBackendPassphrase":"canary"`), "", "1", "", "", 1},
		"an account with a slash":  {of("a/b@example.com", ""), "", "1", "", "", 1},
		"a token comes first":      {of("old@example.com", ""), "INFISICAL_TOKEN=" + token, "1", "", "", 1},
		"an identity comes first":  {of("ada@example.com", ""), "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=id", "!not_logged_in", "export INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=SECRET", "its secret is not said", 0},
		"nobody":                   {"", "", "!not_logged_in", login, "there is no token and no identity", 0},
		"logged out":               {`{"loggedInUserEmail":""}`, "", "!not_logged_in", login, "there is no token and no identity", 0},
		"expired":                  {of("old@example.com", ""), "", "!expired", login, "session expired", 1},
		"not valid":                {of("ended@example.com", ""), "", "!not_logged_in", login, "the token is not valid", 1},
		"another's expired":        {"", "INFISICAL_TOKEN=old", "!expired", "export INFISICAL_TOKEN=TOKEN", "session expired", 1},
		"not in the keychain":      {of("none@example.com", ""), "", "!not_logged_in", login, "the keychain does not have", 0},
		"a locked keychain":        {of("locked@example.com", ""), "", "!locked", "", "locked", 0},
		"no keychain":              {of("nobus@example.com", ""), "", "!unreachable", "", "", 0},
		"no keychain, so a file":   {of("nobus@example.com", `,"vaultBackendPassphrase":"canary"`), "", "!not_logged_in", "export INFISICAL_TOKEN=TOKEN", "an encrypted file, which is not supported", 0},
		"a file, not the keychain": {of("none@example.com", `,"vaultBackendPassphrase":"canary"`), "", "!not_logged_in", "export INFISICAL_TOKEN=TOKEN", "an encrypted file, which is not supported", 0},
		"a file":                   {of("ada@example.com", `,"vaultBackendType":"file"`), "", "!not_logged_in", "export INFISICAL_TOKEN=TOKEN", "an encrypted file, which is not supported", 0},
		"no token in it":           {of("empty@example.com", ""), "", "!malformed", login, "not a session", 0},
		"two words":                {of("two@example.com", ""), "", "!malformed", login, "not a session", 0},
		"not of the form":          {of("odd@example.com", ""), "", "!malformed", login, "not a session", 0},
		"no JSON":                  {"canary", "", "!malformed", "", "is not of its form", 0},
		"another JSON":             {`{"loggedInUserEmail":["canary"]}`, "", "!malformed", "", "is not of its form", 0},
		"too much":                 {`{"x":"` + strings.Repeat("canary", 1<<20) + `"}`, "", "!malformed", "", "more than", 0},
		"of another server": {`{"loggedInUserEmail":"ada@example.com","LoggedInUserDomain":"https://eu.infisical.com/api"}`, "",
			"!not_logged_in", login, "is for another server", 0},
		"of another port": {`{"loggedInUserEmail":"ada@example.com","LoggedInUserDomain":"https://127.0.0.1/api"}`, "",
			"!not_logged_in", login, "is for another server", 0},
		"of the same host, plainly": {`{"loggedInUserEmail":"ada@example.com","LoggedInUserDomain":"` + strings.Replace(srv.URL, "https", "http", 1) + `/api"}`, "",
			"!not_logged_in", login, "is for another server", 0},
		"of Infisical's own":     {`{"loggedInUserEmail":"ada@example.com"}`, "", "!not_logged_in", login, "is for another server", 0},
		"of what is no server":   {`{"loggedInUserEmail":"ada@example.com","LoggedInUserDomain":"%zz"}`, "", "!not_logged_in", login, "is for another server", 0},
		"of the server as it is": {strings.Replace(of("ada@example.com", ""), "/api", "", 1), "", "1", "", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, srv, test.env)
			if test.own != "" {
				writeOwn(t, s.Home(), test.own)
			}
			p := provider(t, s)
			before := len(srv.Requests())
			results := p.Fetch(t.Context(), refs("p1/dev/A", "p1/dev/B"))
			if got := outcomes(t, results); got[0] != test.want {
				t.Errorf("Fetch gives %q, want %q", got[0], test.want)
			}
			if err := results[0].Err; err != nil && (hintOf(err) != test.hint || !strings.Contains(err.Error(), test.cause)) {
				t.Errorf("the error is %q with the hint %q, want %q and %q", err, hintOf(err), test.cause, test.hint)
			}
			if n := len(srv.Requests()) - before; n != test.sent {
				t.Errorf("%d requests, want %d", n, test.sent)
			}
		})
	}
	for _, r := range srv.Requests() {
		if strings.Contains(r.Line+r.Body, "canary") {
			t.Errorf("the session is in %s", r.Line)
		}
	}
}

// By default the server is that of Infisical's own, and a login there says none.
func TestOwnLoginOfNoServer(t *testing.T) {
	home := t.TempDir()
	writeOwn(t, home, `{"loggedInUserEmail":"ada@example.com"}`)
	for address, want := range map[string]resolve.Class{"": "", "https://APP.infisical.com:443/api": "", "https://eu.infisical.com": resolve.NotLoggedIn} {
		p := provider(t, resolve.Setup{Settings: map[string]string{"address": address}, Env: []string{"HOME=" + home}})
		s, err := p.begin(t.Context())
		if resolve.ClassOf(err) != want || (err == nil) != (s.token == userToken) {
			t.Errorf("for %q: %v", address, err)
		}
	}
}

func TestOwnLoginStands(t *testing.T) {
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	s := setup(t, srv)
	file := writeOwn(t, s.Home(), `{"loggedInUserEmail":"ada@example.com","LoggedInUserDomain":"`+srv.URL+`/api"}`)
	if got := Present(s); got != "~/.infisical/infisical-config.json" {
		t.Errorf("Present gives %q", got)
	}
	got, err := provider(t, s).Probe(t.Context())
	if want := (resolve.Standing{Through: srv.URL, As: "ada@example.com", Credential: "keychain"}); err != nil || got != want {
		t.Errorf("Probe gives %+v and %v, want %+v", got, err, want)
	}
	for _, how := range []string{"token", "universal", "kubernetes", "oidc", "aws"} { // none of which it is
		s.Settings["auth"] = how
		_, err := provider(t, s).begin(t.Context())
		resttest.Class(t, err, resolve.NotLoggedIn)
	}
	delete(s.Settings, "auth")
	if err := os.Chmod(file, 0o666); err != nil { // then the server that it names may be anyone's
		t.Fatal(err)
	}
	_, err = provider(t, s).begin(t.Context())
	resttest.Class(t, err, resolve.Denied)
	if got := Present(s); got != "" {
		t.Errorf("Present gives %q for a file that others may write", got)
	}
	writeOwn(t, s.Home(), `{"loggedInUserEmail":""}`)
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Present(s); got != "" {
		t.Errorf("Present gives %q for nobody", got)
	}
}

// GitHub's service and Infisical are stand-ins on two addresses.
func TestSignedByGitHub(t *testing.T) {
	var audience, bearer string
	github := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) {
		audience, bearer = r.URL.Query().Get("audience"), r.Header.Get("Authorization")
		resttest.Answer(w, 200, object{"value": "canary.jwt"})
	})
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	s := setup(t, srv, "ACTIONS_ID_TOKEN_REQUEST_URL="+github.URL+"/x?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary-bearer")
	s.Settings["auth"], s.Settings["identity"], s.Settings["ca_file"] = "oidc", "id", both(t, srv, github)
	p := provider(t, s)
	if got := outcomes(t, p.Fetch(t.Context(), refs("p1/dev/A", "p1/dev/db/main/A"))); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("Fetch gives %q", got)
	}
	if audience != srv.URL || bearer != "Bearer canary-bearer" || len(github.Requests()) != 1 {
		t.Errorf("GitHub was asked for %q with %q, %d times", audience, bearer, len(github.Requests()))
	}
	standing, err := p.Probe(t.Context())
	if want := (resolve.Standing{Through: srv.URL, As: "oidc identity", Credential: "environment ACTIONS_ID_TOKEN_REQUEST_TOKEN", Plain: true}); err != nil || standing != want {
		t.Errorf("Probe gives %+v and %v, want %+v", standing, err, want)
	}
}

// both returns a file with the certificates of two servers.
func both(t *testing.T, a, b *resttest.Server) string {
	t.Helper()
	x, errX := os.ReadFile(a.CAFile)
	y, errY := os.ReadFile(b.CAFile)
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	return write(t, string(x)+string(y))
}

// What AWS would be asked is sent, signed for the region's endpoint, and without the key
// that signed. The server is a stand-in; it reads the headers as Infisical's public source does.
func TestSignedByAWS(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-aws", "AWS_SESSION_TOKEN": "session", "AWS_PROFILE": "", "AWS_REGION": "eu-west-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none", "HOME": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	var got map[string]string
	usual := &standIn{folders: folders}
	srv := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/auth/aws-auth/login" {
			usual.ServeHTTP(w, r)
			return
		}
		_ = json.NewDecoder(r.Body).Decode(&got)
		if got["identityId"] != "id" {
			refuse(w, 401, "UnauthorizedError", "canary")
			return
		}
		resttest.Answer(w, 200, object{"accessToken": "made"})
	})
	s := setup(t, srv)
	maps.Copy(s.Settings, map[string]string{"auth": "aws", "identity": "id"})
	p := provider(t, s)
	if got := outcomes(t, p.Fetch(t.Context(), refs("p1/dev/A", "p1/dev/db/main/A"))); !slices.Equal(got, []string{"1", "3"}) || srv.Asked("aws-auth") != 1 {
		t.Errorf("Fetch gives %q after %d logins", got, srv.Asked("aws-auth"))
	}
	var headers map[string]string // texts, not lists of them
	data, err := base64.StdEncoding.DecodeString(got["iamRequestHeaders"])
	if err == nil {
		err = json.Unmarshal(data, &headers)
	}
	body, err2 := base64.StdEncoding.DecodeString(got["iamRequestBody"])
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got["iamHttpRequestMethod"] != "POST" || string(body) != "Action=GetCallerIdentity&Version=2011-06-15" || strings.Contains(string(data), "canary") {
		t.Errorf("the server was sent %q with %s", got, data)
	}
	signed := headers["Authorization"]
	if !strings.Contains(signed, "Credential=AKIDEXAMPLE/") || !strings.Contains(signed, "/eu-west-1/sts/aws4_request,") ||
		headers["Host"] != "sts.eu-west-1.amazonaws.com" || headers["Content-Length"] != "43" || headers["X-Amz-Security-Token"] != "session" {
		t.Errorf("the request has the headers %q", headers)
	}
	_, list, _ := strings.Cut(signed, "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	for _, name := range strings.Split(list, ";") {
		if headers[http.CanonicalHeaderKey(name)] == "" {
			t.Errorf("%s is signed and not sent", name)
		}
	}
	standing, err := p.Probe(t.Context())
	if want := (resolve.Standing{Through: srv.URL, As: "aws identity", Credential: "the AWS credentials"}); err != nil || standing != want {
		t.Errorf("Probe gives %+v and %v, want %+v", standing, err, want)
	}

	for identity, key := range map[string]string{"canary": "AKIDEXAMPLE", "id": ""} { // refused, and nobody
		t.Setenv("AWS_ACCESS_KEY_ID", key)
		s.Settings["identity"] = identity
		before := len(srv.Requests())
		if got := outcomes(t, provider(t, s).Fetch(t.Context(), refs("p1/dev/A")))[0]; got != "!not_logged_in" {
			t.Errorf("as %q with the key %q Fetch gives %q", identity, key, got)
		}
		if n := len(srv.Requests()) - before; n > 1 || key == "" && n != 0 {
			t.Errorf("as %q with the key %q: %d requests", identity, key, n)
		}
	}
	delete(s.Settings, "auth") // without which nobody looks for AWS
	_, err = provider(t, s).begin(t.Context())
	if resolve.ClassOf(err) != resolve.NotLoggedIn || strings.Contains(err.Error(), "AWS") {
		t.Errorf("without the setting: %v", err)
	}
}
