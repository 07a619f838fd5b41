// Package awsidentity signs the request by which a store learns who one is at AWS. The
// request is not sent to AWS from here: the store sends it.
package awsidentity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/getkeyzero/kz/resolve"
)

const (
	body       = "Action=GetCallerIdentity&Version=2011-06-15"
	usual      = "us-east-1" // of the global endpoint, too
	globalHost = "sts.amazonaws.com"
)

// A Request is a signed one. It tells who signed and not by which key.
type Request struct {
	Method string
	Host   string // is signed, and not in Header
	Body   string // whose length is signed, and not in Header
	Header http.Header
}

// Address is where the request is to be sent.
func (r Request) Address() string { return "https://" + r.Host + "/" }

// Global returns a request to the endpoint of all regions. It looks for credentials as
// AWS's own programs do, which may take seconds on machines that are not Amazon's, and
// in the process's own environment, which the SDK does not let one choose.
func Global(ctx context.Context) (Request, error) {
	c, err := load(ctx, config.WithRegion(usual))
	if err != nil {
		return Request{}, err
	}
	return signed(ctx, c, globalHost, usual)
}

var region = regexp.MustCompile(`^[a-z0-9-]{1,20}$`)

// Regional is as Global, for the endpoint of the region that is configured for AWS's
// programs, and of us-east-1 where none is.
func Regional(ctx context.Context) (Request, error) {
	c, err := load(ctx)
	if err != nil {
		return Request{}, err
	}
	at := c.Region
	if !region.MatchString(at) {
		at = usual
	}
	return signed(ctx, c, "sts."+at+".amazonaws.com", at)
}

func load(ctx context.Context, options ...func(*config.LoadOptions) error) (aws.Config, error) {
	c, err := config.LoadDefaultConfig(ctx, options...)
	switch {
	case ctx.Err() != nil:
		return c, ctx.Err()
	case err != nil: // which may quote the file
		return c, resolve.Errorf(resolve.NotLoggedIn, "the AWS configuration cannot be read")
	}
	return c, nil
}

func signed(ctx context.Context, c aws.Config, host, region string) (Request, error) {
	credentials, err := c.Credentials.Retrieve(ctx)
	switch {
	case ctx.Err() != nil:
		return Request{}, ctx.Err()
	case err != nil:
		return Request{}, resolve.Errorf(resolve.NotLoggedIn, "not signed in to AWS")
	}
	return sign(ctx, credentials, host, region, time.Now())
}

func sign(ctx context.Context, credentials aws.Credentials, host, region string, now time.Time) (Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/", strings.NewReader(body))
	if err != nil {
		return Request{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "sts", region, now); err != nil {
		return Request{}, resolve.Errorf(resolve.NotLoggedIn, "AWS's credentials cannot sign")
	}
	return Request{request.Method, host, body, request.Header}, nil
}
