package hashicorp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/getkeyzero/kz/resolve"
)

// The request that is signed and not sent: the server sends it, to learn who signed.
const (
	identityAddress = "https://sts.amazonaws.com/"
	identityBody    = "Action=GetCallerIdentity&Version=2011-06-15"
	identityRegion  = "us-east-1" // of that address
)

func (p *Provider) byAWS() (*login, string) {
	role := p.setup.Setting("role")
	l := &login{from: "the AWS credentials", proof: p.identity}
	if role != "" {
		l = l.with("role", role)
	}
	return l, ""
}

// identity returns a signed request. The credentials are those that AWS's own programs
// would use; the SDK looks for them in the process environment and in ~/.aws.
func (p *Provider) identity(ctx context.Context) (map[string]string, error) {
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(identityRegion))
	if err != nil {
		return nil, resolve.Errorf(resolve.NotLoggedIn, "the AWS configuration cannot be read")
	}
	credentials, err := c.Credentials.Retrieve(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, resolve.Errorf(resolve.NotLoggedIn, "not signed in to AWS")
	}
	return signed(ctx, credentials, time.Now())
}

func signed(ctx context.Context, credentials aws.Credentials, now time.Time) (map[string]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, identityAddress, strings.NewReader(identityBody))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(identityBody))
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "sts", identityRegion, now); err != nil {
		return nil, resolve.Errorf(resolve.NotLoggedIn, "AWS's credentials cannot sign")
	}
	headers, err := json.Marshal(request.Header)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"iam_http_request_method": request.Method,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(identityAddress)),
		"iam_request_body":        base64.StdEncoding.EncodeToString([]byte(identityBody)),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(headers),
	}, nil
}
