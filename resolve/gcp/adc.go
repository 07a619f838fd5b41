package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"
	"golang.org/x/oauth2/jwt"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// The default credentials are looked for here and not by golang.org/x/oauth2/google, which
// reads the process's environment and waits for the metadata service on machines that have none.

const (
	scope       = "https://www.googleapis.com/auth/cloud-platform"
	tokenURL    = "https://oauth2.googleapis.com/token"
	ownFile     = "application_default_credentials.json"
	fromService = "metadata service"
	glance      = 300 * time.Millisecond // for a metadata service that may not exist
)

// Present says what of Google Cloud's credentials is found on this machine.
func Present(s resolve.Setup) string {
	if s.Getenv("GOOGLE_APPLICATION_CREDENTIALS") != "" {
		return "environment GOOGLE_APPLICATION_CREDENTIALS"
	}
	if file := wellKnown(s); file != "" {
		return s.Short(file)
	}
	if s.Getenv("GCE_METADATA_HOST") != "" {
		return fromService
	}
	return ""
}

// wellKnown is the file that gcloud writes, "" if it is not there.
func wellKnown(s resolve.Setup) string {
	dir := s.Getenv("CLOUDSDK_CONFIG")
	if dir == "" && s.Home() != "" {
		dir = filepath.Join(s.Home(), ".config", "gcloud")
	}
	file := filepath.Join(dir, ownFile)
	if _, err := os.Stat(file); dir == "" || err != nil {
		return ""
	}
	return file
}

// A session is a token, and who pays for what is asked by it.
type session struct{ token, quota string }

