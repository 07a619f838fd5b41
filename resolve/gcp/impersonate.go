package gcp

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	impersonated = "impersonated_service_account"
	iamAddress   = "https://iamcredentials.googleapis.com"
	lifetime     = "3600s" // the longest that needs no policy of its own
)

// actAs is the path of the address by which one acts as a service account.
var actAs = regexp.MustCompile(`^/v1/projects/-/serviceAccounts/([A-Za-z0-9][A-Za-z0-9@._-]*):generateAccessToken$`)

// as is who one is by the credentials, "" if they do not say.
func (c credentials) as() string {
	if c.Type != impersonated {
		return c.Email
	}
	u, err := url.Parse(c.Impersonation)
	if err != nil {
		return ""
	}
	if parts := actAs.FindStringSubmatch(u.EscapedPath()); parts != nil {
		return parts[1]
	}
	return ""
}

// impersonate gets the token of a service account as which the credentials within c may
// act. Their own token is sent to Google's service for that and to no other.
func (p *Provider) impersonate(ctx context.Context, c credentials) (string, error) {
	file := strings.TrimPrefix(c.lies, "file ")
	account := c.as()
	switch {
	case c.Of == nil || c.Of.Type == "":
		return "", resolve.Errorf(resolve.Malformed, "%s: does not say who acts as the service account", file)
	case account == "" || c.Impersonation != p.iam+"/v1/projects/-/serviceAccounts/"+account+":generateAccessToken":
		return "", resolve.Errorf(resolve.Malformed, "%s: service_account_impersonation_url is not of %s", file, iamAddress)
	}
	of := *c.Of
	of.lies = c.lies
	token, err := p.exchange(ctx, of)
	switch {
	case err != nil:
		return "", err
	case !rest.IsToken(token):
		return "", resolve.Errorf(resolve.Malformed, "what was given as a token is not one word")
	}
	return p.tokenOf(ctx, account, token, c.Delegates)
}

// tokenOf asks for the token of an account by that of one who may act as it, or as the
// first of the delegates, each of whom may act as the next.
func (p *Provider) tokenOf(ctx context.Context, account, by string, delegates []string) (string, error) {
	client, err := rest.New(rest.Options{Address: p.iam, CAFile: p.setup.Settings["ca_file"]})
	if err != nil {
		return "", err
	}
	body := map[string]any{"scope": []string{scope}, "lifetime": lifetime}
	if len(delegates) > 0 {
		body["delegates"] = delegates
	}
	answer, err := client.Do(ctx, rest.Call{
		Method: http.MethodPost, Path: "/v1/projects/-/serviceAccounts/" + account + ":generateAccessToken", Body: body, Again: true,
		Header: map[string]string{"Authorization": "Bearer " + by},
	})
	switch {
	case err != nil:
		return "", err
	case answer.Status == http.StatusForbidden:
		return "", resolve.Errorf(resolve.Denied, "the credentials may not act as %s", rest.Shown(account))
	case answer.Status == http.StatusBadRequest, answer.Status == http.StatusNotFound:
		return "", resolve.Errorf(resolve.NotLoggedIn, "%s is not known, or not by the delegates that are said", rest.Shown(account))
	case answer.Status == http.StatusUnauthorized:
		return "", resolve.Hinted(resolve.NotLoggedIn, login, "the credentials were refused")
	}
	if err := answer.Err(); err != nil {
		return "", err
	}
	var made struct {
		Token string `json:"accessToken"`
	}
	err = answer.JSON(&made)
	return made.Token, err
}
