package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	access  = "ya29.canary-access"
	refresh = "1//canary-refresh"
)

type object = map[string]any

// A standIn answers as Secret Manager and Google's token endpoints do by their public references.
type standIn struct {
	secrets map[string]string // by the path of a version, its project being p1
	answers map[string]object // in place of what is answered at a path
	created []string
}

func refuse(w http.ResponseWriter, code int, status string, details ...object) {
	resttest.Answer(w, code, object{"error": object{"code": code, "message": "canary " + status, "status": status, "details": details}})
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	switch answer := s.answers[path]; {
	case answer != nil:
		resttest.Answer(w, 200, answer)
	case path == "/token" || path == "/sts":
		s.token(w, r)
	case r.Header.Get("Authorization") != "Bearer "+access:
		refuse(w, 401, "UNAUTHENTICATED")
	case strings.Contains(path, "/DENIED/"):
		refuse(w, 403, "PERMISSION_DENIED")
	case strings.Contains(path, "/SCOPE/"):
		refuse(w, 403, "PERMISSION_DENIED", object{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
	case strings.HasPrefix(path, "projects/off/"):
		refuse(w, 403, "PERMISSION_DENIED", object{"@type": "x"}, object{"reason": "SERVICE_DISABLED"})
	case strings.Contains(path, "/DEAD/"):
		refuse(w, 400, "FAILED_PRECONDITION")
	case strings.HasSuffix(path, ":access"):
		s.access(w, strings.TrimSuffix(path, ":access"))
	case strings.HasSuffix(path, ":addVersion"):
		s.add(w, r, strings.TrimSuffix(path, ":addVersion"))
	case r.Method == http.MethodPost:
		s.create(w, r, path)
	default:
		s.list(w, r)
	}
}

func (s *standIn) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	switch f := r.PostForm; {
	case f.Get("refresh_token") == refresh, f.Get("subject_token") == "canary-subject", strings.Count(f.Get("assertion"), ".") == 2:
		resttest.Answer(w, 200, object{"access_token": access, "token_type": "Bearer", "expires_in": 3599,
			"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
	case f.Get("refresh_token") == "down":
		w.WriteHeader(503)
	default:
		resttest.Answer(w, 400, object{"error": "invalid_grant", "error_description": "canary"})
	}
}

func (s *standIn) access(w http.ResponseWriter, path string) {
	value, ok := s.secrets[path]
	if !ok {
		refuse(w, 404, "NOT_FOUND")
		return
	}
	resttest.Answer(w, 200, answer(strings.ReplaceAll(strings.Replace(path, "p1", "123", 1), "latest", "7"), value))
}

func answer(name, value string) object {
	return object{"name": name, "payload": object{"data": base64.StdEncoding.EncodeToString([]byte(value)), "dataCrc32c": checksum([]byte(value))}}
}

func (s *standIn) add(w http.ResponseWriter, r *http.Request, path string) {
	var body struct{ Payload struct{ Data []byte } }
	_ = json.NewDecoder(r.Body).Decode(&body)
	if !slices.Contains(s.created, path) {
		refuse(w, 404, "NOT_FOUND")
		return
	}
	s.secrets[path+"/versions/latest"] = string(body.Payload.Data)
	resttest.Answer(w, 200, object{"name": path + "/versions/1"})
}

func (s *standIn) create(w http.ResponseWriter, r *http.Request, path string) {
	body, _ := io.ReadAll(r.Body)
	if global := !strings.Contains(path, "/locations/"); global != strings.Contains(string(body), `"automatic"`) {
		refuse(w, 400, "INVALID_ARGUMENT")
		return
	}
	s.created = append(s.created, path+"/"+r.URL.Query().Get("secretId"))
	resttest.Answer(w, 200, object{"name": path})
}

func (s *standIn) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("pageToken") == "" {
		resttest.Answer(w, 200, object{"secrets": []object{{"name": "projects/123/secrets/A"}, {"name": "odd\n"}}, "nextPageToken": "2"})
		return
	}
	resttest.Answer(w, 200, object{"secrets": []object{{"name": "projects/123/secrets/B"}}})
}

// setup has a login of a user's in the place where gcloud leaves it.
func setup(t *testing.T, address, caFile string, env ...string) resolve.Setup {
	t.Helper()
	s := resolve.Setup{
		Settings: map[string]string{"address": address, "ca_file": caFile, "project": "p1"},
		Env:      append([]string{"HOME=" + t.TempDir()}, env...),
	}
	login := object{"type": "authorized_user", "client_id": "c", "client_secret": "canary", "refresh_token": refresh, "token_uri": address + "/token"}
	write(t, filepath.Join(s.Home(), ".config", "gcloud", ownFile), login)
	return s
}

func write(t *testing.T, file string, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
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
			return provider(t, setup(t, address, caFile))
		},
		Ref: "A", Path: "/v1/", SignIn: "/token", Token: access,
		Answer: func(value string) http.HandlerFunc {
			return (&standIn{secrets: map[string]string{"projects/p1/secrets/A/versions/latest": value}}).ServeHTTP
		},
	}.Run(t)
}

