package doppler

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

const token = "dp.st.dev.canarytoken"

// standIn answers as Doppler's API does by its public reference. It has the configs
// of secrets, by project/config; the token that begins with dp.st. implies app/dev.
func standIn(secrets map[string]map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, message string) {
			resttest.Answer(w, status, map[string]any{"success": false, "messages": []string{message}})
		}
		auth := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		q := r.URL.Query()
		var body struct {
			Project, Config string
			Secrets         map[string]string
		}
		if r.Method == http.MethodPost {
			_ = json.NewDecoder(r.Body).Decode(&body)
			q.Set("project", body.Project)
			q.Set("config", body.Config)
		}
		at := q.Get("project") + "/" + q.Get("config")
		if at == "/" && strings.HasPrefix(auth, "dp.st.") {
			at = "app/dev"
		}
		config, ok := secrets[at]
		switch {
		case strings.HasPrefix(auth, "dp.st.old"):
			refuse(401, "Token has expired")
		case !strings.HasPrefix(auth, "dp."):
			refuse(401, "Invalid Service token")
		case r.URL.Path == "/v3/me":
			resttest.Answer(w, 200, map[string]any{"type": "service_token", "workplace": map[string]string{"name": "Acme\x1b"}})
		case at == "/":
			refuse(400, "You must provide a project and config")
		case at == "app/secret":
			refuse(403, "This token does not have access to requested config 'secret'")
		case !ok:
			refuse(404, "Could not find requested config")
		case r.URL.Path == "/v3/configs/config/secrets/names":
			resttest.Answer(w, 200, map[string]any{"names": append(slices.Collect(maps.Keys(config)), "DOPPLER_CONFIG", "b\nad")})
		case r.Method == http.MethodPost:
			for n, v := range body.Secrets {
				config[n] = v
			}
			resttest.Answer(w, 200, map[string]any{"secrets": map[string]any{}})
		default:
			answers := map[string]any{}
			for _, n := range strings.Split(q.Get("secrets"), ",") {
				if v, ok := config[n]; ok {
					answers[n] = map[string]any{"raw": "raw", "computed": v, "note": ""}
				}
			}
			resttest.Answer(w, 200, map[string]any{"secrets": answers, "success": true})
		}
	}
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
	return p
}

func refs(paths ...string) []resolve.Ref {
	all := make([]resolve.Ref, len(paths))
	for i, p := range paths {
		all[i] = resolve.Ref{Path: p, Dir: "/work/app"}
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
			return provider(t, setup(t, &resttest.Server{URL: address, CAFile: caFile}, "DOPPLER_TOKEN="+token))
		},
		Ref: "app/dev/A", Path: secretsPath, Token: token,
		Answer: func(value string) http.HandlerFunc {
			return standIn(map[string]map[string]any{"app/dev": {"A": value}})
		},
	}.Run(t)
}

func TestFetch(t *testing.T) {
	srv := resttest.Start(t, standIn(map[string]map[string]any{
		"app/dev": {"A": "1", "B": "2", "HIDDEN": nil}, "app/prd": {"A": "3"}, "app/secret": {},
	}))
	p := provider(t, setup(t, srv, "DOPPLER_TOKEN="+token))
	got := outcomes(t, p.Fetch(t.Context(), refs("A", "app/dev/B", "app/prd/A", "app/dev/A", "B", "app/dev/NONE",
		"app/none/A", "app/secret/A", "app/dev/HIDDEN", "app/dev/B", "A/B")))
	want := []string{"1", "2", "3", "1", "2", "!not_found", "!not_found", "!denied", "!denied", "2", "!malformed"}
	if !slices.Equal(got, want) {
		t.Errorf("Fetch gives %q, want %q", got, want)
	}
	if n := len(srv.Requests()); n != 5 { // the token's own config, app/dev, prd, none, secret
		t.Errorf("asked %d times", n)
	}
	if srv.Asked("secrets=A%2CB%2CHIDDEN%2CNONE") != 1 || srv.Asked("include_dynamic_secrets=false") != 5 {
		t.Errorf("asked %v", srv.Requests())
	}
}

