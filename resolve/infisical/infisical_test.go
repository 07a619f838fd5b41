package infisical

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const token = "st.canarytoken"

// A standIn answers as Infisical's API does by its public reference and by what its own
// programs expect of it.
type standIn struct {
	folders map[string]any // by project, environment and path: what the list of secrets is
	old     bool           // without v4
	written map[string]string
}

type object = map[string]any

func refuse(w http.ResponseWriter, status int, name, message string) {
	resttest.Answer(w, status, object{"reqId": "req-1", "statusCode": status, "error": name, "message": message})
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	auth := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v1/auth/"):
		s.login(w, r)
	case auth == "old":
		refuse(w, 403, "TokenError", "Your token has expired. Please re-authenticate.")
	case auth == "old-401":
		refuse(w, 401, "Unauthorized", "Service token has expired")
	case auth == "forged":
		refuse(w, 403, "TokenError", "invalid signature")
	case auth != token && auth != "made" && auth != userToken:
		refuse(w, 401, "Unauthorized", "Token missing")
	case s.old && strings.HasPrefix(r.URL.Path, "/api/v4/"):
		resttest.Answer(w, 404, object{"message": "Route GET:" + r.URL.Path + " not found", "error": "Not Found", "statusCode": 404})
	case r.Method != http.MethodGet:
		s.write(w, r)
	default:
		s.list(w, r)
	}
}

func (s *standIn) login(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	good := map[string]map[string]string{
		"/api/v1/auth/universal-auth/login":  {"clientId": "id", "clientSecret": "canarysecret"},
		"/api/v1/auth/kubernetes-auth/login": {"identityId": "id", "jwt": "canary.jwt"},
		"/api/v1/auth/oidc-auth/login":       {"identityId": "id", "jwt": "canary.jwt"},
	}
	switch {
	case body["clientId"] == "far" || body["identityId"] == "far":
		refuse(w, 403, "ForbiddenError", "This IP address is not allowed")
	case !maps.Equal(body, good[r.URL.Path]):
		refuse(w, 401, "UnauthorizedError", "Invalid credentials canary")
	default:
		resttest.Answer(w, 200, object{"accessToken": "made", "expiresIn": 7200, "tokenType": "Bearer"})
	}
}

func (s *standIn) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	project := q.Get("projectId")
	if s.old {
		project = q.Get("workspaceId")
	}
	at := project + " " + q.Get("environment") + " " + q.Get("secretPath")
	if at == "p1 secret /" {
		refuse(w, 403, "PermissionDenied", "You are not allowed to read on secrets canary")
		return
	}
	list, ok := s.folders[at]
	if !ok {
		refuse(w, 404, "NotFound", "Folder with path canary not found")
		return
	}
	resttest.Answer(w, 200, list)
}

func (s *standIn) write(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	name := strings.TrimPrefix(r.URL.Path, "/api/v3/secrets/raw/")
	at := body["workspaceId"] + " " + body["environment"] + " " + body["secretPath"]
	_, known := s.folders[at]
	_, there := s.written[name]
	switch {
	case name == "GUARDED":
		resttest.Answer(w, 200, object{"approval": object{"id": "1"}})
	case !known || r.Method == http.MethodPatch && !there:
		refuse(w, 404, "NotFound", "Secret with name canary not found")
	case r.Method == http.MethodPost && there:
		refuse(w, 400, "BadRequest", "Secret already exist")
	default:
		s.written[name] = body["secretValue"]
		resttest.Answer(w, 200, object{"secret": object{"secretKey": name}})
	}
}

func item(name, value string) object {
	return object{"secretKey": name, "secretValue": value, "secretValueHidden": false, "type": "shared"}
}

func setup(t *testing.T, srv *resttest.Server, env ...string) resolve.Setup {
	return resolve.Setup{
		Settings: map[string]string{"address": srv.URL, "ca_file": srv.CAFile},
		Env:      append([]string{"HOME=" + t.TempDir()}, env...),
	}
}

func provider(t *testing.T, s resolve.Setup) *Provider {
	t.Helper()
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	p.keyring = ring{} // the tests' own machine may have a session
	return p
}

