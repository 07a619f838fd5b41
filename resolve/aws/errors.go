package aws

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

var errNoRegion = resolve.Errorf(resolve.Malformed, "no region is set: neither region of the store's table nor AWS_REGION nor the profile has one")

// codes are what AWS answers, and what it means.
var codes = map[string]struct {
	class resolve.Class
	cause string
}{
	"ResourceNotFoundException":         {resolve.NotFound, "no such secret in this region, or no such version of it"},
	"ParameterNotFound":                 {resolve.NotFound, "no such parameter in this region"},
	"ParameterVersionNotFound":          {resolve.NotFound, "no such version of the parameter"},
	"InvalidRequestException":           {resolve.NotFound, "marked for deletion, or without a value"},
	"AccessDeniedException":             {resolve.Denied, ""},
	"AccessDenied":                      {resolve.Denied, ""},
	"ForbiddenException":                {resolve.Denied, ""},
	"UnauthorizedOperation":             {resolve.Denied, ""},
	"DecryptionFailure":                 {resolve.Denied, "the key that it is encrypted with cannot be used"},
	"EncryptionFailure":                 {resolve.Denied, "the key that it is encrypted with cannot be used"},
	"InvalidKeyId":                      {resolve.Denied, "the key that it is encrypted with cannot be used"},
	"HierarchyTypeMismatchException":    {resolve.Denied, "the parameter is not a SecureString, and AWS does not let it become one"},
	"ExpiredToken":                      {resolve.Expired, ""},
	"ExpiredTokenException":             {resolve.Expired, ""},
	"RequestExpired":                    {resolve.Expired, ""},
	"InvalidGrantException":             {resolve.Expired, ""},
	"UnauthorizedException":             {resolve.Expired, ""},
	"InvalidClientTokenId":              {resolve.NotLoggedIn, "AWS does not know the access key"},
	"UnrecognizedClientException":       {resolve.NotLoggedIn, "AWS does not know the access key"},
	"InvalidAccessKeyId":                {resolve.NotLoggedIn, "AWS does not know the access key"},
	"InvalidSignatureException":         {resolve.NotLoggedIn, "the secret access key is wrong, or the clock"},
	"SignatureDoesNotMatch":             {resolve.NotLoggedIn, "the secret access key is wrong, or the clock"},
	"IncompleteSignature":               {resolve.NotLoggedIn, ""},
	"MissingAuthenticationToken":        {resolve.NotLoggedIn, ""},
	"InvalidIdentityToken":              {resolve.NotLoggedIn, "AWS does not take the web identity's token"},
	"InvalidParameterException":         {resolve.Malformed, "AWS does not take the name or the value"},
	"ValidationException":               {resolve.Malformed, "AWS does not take the name or the value"},
	"InvalidParameters":                 {resolve.Malformed, "AWS does not take the name or the value"},
	"ParameterPatternMismatchException": {resolve.Malformed, "AWS does not take the name or the value"},
	"ResourceExistsException":           {resolve.Ambiguous, "somebody created it at the same time"},
}

// failure returns the error for a request that failed, in words of kz's own: those of
// AWS have ARNs, and what was sent.
func (s *session) failure(ctx context.Context, err error) error {
	var (
		own    *resolve.Error
		api    smithy.APIError
		status interface{ HTTPStatusCode() int }
		form   *smithy.DeserializationError
		sent   *smithyhttp.RequestSendError
	)
	switch {
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &api):
		return s.coded(err, api.ErrorCode())
	case errors.As(err, &sent): // before the status, which is 0 here
		return rest.Failure(ctx, err)
	case errors.As(err, &status) && status.HTTPStatusCode()/100 != 2:
		return s.status(status.HTTPStatusCode())
	case errors.As(err, &form):
		return resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	return rest.Failure(ctx, err)
}

func (s *session) coded(err error, code string) error {
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return &resolve.Error{Class: resolve.Throttled}
	}
	if known, ok := codes[code]; ok {
		return &resolve.Error{Class: known.class, Cause: known.cause, Hint: s.hint(known.class)}
	}
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		return s.status(status.HTTPStatusCode())
	}
	return resolve.Errorf(resolve.Unreachable, "the store met a fault of its own")
}

func (s *session) status(status int) error {
	switch {
	case status/100 == 3:
		return resolve.Errorf(resolve.Unreachable, "the store sends elsewhere, which kz does not follow")
	case status == 400: // as which AWS answers all that is refused, with codes that are not known here
		return resolve.Errorf(resolve.Malformed, "the store refused the request")
	}
	err := rest.Answer{Status: status}.Err()
	if own, ok := errors.AsType[*resolve.Error](err); ok {
		own.Hint = s.hint(own.Class)
	}
	return err
}

// hint returns the command that signs in, if there is one for the way one signs in.
func (s *session) hint(class resolve.Class) string {
	if class != resolve.NotLoggedIn && class != resolve.Expired {
		return ""
	}
	switch where, _ := s.origin(); where {
	case fromEnvironment: // which goes before any profile
		return "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN && " + cmp.Or(s.signIn(), "aws configure")
	case fromService, fromWebIdentity: // the machine's to renew
		return ""
	}
	return s.signIn()
}

// signIn is the command for the profile, "" if its name cannot be pasted.
func (s *session) signIn() string {
	command, name := "aws configure", s.profileName()
	if profile := s.sso(); profile != nil {
		command, name = "aws sso login", profile.Profile
	}
	switch {
	case name == "" || name == "default":
		return command
	case strings.HasPrefix(name, "-") || !made(name, "_.@+/:-", 200): // as which the environment may name one
		return ""
	}
	return command + " --profile " + name
}

// sso returns the profile that signs in by SSO, which may be the source of another's role.
func (s *session) sso() *config.SharedConfig {
	for p := &s.profile; p != nil; p = p.Source {
		if p.SSOSessionName != "" || p.SSOStartURL != "" {
			return p
		}
	}
	return nil
}

// identity returns the error for credentials that cannot be had.
func (s *session) identity(ctx context.Context, err error) error {
	var (
		own     *resolve.Error
		api     smithy.APIError
		profile config.SharedConfigProfileNotExistError
		code    config.AssumeRoleTokenProviderNotSetError
		process *processcreds.ProviderError
	)
	switch {
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &profile):
		return s.unknown("there is no profile of the name")
	case errors.As(err, &code):
		return resolve.Errorf(resolve.PromptNeeded, "the profile asks for a code, which kz cannot ask for")
	case errors.As(err, &process):
		return s.unknown("the profile's credential_process gave no credentials")
	case errors.As(err, &api):
		return s.failure(ctx, err)
	case strings.Contains(err.Error(), "EC2 IMDS"): // the last of the chain
		return s.unknown("no credentials were found")
	}
	return s.unreadable(ctx, err)
}

func (s *session) unknown(cause string) error {
	return resolve.Hinted(resolve.NotLoggedIn, s.hint(resolve.NotLoggedIn), "%s", cause)
}

// unreadable is the rest: a request on the way to credentials that got no answer, a
// session of SSO that ended or never began, or files that the SDK cannot make sense of.
func (s *session) unreadable(ctx context.Context, err error) error {
	class := resolve.Expired
	if errors.Is(err, fs.ErrNotExist) {
		class = resolve.NotLoggedIn
	}
	if _, sent := errors.AsType[*smithyhttp.RequestSendError](err); sent {
		return rest.Failure(ctx, err)
	}
	if s.sso() != nil {
		return &resolve.Error{Class: class, Hint: s.hint(class)}
	}
	return s.unknown("the credentials of AWS cannot be read or are not complete")
}
