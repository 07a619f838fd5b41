package hashicorp

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Which credential is used where there are several, and what is said where there is none.
func TestOrder(t *testing.T) {
	home := t.TempDir()
	put(t, filepath.Join(home, "id"), "the-id\n")
	put(t, filepath.Join(home, "empty"), "\n")
	files := map[string]string{}
	for _, name := range []string{"token_file", "secret_id_file", "jwt_file", "password_file", "client_cert", "client_key"} {
		files[name] = filepath.Join(home, "id")
	}
	with := func(more map[string]string, without ...string) map[string]string {
		settings := map[string]string{"role": "r", "role_id": "id", "username": "me"}
		for k, v := range files {
			settings[k] = v
		}
		for k, v := range more {
			settings[k] = v
		}
		for _, k := range without {
			delete(settings, k)
		}
		return settings
	}
	github := []string{"ACTIONS_ID_TOKEN_REQUEST_URL=https://github.example/x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=hunter2"}
	tests := map[string]struct {
		settings map[string]string
		env      []string
		want     string // method: place, or the error
	}{
		"a variable first":         {with(nil), []string{"VAULT_TOKEN=x"}, "token: environment VAULT_TOKEN"},
		"OpenBao's variable":       {with(nil), []string{"BAO_TOKEN=x"}, "token: environment BAO_TOKEN"},
		"an empty one is none":     {with(nil), []string{"VAULT_TOKEN="}, "token: file ~/id"},
		"then the file":            {with(nil), nil, "token: file ~/id"},
		"then AppRole":             {with(nil, "token_file"), nil, "approle: file ~/id"},
		"AppRole by variables":     {nil, []string{"VAULT_ROLE_ID=a", "VAULT_SECRET_ID=b"}, "approle: environment VAULT_SECRET_ID"},
		"then Kubernetes":          {with(nil, "token_file", "role_id"), []string{"KUBERNETES_SERVICE_HOST=h"}, "kubernetes: file ~/id"},
		"no cluster, then JWT":     {with(nil, "token_file", "role_id"), nil, "jwt: file ~/id"},
		"JWT by a variable":        {map[string]string{"role": "r"}, []string{"VAULT_ID_TOKEN=x"}, "jwt: environment VAULT_ID_TOKEN"},
		"JWT of GitHub":            {map[string]string{"role": "r"}, github, "jwt: environment ACTIONS_ID_TOKEN_REQUEST_TOKEN"},
		"a JWT before GitHub's":    {map[string]string{"role": "r"}, append(slices.Clone(github), "VAULT_ID_TOKEN=x"), "jwt: environment VAULT_ID_TOKEN"},
		"a file before GitHub's":   {with(nil, "token_file", "role_id"), github, "jwt: file ~/id"},
		"GitHub without a role":    {map[string]string{"auth": "jwt"}, github, "not_logged_in: jwt: no role"},
		"half of GitHub's":         {map[string]string{"auth": "jwt", "role": "r"}, github[:1], "not_logged_in: jwt: no jwt_file, no VAULT_ID_TOKEN and no token of GitHub Actions (export VAULT_ID_TOKEN=ID_TOKEN)"},
		"the other half":           {map[string]string{"auth": "jwt", "role": "r"}, github[1:], "not_logged_in: jwt: no jwt_file, no VAULT_ID_TOKEN and no token of GitHub Actions (export VAULT_ID_TOKEN=ID_TOKEN)"},
		"then the certificate":     {with(nil, "token_file", "role_id", "jwt_file"), nil, "cert: file ~/id"},
		"then the password":        {with(nil, "token_file", "role_id", "jwt_file", "client_key"), nil, "userpass: file ~/id"},
		"then nothing":             {with(nil, "token_file", "role_id", "jwt_file", "client_key", "username"), nil, "not_logged_in: not signed in (vault login)"},
		"the setting, not token":   {with(map[string]string{"auth": "userpass"}), []string{"VAULT_TOKEN=x"}, "userpass: file ~/id"},
		"the setting and no token": {map[string]string{"auth": "token"}, nil, "not_logged_in: not signed in: no VAULT_TOKEN and no ~/.vault-token (vault login)"},
		"no role_id":               {map[string]string{"auth": "approle"}, []string{"VAULT_TOKEN=x"}, "not_logged_in: approle: no role_id"},
		"no secret_id":             {map[string]string{"auth": "approle", "role_id": "a"}, nil, "not_logged_in: approle: no secret_id_file and no VAULT_SECRET_ID (export VAULT_SECRET_ID=SECRET_ID)"},
		"no role for Kubernetes":   {map[string]string{"auth": "kubernetes"}, nil, "not_logged_in: kubernetes: no role"},
		"no account":               {map[string]string{"auth": "kubernetes", "role": "r", "jwt_file": "/nonexistent/t"}, nil, "not_logged_in: kubernetes: no file /nonexistent/t"},
		"no role for JWT":          {map[string]string{"auth": "jwt"}, nil, "not_logged_in: jwt: no role"},
		"no JWT":                   {map[string]string{"auth": "jwt", "role": "r"}, nil, "not_logged_in: jwt: no jwt_file, no VAULT_ID_TOKEN and no token of GitHub Actions (export VAULT_ID_TOKEN=ID_TOKEN)"},
		"no certificate":           {map[string]string{"auth": "cert"}, nil, "not_logged_in: cert: no client_cert and client_key"},
		"no password":              {map[string]string{"auth": "userpass", "username": "me"}, nil, "not_logged_in: userpass: no username and password_file"},
		"AWS if asked for":         {map[string]string{"auth": "aws"}, nil, "aws: the AWS credentials"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := provider(t, resolve.Setup{Settings: test.settings, Env: append(slices.Clone(test.env), "HOME="+home)})
			l, err := p.login()
			got := line(t, err)
			if err == nil {
				got = l.method + ": " + l.from
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// received is what a stand-in was sent to sign in.
type received struct {
	mu    sync.Mutex
	paths []string
	body  map[string]string
}

func (r *received) answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		data, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.paths, r.body = append(r.paths, request.URL.Path), nil
		_ = json.Unmarshal(data, &r.body)
		r.mu.Unlock()
		text(status, body)(w, request)
	}
}

const signedIn = `{"auth":{"client_token":"` + canaryToken + `"}}`

// One Fetch signs in once, however many secrets it is for.
func TestSignsInOnce(t *testing.T) {
	t.Parallel()
	var r received
	s := newStandIn(t, map[string]http.HandlerFunc{"/v1/auth/my/role/login": r.answer(200, signedIn)})
	setup := s.setup(t)
	setup.Env = append(setup.Env, "VAULT_SECRET_ID=hunter2-secret-id")
	for k, v := range map[string]string{"auth": "approle", "role_id": "the-role", "auth_mount": "my/role"} {
		setup.Settings[k] = v
	}
	got := fetch(t, t.Context(), provider(t, setup), "secret/app", "secret/app#user", "secret/gone")
	same(t, "results", got, []string{canary, "me", `not_found: no secret at "secret/gone"`})
	same(t, "logins", r.paths, []string{"/v1/auth/my/role/login"})
	if r.body["role_id"] != "the-role" || r.body["secret_id"] != "hunter2-secret-id" || len(r.body) != 2 {
		t.Errorf("the server was sent %d fields, want role_id and secret_id as they are", len(r.body))
	}
}

// What proves who one is goes to the server that is named, if that is who it says, and
// to no other.
func TestSignInAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := newStandIn(t, nil)
		s := newStandIn(t, map[string]http.HandlerFunc{"/v1/auth/approle/login": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}})
		setup := s.setup(t)
		setup.Env = append(setup.Env[:2], "VAULT_SECRET_ID=hunter2-secret-id", "VAULT_ROLE_ID=id")
		got := fetch(t, t.Context(), provider(t, setup), "secret/app")
		same(t, "results", got, []string{"unreachable: the store sends elsewhere, which kz does not follow"})
		same(t, "requests", s.requests(), []string{"POST /v1/auth/approle/login"})
		same(t, "requests elsewhere", elsewhere.requests(), nil)
	}
	s := newStandIn(t, nil)
	setup := s.setup(t)
	setup.Env = append(setup.Env[:1], "VAULT_ADDR="+strings.Replace(s.URL, "127.0.0.1", "localhost", 1), "VAULT_SECRET_ID=hunter2-secret-id", "VAULT_ROLE_ID=id")
	got := fetch(t, t.Context(), provider(t, setup), "secret/app")
	same(t, "results", got, []string{"unreachable: the store's certificate is not trusted: it is not for localhost"})
	same(t, "requests", s.requests(), nil)
}

func TestSignInFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "two"), "hunter2\nhunter2\n")
	put(t, filepath.Join(dir, "empty"), " \n")
	put(t, filepath.Join(dir, "token"), "hunter2 \xff")
	tests := map[string]struct {
		status   int
		body     string
		settings map[string]string
		want     string
		asked    int
	}{
		"refused":        {400, `{"errors":["invalid secret id hunter2"]}`, nil, "denied: the server does not let environment VAULT_SECRET_ID sign in at auth/approle", 1},
		"forbidden":      {403, canary, nil, "denied: the server does not let environment VAULT_SECRET_ID sign in at auth/approle", 1},
		"no such mount":  {404, canary, nil, "denied: the server does not let environment VAULT_SECRET_ID sign in at auth/approle", 1},
		"sealed":         {503, `{"errors":["Vault is sealed"]}`, nil, "locked: the server is sealed (vault operator unseal)", 3},
		"throttled":      {429, canary, nil, "throttled: too many requests", 3},
		"failing":        {500, canary, nil, "unreachable: the store answered with status 500", 3},
		"second factor":  {200, `{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"x"}}}`, nil, "prompt_needed: the server asks for a second factor", 1},
		"no token":       {200, `{}`, nil, "malformed: the store's answer is not of its form", 1},
		"no JSON":        {200, canary, nil, "malformed: the store's answer is not of its form", 1},
		"odd token":      {200, `{"auth":{"client_token":"hunter2\r\nX-Evil: 1"}}`, nil, "not_logged_in: the token in environment VAULT_SECRET_ID is not one (export VAULT_SECRET_ID=SECRET_ID)", 1},
		"no file":        {200, signedIn, map[string]string{"secret_id_file": dir + "/none"}, "not_logged_in: no file " + dir + "/none", 0},
		"two lines":      {200, signedIn, map[string]string{"secret_id_file": dir + "/two"}, "not_logged_in: " + dir + "/two does not have one line", 0},
		"empty file":     {200, signedIn, map[string]string{"secret_id_file": dir + "/empty"}, "not_logged_in: " + dir + "/empty does not have one line", 0},
		"a directory":    {200, signedIn, map[string]string{"secret_id_file": dir}, "not_logged_in: no file " + dir, 0},
		"no pair":        {200, signedIn, map[string]string{"client_cert": dir + "/two", "client_key": dir + "/two"}, "not_logged_in: " + dir + "/two and " + dir + "/two are not a certificate and its key", 0},
		"no token in it": {200, signedIn, map[string]string{"auth": "token", "token_file": dir + "/token"}, "not_logged_in: the token in file " + dir + "/token is not one ((umask 077 && vault login -token-only >" + dir + "/token))", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r received
			s := newStandIn(t, map[string]http.HandlerFunc{"/v1/auth/approle/login": r.answer(test.status, test.body)})
			setup := s.setup(t)
			setup.Env = append(setup.Env[:2], "VAULT_SECRET_ID=hunter2-secret-id", "VAULT_ROLE_ID=id")
			for k, v := range test.settings {
				setup.Settings[k] = v
			}
			got := fetch(t, t.Context(), provider(t, setup), "secret/app", "secret/b")
			same(t, "results", got, []string{test.want, test.want})
			if asked := s.requests(); len(asked) != test.asked {
				t.Errorf("requests %q, want %d", asked, test.asked)
			}
		})
	}
}

