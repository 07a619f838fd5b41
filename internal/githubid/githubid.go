// Package githubid gets the token by which a job of GitHub Actions shows who it is.
package githubid

import (
	"context"
	"net/url"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// The variables that a job has if its workflow gives it the permission id-token: write.
const (
	address = "ACTIONS_ID_TOKEN_REQUEST_URL"
	// Variable holds what the token is asked for with.
	Variable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// Offered reports whether this is a job that may ask for a token.
func Offered(s resolve.Setup) bool { return s.Getenv(address) != "" && s.Getenv(Variable) != "" }

// Token asks for a token that is for the audience alone. An error has nothing of what was
// sent or answered.
func Token(ctx context.Context, s resolve.Setup, audience, caFile string) (string, error) {
	u, err := url.Parse(s.Getenv(address))
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" {
		return "", resolve.Errorf(resolve.Malformed, "%s is not an address of https", address)
	}
	if !rest.IsToken(s.Getenv(Variable)) {
		return "", resolve.Errorf(resolve.Malformed, "%s is not one word", Variable)
	}
	token, err := ask(ctx, u, s.Getenv(Variable), audience, caFile)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", resolve.Errorf(class(err), "GitHub gives the job no token: %v", err)
	case !rest.IsToken(token):
		return "", resolve.Errorf(resolve.Malformed, "what GitHub gave as a token is not one word")
	}
	return token, nil
}

// class is the error's, save that what GitHub does not find is not the secret.
func class(err error) resolve.Class {
	switch of := resolve.ClassOf(err); of {
	case resolve.NotFound, "":
		return resolve.NotLoggedIn
	default:
		return of
	}
}

func ask(ctx context.Context, u *url.URL, bearer, audience, caFile string) (string, error) {
	client, err := rest.New(rest.Options{Address: "https://" + u.Host, CAFile: caFile})
	if err != nil {
		return "", err
	}
	query := u.Query() // which tells the version of the API, and maybe more
	query.Set("audience", audience)
	answer, err := client.Do(ctx, rest.Call{
		Path: u.EscapedPath(), Query: query, Header: map[string]string{"Authorization": "Bearer " + bearer},
	})
	if err != nil {
		return "", err
	}
	if err := answer.Err(); err != nil {
		return "", err
	}
	var made struct {
		Value string `json:"value"`
	}
	err = answer.JSON(&made)
	return made.Value, err
}
