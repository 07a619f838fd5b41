package aws

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/getkeyzero/kz/resolve"
)

// Probe implements [resolve.Prober]. It asks STS who one is, which needs no permission.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: p.address}
	s, err := p.open(ctx, "")
	if err != nil {
		return standing, err
	}
	standing.Credential, standing.Plain = s.origin()
	if s.region == "" {
		return standing, errNoRegion
	}
	if p.address == "" {
		standing.Through = "AWS in " + s.region
	}
	who, err := s.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return standing, s.failure(ctx, err)
	}
	standing.As, standing.Asked = aws.ToString(who.Arn), true
	return standing, nil
}

const (
	fromEnvironment = "environment AWS_ACCESS_KEY_ID"
	fromWebIdentity = "environment AWS_WEB_IDENTITY_TOKEN_FILE"
	fromService     = "metadata service"
)

// origin returns where the credentials come from, and whether they lie there as plain text.
func (s *session) origin() (where string, plain bool) {
	source, _, _ := strings.Cut(s.base.Source, ":")
	switch source {
	case credentials.StaticCredentialsName, "EnvConfigCredentials":
		return fromEnvironment, true
	case "SharedConfigCredentials":
		return "file " + s.file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), true
	case ssocreds.ProviderName:
		return "file ~/.aws/sso/cache", true
	case processcreds.ProviderName:
		return "credential_process of the profile", false
	case stscreds.WebIdentityProviderName:
		return fromWebIdentity, true
	case stscreds.ProviderName:
		return "a role of the profile", false
	case ec2rolecreds.ProviderName, endpointcreds.ProviderName:
		return fromService, false
	}
	return source, false
}

// The most pages that List asks each store for: 100 secrets a page, or 50 parameters.
const mostPages = 20

// List implements [resolve.Lister]. It has the first two thousand secrets and the first
// thousand parameters of the region, without those that one may not list.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	s, err := p.open(ctx, "")
	if err == nil && s.region == "" {
		err = errNoRegion
	}
	if err != nil {
		return nil, err
	}
	var secrets, names []string
	var errs [2]error
	concurrently([]func(){
		func() { secrets, errs[0] = s.secretNames(ctx) },
		func() { names, errs[1] = s.parameterNames(ctx) },
	})
	if errs[0] != nil && errs[1] != nil {
		return nil, errs[0]
	}
	for _, err := range errs {
		if err != nil && resolve.ClassOf(err) != resolve.Denied {
			return nil, err
		}
	}
	all := slices.Concat(secrets, names)
	slices.Sort(all)
	return all, nil
}

func (s *session) secretNames(ctx context.Context) (names []string, err error) {
	pages := secretsmanager.NewListSecretsPaginator(s.manager(""), &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(100)})
	for n := 0; n < mostPages && pages.HasMorePages(); n++ {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.failure(ctx, err)
		}
		for _, e := range out.SecretList {
			names = appendName(names, manager, aws.ToString(e.Name))
		}
	}
	return names, nil
}

func (s *session) parameterNames(ctx context.Context) (names []string, err error) {
	pages := ssm.NewDescribeParametersPaginator(s.parameters(""), &ssm.DescribeParametersInput{MaxResults: aws.Int32(50)})
	for n := 0; n < mostPages && pages.HasMorePages(); n++ {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.failure(ctx, err)
		}
		for _, e := range out.Parameters {
			names = appendName(names, parameters, aws.ToString(e.Name))
		}
	}
	return names, nil
}

// appendName leaves out what is no reference of ours.
func appendName(names []string, of service, name string) []string {
	ref := string(of) + "://" + name
	if it, key, err := parse(ref); err != nil || key != "" || it.id != name {
		return names
	}
	return append(names, ref)
}