func TestNoAddress(t *testing.T) {
	p := provider(t, resolve.Setup{Env: []string{"HOME=" + t.TempDir(), "VAULT_TOKEN=" + canaryToken}})
	same(t, "results", fetch(t, t.Context(), p, "secret/app"), []string{"not_logged_in: neither VAULT_ADDR nor the provider's settings have an address (export VAULT_ADDR=https://HOST:8200)"})
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, nil)
	setup := s.setup(t)
	got, err := provider(t, setup).Probe(t.Context())
	if want := (resolve.Standing{Through: s.URL, As: "token, for another 1h0m0s", Credential: "environment VAULT_TOKEN", Plain: true, Asked: true}); got != want || err != nil {
		t.Errorf("Probe gives %+v, %v, want %+v", got, err, want)
	}
	same(t, "requests", s.requests(), []string{"GET " + selfPath})

	setup.Env = setup.Env[:2]
	home := setup.Home()
	got, err = provider(t, setup).Probe(t.Context())
	if want := "not_logged_in: not signed in (vault login)"; line(t, err) != want || got.Through != s.URL || got.Credential != "" {
		t.Errorf("without a credential Probe gives %+v, %s", got, line(t, err))
	}
	put(t, filepath.Join(home, ".vault-token"), canaryToken+"\n")
	got, err = provider(t, setup).Probe(t.Context())
	if want := "file ~/.vault-token"; err != nil || got.Credential != want || !got.Plain {
		t.Errorf("with a file Probe gives %+v, %v", got, err)
	}
	s.answers[selfPath] = text(403, canary)
	got, err = provider(t, setup).Probe(t.Context())
	if want := "expired: the token is expired or revoked (vault login)"; line(t, err) != want || got.Credential == "" {
		t.Errorf("with a dead token Probe gives %+v, %s", got, line(t, err))
	}
	s.answers[selfPath] = text(200, `{"data":{"display_name":"\u001b[31mred"}}`)
	if got, err = provider(t, setup).Probe(t.Context()); got.As != `\x1b[31mred` || err != nil {
		t.Errorf("Probe shows the name as %q, %v", got.As, err)
	}
}

