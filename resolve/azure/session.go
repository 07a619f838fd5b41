package azure

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// A session is one identity for one call of the Provider, and the credential of its clients.
type session struct {
	*Provider
	ctx      context.Context
	identity identity
	http     *http.Client

	mu    sync.Mutex // held while a token is got, which all wait for
	token azcore.AccessToken
	err   error
}

func (p *Provider) open(ctx context.Context) (*session, error) {
	transport, err := rest.Transport(rest.Options{CAFile: p.caFile})
	if err != nil {
		return nil, err
	}
	s := &session{Provider: p, ctx: ctx, http: &http.Client{Transport: rest.Checked{RoundTripper: transport}, CheckRedirect: rest.SameOrigin}}
	s.identity, err = p.identify(s)
	return s, err
}

// GetToken implements [azcore.TokenCredential]. It is asked by each client and after each
// challenge, and asks the identity once: the Azure CLI takes seconds. What a token is for
// is not the server's to say.
func (s *session) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	scope := "https://" + s.cloud.suffix + "/.default"
	if len(o.Scopes) != 1 || o.Scopes[0] != scope {
		return azcore.AccessToken{}, resolve.Errorf(resolve.Denied, "the vault asks for a token that is not for vaults")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Token == "" && s.err == nil {
		tenant := s.tenant
		if tenant == "" && isTenant(o.TenantID) {
			tenant = o.TenantID
		}
		s.token, s.err = s.identity.get(ctx, scope, tenant)
	}
	return s.token, s.err
}

// pinned returns a client that speaks with the origin of the address alone: the SDK
// follows what an answer names as its next page, with the token.
func (s *session) pinned(address string) *http.Client {
	u, _ := url.Parse(address) // as New and parse checked
	return &http.Client{Transport: pinned{s.http.Transport, u.Scheme, u.Host}, CheckRedirect: rest.SameOrigin}
}

type pinned struct {
	http.RoundTripper
	scheme, host string
}

func (p pinned) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme != p.scheme || q.URL.Host != p.host {
		return nil, resolve.Errorf(resolve.Unreachable, "the store sends elsewhere, which kz does not follow")
	}
	return p.RoundTripper.RoundTrip(q)
}

// passing says whether the same request might have another answer soon.
func passing(deadline time.Time) func(*http.Response, error) bool {
	return func(answer *http.Response, err error) bool {
		return err == nil && (answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500) &&
			(deadline.IsZero() || time.Until(deadline) > 250*time.Millisecond)
	}
}