func TestFetch(t *testing.T) {
	srv := resttest.Start(t, (&standIn{secrets: map[string]string{
		"projects/p1/secrets/A/versions/latest": "1", "projects/p1/secrets/A/versions/3": "2", "projects/p2/secrets/A/versions/latest": "3",
		"projects/p1/locations/europe-west1/secrets/A/versions/latest": "4", "projects/p1/secrets/RAW/versions/latest": "a\xff\x00",
		"projects/p1/secrets/A/versions/prod": "5", "projects/example.com:p/secrets/A/versions/latest": "6",
	}}).ServeHTTP)
	for ref, want := range map[string]string{
		"A": "1", "A/versions/latest": "1", "projects/p1/secrets/A": "1", "projects/p1/secrets/A/versions/latest": "1",
		"A/versions/3": "2", "A?version=3": "2", "projects/p1/secrets/A?version=3": "2", "projects/p2/secrets/A": "3",
		"projects/p1/locations/europe-west1/secrets/A": "4", "RAW": "a\xff\x00", "A?version=prod": "5", "projects/example.com:p/secrets/A": "6",
		"NONE": "!not_found", "A/versions/9": "!not_found", "DENIED": "!denied", "SCOPE": "!denied", "projects/off/secrets/A": "!denied", "DEAD": "!not_found",
	} {
		if got := outcomes(t, provider(t, setup(t, srv.URL, srv.CAFile)).Fetch(t.Context(), refs(ref)))[0]; got != want {
			t.Errorf("%s gives %q, want %q", ref, got, want)
		}
	}
}

func TestOneRequestForOneVersion(t *testing.T) {
	srv := resttest.Start(t, (&standIn{secrets: map[string]string{
		"projects/p1/secrets/A/versions/latest": "1", "projects/p1/secrets/B/versions/latest": "2",
	}}).ServeHTTP)
	p := provider(t, setup(t, srv.URL, srv.CAFile))
	got := outcomes(t, p.Fetch(t.Context(), refs("A", "B", "NONE", "projects/p1/secrets/A", "../A", "A?version=latest")))
	if want := []string{"1", "2", "!not_found", "1", "!malformed", "1"}; !slices.Equal(got, want) {
		t.Errorf("Fetch gives %q, want %q", got, want)
	}
	if srv.Asked(":access") != 3 || srv.Asked("/token") != 1 || len(srv.Requests()) != 4 {
		t.Errorf("asked %v", srv.Requests())
	}
}

