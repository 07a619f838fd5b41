package hashicorp

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode"

	"github.com/getkeyzero/kz/internal/githubid"
	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	tokenHeader = "X-Vault-Token"
	accountFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	maxFile     = 64 << 10
)

// A login is a way to get a token.
type login struct {
	method string
	from   string // where what proves it lies
	plain  bool   // readable there
	mount  string // of the method, "" for token: there is nothing to ask
	user   string // a step behind login, for the methods that have one
	// proof returns the token, or what is sent for one. It reads files.
	proof func(ctx context.Context) (map[string]string, error)
}

// A method finds a login. That there is none is nil and the words for what is missing.
type method struct {
	name string
	find func(p *Provider) (*login, string)
}

// methods are in the order of preference: what was given to this shell for this
// server, then what lies on the machine, then what says who the machine is. Signing in
// as an AWS role must be asked for by its name: finding out whether there is one may
// take seconds on machines that are not Amazon's.
func methods() []method {
	return []method{
		{"token", (*Provider).byToken},
		{"approle", (*Provider).byAppRole},
		{"kubernetes", (*Provider).byKubernetes},
		{"jwt", (*Provider).byJWT},
		{"cert", (*Provider).byCert},
		{"userpass", (*Provider).byPassword},
		{"aws", (*Provider).byAWS},
	}
}

// login returns how to sign in: by the method of the setting, or the first for which
// there is something here.
func (p *Provider) login() (*login, error) {
	want := p.setup.Setting("auth")
	for _, m := range methods() {
		if want != "" && m.name != want {
			continue
		}
		if want == "" && m.name == "aws" {
			break
		}
		l, missing := m.find(p)
		switch {
		case l != nil:
			l.method = m.name
			if m.name != "token" {
				l.mount = cmp.Or(p.setup.Setting("auth_mount"), m.name)
			}
			return l, nil
		case want == "token":
			return nil, resolve.Hinted(resolve.NotLoggedIn, p.hints()["token"], "not signed in: %s", missing)
		case want != "" && strings.Contains(missing, "VAULT_"):
			return nil, resolve.Hinted(resolve.NotLoggedIn, p.hints()[want], "%s: %s", want, missing)
		case want != "":
			return nil, resolve.Errorf(resolve.NotLoggedIn, "%s: %s", want, missing)
		}
	}
	return nil, resolve.Hinted(resolve.NotLoggedIn, p.hints()["token"], "not signed in")
}

func (p *Provider) byToken() (*login, string) {
	if l := p.variable("token", "VAULT_TOKEN", "BAO_TOKEN"); l != nil {
		return l, ""
	}
	if file := p.tokenFile(); isFile(file) {
		return p.fromFile("token", file), ""
	}
	return nil, "no VAULT_TOKEN and no " + p.setup.Short(p.tokenFile())
}

// tokenFile is where `vault login` leaves the token.
func (p *Provider) tokenFile() string {
	if file := p.setup.Setting("token_file"); file != "" {
		return file
	}
	return p.setup.Home() + "/.vault-token"
}

func (p *Provider) byAppRole() (*login, string) {
	role := p.setup.Setting("role_id", "VAULT_ROLE_ID", "BAO_ROLE_ID")
	if role == "" {
		return nil, "no role_id"
	}
	var l *login
	if file := p.setup.Setting("secret_id_file"); file != "" {
		l = p.fromFile("secret_id", file)
	} else if l = p.variable("secret_id", "VAULT_SECRET_ID", "BAO_SECRET_ID"); l == nil {
		return nil, "no secret_id_file and no VAULT_SECRET_ID"
	}
	return l.with("role_id", role), ""
}

func (p *Provider) byKubernetes() (*login, string) {
	file := cmp.Or(p.setup.Setting("jwt_file"), accountFile)
	switch role := p.setup.Setting("role"); {
	case role == "":
		return nil, "no role"
	case p.setup.Setting("auth") == "" && p.setup.Getenv("KUBERNETES_SERVICE_HOST") == "":
		return nil, "" // jwt_file is of another issuer then
	case !isFile(file):
		return nil, "no file " + p.setup.Short(file)
	default:
		return p.fromFile("jwt", file).with("role", role), ""
	}
}

func (p *Provider) byJWT() (*login, string) {
	role := p.setup.Setting("role")
	if role == "" {
		return nil, "no role"
	}
	if file := p.setup.Setting("jwt_file"); file != "" {
		return p.fromFile("jwt", file).with("role", role), ""
	}
	if l := p.variable("jwt", "VAULT_ID_TOKEN", "BAO_ID_TOKEN"); l != nil {
		return l.with("role", role), ""
	}
	if githubid.Offered(p.setup) {
		return (&login{from: "environment " + githubid.Variable, plain: true, proof: p.fromGitHub}).with("role", role), ""
	}
	return nil, "no jwt_file, no VAULT_ID_TOKEN and no token of GitHub Actions"
}