// An answer of other names is not taken for what was asked for, nor one among them.
func TestAnswersThatAreNotMeant(t *testing.T) {
	value := func(text string) any { return map[string]any{"raw": "canary", "computed": text} }
	for name, test := range map[string]struct {
		secrets any
		want    []string
	}{
		"other names":         {map[string]any{"C": value("canary"), "a": value("canary"), "A ": value("canary")}, []string{"!not_found", "!not_found"}},
		"one, and others":     {map[string]any{"B": value("2"), "C": value("canary")}, []string{"!not_found", "2"}},
		"none":                {map[string]any{}, []string{"!not_found", "!not_found"}},
		"null for one":        {map[string]any{"A": nil, "B": value("2")}, []string{"!not_found", "2"}},
		"a list":              {[]any{value("canary")}, []string{"!malformed", "!malformed"}},
		"a text for a secret": {map[string]any{"A": "canary"}, []string{"!malformed", "!malformed"}},
	} {
		srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
			resttest.Answer(w, 200, map[string]any{"secrets": test.secrets, "success": true})
		})
		got := outcomes(t, provider(t, setup(t, srv, "DOPPLER_TOKEN="+token)).Fetch(t.Context(), refs("app/dev/A", "app/dev/B")))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: Fetch gives %q, want %q", name, got, test.want)
		}
	}
}