// A job of GitHub's gets a token that is for the server, and the server gets no other.
// Both are stand-ins on one address, by their public references.
func TestSignedByGitHub(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
		logins int
	}{
		"given":   {200, `{"value":"hunter2.github.jwt"}`, canary, 1},
		"refused": {403, `{"message":"hunter2"}`, "denied: GitHub gives the job no token: access denied", 0},
		"none":    {200, `{"value":""}`, "malformed: what GitHub gave as a token is not one word", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r received
			var authorization string
			s := newStandIn(t, map[string]http.HandlerFunc{"/v1/auth/ci/login": r.answer(200, signedIn)})
			s.answers["/github/login"] = func(w http.ResponseWriter, q *http.Request) { // a path that newStandIn lets in without Vault's token
				authorization = q.Header.Get("Authorization")
				text(test.status, test.body)(w, q)
			}
			setup := s.setup(t)
			setup.Env = []string{"HOME=" + t.TempDir(), "VAULT_ADDR=" + s.URL + "/", "ACTIONS_ID_TOKEN_REQUEST_URL=" + s.URL + "/github/login?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=hunter2-bearer"}
			setup.Settings["role"], setup.Settings["auth_mount"] = "app", "ci"
			same(t, "results", fetch(t, t.Context(), provider(t, setup), "secret/app"), []string{test.want})
			if asked := s.requests()[0]; asked != "GET /github/login?api-version=2.0&audience="+url.QueryEscape(s.URL) || authorization != "Bearer hunter2-bearer" {
				t.Errorf("GitHub was asked %s with %q", asked, authorization)
			}
			if len(r.paths) != test.logins || test.logins == 1 && (r.body["jwt"] != "hunter2.github.jwt" || r.body["role"] != "app" || len(r.body) != 2) {
				t.Errorf("the server was asked %q, with %d fields", r.paths, len(r.body))
			}
		})
	}
}

// What AWS would be asked is sent, signed, and without the key that signed.
func TestSignedByAWS(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hunter2-aws", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "HOME": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	var r received
	s := newStandIn(t, map[string]http.HandlerFunc{"/v1/auth/aws/login": r.answer(200, signedIn)})
	setup := s.setup(t)
	setup.Settings["auth"], setup.Settings["role"] = "aws", "app"
	same(t, "results", fetch(t, t.Context(), provider(t, setup), "secret/app"), []string{canary})
	var all string
	for _, key := range []string{"iam_request_url", "iam_request_body", "iam_request_headers"} {
		data, err := base64.StdEncoding.DecodeString(r.body[key])
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		all += string(data) + "\n"
	}
	for _, want := range []string{"https://sts.amazonaws.com/\nAction=GetCallerIdentity&Version=2011-06-15\n", "Credential=AKIDEXAMPLE/", "/us-east-1/sts/aws4_request", "Signature="} {
		if !strings.Contains(all, want) {
			t.Errorf("the request lacks %q:\n%s", want, all)
		}
	}
	if r.body["role"] != "app" || r.body["iam_http_request_method"] != "POST" || strings.Contains(all, "hunter2") {
		t.Errorf("the server was sent %q", r.body)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	same(t, "results without credentials", fetch(t, t.Context(), provider(t, setup), "secret/app"), []string{"not_logged_in: not signed in to AWS"})
}