// fromGitHub has a token made that is for this server alone.
func (p *Provider) fromGitHub(ctx context.Context) (map[string]string, error) {
	jwt, err := githubid.Token(ctx, p.setup, rest.Origin(p.setup.Setting("address", addresses...)), p.caFile())
	return map[string]string{"jwt": jwt}, err
}

func (p *Provider) byCert() (*login, string) {
	cert, key := p.certFiles()
	if cert == "" || key == "" {
		return nil, "no client_cert and client_key"
	}
	l := &login{from: "file " + p.setup.Short(key), plain: true, proof: func(context.Context) (map[string]string, error) {
		return map[string]string{}, nil // the connection itself is it
	}}
	if role := p.setup.Setting("role"); role != "" {
		return l.with("name", role), ""
	}
	return l, ""
}

func (p *Provider) byPassword() (*login, string) {
	user, file := p.setup.Setting("username"), p.setup.Setting("password_file")
	if user == "" || file == "" {
		return nil, "no username and password_file"
	}
	l := p.fromFile("password", file)
	l.user = user
	return l, ""
}

// variable returns the login whose proof is the first of variables that is set.
func (p *Provider) variable(key string, variables ...string) *login {
	for _, name := range variables {
		if value := p.setup.Getenv(name); value != "" {
			return &login{from: "environment " + name, plain: true, proof: func(context.Context) (map[string]string, error) {
				return map[string]string{key: value}, nil
			}}
		}
	}
	return nil
}

func (p *Provider) fromFile(key, file string) *login {
	return &login{from: "file " + p.setup.Short(file), plain: true, proof: func(context.Context) (map[string]string, error) {
		text, err := p.load(file)
		return map[string]string{key: text}, err
	}}
}

// with returns l with something to send that is no secret.
func (l *login) with(key, value string) *login {
	proof := l.proof
	l.proof = func(ctx context.Context) (map[string]string, error) {
		body, err := proof(ctx)
		if err == nil {
			body[key] = value
		}
		return body, err
	}
	return l
}

// load returns the one line of a file of the user's.
func (p *Provider) load(file string) (string, error) {
	if !isFile(file) {
		return "", resolve.Errorf(resolve.NotLoggedIn, "no file %s", p.setup.Short(file))
	}
	f, err := os.Open(file)
	if err != nil {
		return "", resolve.Errorf(resolve.NotLoggedIn, "%s cannot be read", p.setup.Short(file))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	text := strings.TrimSpace(string(data))
	if err != nil || text == "" || strings.ContainsFunc(text, unicode.IsControl) {
		return "", resolve.Errorf(resolve.NotLoggedIn, "%s does not have one line", p.setup.Short(file))
	}
	return text, nil
}

// signIn gets the session a token.
func (s *session) signIn(ctx context.Context, l *login) error {
	s.auth = l.method
	proof, err := l.proof(ctx)
	if err != nil {
		return err
	}
	token := proof["token"]
	if l.mount != "" {
		token, err = s.ask(ctx, l, proof)
	}
	if err != nil {
		return err
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return resolve.Errorf(resolve.NotLoggedIn, "the token in %s is not one", l.from)
	}
	s.header[tokenHeader] = token
	return nil
}

// ask sends a proof for a token.
func (s *session) ask(ctx context.Context, l *login, proof map[string]string) (string, error) {
	path := "/v1/auth/" + escape(l.mount) + "/login"
	if l.user != "" {
		path += "/" + escape(l.user)
	}
	a, err := s.do(ctx, rest.Call{Method: http.MethodPost, Path: path, Body: proof, Again: true})
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return "", resolve.Errorf(resolve.Denied, "the server does not let %s sign in at auth/%s", l.from, l.mount)
	}
	if err != nil {
		return "", err
	}
	var answer struct {
		Auth struct {
			Token  string `json:"client_token"`
			Second any    `json:"mfa_requirement"`
		}
	}
	switch err := a.JSON(&answer); {
	case err != nil:
		return "", err
	case answer.Auth.Token == "" && answer.Auth.Second != nil:
		return "", resolve.Errorf(resolve.PromptNeeded, "the server asks for a second factor")
	}
	return answer.Auth.Token, badly(answer.Auth.Token == "")
}
