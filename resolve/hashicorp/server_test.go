package hashicorp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/internal/tooltest"
	"github.com/getkeyzero/kz/resolve"
)

// A server is a real Vault.
type server struct {
	Address   string `json:"address"`
	CA        string `json:"ca"`
	RootToken string `json:"root_token"`
	UnsealKey string `json:"unseal_key"`
	caFile    string
}

// serverProgram returns the path of the program in internal/vaultserver. Building it
// takes minutes the first time, so that is done only where the tests of servers must run.
func serverProgram(t *testing.T) string {
	t.Helper()
	if built := os.Getenv("KZ_VAULTSERVER"); built != "" {
		return built
	}
	program, err := builtServer()
	if errors.Is(err, tooltest.ErrNotBuilt) {
		t.Skip("no Vault is built: KZ_NEED_SERVERS=1 builds it, in some minutes, and KZ_VAULTSERVER names one")
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var builtServer = sync.OnceValues(func() (string, error) {
	return tooltest.Build("vaultserver", "../../internal/vaultserver", ".", "go.sum", "main.go")
})

// start returns a server of the test's own, unsealed and with nothing in it.
func start(t *testing.T) *server {
	t.Helper()
	cmd := exec.Command(serverProgram(t))
	cmd.Env = []string{"HOME=" + t.TempDir()}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	s := &server{caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := json.NewDecoder(stdout).Decode(s); err != nil {
		t.Fatal(err)
	}
	put(t, s.caFile, s.CA)
	return s
}

type dict = map[string]any

// do asks the server as root for something that must succeed.
func (s *server) do(t *testing.T, method, path string, body any) dict {
	t.Helper()
	client, err := rest.New(rest.Options{Address: s.Address, CAFile: s.caFile})
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.Do(t.Context(), rest.Call{Method: method, Path: "/v1/" + path, Header: map[string]string{tokenHeader: s.RootToken}, Body: body})
	if err != nil || a.Status >= 300 {
		t.Fatalf("%s %s: %v, %d: %s", method, path, err, a.Status, a.Body)
	}
	var answer dict
	_ = json.Unmarshal(a.Body, &answer)
	return answer
}

// setup is of a user with settings besides the server's address.
func (s *server) setup(t *testing.T, settings map[string]string, env ...string) resolve.Setup {
	t.Helper()
	all := map[string]string{"ca_file": s.caFile, "address": s.Address}
	for k, v := range settings {
		all[k] = v
	}
	return resolve.Setup{Settings: all, Env: append(env, "HOME="+t.TempDir())}
}

// token returns a new token with the policies, good for a while.
func (s *server) token(t *testing.T, ttl string, policies ...string) string {
	t.Helper()
	made := s.do(t, "POST", "auth/token/create", dict{"policies": policies, "ttl": ttl, "display_name": "kim"})
	return made["auth"].(dict)["client_token"].(string)
}

// TestServer asks a real Vault.
func TestServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do(t, "POST", "sys/mounts/secret", dict{"type": "kv", "options": dict{"version": "2"}})
	s.do(t, "POST", "sys/mounts/team/a/kv", dict{"type": "kv", "options": dict{"version": "2"}})
	s.do(t, "POST", "sys/mounts/old", dict{"type": "kv", "options": dict{"version": "1"}})
	for _, value := range []string{"first", "second", "third", "fourth"} {
		s.do(t, "POST", "secret/data/app", dict{"data": dict{"value": value, "n": 123456789012345, "user": "me"}})
	}
	s.do(t, "POST", "secret/delete/app", dict{"versions": []int{2}})
	s.do(t, "POST", "secret/destroy/app", dict{"versions": []int{1}})
	s.do(t, "POST", "secret/data/gone", dict{"data": dict{"value": "x"}})
	s.do(t, "DELETE", "secret/data/gone", nil)
	s.do(t, "POST", "team/a/kv/data/x/y z/ü", dict{"data": dict{"only": "Ü"}})
	s.do(t, "POST", "old/data/app", dict{"password": "v1", "user": "me"})
	s.do(t, "PUT", "sys/policies/acl/app", dict{"policy": `path "secret/data/app" { capabilities = ["read"] }
		path "secret/metadata/*" { capabilities = ["list"] }`})

	root := provider(t, s.setup(t, nil, "VAULT_TOKEN="+s.RootToken))
	t.Run("fetch", func(t *testing.T) {
		tests := [][2]string{
			{"secret/app", "fourth"},
			{"secret/app#n", "123456789012345"},
			{"secret/app#user?version=3", "me"},
			{"secret/app?version=3", "third"},
			{"secret/app?version=3#value", "third"},
			{"secret/app?version=2", `not_found: version 2 of "secret/app" is deleted`},
			{"secret/app?version=1", `not_found: version 1 of "secret/app" is deleted`},
			{"secret/app?version=9", `not_found: no version 9 of "secret/app"`},
			{"secret/app#none", `not_found: "secret/app" has no field "none", but the fields "n", "user", "value"`},
			{"secret/gone", `not_found: version 1 of "secret/gone" is deleted`},
			{"secret/never", `not_found: no secret at "secret/never"`},
			{"secret/data/app", `not_found: no secret at "secret/data/app": leave out the data/`},
			{"team/a/kv/x/y z/ü", "Ü"},
			{"old/data/app#password", "v1"},
			{"old/data/app", `malformed: "old/data/app" has the fields "password", "user": add #FIELD`},
			{"old/data/app#user?version=1", `malformed: the mount "old" keeps no versions`},
			{"old/never#a", `not_found: no secret at "old/never"`},
			{"nowhere/app#a", `not_found: no mount holds "nowhere/app"`},
			{"sys/health#a", `malformed: the server's own paths have no secrets for kz`},
		}
		var paths, want []string
		for _, test := range tests {
			paths, want = append(paths, test[0]), append(want, test[1])
		}
		for i, got := range fetch(t, t.Context(), root, paths...) {
			if got != want[i] {
				t.Errorf("%s: got %q, want %q", paths[i], got, want[i])
			}
		}
	})

	t.Run("version by the setting", func(t *testing.T) {
		two := provider(t, s.setup(t, map[string]string{"kv": "2"}, "VAULT_TOKEN="+s.RootToken))
		same(t, "as 2", fetch(t, t.Context(), two, "secret/app", "nowhere/app"), []string{"fourth", `not_found: no secret at "nowhere/app"`})
		one := provider(t, s.setup(t, map[string]string{"kv": "1"}, "VAULT_TOKEN="+s.RootToken))
		same(t, "as 1", fetch(t, t.Context(), one, "old/data/app#user"), []string{"me"})
	})

	t.Run("tokens", func(t *testing.T) {
		limited := provider(t, s.setup(t, nil, "BAO_TOKEN="+s.token(t, "1h", "app", "default")))
		same(t, "with one right", fetch(t, t.Context(), limited, "secret/app", "secret/other", "old/app#a", "nowhere/a"), []string{
			"fourth", "denied: access denied", `denied: "old/app" is in no mount that this token may use`,
			`denied: "nowhere/a" is in no mount that this token may use`,
		})
		short := s.token(t, "1h", "app")
		dead := provider(t, s.setup(t, nil, "VAULT_TOKEN="+short))
		same(t, "alive", fetch(t, t.Context(), dead, "secret/app"), []string{"fourth"})
		s.do(t, "POST", "auth/token/revoke", dict{"token": short})
		want := "expired: the token is expired or revoked (unset VAULT_TOKEN && vault login -address=" + s.Address + ")"
		same(t, "revoked", fetch(t, t.Context(), dead, "secret/app", "secret/b"), []string{want, want})
		invented := provider(t, s.setup(t, map[string]string{"kv": "2"}, "VAULT_TOKEN="+canaryToken))
		same(t, "invented", fetch(t, t.Context(), invented, "secret/app"), []string{want})
	})

	t.Run("probe", func(t *testing.T) {
		p := provider(t, s.setup(t, nil, "VAULT_TOKEN="+s.token(t, "1h")))
		got, err := p.Probe(t.Context())
		if !strings.HasPrefix(got.As, "token-kim, for another ") || err != nil || got.Through != s.Address {
			t.Errorf("Probe gives %+v, %v", got, err)
		}
		if got, err := root.Probe(t.Context()); got.As != "root" || err != nil {
			t.Errorf("of root Probe gives %+v, %v", got, err)
		}
	})

	t.Run("store", func(t *testing.T) { testStore(t, s, root) })
	t.Run("list", func(t *testing.T) { testList(t, s, root) })
	t.Run("logins", func(t *testing.T) { testLogins(t, s) })

	t.Run("sealed", func(t *testing.T) { // at the end
		s.do(t, "PUT", "sys/seal", nil)
		want := "locked: the server is sealed (vault operator unseal)"
		same(t, "sealed", fetch(t, t.Context(), root, "secret/app", "old/a#b"), []string{want, want})
		if got := line(t, root.Store(t.Context(), resolve.Ref{Path: "secret/new"}, resolve.NewSecret(canary))); got != want {
			t.Errorf("Store into a sealed server: %s", got)
		}
		s.do(t, "PUT", "sys/unseal", dict{"key": s.UnsealKey})
		same(t, "unsealed", fetch(t, t.Context(), root, "secret/app"), []string{"fourth"})
	})
}

func testStore(t *testing.T, s *server, p *Provider) {
	store := func(path, value string) string {
		t.Helper()
		return line(t, p.Store(t.Context(), resolve.Ref{Path: path}, resolve.NewSecret(value)))
	}
	const odd = "it's <\"é\">\n&\\ \x01"
	for _, step := range []struct{ path, value string }{
		{"secret/new", "a"}, {"secret/new", "b"}, {"secret/new#user", odd}, {"secret/gone#again", "c"},
		{"old/new", "d"}, {"old/new#user", "e"}, {"old/new#user", "f"}, {"team/a/kv/deep/er#x", "g"}, {"secret/app#user", "you"},
	} {
		if got := store(step.path, step.value); got != "" {
			t.Errorf("Store %s: %s", step.path, got)
		}
	}
	same(t, "what was stored", fetch(t, t.Context(), p,
		"secret/new", "secret/new#user", "secret/new?version=1", "secret/gone", "old/new", "old/new#user", "team/a/kv/deep/er",
		"secret/app#user", "secret/app#value", "secret/app#n"),
		[]string{"b", odd, "a", "c", "d", "f", "g", "you", "fourth", "123456789012345"})

	for path, want := range map[string]string{
		"secret/new?version=1": "malformed: a version that exists cannot be written",
		"nowhere/new":          `not_found: no mount holds "nowhere/new"`,
		"new":                  "malformed: not of the form MOUNT/PATH#FIELD",
	} {
		if got := store(path, canary); got != want {
			t.Errorf("Store %s: %s, want %s", path, got, want)
		}
	}
	if got, want := store("secret/new", "hunter2\xff"), "malformed: the value is not UTF-8, as the store's values are"; got != want {
		t.Errorf("Store of other bytes: %s, want %s", got, want)
	}
	reader := provider(t, s.setup(t, nil, "VAULT_TOKEN="+s.token(t, "1h", "app")))
	if got := line(t, reader.Store(t.Context(), resolve.Ref{Path: "secret/app#user"}, resolve.NewSecret(canary))); got != "denied: access denied" {
		t.Errorf("Store by one who may only read: %s", got)
	}
	same(t, "after that", fetch(t, t.Context(), p, "secret/app#user"), []string{"you"})
}

// Writers of different fields at the same time all get theirs in.
func TestServerStoresAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do(t, "POST", "sys/mounts/secret", dict{"type": "kv", "options": dict{"version": "2"}})
	p := provider(t, s.setup(t, nil, "VAULT_TOKEN="+s.RootToken))
	for round := range 10 { // one by one is a way to be at once
		var fields []string
		for _, name := range []string{"a", "b", "c"} {
			fields = append(fields, fmt.Sprintf("secret/app%d#%s", round, name))
		}
		errs := make(chan error)
		for _, path := range fields {
			go func() { errs <- p.Store(t.Context(), resolve.Ref{Path: path}, resolve.NewSecret(path)) }()
		}
		for range fields {
			if err := <-errs; err != nil {
				t.Errorf("Store: %v", err)
			}
		}
		same(t, "what was stored", fetch(t, t.Context(), p, fields...), fields)
	}
}

func testList(t *testing.T, s *server, root *Provider) {
	got, err := root.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "all", got, []string{"old/data/app", "old/new", "secret/app", "secret/gone", "secret/new", "team/a/kv/deep/er", "team/a/kv/x/y z/ü"})
	limited := provider(t, s.setup(t, nil, "VAULT_TOKEN="+s.token(t, "1h", "app")))
	if got, err = limited.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "what one right shows", got, []string{"secret/app", "secret/gone", "secret/new"})
	dead := provider(t, s.setup(t, nil, "VAULT_TOKEN="+canaryToken))
	if _, err = dead.List(t.Context()); line(t, err) != "expired: the token is expired or revoked (unset VAULT_TOKEN && vault login -address="+s.Address+")" {
		t.Errorf("with a dead token List gives %v", err)
	}
}

