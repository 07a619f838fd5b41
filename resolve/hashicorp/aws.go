package hashicorp

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/getkeyzero/kz/internal/awsidentity"
)

func (p *Provider) byAWS() (*login, string) {
	role := p.setup.Setting("role")
	l := &login{from: "the AWS credentials", proof: identity}
	if role != "" {
		l = l.with("role", role)
	}
	return l, ""
}

// identity returns a signed request, which the server sends to learn who signed.
func identity(ctx context.Context) (map[string]string, error) {
	r, err := awsidentity.Global(ctx)
	if err != nil {
		return nil, err
	}
	headers, err := json.Marshal(r.Header)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"iam_http_request_method": r.Method,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(r.Address())),
		"iam_request_body":        base64.StdEncoding.EncodeToString([]byte(r.Body)),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(headers),
	}, nil
}