func TestAnswersThatAreNotMeant(t *testing.T) {
	const path = "projects/p1/secrets/A/versions/3"
	good := answer("projects/123/secrets/A/versions/3", "v")
	for name, change := range map[string]func(object){
		"good":              func(object) {},
		"no checksum":       func(a object) { delete(a["payload"].(object), "dataCrc32c") },
		"!another secret":   func(a object) { a["name"] = "projects/123/secrets/B/versions/3" },
		"!another version":  func(a object) { a["name"] = "projects/123/secrets/A/versions/4" },
		"!no name":          func(a object) { delete(a, "name") },
		"!no payload":       func(a object) { delete(a, "payload") },
		"!another checksum": func(a object) { a["payload"].(object)["dataCrc32c"] = "1" },
		"!no base64":        func(a object) { a["payload"].(object)["data"] = "canary!" },
	} {
		t.Run(name, func(t *testing.T) {
			said := object{"name": good["name"], "payload": maps.Clone(good["payload"].(object))}
			change(said)
			srv := resttest.Start(t, (&standIn{answers: map[string]object{path + ":access": said}}).ServeHTTP)
			got := outcomes(t, provider(t, setup(t, srv.URL, srv.CAFile)).Fetch(t.Context(), refs("A?version=3")))[0]
			if want := map[bool]string{true: "!malformed", false: "v"}[name[0] == '!']; got != want {
				t.Errorf("Fetch gives %q, want %q", got, want)
			}
		})
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	srv := resttest.Start(t, (&standIn{}).ServeHTTP)
	p := provider(t, setup(t, srv.URL, srv.CAFile))
	for _, ref := range []string{"", "/", "-A", "A B", "A\n", "../A", "A/versions/", "A/versions/..", "A?version=", "A?x=1", "A#b", "A%2f",
		"projects/p1/secrets/", "projects//secrets/A", "projects/../secrets/A", "projects/p1/locations/x.evil.example/secrets/A",
		"projects/p1/locations/a@b/secrets/A", "projects/p1/A", "projects/p 1/secrets/A", "projects/p1/secrets/A:destroy", "ø", strings.Repeat("a", 300)} {
		resttest.Class(t, p.Fetch(t.Context(), refs(ref))[0].Err, resolve.Malformed)
		resttest.Class(t, p.Store(t.Context(), refs(ref)[0], resolve.NewSecret("v")), resolve.Malformed)
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// A location leads to a host of Google's and of that location, unless the settings have an address.
func TestRegionalHost(t *testing.T) {
	p := provider(t, resolve.Setup{Env: []string{"HOME=" + t.TempDir()}})
	for location, want := range map[string]string{"": defaultAddress, "europe-west1": "https://secretmanager.europe-west1.rep.googleapis.com"} {
		c, err := p.client(location)
		if again, _ := p.client(location); err != nil || again != c || p.clients[want] != c {
			t.Errorf("location %q: %v, clients %v", location, err, p.clients)
		}
	}
}

func TestWhichProject(t *testing.T) {
	srv := resttest.Start(t, (&standIn{secrets: map[string]string{
		"projects/p1/secrets/A/versions/latest": "settings", "projects/p2/secrets/A/versions/latest": "environment",
		"projects/p3/secrets/A/versions/latest": "quota", "projects/p4/secrets/A/versions/latest": "file",
	}}).ServeHTTP)
	for _, test := range []struct {
		setting, variable, quota, project, want string
	}{
		{"p1", "p2", "p3", "p4", "settings"}, {"", "p2", "p3", "p4", "environment"},
		{"", "", "p3", "p4", "quota"}, {"", "", "", "p4", "file"}, {"", "", "", "", "!malformed"},
	} {
		s := setup(t, srv.URL, srv.CAFile, "GOOGLE_CLOUD_PROJECT="+test.variable)
		s.Settings["project"] = test.setting
		write(t, filepath.Join(s.Home(), ".config", "gcloud", ownFile), object{"type": "authorized_user", "refresh_token": refresh,
			"token_uri": srv.URL + "/token", "quota_project_id": test.quota, "project_id": test.project})
		before := len(srv.Requests())
		if got := outcomes(t, provider(t, s).Fetch(t.Context(), refs("A")))[0]; got != test.want {
			t.Errorf("%+v gives %q", test, got)
		}
		for _, r := range srv.Requests()[before:] {
			if strings.Contains(r.Line, ":access") && r.Header.Get("X-Goog-User-Project") != test.quota {
				t.Errorf("%+v: %q pays", test, r.Header.Get("X-Goog-User-Project"))
			}
		}
	}
}

func privateKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestCredentials(t *testing.T) {
	srv := resttest.Start(t, (&standIn{secrets: map[string]string{"projects/p1/secrets/A/versions/latest": "1"}}).ServeHTTP)
	subject := filepath.Join(t.TempDir(), "subject")
	if err := os.WriteFile(subject, []byte("canary-subject"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := write(t, filepath.Join(t.TempDir(), "other"), "canary")
	federated := func(source object) object {
		return object{"type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
			"token_url": srv.URL + "/sts", "credential_source": source}
	}
	account := object{"type": "service_account", "client_email": "ci@p1.example", "private_key": privateKey(t), "token_uri": srv.URL + "/token"}
	user := func(refresh, endpoint string) object {
		return object{"type": "authorized_user", "refresh_token": refresh, "token_uri": endpoint}
	}
	for name, test := range map[string]struct {
		file  any
		want  string
		plain bool
	}{
		"user":                      {user(refresh, srv.URL+"/token"), "1", true},
		"user whose login is over":  {user("canary", srv.URL+"/token"), "!expired", true},
		"token endpoint down":       {user("down", srv.URL+"/token"), "!unreachable", true},
		"token endpoint over http":  {user(refresh, "http://token.example/token"), "!malformed", true},
		"token endpoint unknown":    {user(refresh, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)+"/token"), "!unreachable", true},
		"service account":           {account, "1", true},
		"service account's bad key": {object{"type": "service_account", "private_key": "canary"}, "!malformed", true},
		"federated by file":         {federated(object{"file": subject}), "1", true},
		"federated, and refused":    {federated(object{"file": other}), "!not_logged_in", true},
		"federated by no file":      {federated(object{"file": "/none"}), "!malformed", true},
		"federated by a program":    {federated(object{"executable": object{"command": "/bin/canary"}}), "!denied", false},
		"federated by nothing":      {federated(nil), "!denied", false},
		"another type":              {object{"type": "canary"}, "!malformed", false},
		"no type":                   {object{"canary": 1}, "!malformed", false},
		"not of the form":           {"canary", "!malformed", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, srv.URL, srv.CAFile)
			file := write(t, filepath.Join(s.Home(), "key.json"), test.file)
			s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS="+file)
			p := provider(t, s)
			if got := outcomes(t, p.Fetch(t.Context(), refs("A")))[0]; got != test.want {
				t.Errorf("Fetch gives %q, want %q", got, test.want)
			}
			standing, err := p.Probe(t.Context())
			resttest.Discreet(t, err, "canary")
			if (err == nil) != (test.want == "1") || standing.Plain != test.plain || err == nil && standing.Credential != "file ~/key.json" {
				t.Errorf("Probe gives %+v and %v", standing, err)
			}
			if name == "service account" && standing.As != "ci@p1.example" {
				t.Errorf("one is %q there", standing.As)
			}
		})
	}
}

func TestWhereCredentialsAre(t *testing.T) {
	file := func(path string) string { return write(t, path, object{"type": "x"}) }
	elsewhere := filepath.Join(t.TempDir(), ownFile)
	file(elsewhere)
	for name, test := range map[string]struct {
		env  []string
		home bool
		want string
	}{
		"nothing":              {nil, false, fromService},
		"gcloud's":             {nil, true, "file ~/.config/gcloud/" + ownFile},
		"gcloud's, elsewhere":  {[]string{"CLOUDSDK_CONFIG=" + filepath.Dir(elsewhere)}, true, "file " + elsewhere},
		"said":                 {[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + elsewhere}, true, "file " + elsewhere},
		"said, and not there":  {[]string{"GOOGLE_APPLICATION_CREDENTIALS=/none.json"}, true, "!not_logged_in"},
		"said as if in a repo": {[]string{"GOOGLE_APPLICATION_CREDENTIALS=key.json"}, true, "!malformed"},
	} {
		home := t.TempDir()
		if test.home {
			file(filepath.Join(home, ".config", "gcloud", ownFile))
		}
		c, err := provider(t, resolve.Setup{Env: append(test.env, "HOME="+home)}).find()
		got := c.lies
		if err != nil {
			got = "!" + string(resolve.ClassOf(err))
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestMetadataService(t *testing.T) {
	srv := resttest.Start(t, (&standIn{secrets: map[string]string{"projects/p1/secrets/A/versions/latest": "1"}}).ServeHTTP)
	for name, test := range map[string]struct {
		answer string
		flavor string
		status int
		want   string
	}{
		"good":             {`{"access_token":"` + access + `"}`, "Google", 200, "1"},
		"another service":  {`{"access_token":"` + access + `"}`, "", 200, "!not_logged_in"},
		"no account":       {"canary", "Google", 404, "!not_logged_in"},
		"not of its form":  {"canary", "Google", 200, "!malformed"},
		"without a token":  {"{}", "Google", 200, "!malformed"},
		"with another's":   {`{"access_token":"canary"}`, "Google", 200, "!not_logged_in"},
		"with two in one":  {`{"access_token":"canary canary"}`, "Google", 200, "!malformed"},
		"with a CR in one": {`{"access_token":"canary\r\nX: y"}`, "Google", 200, "!malformed"},
	} {
		for _, said := range []bool{true, false} {
			t.Run(fmt.Sprint(name, said), func(t *testing.T) {
				meta := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Metadata-Flavor", test.flavor)
					if r.Header.Get("Metadata-Flavor") != "Google" {
						w.WriteHeader(403)
						return
					}
					if r.URL.Path != "/" {
						w.WriteHeader(test.status)
						_, _ = io.WriteString(w, test.answer)
					}
				}))
				defer meta.Close()
				s := setup(t, srv.URL, srv.CAFile, "CLOUDSDK_CONFIG="+t.TempDir())
				host := strings.TrimPrefix(meta.URL, "http://")
				if said {
					s.Env = append(s.Env, "GCE_METADATA_HOST="+host)
				}
				p := provider(t, s)
				p.metadata = host
				if got := outcomes(t, p.Fetch(t.Context(), refs("A")))[0]; got != test.want {
					t.Errorf("Fetch gives %q, want %q", got, test.want)
				}
			})
		}
	}
}

// On a laptop nothing answers at the metadata service's address, or nothing useful.
func TestNoMetadataService(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // it accepts, and nobody reads
	p := provider(t, resolve.Setup{Env: []string{"HOME=" + t.TempDir(), "GOOGLE_CLOUD_PROJECT=p1"}})
	p.metadata = listener.Addr().String()
	start := time.Now()
	result := p.Fetch(t.Context(), refs("A", "B", "C"))[2]
	resttest.Class(t, result.Err, resolve.NotLoggedIn)
	if e, ok := result.Err.(*resolve.Error); !ok || e.Hint != login {
		t.Errorf("the hint of %v is not the login", result.Err)
	}
	if took := time.Since(start); took > glance+400*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// All kinds of credentials keep the deadline, though x/oauth2 does not for all.
// What proves who one is goes to the token endpoint that the credentials name, if that
// is who it says, and to no other.
func TestTokenEndpointAlone(t *testing.T) {
	t.Parallel()
	other := resttest.Start(t, (&standIn{}).ServeHTTP)
	srv := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusPermanentRedirect)
	})
	key, subject := privateKey(t), write(t, filepath.Join(t.TempDir(), "subject"), "canary-subject")
	for name, file := range map[string]object{
		"service account": {"type": "service_account", "private_key": key},
		"user":            {"type": "authorized_user", "refresh_token": refresh},
		"federated": {"type": "external_account", "audience": "a", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
			"credential_source": object{"file": subject}},
	} {
		for address, asked := range map[string]int{
			srv.URL: 1, strings.Replace(other.URL, "127.0.0.1", "localhost", 1): 0, // for which no certificate is
		} {
			file["token_uri"], file["token_url"] = address+"/token", address+"/sts"
			s := setup(t, srv.URL, srv.CAFile)
			s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS="+write(t, filepath.Join(s.Home(), "key.json"), file))
			before := len(srv.Requests())
			if got := outcomes(t, provider(t, s).Fetch(t.Context(), refs("A"))); !slices.Equal(got, []string{"!unreachable"}) {
				t.Errorf("%s: Fetch gives %q", name, got)
			}
			if n := len(srv.Requests()) - before; n != asked || len(other.Requests()) > 0 {
				t.Errorf("%s: asked %d times, and the other %d times", name, n, len(other.Requests()))
			}
		}
	}
}

