package azure

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

// An identity is a way to get tokens.
type identity struct {
	where string // the means are kept
	plain bool
	get   func(ctx context.Context, scope, tenant string) (azcore.AccessToken, error)
}

// way returns how to sign in: as the setting has it, else by what the environment has
// the means for, else by the Azure CLI.
func way(s resolve.Setup) string {
	has := func(names ...string) bool {
		for _, n := range names {
			if s.Getenv(n) == "" {
				return false
			}
		}
		return true
	}
	switch {
	case s.Setting("auth") != "":
		return s.Setting("auth")
	case has("AZURE_FEDERATED_TOKEN_FILE"):
		return "workload"
	case has("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"), has("AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH"):
		return "environment"
	case has("IDENTITY_ENDPOINT"), has("MSI_ENDPOINT"):
		return "managed"
	}
	return "cli"
}

// identify makes the identity. It asks nobody yet.
func (p *Provider) identify(s *session) (identity, error) {
	options := azcore.ClientOptions{Transport: s.http, Retry: retries(s.ctx), Cloud: p.authority()}
	var cred azcore.TokenCredential
	var err error
	id := identity{plain: true}
	switch way(p.setup) {
	case "workload":
		id.where = "file " + p.setup.Getenv("AZURE_FEDERATED_TOKEN_FILE")
		cred, err = p.workload(options)
	case "environment":
		id.where, cred, err = p.principal(options)
	case "managed":
		id.where, id.plain = "metadata service", false
		cred, err = p.managed(options)
	default:
		return identity{"file ~/.azure", true, p.cli}, nil
	}
	if err != nil { // which may hold what the variables have
		return id, resolve.Hinted(resolve.NotLoggedIn, p.mend(), "the means to sign in are not complete: AZURE_TENANT_ID, AZURE_CLIENT_ID and what proves that one is it")
	}
	id.get = func(ctx context.Context, scope, _ string) (azcore.AccessToken, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	}
	return id, nil
}

// patience is how long is waited for a token of the network: on a laptop nobody answers
// where Azure's machines have their metadata service.
const patience = 5 * time.Second

// authority is the cloud with the user's own place to sign in, if that is set.
func (p *Provider) authority() cloud.Configuration {
	c := p.cloud.config
	if host := p.setup.Getenv("AZURE_AUTHORITY_HOST"); host != "" {
		c.ActiveDirectoryAuthorityHost = host
	}
	return c
}

// home is the tenant of a service principal.
func (p *Provider) home() string { return p.setup.Setting("tenant", "AZURE_TENANT_ID") }

func (p *Provider) workload(o azcore.ClientOptions) (azcore.TokenCredential, error) {
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: o, DisableInstanceDiscovery: true, TenantID: p.home(),
		ClientID: p.setup.Getenv("AZURE_CLIENT_ID"), TokenFilePath: p.setup.Getenv("AZURE_FEDERATED_TOKEN_FILE"),
	})
}