func refs(paths ...string) []resolve.Ref {
	all := make([]resolve.Ref, len(paths))
	for i, p := range paths {
		all[i].Path = p
	}
	return all
}

// outcomes has a value or a class for each result.
func outcomes(t *testing.T, results []resolve.Result) []string {
	t.Helper()
	var texts []string
	for _, r := range results {
		resttest.Discreet(t, r.Err, "canary")
		if r.Err != nil {
			texts = append(texts, "!"+string(resolve.ClassOf(r.Err)))
		} else {
			texts = append(texts, r.Secret.Reveal())
		}
	}
	return texts
}

func TestStore(t *testing.T) {
	t.Parallel()
	resttest.Store{
		New: func(t *testing.T, address, caFile string) resolve.Provider {
			return provider(t, setup(t, &resttest.Server{URL: address, CAFile: caFile}, "INFISICAL_TOKEN="+token))
		},
		Ref: "p1/dev/A", Path: secretsPath, Token: token,
		Answer: func(value string) http.HandlerFunc {
			return (&standIn{folders: object{"p1 dev /": object{"secrets": []object{item("A", value)}}}}).ServeHTTP
		},
	}.Run(t)
}

// The same, where signing in is a request of its own.
func TestStoreWithIdentity(t *testing.T) {
	t.Parallel()
	resttest.Store{
		New: func(t *testing.T, address, caFile string) resolve.Provider {
			return provider(t, setup(t, &resttest.Server{URL: address, CAFile: caFile},
				"INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=id", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=canarysecret"))
		},
		Ref: "p1/dev/A", Path: secretsPath, SignIn: "/api/v1/auth/universal-auth/login", Token: "canarysecret",
		Answer: func(value string) http.HandlerFunc {
			return (&standIn{folders: object{"p1 dev /": object{"secrets": []object{item("A", value)}}}}).ServeHTTP
		},
	}.Run(t)
}

var folders = object{
	"p1 dev /": object{
		"secrets": []object{item("A", "1"), item("B", "2"), {"secretKey": "P", "secretValue": "mine", "type": "personal"},
			{"secretKey": "HIDDEN", "secretValue": "<hidden-by-infisical>", "secretValueHidden": true}, {"secretKey": "NOVALUE"}},
		"imports": []object{
			{"secrets": []object{item("A", "not this"), item("I", "not this"), item("J", "5")}},
			{"secrets": []object{item("I", "4")}},
		},
	},
	"p1 dev /db/main": object{"secrets": []object{item("A", "3")}},
	"p2 prd /":        object{"secrets": []object{}},
}

func TestFetch(t *testing.T) {
	paths := []string{"A", "p1/dev/A", "/B", "p1/dev/db/main/A", "/db/main/A", "p1/dev/NONE", "p2/prd/A", "p1/none/A", "p1/secret/A",
		"p1/dev/I", "J", "P", "HIDDEN", "NOVALUE", "p1/A"}
	want := []string{"1", "1", "2", "3", "3", "!not_found", "!not_found", "!not_found", "!denied",
		"4", "5", "!not_found", "!denied", "!malformed", "!malformed"}
	for name, old := range map[string]bool{"v4": false, "v3": true} {
		t.Run(name, func(t *testing.T) {
			srv := resttest.Start(t, (&standIn{folders: folders, old: old}).ServeHTTP)
			s := setup(t, srv, "INFISICAL_TOKEN="+token)
			s.Settings["project"], s.Settings["environment"] = "p1", "dev"
			got := outcomes(t, provider(t, s).Fetch(t.Context(), refs(paths...)))
			if !slices.Equal(got, want) {
				t.Errorf("Fetch gives %q, want %q", got, want)
			}
			path, n := secretsPath, 5
			if old {
				path = oldPath
			}
			if srv.Asked(path+"?") != n || !old && len(srv.Requests()) != n {
				t.Errorf("asked %d times for 5 folders: %v", srv.Asked(path), srv.Requests())
			}
		})
	}
}

// An answer for another folder, or of other names, is not taken for what was asked for.
func TestAnswersThatAreNotMeant(t *testing.T) {
	at := func(name, environment, path string) object {
		s := item(name, "canary")
		s["environment"], s["secretPath"] = environment, path
		return s
	}
	imported := []object{{"environment": "base", "secretPath": "/", "secrets": []object{at("A", "base", "/")}}}
	for name, test := range map[string]struct {
		answer object
		want   string
	}{
		"as it was asked":         {object{"secrets": []object{at("A", "dev", "/db")}}, "canary"},
		"with a slash at its end": {object{"secrets": []object{at("A", "dev", "/db/")}}, "canary"},
		"without a place":         {object{"secrets": []object{item("A", "canary")}}, "canary"},
		"another environment":     {object{"secrets": []object{at("A", "prd", "/db")}}, "!malformed"},
		"another path":            {object{"secrets": []object{at("A", "dev", "/")}}, "!malformed"},
		"a path below":            {object{"secrets": []object{at("A", "dev", "/db/old")}}, "!malformed"},
		"another beside it":       {object{"secrets": []object{at("A", "dev", "/db"), at("B", "prd", "/db")}}, "!malformed"},
		"other names":             {object{"secrets": []object{at("B", "dev", "/db"), at("a", "dev", "/db")}}, "!not_found"},
		"imported from elsewhere": {object{"secrets": []object{at("B", "dev", "/db")}, "imports": imported}, "canary"},
	} {
		for _, old := range []bool{false, true} {
			srv := resttest.Start(t, (&standIn{folders: object{"p1 dev /db": test.answer}, old: old}).ServeHTTP)
			p := provider(t, setup(t, srv, "INFISICAL_TOKEN="+token))
			if got := outcomes(t, p.Fetch(t.Context(), refs("p1/dev/db/A"))); got[0] != test.want {
				t.Errorf("%s: Fetch gives %q, want %q", name, got[0], test.want)
			}
		}
	}
}

func TestPathOfTheSettings(t *testing.T) {
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	for _, path := range []string{"db/main", "/db/main", "/db/main/"} {
		s := setup(t, srv, "INFISICAL_TOKEN="+token)
		s.Settings["project"], s.Settings["environment"], s.Settings["path"] = "p1", "dev", path
		if got := outcomes(t, provider(t, s).Fetch(t.Context(), refs("A", "/A", "p1/dev/A"))); !slices.Equal(got, []string{"3", "1", "1"}) {
			t.Errorf("path %q: Fetch gives %q", path, got)
		}
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	p := provider(t, setup(t, srv, "INFISICAL_TOKEN="+token))
	for _, ref := range []string{"", "/", "A", "/A", "//A", "a/b", "p1/dev/../A", "p1/../x/A", "../dev/A", "p1/dev//A", "p1/dev/", "p1/dev/-A",
		"-p/dev/A", "p1/dev/a b", "p1/dev/a\n", "p1/dev/a%2fb", "p1/dev/a?x=1", "p1/dev/a#b", "p1/d v/A", strings.Repeat("a", 500), "p1/dev/ø"} {
		resttest.Class(t, p.Fetch(t.Context(), refs(ref))[0].Err, resolve.Malformed)
		resttest.Class(t, p.Store(t.Context(), refs(ref)[0], resolve.NewSecret("v")), resolve.Malformed)
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSignIn(t *testing.T) {
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	secret, jwt, st := write(t, "canarysecret\n"), write(t, "canary.jwt"), write(t, token)
	for name, test := range map[string]struct {
		settings map[string]string
		env      []string
		want     string // a value or a class
		lies, as string
	}{
		"none":                     {nil, nil, "!not_logged_in", "", ""},
		"oidc by GitHub, refused":  {map[string]string{"auth": "oidc", "identity": "id"}, []string{"ACTIONS_ID_TOKEN_REQUEST_URL=https://127.0.0.1:1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary"}, "!unreachable", "", ""},
		"oidc by GitHub, for none": {map[string]string{"auth": "oidc"}, []string{"ACTIONS_ID_TOKEN_REQUEST_URL=https://127.0.0.1:1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary"}, "!not_logged_in", "", ""},
		"a file before GitHub's": {map[string]string{"auth": "oidc", "identity": "id", "jwt_file": jwt}, []string{"ACTIONS_ID_TOKEN_REQUEST_URL=https://127.0.0.1:1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary"},
			"1", "file " + jwt, "oidc identity"},
		"oidc by half of GitHub's": {map[string]string{"auth": "oidc", "identity": "id"}, []string{"ACTIONS_ID_TOKEN_REQUEST_URL=https://127.0.0.1:1"}, "!not_logged_in", "", ""},
		"aws for no identity":      {map[string]string{"auth": "aws"}, nil, "!not_logged_in", "", ""},
		"token":                    {nil, []string{"INFISICAL_TOKEN=" + token}, "1", "environment INFISICAL_TOKEN", "token"},
		"access token first":       {nil, []string{"INFISICAL_TOKEN=canary", "INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN=" + token}, "1", "environment INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN", "token"},
		"token file":               {map[string]string{"token_file": st}, nil, "1", "file " + st, "token"},
		"no such file":             {map[string]string{"token_file": "/none"}, nil, "!not_logged_in", "", ""},
		"expired":                  {nil, []string{"INFISICAL_TOKEN=old"}, "!expired", "", ""},
		"expired service token":    {nil, []string{"INFISICAL_TOKEN=old-401"}, "!expired", "", ""},
		"forged":                   {nil, []string{"INFISICAL_TOKEN=forged"}, "!not_logged_in", "", ""},
		"unknown":                  {nil, []string{"INFISICAL_TOKEN=canary"}, "!not_logged_in", "", ""},
		"two words":                {nil, []string{"INFISICAL_TOKEN=canary 2"}, "!malformed", "", ""},
		"universal by environment": {nil, []string{"INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=id", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=canarysecret"}, "1", "environment INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET", "universal identity"},
		"universal by file":        {map[string]string{"identity": "id", "client_secret_file": secret}, nil, "1", "file " + secret, "universal identity"},
		"universal, though a token": {map[string]string{"auth": "universal", "identity": "id", "client_secret_file": secret}, []string{"INFISICAL_TOKEN=canary"},
			"1", "file " + secret, "universal identity"},
		"universal without secret": {map[string]string{"auth": "universal", "identity": "id"}, nil, "!not_logged_in", "", ""},
		"universal refused":        {nil, []string{"INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=id", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=canary"}, "!not_logged_in", "", ""},
		"universal from afar":      {nil, []string{"INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=far", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=canary"}, "!denied", "", ""},
		"kubernetes":               {map[string]string{"auth": "kubernetes", "identity": "id", "jwt_file": jwt}, nil, "1", "file " + jwt, "kubernetes identity"},
		"kubernetes outside":       {map[string]string{"auth": "kubernetes", "identity": "id"}, nil, "!not_logged_in", "", ""},
		"oidc":                     {map[string]string{"auth": "oidc", "jwt_file": jwt}, []string{"INFISICAL_MACHINE_IDENTITY_ID=id"}, "1", "file " + jwt, "oidc identity"},
		"oidc without file":        {map[string]string{"auth": "oidc", "identity": "id"}, nil, "!not_logged_in", "", ""},
		"only a token is wanted":   {map[string]string{"auth": "token", "identity": "id", "client_secret_file": secret}, nil, "!not_logged_in", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, srv, test.env...)
			maps.Copy(s.Settings, test.settings)
			p := provider(t, s)
			before := srv.Asked("/login")
			got := outcomes(t, p.Fetch(t.Context(), refs("p1/dev/A", "p1/dev/db/main/A", "p2/prd/A")))
			if got[0] != test.want {
				t.Errorf("Fetch gives %q, want %q", got[0], test.want)
			}
			if n := srv.Asked("/login") - before; n > 1 {
				t.Errorf("signed in %d times", n)
			}
			p.setup.Settings["project"], p.setup.Settings["environment"] = "p1", "dev"
			standing, err := p.Probe(t.Context())
			resttest.Discreet(t, err, "canary")
			if test.as == "" {
				resttest.Class(t, err, resolve.Class(strings.TrimPrefix(test.want, "!")))
			} else if want := (resolve.Standing{Through: srv.URL, As: test.as, Credential: test.lies, Plain: true, Asked: true}); err != nil || standing != want {
				t.Errorf("Probe gives %+v and %v, want %+v", standing, err, want)
			}
		})
	}
	for _, r := range srv.Requests() {
		if strings.Contains(r.Line, "canary") {
			t.Errorf("a credential is in the address %s", r.Line)
		}
	}
}

func TestSignInThatNeverAnswers(t *testing.T) {
	t.Parallel()
	srv := resttest.Start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := provider(t, setup(t, srv, "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=id", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=canary"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	got := outcomes(t, p.Fetch(ctx, refs("p1/dev/A", "p1/prd/A", "p2/dev/A")))
	if took := time.Since(start); took > 1400*time.Millisecond || !slices.Equal(got, []string{"!timeout", "!timeout", "!timeout"}) {
		t.Errorf("Fetch gives %q after %v", got, took)
	}
	if n := len(srv.Requests()); n > 1 {
		t.Errorf("signed in %d times", n)
	}
}

func TestProbeAsksForNoValues(t *testing.T) {
	for _, old := range []bool{false, true} {
		srv := resttest.Start(t, (&standIn{folders: folders, old: old}).ServeHTTP)
		s := setup(t, srv, "INFISICAL_TOKEN="+token)
		s.Settings["project"], s.Settings["environment"] = "p1", "dev"
		if _, err := provider(t, s).Probe(t.Context()); err != nil {
			t.Error(err)
		}
		if srv.Asked("viewSecretValue=false") != 1 || len(srv.Requests()) != 1 {
			t.Errorf("asked %v", srv.Requests())
		}
	}
}

func TestPutAndList(t *testing.T) {
	store := &standIn{folders: folders, written: map[string]string{"A": "1"}}
	srv := resttest.Start(t, store.ServeHTTP)
	s := setup(t, srv, "INFISICAL_TOKEN="+token)
	s.Settings["project"], s.Settings["environment"] = "p1", "dev"
	p := provider(t, s)
	for _, ref := range []string{"A", "p1/dev/db/main/NEW"} {
		if err := p.Store(t.Context(), refs(ref)[0], resolve.NewSecret("canary\n")); err != nil {
			t.Errorf("Store(%s): %v", ref, err)
		}
	}
	if want := map[string]string{"A": "canary\n", "NEW": "canary\n"}; !maps.Equal(store.written, want) {
		t.Errorf("stored %q", store.written)
	}
	if srv.Asked("PATCH") != 2 || srv.Asked("POST") != 1 || srv.Asked("canary") != 0 {
		t.Errorf("asked %v", srv.Requests())
	}
	resttest.Class(t, p.Store(t.Context(), refs("p1/none/A")[0], resolve.NewSecret("canary")), resolve.NotFound)
	resttest.Class(t, p.Store(t.Context(), refs("GUARDED")[0], resolve.NewSecret("canary")), resolve.Denied)
	resttest.Class(t, p.Store(t.Context(), refs("A")[0], resolve.NewSecret("a\x00")), resolve.Malformed)
	names, err := p.List(t.Context())
	if want := []string{"A", "B", "HIDDEN", "I", "J", "NOVALUE"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("List gives %q and %v, want %q", names, err, want)
	}
}

func TestAddress(t *testing.T) {
	for _, test := range []struct {
		env  []string
		want string
	}{
		{nil, "https://app.infisical.com"},
		{[]string{"INFISICAL_DOMAIN=https://eu.infisical.com/"}, "https://eu.infisical.com"},
		{[]string{"INFISICAL_DOMAIN=https://no.example", "INFISICAL_API_URL=https://i.example/api"}, "https://i.example"},
	} {
		if p := provider(t, resolve.Setup{Env: test.env}); p.address != test.want {
			t.Errorf("%v: the address is %s, want %s", test.env, p.address, test.want)
		}
	}
	_, err := New(resolve.Setup{Env: []string{"INFISICAL_API_URL=http://i.example"}})
	resttest.Class(t, err, resolve.Malformed)
}

func TestPresent(t *testing.T) {
	if got := Present(resolve.Setup{Env: []string{"HOME=" + t.TempDir()}}); got != "" {
		t.Errorf("nothing there is %q", got)
	}
	if got := Present(resolve.Setup{Env: []string{"INFISICAL_TOKEN=" + token}}); got != "environment INFISICAL_TOKEN" {
		t.Errorf("a token is %q", got)
	}
}
