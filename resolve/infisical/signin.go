package infisical

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/getkeyzero/kz/internal/awsidentity"
	"github.com/getkeyzero/kz/internal/githubid"
	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// serviceAccount is where Kubernetes puts a pod's own token.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Present says what of Infisical is found on this machine.
func Present(s resolve.Setup) string {
	for _, variable := range []string{"INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN", "INFISICAL_TOKEN", "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID"} {
		if s.Getenv(variable) != "" {
			return "environment " + variable
		}
	}
	if own, err := readOwn(s.Home()); err == nil && own.Email != "" {
		return shown
	}
	return ""
}

// A session is a token, and how one came to it.
type session struct {
	token string
	as    string
	lies  string // where the means to sign in are kept
	plain bool
	mend  string // the command that makes another, "" if kz knows of none
}

// mended returns err, with the command that mends it where the session is over.
func (s session) mended(err error) error {
	switch class := resolve.ClassOf(err); class {
	case resolve.Expired, resolve.NotLoggedIn:
		return resolve.Hinted(class, s.mend, "%v", err)
	}
	return err
}

func (p *Provider) begin(ctx context.Context) (session, error) {
	s, err := p.chosen(ctx)
	if err == nil && !rest.IsToken(s.token) {
		err = resolve.Errorf(resolve.Malformed, "the token is not one word")
	}
	return s, err
}

func (p *Provider) chosen(ctx context.Context) (session, error) {
	switch p.setup.Settings["auth"] {
	case "token":
		return p.token()
	case "universal":
		return p.universal(ctx)
	case "kubernetes":
		return p.withJWT(ctx, "kubernetes", serviceAccount)
	case "oidc":
		if p.setup.Setting("jwt_file") == "" && githubid.Offered(p.setup) {
			return p.withGitHub(ctx)
		}
		return p.withJWT(ctx, "oidc", "")
	case "aws":
		return p.withAWS(ctx)
	}
	s, err := p.token()
	switch {
	case err != errNoToken:
		return s, err
	case p.clientID() != "":
		return p.universal(ctx)
	}
	return p.loggedIn(ctx)
}

var errNoToken = resolve.Errorf(resolve.NotLoggedIn, "there is no token")

func (p *Provider) token() (session, error) {
	for _, variable := range []string{"INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN", "INFISICAL_TOKEN"} {
		if token := p.setup.Getenv(variable); token != "" {
			return session{token: token, as: "token", lies: "environment " + variable, plain: true}, nil
		}
	}
	if file := p.setup.Settings["token_file"]; file != "" {
		token, err := rest.ReadToken(file, file)
		return session{token: token, as: "token", lies: "file " + file, plain: true}, err
	}
	return session{}, errNoToken
}

func (p *Provider) clientID() string {
	return p.setup.Setting("identity", "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID")
}

func (p *Provider) universal(ctx context.Context) (session, error) {
	const variable = "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"
	s := session{as: "universal identity", lies: "environment " + variable, plain: true}
	secret := p.setup.Getenv(variable)
	if file := p.setup.Settings["client_secret_file"]; file != "" {
		var err error
		if secret, err = rest.ReadToken(file, file); err != nil {
			return s, err
		}
		s.lies = "file " + file
	}
	if p.clientID() == "" || secret == "" {
		return s, resolve.Errorf(resolve.NotLoggedIn, "the identity's client id or its secret is not said")
	}
	return p.login(ctx, s, "universal", map[string]string{"clientId": p.clientID(), "clientSecret": secret})
}

func (p *Provider) identity() string {
	return p.setup.Setting("identity", "INFISICAL_MACHINE_IDENTITY_ID")
}

// withJWT signs in with a token that another party signed and keeps in a file.
func (p *Provider) withJWT(ctx context.Context, method, usual string) (session, error) {
	file := p.setup.Setting("jwt_file")
	if file == "" {
		file = usual
	}
	identity := p.identity()
	s := session{as: method + " identity", lies: "file " + file, plain: true}
	if file == "" || identity == "" {
		return s, resolve.Errorf(resolve.NotLoggedIn, "the identity or its jwt_file is not said")
	}
	jwt, err := rest.ReadToken(file, file)
	if err != nil {
		return s, err
	}
	return p.login(ctx, s, method, map[string]string{"identityId": identity, "jwt": jwt})
}

// withGitHub signs in with the token that GitHub makes for a job, for this server alone.
func (p *Provider) withGitHub(ctx context.Context) (session, error) {
	s := session{as: "oidc identity", lies: "environment " + githubid.Variable, plain: true}
	if p.identity() == "" {
		return s, errNoIdentity
	}
	jwt, err := githubid.Token(ctx, p.setup, rest.Origin(p.address), p.setup.Settings["ca_file"])
	if err != nil {
		return s, err
	}
	return p.login(ctx, s, "oidc", map[string]string{"identityId": p.identity(), "jwt": jwt})
}

var errNoIdentity = resolve.Errorf(resolve.NotLoggedIn, "the identity is not said")

// withAWS signs in as whom AWS knows this machine or user. The server sends the request
// that is signed to the region that it finds in the signature, wants each header as one
// text, and of those that are signed all.
func (p *Provider) withAWS(ctx context.Context) (session, error) {
	s := session{as: "aws identity", lies: "the AWS credentials"}
	if p.identity() == "" {
		return s, errNoIdentity
	}
	r, err := awsidentity.Regional(ctx)
	if err != nil {
		return s, err
	}
	headers := map[string]string{"Host": r.Host, "Content-Length": strconv.Itoa(len(r.Body))}
	for name := range r.Header {
		headers[name] = r.Header.Get(name)
	}
	data, err := json.Marshal(headers)
	if err != nil {
		return s, err
	}
	return p.login(ctx, s, "aws", map[string]string{
		"identityId": p.identity(), "iamHttpRequestMethod": r.Method,
		"iamRequestBody":    base64.StdEncoding.EncodeToString([]byte(r.Body)),
		"iamRequestHeaders": base64.StdEncoding.EncodeToString(data),
	})
}

// tried reports whether the server knows the token. A server that lacks what is asked for
// says nothing about that, and one may not be let list projects but read a folder.
func (p *Provider) tried(ctx context.Context) (bool, error) {
	var err error
	if at := p.own(); at.check() == nil {
		if _, err = p.contents(ctx, at, false); err == errNoRoute { // an old one, which gives values or nothing
			return false, nil
		}
		return err == nil, err
	}
	s, err := p.session.Get(ctx, p.begin)
	if err != nil {
		return false, p.mend(err)
	}
	path := "/api/v1/projects"
	if strings.HasPrefix(s.token, "st.") {
		path = "/api/v2/service-token"
	}
	err = p.ask(ctx, rest.Call{Path: path}, &struct{}{})
	switch resolve.ClassOf(err) {
	case resolve.Denied, resolve.NotFound:
		return false, nil
	}
	return err == nil, err
}

// login has a session's token made.
func (p *Provider) login(ctx context.Context, s session, method string, body map[string]string) (session, error) {
	answer, err := p.client.Do(ctx, rest.Call{
		Method: http.MethodPost, Path: "/api/v1/auth/" + method + "-auth/login", Body: body, Again: true,
	})
	if err != nil {
		return s, err
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound:
		return s, resolve.Errorf(resolve.NotLoggedIn, "the identity was refused")
	}
	if err := answer.Err(); err != nil {
		return s, err
	}
	var made struct {
		Token string `json:"accessToken"`
	}
	err = answer.JSON(&made)
	s.token = made.Token
	return s, err
}