func (p *Provider) principal(o azcore.ClientOptions) (where string, _ azcore.TokenCredential, _ error) {
	id, secret, file := p.setup.Getenv("AZURE_CLIENT_ID"), p.setup.Getenv("AZURE_CLIENT_SECRET"), p.setup.Getenv("AZURE_CLIENT_CERTIFICATE_PATH")
	if secret != "" {
		cred, err := azidentity.NewClientSecretCredential(p.home(), id, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
		return "environment AZURE_CLIENT_SECRET", cred, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	certs, key, err := azidentity.ParseCertificates(data, []byte(p.setup.Getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD")))
	if err != nil {
		return "", nil, err
	}
	cred, err := azidentity.NewClientCertificateCredential(p.home(), id, certs, key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
	return "file " + file, cred, err
}

// managed is the identity of the machine. Where that is asked for, the SDK reads from the
// environment of this process alone.
func (p *Provider) managed(o azcore.ClientOptions) (azcore.TokenCredential, error) {
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
	if id := p.setup.Getenv("AZURE_CLIENT_ID"); id != "" {
		options.ID = azidentity.ClientID(id)
	}
	return azidentity.NewManagedIdentityCredential(options)
}

// cli asks the Azure CLI for a token. The SDK would do so by a shell, which looks for az
// in all of PATH.
func (p *Provider) cli(ctx context.Context, scope, tenant string) (azcore.AccessToken, error) {
	az, err := p.Find("az")
	if err != nil {
		return azcore.AccessToken{}, err
	}
	args := []string{"account", "get-access-token", "--output", "json", "--resource", strings.TrimSuffix(scope, "/.default")}
	if tenant != "" {
		args = append(args, "--tenant", tenant)
	}
	out, err := p.Run(ctx, az, tool.Call{Args: args})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	if out.Err() != nil {
		return azcore.AccessToken{}, p.refused(out)
	}
	var token struct {
		AccessToken string `json:"accessToken"`
	}
	if json.Unmarshal(out.Stdout, &token) != nil || token.AccessToken == "" || strings.ContainsFunc(token.AccessToken, notPrintable) {
		return azcore.AccessToken{}, resolve.Errorf(resolve.Malformed, "az printed no token")
	}
	// For as long as this call lasts. Its own end is not for kz to weigh: az renews it.
	return azcore.AccessToken{Token: token.AccessToken, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

// refused says why az gave no token.
func (p *Provider) refused(out tool.Outcome) error {
	text := string(out.Stderr)
	for _, code := range expiredCodes {
		if strings.Contains(text, "AADSTS"+code) {
			return resolve.Hinted(resolve.Expired, p.login(), "")
		}
	}
	err := out.Err()
	if class := resolve.ClassOf(err); class == resolve.Unreachable || class == resolve.Throttled {
		return err
	}
	return resolve.Hinted(resolve.NotLoggedIn, p.login(), "")
}

// expiredCodes are those of Entra ID for a session or a secret that was good once.
var expiredCodes = []string{"70043", "70008", "700082", "700084", "50173", "50078", "50089", "7000222"}

// mend is the command that signs in, if one does: the identity of a machine or of a pod
// is not its reader's to renew. What the environment has goes before what az keeps.
func (p *Provider) mend() string {
	switch auth := p.setup.Setting("auth"); {
	case way(p.setup) == "cli":
		return p.login()
	case way(p.setup) != "environment":
		return ""
	case auth != "" && p.setup.Getenv("AZURE_CLIENT_SECRET") == "" && p.setup.Getenv("AZURE_CLIENT_CERTIFICATE_PATH") != "":
		return ""
	case auth != "":
		return "export AZURE_CLIENT_SECRET=SECRET"
	}
	return ask.Without(p.setup, p.login(), "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
}

// login is the command that signs the CLI in.
func (p *Provider) login() string {
	if p.tenant != "" {
		return "az login --tenant " + p.tenant
	}
	return "az login"
}

// isTenant keeps what is an argument of az to the form of ids and domains.
func isTenant(text string) bool {
	return text != "" && len(text) <= 253 && !strings.HasPrefix(text, "-") && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == ""
}

// Probe implements [resolve.Prober]. It gets a token, which is all that tells whether one can.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: p.through()}
	s, err := p.open(ctx)
	if err != nil {
		return standing, err
	}
	standing.Credential, standing.Plain = s.identity.where, s.identity.plain
	token, err := s.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://" + p.cloud.suffix + "/.default"}})
	if err != nil {
		return standing, s.failure(ctx, err)
	}
	standing.As = subject(token.Token)
	standing.Asked = way(p.setup) != "cli" // which gives what it has kept as well
	return standing, nil
}

func (p *Provider) through() string {
	switch {
	case p.address != "":
		return p.address
	case p.vault != "":
		return "https://" + p.vault + "." + p.cloud.suffix
	}
	return p.cloud.suffix
}

// subject returns whom a token names, which it does for all to read.
func subject(token string) string {
	parts := strings.Split(token, ".")
	var claims struct {
		UPN   string `json:"upn"`
		Name  string `json:"unique_name"`
		AppID string `json:"appid"`
	}
	if len(parts) == 3 {
		data, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(data, &claims)
	}
	for _, name := range []string{claims.UPN, claims.Name, claims.AppID} {
		if name != "" && len(name) < 200 && !strings.ContainsFunc(name, notPrintable) {
			return name
		}
	}
	return ""
}

// Present says what of Azure is found on this machine, "" if nothing.
func Present(s resolve.Setup) string {
	for _, name := range []string{"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "IDENTITY_ENDPOINT", "MSI_ENDPOINT"} {
		if s.Getenv(name) != "" {
			return "environment " + name
		}
	}
	runner, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return ""
	}
	if az, err := runner.Find("az"); err == nil {
		return "az at " + az.Path
	}
	return ""
}