func TestFetchOfMany(t *testing.T) {
	config := map[string]any{}
	var paths []string
	for i := range 250 {
		name := fmt.Sprintf("N%03d", i)
		config[name] = name
		paths = append(paths, "app/dev/"+name)
	}
	srv := resttest.Start(t, standIn(map[string]map[string]any{"app/dev": config}))
	got := outcomes(t, provider(t, setup(t, srv, "DOPPLER_TOKEN="+token)).Fetch(t.Context(), refs(paths...)))
	for i, text := range got {
		if "app/dev/"+text != paths[i] {
			t.Errorf("%s is %s", paths[i], text)
		}
	}
	if n := len(srv.Requests()); n != 3 {
		t.Errorf("asked %d times for 250 names", n)
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	srv := resttest.Start(t, standIn(nil))
	p := provider(t, setup(t, srv, "DOPPLER_TOKEN="+token))
	for _, ref := range []string{"", "/", "a/b", "a/b/c/d", "../x/A", "a/../A", "a/b/..", "a/b/A B", "-a/b/A", "a/b/A,B", "a/b/A\n",
		"a%2f/b/A", "a/b?x=1/A", "a/b/-A", "ø", "a//A", strings.Repeat("a", 500)} {
		result := p.Fetch(t.Context(), refs(ref))[0]
		resttest.Class(t, result.Err, resolve.Malformed)
		resttest.Class(t, p.Store(t.Context(), refs(ref)[0], resolve.NewSecret("v")), resolve.Malformed)
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestWhichPlace(t *testing.T) {
	srv := resttest.Start(t, standIn(map[string]map[string]any{
		"app/dev": {"A": "dev"}, "app/stg": {"A": "stg"}, "app/prd": {"A": "prd"}, "own/dev": {"A": "own"},
	}))
	for name, test := range map[string]struct {
		settings map[string]string
		env      []string
		file     string
		ref      string
		want     string
	}{
		"settings come first":       {map[string]string{"project": "app", "config": "stg"}, []string{"DOPPLER_PROJECT=x", "DOPPLER_CONFIG=y"}, "", "A", "stg"},
		"then the environment":      {nil, []string{"DOPPLER_PROJECT=app", "DOPPLER_CONFIG=prd"}, "", "A", "prd"},
		"then the scope":            {nil, nil, "scoped:\n  /work:\n    enclave.project: own\n    enclave.config: dev\n", "A", "own"},
		"then the token":            {nil, nil, "", "A", "dev"},
		"the reference before all":  {map[string]string{"project": "x", "config": "y"}, nil, "", "app/prd/A", "prd"},
		"half a place is none":      {map[string]string{"project": "app"}, nil, "", "A", "!malformed"},
		"a personal token has none": {nil, []string{"DOPPLER_TOKEN=dp.ct.canary"}, "", "A", "!malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, srv, append([]string{"DOPPLER_TOKEN=" + token}, test.env...)...)
			maps.Copy(s.Settings, test.settings)
			writeOwn(t, s, test.file)
			if got := outcomes(t, provider(t, s).Fetch(t.Context(), refs(test.ref))); got[0] != test.want {
				t.Errorf("%s gives %q, want %q", test.ref, got[0], test.want)
			}
		})
	}
}

func writeOwn(t *testing.T, s resolve.Setup, text string) {
	t.Helper()
	file := filepath.Join(s.Home(), ownFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ring stands in for the system's keyring.
type ring struct{}

func (ring) Fetch(_ context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	for i, ref := range refs {
		switch ref.Path {
		case "doppler-cli/secret-11":
			results[i].Secret = resolve.NewSecret("dp.ct.ring")
		case "doppler-cli/secret-13":
			results[i].Err = &resolve.Error{Class: resolve.Locked}
		default:
			results[i].Err = &resolve.Error{Class: resolve.NotFound}
		}
	}
	return results
}

func TestToken(t *testing.T) {
	srv := resttest.Start(t, standIn(map[string]map[string]any{"app/dev": {"A": "1"}}))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("dp.st.file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env, file, own string
		dir            string
		want, lies     string // the token that is sent or a class, and where it lies
	}{
		"environment":          {env: "dp.st.env", file: file, own: "scoped:\n  /:\n    token: dp.ct.own", want: "dp.st.env", lies: "environment DOPPLER_TOKEN"},
		"file":                 {file: file, own: "scoped:\n  /:\n    token: dp.ct.own", want: "dp.st.file", lies: "file " + file},
		"no such file":         {file: "/none/token", want: "!not_logged_in"},
		"own":                  {own: "scoped:\n  /:\n    token: dp.ct.own", want: "dp.ct.own", lies: "file " + shown},
		"own of old":           {own: "scoped:\n  '*':\n    token: dp.ct.own", want: "dp.ct.own", lies: "file " + shown},
		"the longest counts":   {own: "scoped:\n  /work/app:\n    token: dp.ct.in\n  /:\n    token: dp.ct.out\n  /work/appendix:\n    token: dp.ct.no", dir: "/work/app/x", want: "dp.ct.in"},
		"of a part of a name":  {own: "scoped:\n  /work/ap:\n    token: dp.ct.no\n", dir: "/work/app", want: "!not_logged_in"},
		"none":                 {want: "!not_logged_in"},
		"not YAML":             {own: "scoped: [canary", want: "!malformed"},
		"not of its form":      {own: "scoped: canary", want: "!malformed"},
		"two words":            {env: "canary two", want: "!malformed"},
		"keyring":              {own: "scoped:\n  /:\n    token: secret-11", want: "dp.ct.ring", lies: "keychain"},
		"keyring without it":   {own: "scoped:\n  /:\n    token: secret-12", want: "!not_logged_in"},
		"keyring is locked":    {own: "scoped:\n  /:\n    token: secret-13", want: "!locked"},
		"for another host":     {own: "scoped:\n  /:\n    token: dp.ct.own\n    api-host: https://other.example", want: "!not_logged_in"},
		"for the host asked":   {own: "scoped:\n  /:\n    token: dp.ct.own\n    api-host: " + srv.URL, want: "dp.ct.own"},
		"another's is no host": {own: "scoped:\n  /:\n    token: dp.ct.own\n    api-host: '%zz'", want: "!not_logged_in"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, srv)
			s.Env = append(s.Env, "DOPPLER_TOKEN="+test.env)
			s.Settings["token_file"] = test.file
			if test.own != "" {
				writeOwn(t, s, test.own)
			}
			p := provider(t, s)
			p.keyring = ring{}
			before := len(srv.Requests())
			ref := resolve.Ref{Path: "app/dev/A", Dir: test.dir}
			got := outcomes(t, p.Fetch(t.Context(), []resolve.Ref{ref, ref}))[0]
			if asked := srv.Requests()[before:]; len(asked) > 0 {
				got = strings.TrimPrefix(asked[0].Header.Get("Authorization"), "Bearer ")
			}
			if got != test.want {
				t.Errorf("the token is %q, want %q", got, test.want)
			}
			if test.lies == "" {
				return
			}
			standing, err := p.Probe(t.Context())
			want := resolve.Standing{Through: srv.URL, As: `Acme\x1b service token`, Credential: test.lies, Plain: test.lies != "keychain", Asked: true}
			if err != nil || !reflect.DeepEqual(standing, want) {
				t.Errorf("Probe gives %+v and %v, want %+v", standing, err, want)
			}
		})
	}
}

func TestTokenThatIsRefused(t *testing.T) {
	srv := resttest.Start(t, standIn(map[string]map[string]any{"app/dev": {"A": "1"}}))
	for token, want := range map[string]resolve.Class{"dp.st.old-canary": resolve.Expired, "canary": resolve.NotLoggedIn} {
		p := provider(t, setup(t, srv, "DOPPLER_TOKEN="+token))
		err := p.Fetch(t.Context(), refs("app/dev/A"))[0].Err
		resttest.Class(t, err, want)
		resttest.Discreet(t, err, token)
		if e, ok := err.(*resolve.Error); !ok || e.Hint != "unset DOPPLER_TOKEN && doppler login --api-host "+srv.URL {
			t.Errorf("the hint of %v is %q", err, e.Hint)
		}
		_, err = p.Probe(t.Context())
		resttest.Class(t, err, want)
	}
}

func TestPutAndList(t *testing.T) {
	config := map[string]any{"OLD": "1"}
	srv := resttest.Start(t, standIn(map[string]map[string]any{"app/dev": config}))
	p := provider(t, setup(t, srv, "DOPPLER_TOKEN="+token))
	for _, ref := range []string{"app/dev/NEW", "OLD"} {
		if err := p.Store(t.Context(), refs(ref)[0], resolve.NewSecret("canary\n\"")); err != nil {
			t.Errorf("Store(%s): %v", ref, err)
		}
	}
	if want := map[string]any{"OLD": "canary\n\"", "NEW": "canary\n\""}; !maps.Equal(config, want) {
		t.Errorf("stored %q", config)
	}
	if srv.Asked("canary") != 0 {
		t.Error("the value is in an address")
	}
	names, err := p.List(t.Context())
	if err != nil || !slices.Equal(names, []string{"NEW", "OLD"}) {
		t.Errorf("List gives %q and %v", names, err)
	}
	resttest.Class(t, p.Store(t.Context(), refs("app/none/A")[0], resolve.NewSecret("canary")), resolve.NotFound)
	resttest.Class(t, p.Store(t.Context(), refs("app/secret/A")[0], resolve.NewSecret("canary")), resolve.Denied)
	resttest.Class(t, p.Store(t.Context(), refs("OLD")[0], resolve.NewSecret("a\x00")), resolve.Malformed)
}

func TestPresent(t *testing.T) {
	home := t.TempDir()
	s := resolve.Setup{Env: []string{"HOME=" + home}}
	if got := Present(s); got != "" {
		t.Errorf("nothing there is %q", got)
	}
	writeOwn(t, s, "")
	if got := Present(s); got != shown {
		t.Errorf("a file is %q", got)
	}
	s.Env = append(s.Env, "DOPPLER_TOKEN="+token)
	if got := Present(s); got != "environment DOPPLER_TOKEN" {
		t.Errorf("a token is %q", got)
	}
}
