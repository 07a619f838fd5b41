package aws

import (
	"context"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/getkeyzero/kz/resolve"
)

// Store implements [resolve.Storer]. A secret that does not exist is created; a
// parameter is a SecureString. What replaces a value is a new version, and the store
// keeps the one before it.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	it, key, err := parse(ref.Path)
	switch {
	case err != nil:
		return err
	case key != "":
		return resolve.Errorf(resolve.Malformed, "kz writes whole values, not a key of one")
	case !it.plain():
		return resolve.Errorf(resolve.Malformed, "a version that exists is not written again")
	case it.service == parameters && it.arn():
		return resolve.Errorf(resolve.Malformed, "AWS writes parameters by their names, not by ARNs")
	case it.service == parameters && !utf8.ValidString(secret.Reveal()):
		return resolve.Errorf(resolve.Malformed, "a parameter has no bytes that are not UTF-8")
	case secret.Reveal() == "":
		return resolve.Errorf(resolve.Malformed, "AWS has no empty values")
	}
	s, err := p.open(ctx, it.region)
	switch {
	case err != nil:
		return err
	case s.regional(it.region) == "":
		return errNoRegion
	case it.service == parameters:
		return s.putParameter(ctx, it, secret)
	}
	return s.putSecret(ctx, it, secret)
}

func (s *session) putParameter(ctx context.Context, it item, secret resolve.Secret) error {
	_, err := s.parameters(it.region).PutParameter(ctx, &ssm.PutParameterInput{
		Name: &it.id, Value: aws.String(secret.Reveal()), Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	if err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

func (s *session) putSecret(ctx context.Context, it item, secret resolve.Secret) error {
	text, data := parts(secret)
	client := s.manager(it.region)
	_, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &it.id, SecretString: text, SecretBinary: data})
	if err != nil {
		err = s.failure(ctx, err)
	}
	if resolve.ClassOf(err) != resolve.NotFound || it.arn() {
		return err
	}
	_, err = client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &it.id, SecretString: text, SecretBinary: data})
	if err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// parts returns the secret as what AWS calls its string or else its binary.
func parts(secret resolve.Secret) (*string, []byte) {
	text := secret.Reveal()
	if utf8.ValidString(text) {
		return &text, nil
	}
	return nil, []byte(text)
}
