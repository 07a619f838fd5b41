package aws

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/getkeyzero/kz/internal/rest"
)

// A session is one caller's identity, and the way to the stores, for one call of the Provider.
type session struct {
	*Provider
	config  aws.Config
	http    aws.HTTPClient
	region  string // that is set; the config may have one of an ARN for lack of it
	profile config.SharedConfig
	base    aws.Credentials // with which role_arn is taken on, if that is set
}

// open finds out who one is, which may take a request of its own: to SSO, to STS, to the instance.
func (p *Provider) open(ctx context.Context, region string) (*session, error) {
	s := &session{Provider: p}
	options, err := p.options(ctx, region)
	if err == nil {
		s.config, err = config.LoadDefaultConfig(ctx, options...)
	}
	if err != nil {
		return nil, s.identity(ctx, err)
	}
	for _, source := range s.config.ConfigSources {
		if profile, ok := source.(config.SharedConfig); ok {
			s.profile = profile
		}
	}
	s.region = cmp.Or(p.setup.Setting("region", "AWS_REGION", "AWS_DEFAULT_REGION"), s.profile.Region)
	s.http = &http.Client{
		Transport:     rest.Checked{RoundTripper: s.config.HTTPClient.(*awshttp.BuildableClient).GetTransport()},
		CheckRedirect: rest.SameOrigin,
	}
	if s.base, err = s.config.Credentials.Retrieve(ctx); err == nil && p.role != "" {
		err = s.assume(ctx)
	}
	if err != nil {
		return nil, s.identity(ctx, err)
	}
	return s, nil
}

// assume takes on the role of the settings.
func (s *session) assume(ctx context.Context) error {
	if s.config.Region == "" {
		return errNoRegion
	}
	role := stscreds.NewAssumeRoleProvider(s.sts(), s.role, func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "kz" })
	s.config.Credentials = aws.NewCredentialsCache(role)
	_, err := s.config.Credentials.Retrieve(ctx)
	return err
}

// options tell the SDK what is known of the user's surroundings. What it knows no
// option for it reads from the environment of this process, which is the user's: web
// identities, containers, endpoints, and HOME for the sessions of SSO.
func (p *Provider) options(ctx context.Context, region string) ([]func(*config.LoadOptions) error, error) {
	transport, err := rest.Transport(rest.Options{CAFile: p.caFile})
	if err != nil {
		return nil, err
	}
	// Of this type for AWS_CA_BUNDLE, whose certificates the SDK adds to no other.
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.RootCAs = transport.TLSClientConfig.RootCAs
		t.MaxResponseHeaderBytes = transport.MaxResponseHeaderBytes
	})
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer { return newRetryer(ctx) }),
		config.WithSharedConfigFiles([]string{p.file("AWS_CONFIG_FILE", "config")}),
		config.WithSharedCredentialsFiles([]string{p.file("AWS_SHARED_CREDENTIALS_FILE", "credentials")}),
		config.WithEC2RoleCredentialOptions(p.instance),
		config.WithProcessCredentialOptions(func(o *processcreds.Options) {
			if deadline, ok := ctx.Deadline(); ok {
				o.Timeout = time.Until(deadline)
			}
		}),
	}
	return append(options, p.chosen(region)...), nil
}

// chosen has the options for what the settings and the environment choose.
func (p *Provider) chosen(region string) []func(*config.LoadOptions) error {
	var options []func(*config.LoadOptions) error
	if set := p.setup.Setting("region", "AWS_REGION", "AWS_DEFAULT_REGION"); set != "" {
		options = append(options, config.WithRegion(set))
	} else if region != "" {
		options = append(options, config.WithDefaultRegion(region))
	}
	id, key := p.setup.Getenv("AWS_ACCESS_KEY_ID"), p.setup.Getenv("AWS_SECRET_ACCESS_KEY")
	switch profile := p.profileName(); {
	case p.setup.Setting("profile") == "" && id != "" && key != "":
		static := credentials.NewStaticCredentialsProvider(id, key, p.setup.Getenv("AWS_SESSION_TOKEN"))
		options = append(options, config.WithCredentialsProvider(static))
	// To name a profile puts it before a web identity, which AWS_PROFILE does not.
	case profile != "" && (p.setup.Setting("profile") != "" || p.setup.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") == ""):
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	return options
}

func (p *Provider) profileName() string {
	return p.setup.Setting("profile", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
}

func (p *Provider) file(variable, name string) string {
	if file := p.setup.Getenv(variable); file != "" {
		return file
	}
	return filepath.Join(p.setup.Home(), ".aws", name)
}

// instance asks the metadata service of EC2 once, for a quarter of a second until it
// is connected: elsewhere than on EC2 nobody answers.
func (p *Provider) instance(o *ec2rolecreds.Options) {
	enabled := imds.ClientEnabled
	if p.setup.Getenv("AWS_EC2_METADATA_DISABLED") == "true" {
		enabled = imds.ClientDisabled
	}
	o.Client = imds.New(imds.Options{
		ClientEnableState: enabled,
		Endpoint:          p.setup.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
		Retryer:           aws.NopRetryer{},
	})
}

// regional returns the region for an item, the one that is set if it has none of its own.
func (s *session) regional(region string) string {
	return cmp.Or(region, s.region)
}

// in returns the config for the clients of a region. The address is theirs alone: not
// that of SSO and of the roles in profiles, whose tokens are not for it.
func (s *session) in(region string) aws.Config {
	c := s.config.Copy()
	c.HTTPClient, c.Region = s.http, cmp.Or(region, c.Region)
	if s.address != "" {
		c.BaseEndpoint = &s.address
		c.ConfigSources = nil // in which endpoints of single services would count more
	}
	return c
}

func (s *session) manager(region string) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(s.in(region))
}

func (s *session) parameters(region string) *ssm.Client { return ssm.NewFromConfig(s.in(region)) }

func (s *session) sts() *sts.Client { return sts.NewFromConfig(s.in("")) }

// A retryer tries three times, as far as the deadline leaves time for it.
type retryer struct {
	*retry.Standard
	ctx context.Context
}

func newRetryer(ctx context.Context) retryer {
	return retryer{ctx: ctx, Standard: retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return 50*time.Millisecond + rand.N(200*time.Millisecond<<attempt), nil
		})
	})}
}

// IsErrorRetryable says no to what got no answer, as a certificate that is not trusted,
// and near the deadline: what the store answered tells more than that time is up.
func (r retryer) IsErrorRetryable(err error) bool {
	if _, silent := errors.AsType[*smithyhttp.RequestSendError](err); silent {
		return false
	}
	return r.Standard.IsErrorRetryable(err) && r.timely()
}

// timely reports whether there is time for another try.
func (r retryer) timely() bool {
	deadline, ok := r.ctx.Deadline()
	return !ok || time.Until(deadline) > 250*time.Millisecond
}

// pause waits before another try, unless the deadline leaves no time for one.
func (r retryer) pause(attempt int) bool {
	delay, err := r.RetryDelay(attempt, nil)
	if err != nil || !r.timely() {
		return false
	}
	select {
	case <-r.ctx.Done():
		return false
	case <-time.After(delay):
		return true
	}
}

// RetryDelay is at most half of the time that is left.
func (r retryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, err := r.Standard.RetryDelay(attempt, err)
	if deadline, ok := r.ctx.Deadline(); ok {
		delay = min(delay, time.Until(deadline)/2)
	}
	return delay, err
}
