package azure

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// failure returns the error for a request that failed, in words of kz's own: those of
// the SDK have the whole of the answer.
func (s *session) failure(ctx context.Context, err error) error {
	var (
		own    *resolve.Error
		answer *azcore.ResponseError
		signIn *azidentity.AuthenticationFailedError
		syntax *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &answer):
		return s.refusal(answer)
	case errors.As(err, &signIn):
		return s.unknown(signIn)
	case errors.Is(err, context.DeadlineExceeded): // of a part of ctx: patience
		return resolve.Hinted(resolve.NotLoggedIn, s.hint(), "nobody here gives tokens to this machine")
	case errors.As(err, &syntax), errors.As(err, &typed):
		return resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	if e, ok := errors.AsType[*resolve.Error](rest.Failure(ctx, err)); ok && e.Cause != "" {
		return e
	}
	if netError(err) {
		return rest.Failure(ctx, err)
	}
	return resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
}

// netError reports whether a request got no answer, and not one that the SDK did not understand.
func netError(err error) bool {
	var e interface{ Timeout() bool } // of package net, and of url.Error around all that http returns
	return errors.As(err, &e)
}

// body reads the answer to a request that failed.
func body(answer *http.Response, v any) {
	if answer == nil {
		return
	}
	if data, err := runtime.Payload(answer); err == nil {
		_ = json.Unmarshal(data, v)
	}
}

// refusal is for what a vault answers.
func (s *session) refusal(e *azcore.ResponseError) error {
	var answer struct {
		Error struct {
			Inner struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	body(e.RawResponse, &answer)
	switch inner := answer.Error.Inner.Code; {
	case inner == "SecretDisabled":
		return resolve.Errorf(resolve.Denied, "the secret is disabled")
	case inner == "ForbiddenByFirewall", inner == "ForbiddenByConnection":
		return resolve.Errorf(resolve.Denied, "the vault's firewall does not let this machine in")
	case inner == "ObjectIsDeletedButRecoverable", inner == "ObjectIsBeingDeleted":
		return resolve.Errorf(resolve.Denied, "a deleted secret still holds the name: it can be recovered or purged")
	case e.StatusCode == http.StatusNotFound:
		return resolve.Errorf(resolve.NotFound, "no such secret in this vault, or no such version of it")
	case e.StatusCode == http.StatusUnauthorized:
		return resolve.Hinted(resolve.NotLoggedIn, s.hint(), "the vault does not take the token: it may be of another tenant")
	case e.StatusCode/100 == 3:
		return resolve.Errorf(resolve.Unreachable, "the store sends elsewhere, which kz does not follow")
	}
	return rest.Answer{Status: e.StatusCode}.Err()
}

// unknown is for what the place to sign in answers.
func (s *session) unknown(e *azidentity.AuthenticationFailedError) error {
	var answer struct {
		Codes []int `json:"error_codes"`
	}
	body(e.RawResponse, &answer)
	for _, code := range answer.Codes {
		if slices.Contains(expiredCodes, strconv.Itoa(code)) {
			return &resolve.Error{Class: resolve.Expired, Hint: s.hint()}
		}
	}
	if e.RawResponse != nil && (e.RawResponse.StatusCode == http.StatusTooManyRequests || e.RawResponse.StatusCode >= 500) {
		return rest.Answer{Status: e.RawResponse.StatusCode}.Err()
	}
	return resolve.Hinted(resolve.NotLoggedIn, s.hint(), "Azure does not take what the environment signs in with")
}

// hint returns the command that signs in, if one does.
func (s *session) hint() string { return s.mend() }