func TestTokenEndpointThatNeverAnswers(t *testing.T) {
	t.Parallel()
	srv := resttest.Start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	key := privateKey(t)
	for name, file := range map[string]object{
		"service account": {"type": "service_account", "private_key": key, "token_uri": srv.URL},
		"user":            {"type": "authorized_user", "refresh_token": refresh, "token_uri": srv.URL},
		"federated": {"type": "external_account", "audience": "a", "subject_token_type": "t", "token_url": srv.URL,
			"credential_source": object{"url": srv.URL + "/subject"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, srv.URL, srv.CAFile)
			s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS="+write(t, filepath.Join(s.Home(), "key.json"), file))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			got := outcomes(t, provider(t, s).Fetch(ctx, refs("A", "B")))
			if took := time.Since(start); took > 700*time.Millisecond || !slices.Equal(got, []string{"!timeout", "!timeout"}) {
				t.Errorf("Fetch gives %q after %v", got, took)
			}
		})
	}
}

func TestPutAndList(t *testing.T) {
	store := &standIn{secrets: map[string]string{}, created: []string{"projects/p1/secrets/OLD"}}
	srv := resttest.Start(t, store.ServeHTTP)
	p := provider(t, setup(t, srv.URL, srv.CAFile))
	all := refs("OLD", "NEW", "projects/p1/locations/europe-west1/secrets/NEW")
	for _, ref := range all {
		if err := p.Store(t.Context(), ref, resolve.NewSecret("canary\n")); err != nil {
			t.Errorf("Store(%s): %v", ref.Path, err)
		}
	}
	for i, r := range p.Fetch(t.Context(), all) {
		if r.Secret.Reveal() != "canary\n" {
			t.Errorf("%s is %v after Store", all[i].Path, r.Err)
		}
	}
	if srv.Asked("addVersion") != 5 || srv.Asked("secretId=NEW") != 2 || srv.Asked("canary") != 0 {
		t.Errorf("asked %v", srv.Requests())
	}
	resttest.Class(t, p.Store(t.Context(), refs("OLD/versions/1")[0], resolve.NewSecret("canary")), resolve.Malformed)
	resttest.Class(t, p.Store(t.Context(), refs("OLD")[0], resolve.NewSecret("a\x00")), resolve.Malformed)
	resttest.Class(t, p.Store(t.Context(), refs("projects/off/secrets/A")[0], resolve.NewSecret("canary")), resolve.Denied)
	names, err := p.List(t.Context())
	if err != nil || !slices.Equal(names, []string{"A", "B"}) || srv.Asked("pageToken=2") != 1 {
		t.Errorf("List gives %q and %v", names, err)
	}
}

func TestPresent(t *testing.T) {
	s := resolve.Setup{Env: []string{"HOME=" + t.TempDir()}}
	for _, step := range []struct {
		then func()
		want string
	}{
		{func() {}, ""},
		{func() { s.Env = append(s.Env, "GCE_METADATA_HOST=x") }, fromService},
		{func() { write(t, filepath.Join(s.Home(), ".config", "gcloud", ownFile), "") }, "~/.config/gcloud/" + ownFile},
		{func() { s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS=/x") }, "environment GOOGLE_APPLICATION_CREDENTIALS"},
	} {
		step.then()
		if got := Present(s); got != step.want {
			t.Errorf("Present gives %q, want %q", got, step.want)
		}
	}
}