func testLogins(t *testing.T, s *server) {
	for _, method := range []string{"approle", "userpass", "cert", "jwt", "kubernetes"} {
		s.do(t, "POST", "sys/auth/"+method, dict{"type": method})
	}
	dir := t.TempDir()
	file := func(name, content string) string {
		put(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	s.do(t, "POST", "auth/approle/role/app", dict{"token_policies": "app"})
	roleID := s.do(t, "GET", "auth/approle/role/app/role-id", nil)["data"].(dict)["role_id"].(string)
	secretID := s.do(t, "POST", "auth/approle/role/app/secret-id", dict{})["data"].(dict)["secret_id"].(string)
	s.do(t, "POST", "auth/userpass/users/kim", dict{"password": "hunter2-pass", "token_policies": "app"})

	key := newKey(t)
	certificate := certificateOf(t, key)
	s.do(t, "POST", "auth/cert/certs/app", dict{"certificate": certificate, "token_policies": "app"})
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "POST", "auth/jwt/config", dict{"jwt_validation_pubkeys": []string{block("PUBLIC KEY", public)}})
	s.do(t, "POST", "auth/jwt/role/ci", dict{"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"kz"}, "token_policies": "app"})
	good := dict{"sub": "job", "aud": "kz", "exp": time.Now().Add(time.Hour).Unix()}
	late := dict{"sub": "job", "aud": "kz", "exp": time.Now().Add(-time.Hour).Unix()}

	account := signedJWT(t, key, dict{"sub": "system:serviceaccount:ns:app", "exp": time.Now().Add(time.Hour).Unix(), "aud": []string{"k"},
		"kubernetes.io": dict{"namespace": "ns", "serviceaccount": dict{"name": "app", "uid": "1"}}})
	reviews := reviewer(t)
	s.do(t, "POST", "auth/kubernetes/config", dict{"kubernetes_host": reviews.URL, "kubernetes_ca_cert": block("CERTIFICATE", reviews.Certificate().Raw),
		"token_reviewer_jwt": account, "disable_local_ca_jwt": true})
	s.do(t, "POST", "auth/kubernetes/role/app", dict{"bound_service_account_names": "app", "bound_service_account_namespaces": "ns", "token_policies": "app"})

	tests := map[string]struct {
		settings map[string]string
		env      []string
		want     string
	}{
		"approle":              {map[string]string{"role_id": roleID, "secret_id_file": file("secret-id", secretID)}, nil, "fourth"},
		"approle by variables": {nil, []string{"VAULT_ROLE_ID=" + roleID, "VAULT_SECRET_ID=" + secretID}, "fourth"},
		"a wrong secret-id":    {nil, []string{"VAULT_ROLE_ID=" + roleID, "VAULT_SECRET_ID=hunter2"}, "denied: the server does not let environment VAULT_SECRET_ID sign in at auth/approle"},
		"a wrong mount":        {map[string]string{"auth_mount": "none"}, []string{"VAULT_ROLE_ID=" + roleID, "VAULT_SECRET_ID=" + secretID}, "denied: the server does not let environment VAULT_SECRET_ID sign in at auth/none"},
		"userpass":             {map[string]string{"username": "kim", "password_file": file("pass", "hunter2-pass\n")}, nil, "fourth"},
		"a wrong password":     {map[string]string{"username": "kim", "password_file": file("bad", "hunter2-other")}, nil, "denied: the server does not let file " + dir + "/bad sign in at auth/userpass"},
		"cert":                 {map[string]string{"client_cert": file("cert", certificate), "client_key": file("key", block("PRIVATE KEY", keyDER))}, nil, "fourth"},
		"cert of a name":       {map[string]string{"auth": "cert", "role": "app", "client_cert": dir + "/cert", "client_key": dir + "/key"}, nil, "fourth"},
		"jwt":                  {map[string]string{"role": "ci", "jwt_file": file("jwt", signedJWT(t, key, good))}, nil, "fourth"},
		"jwt by a variable":    {map[string]string{"role": "ci"}, []string{"VAULT_ID_TOKEN=" + signedJWT(t, key, good)}, "fourth"},
		"a late jwt":           {map[string]string{"role": "ci"}, []string{"VAULT_ID_TOKEN=" + signedJWT(t, key, late)}, "denied: the server does not let environment VAULT_ID_TOKEN sign in at auth/jwt"},
		"kubernetes":           {map[string]string{"auth": "kubernetes", "role": "app", "jwt_file": file("account", account)}, nil, "fourth"},
		"kubernetes, no role":  {map[string]string{"auth": "kubernetes", "role": "other", "jwt_file": dir + "/account"}, nil, "denied: the server does not let file " + dir + "/account sign in at auth/kubernetes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			same(t, "results", fetch(t, t.Context(), provider(t, s.setup(t, test.settings, test.env...)), "secret/app"), []string{test.want})
		})
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func block(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

func certificateOf(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kim"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

// signedJWT returns claims as a token of algorithm ES256.
func signedJWT(t *testing.T, key crypto.Signer, claims dict) string {
	t.Helper()
	claims["iat"] = time.Now().Unix() // without it a token begins shortly before it ends
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(body)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encode(signature)
}

// reviewer is a stand-in for a cluster's API, of which Vault asks whose a token is.
func reviewer(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, bytes.NewBufferString(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"audiences":["k"],
			"user":{"username":"system:serviceaccount:ns:app","uid":"1","groups":["system:serviceaccounts"]}}}`))
	}))
	t.Cleanup(s.Close)
	return s
}