// credentials are what a file of Google's says, of any of its types.
type credentials struct {
	Type    string `json:"type"`
	Project string `json:"project_id"`
	Quota   string `json:"quota_project_id"`

	Email    string `json:"client_email"`
	Key      string `json:"private_key"`
	KeyID    string `json:"private_key_id"`
	TokenURI string `json:"token_uri"`

	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`

	Audience      string                            `json:"audience"`
	SubjectType   string                            `json:"subject_token_type"`
	TokenURL      string                            `json:"token_url"`
	Impersonation string                            `json:"service_account_impersonation_url"`
	UserProject   string                            `json:"workforce_pool_user_project"`
	Source        *externalaccount.CredentialSource `json:"credential_source"`

	Delegates []string     `json:"delegates"`
	Of        *credentials `json:"source_credentials"` // who acts as another

	lies string
}

// plain reports whether the credential itself lies in the file. Federated ones only say
// where it comes from.
func (c credentials) plain() bool {
	if c.Type == impersonated {
		return c.Of != nil && c.Of.plain()
	}
	return c.Type == "service_account" || c.Type == "authorized_user" || c.Source != nil && c.Source.File != ""
}

// find returns the default credentials; those of the metadata service have no type.
func (p *Provider) find() (credentials, error) {
	file := p.setup.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	if file == "" {
		file = wellKnown(p.setup)
	}
	if file == "" {
		return credentials{lies: fromService}, nil
	}
	name := p.setup.Short(file)
	if !filepath.IsAbs(file) { // it would be looked for in the project's directory
		return credentials{}, resolve.Errorf(resolve.Malformed, "GOOGLE_APPLICATION_CREDENTIALS is not an absolute path")
	}
	data, err := rest.ReadFile(file, name)
	if err != nil {
		return credentials{}, err
	}
	c := credentials{lies: "file " + name}
	if json.Unmarshal(data, &c) != nil || c.Type == "" { // whose error has parts of the file
		return c, resolve.Errorf(resolve.Malformed, "%s: is not a file of credentials", name)
	}
	return c, nil
}

// begin gets a token.
func (p *Provider) begin(ctx context.Context) (session, error) {
	c, err := p.found()
	if err != nil {
		return session{}, err
	}
	var token string
	switch c.Type {
	case "":
		token, err = p.fromMetadata(ctx)
	case impersonated:
		token, err = p.impersonate(ctx, c)
	default:
		token, err = p.exchange(ctx, c)
	}
	switch {
	case err != nil:
		return session{}, err
	case !rest.IsToken(token):
		return session{}, resolve.Errorf(resolve.Malformed, "what was given as a token is not one word")
	}
	return session{token, c.Quota}, nil
}

// exchange has a token made for the credentials of a file.
func (p *Provider) exchange(ctx context.Context, c credentials) (string, error) {
	transport, err := rest.Transport(rest.Options{CAFile: p.setup.Settings["ca_file"]})
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	b := &bound{ctx: ctx, through: rest.Patient{RoundTripper: transport}}
	client := &http.Client{Transport: b, CheckRedirect: rest.SameOrigin}
	source, err := c.source(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return "", err
	}
	token, err := source.Token()
	if err != nil {
		return "", c.refusal(ctx, b, err)
	}
	return token.AccessToken, nil
}

// A bound round tripper keeps to ctx, which not all of x/oauth2 does, and to TLS, and
// remembers how the last request ended, of which x/oauth2 keeps only the text.
type bound struct {
	ctx     context.Context
	through http.RoundTripper
	status  int
	err     error
}

var errPlain = resolve.Errorf(resolve.Malformed, "the credentials name an address that is not of https")

// RoundTrip implements [http.RoundTripper].
func (b *bound) RoundTrip(r *http.Request) (*http.Response, error) {
	local := rest.Loopback(r.URL.Hostname()) || r.URL.Hostname() == "169.254.169.254" // of other clouds' machines
	if r.URL.Scheme != "https" && !local {
		b.err = errPlain
		return nil, b.err
	}
	response, err := b.through.RoundTrip(r.WithContext(b.ctx))
	b.status, b.err = 0, err
	if err == nil {
		b.status = response.StatusCode
	}
	return response, err
}

func (c credentials) source(ctx context.Context) (oauth2.TokenSource, error) {
	switch c.Type {
	case "service_account":
		return (&jwt.Config{
			Email: c.Email, PrivateKey: []byte(c.Key), PrivateKeyID: c.KeyID, Scopes: []string{scope}, TokenURL: c.endpoint(),
		}).TokenSource(ctx), nil
	case "authorized_user":
		endpoint := oauth2.Endpoint{TokenURL: c.endpoint(), AuthStyle: oauth2.AuthStyleInParams}
		config := oauth2.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: endpoint}
		return config.TokenSource(ctx, &oauth2.Token{RefreshToken: c.RefreshToken}), nil
	case "external_account":
		return c.federated(ctx)
	}
	return nil, resolve.Errorf(resolve.Malformed, "credentials of this type are not known here")
}

func (c credentials) endpoint() string {
	if c.TokenURI != "" {
		return c.TokenURI
	}
	return tokenURL
}

// federated is for credentials that another party vouches for. Those that a program
// prints are refused: kz runs no program that a file names. Those of AWS are read from
// the environment of the process, which x/oauth2 does not let one choose.
func (c credentials) federated(ctx context.Context) (oauth2.TokenSource, error) {
	if c.Source == nil || c.Source.Executable != nil {
		return nil, resolve.Errorf(resolve.Denied, "credentials that a program gives are not used")
	}
	source, err := externalaccount.NewTokenSource(ctx, externalaccount.Config{
		Audience: c.Audience, SubjectTokenType: c.SubjectType, TokenURL: c.TokenURL, ServiceAccountImpersonationURL: c.Impersonation,
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, CredentialSource: c.Source,
		WorkforcePoolUserProject: c.UserProject, Scopes: []string{scope},
	})
	if err != nil {
		return nil, resolve.Errorf(resolve.Malformed, "the federated credentials are not of their form")
	}
	return source, nil
}

// refusal says in words of kz's own why there is no token: those of x/oauth2 may have what was sent.
func (c credentials) refusal(ctx context.Context, b *bound, err error) error {
	var known *resolve.Error
	var refused *oauth2.RetrieveError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(b.err, &known):
		return known
	case b.err != nil:
		return rest.Failure(ctx, b.err)
	case b.status/100 == 3: // of x/oauth2's error only the text is left
		return resolve.Errorf(resolve.Unreachable, "the token endpoint sends elsewhere, which kz does not follow")
	case b.status < 400:
		return resolve.Errorf(resolve.Malformed, "%s: no token could be made of it", strings.TrimPrefix(c.lies, "file "))
	case b.status == http.StatusTooManyRequests, b.status >= 500, b.status == http.StatusForbidden:
		return rest.Answer{Status: b.status}.Err()
	}
	var said struct {
		Error string `json:"error"`
	}
	if errors.As(err, &refused) && json.Unmarshal(refused.Body, &said) == nil &&
		said.Error == "invalid_grant" && c.Type == "authorized_user" { // revoked, or due for another login
		return &resolve.Error{Class: resolve.Expired, Hint: login}
	}
	return resolve.Hinted(resolve.NotLoggedIn, login, "the credentials were refused")
}

// fromMetadata asks the service that machines of Google's have. Where nobody said that
// there is one, a glance must be enough.
func (p *Provider) fromMetadata(ctx context.Context) (string, error) {
	host, said := p.metadata, p.setup.Getenv("GCE_METADATA_HOST")
	none := resolve.Hinted(resolve.NotLoggedIn, login, "there are no default credentials")
	if said != "" {
		host = said
	} else {
		short, cancel := context.WithTimeout(ctx, glance)
		defer cancel()
		if _, err := metadata(short, host, "/"); err != nil {
			return "", none
		}
	}
	body, err := metadata(ctx, host, "/computeMetadata/v1/instance/service-accounts/default/token?scopes="+url.QueryEscape(scope))
	var token struct {
		Access string `json:"access_token"`
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", resolve.Errorf(resolve.NotLoggedIn, "the metadata service gives no token")
	case json.Unmarshal(body, &token) != nil:
		return "", resolve.Errorf(resolve.Malformed, "the metadata service's answer is not of its form")
	}
	return token.Access, nil
}

var errMetadata = errors.New("not the metadata service")

// metadata asks over http, which the service speaks alone: it lies within the machine.
func metadata(ctx context.Context, host, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Metadata-Flavor", "Google")
	transport := &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true} // and no proxy
	response, err := (&http.Client{Transport: transport, CheckRedirect: rest.SameOrigin}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Metadata-Flavor") != "Google" {
		return nil, errMetadata
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}
