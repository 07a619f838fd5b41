// Package azure asks Azure Key Vault, through the SDK of Azure and with one identity that
// is chosen beforehand: that of the workload or the environment if there is one, else the
// Azure CLI's. No chain of probes is waited for.
//
// A token is asked for no other resource than the cloud's vaults, and sent to no other
// host than the vault's, whatever a server answers.
package azure

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

// parallel is how many secrets are asked for at once: Key Vault has no batches.
const parallel = 8

// A realm is one of Azure's clouds.
type realm struct {
	suffix string // of the vaults' hosts, and with https:// what tokens are for
	config cloud.Configuration
}

func clouds(name string) realm {
	switch name {
	case "china":
		return realm{"vault.azure.cn", cloud.AzureChina}
	case "government":
		return realm{"vault.usgovcloudapi.net", cloud.AzureGovernment}
	}
	return realm{"vault.azure.net", cloud.AzurePublic}
}

// A Provider asks the vaults of one cloud.
type Provider struct {
	*tool.Runner
	setup   resolve.Setup
	cloud   realm
	vault   string // for references that name none, may be empty
	tenant  string
	address string // of the vault, in place of its own
	caFile  string
}

// New returns the Provider of s. It reads no file and asks nobody yet.
func New(s resolve.Setup) (*Provider, error) {
	runner, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return nil, err
	}
	p := &Provider{
		Runner: runner, setup: s, cloud: clouds(s.Setting("cloud")), vault: s.Setting("vault"),
		tenant: s.Setting("tenant"), address: s.Setting("address"), caFile: s.Setting("ca_file"),
	}
	switch {
	case p.tenant != "" && !isTenant(p.tenant):
		return nil, resolve.Errorf(resolve.Malformed, "the tenant is neither an id nor a domain")
	case p.address == "":
		return p, nil
	case p.vault == "":
		return nil, resolve.Errorf(resolve.Malformed, "an address needs the vault that it is of")
	}
	_, err = rest.New(rest.Options{Address: p.address})
	return p, err
}

// Fetch implements [resolve.Provider]. An item that several references name is asked for once.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	items := make([]item, len(refs))
	var wanted []item
	for i, ref := range refs {
		if items[i], results[i].Err = p.parse(ref.Path); results[i].Err == nil && !slices.Contains(wanted, items[i]) {
			wanted = append(wanted, items[i])
		}
	}
	answers := p.get(ctx, wanted)
	for i := range results {
		if results[i].Err == nil {
			results[i] = answers[slices.Index(wanted, items[i])]
		}
	}
	return results
}

func (p *Provider) get(ctx context.Context, items []item) []resolve.Result {
	if len(items) == 0 {
		return nil
	}
	s, err := p.open(ctx)
	if err != nil {
		return resolve.Fail(len(items), err)
	}
	clients := map[string]*azsecrets.Client{}
	refs := make([]resolve.Ref, len(items))
	byPath := map[string]item{}
	for i, it := range items {
		refs[i].Path = it.vault + "/" + it.name + "/" + it.version
		byPath[refs[i].Path] = it
		if clients[it.vault] != nil {
			continue
		}
		if clients[it.vault], err = s.client(it.vault); err != nil {
			return resolve.Fail(len(items), s.failure(ctx, err))
		}
	}
	return resolve.Each(ctx, refs, parallel, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		it := byPath[ref.Path]
		return s.secret(ctx, clients[it.vault], it)
	})
}

func (s *session) secret(ctx context.Context, client *azsecrets.Client, it item) (resolve.Secret, error) {
	got, err := client.GetSecret(ctx, it.name, it.version, nil)
	switch {
	case err != nil:
		return resolve.Secret{}, s.failure(ctx, err)
	case got.ID == nil || !is(string(*got.ID), it):
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the store's answer is for another reference")
	case got.Value == nil:
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the store's answer has no value")
	}
	return resolve.NewSecret(*got.Value), nil
}

// is reports whether an identifier, https://HOST/secrets/NAME/VERSION, is an item's.
func is(id string, it item) bool {
	parts := strings.Split(id, "/")
	return len(parts) == 6 && parts[3] == "secrets" && strings.EqualFold(parts[4], it.name) &&
		(it.version == "" || strings.EqualFold(parts[5], it.version))
}

// Store implements [resolve.Storer]. A secret that exists gets a new version.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	it, err := p.parse(ref.Path)
	value := secret.Reveal()
	switch {
	case err != nil:
		return err
	case it.version != "":
		return resolve.Errorf(resolve.Malformed, "a version that exists is not written again")
	case !utf8.ValidString(value):
		return resolve.Errorf(resolve.Malformed, "Key Vault has no bytes that are not UTF-8")
	}
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	client, err := s.client(it.vault)
	if err == nil {
		_, err = client.SetSecret(ctx, it.name, azsecrets.SetSecretParameters{Value: &value}, nil)
	}
	return s.failure(ctx, err)
}

// mostPages bounds List, to 25 names a page.
const mostPages = 40

// List implements [resolve.Lister]. It has the first thousand secrets of the vault that is set.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	if p.vault == "" {
		return nil, resolve.Errorf(resolve.Malformed, "no vault is set whose secrets could be listed")
	}
	s, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	client, err := s.client(strings.ToLower(p.vault))
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	var names []string
	pages := client.NewListSecretPropertiesPager(nil)
	for n := 0; n < mostPages && pages.More(); n++ {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.failure(ctx, err)
		}
		for _, e := range page.Value {
			if e == nil || e.ID == nil {
				continue
			}
			if parts := strings.Split(string(*e.ID), "/"); len(parts) >= 5 && isName(parts[4], 127) {
				names = append(names, p.vault+"/"+parts[4])
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// client returns the client of a vault.
func (s *session) client(vault string) (*azsecrets.Client, error) {
	address := s.address
	if address == "" {
		address = "https://" + vault + "." + s.cloud.suffix
	}
	return azsecrets.NewClient(address, s, &azsecrets.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: s.pinned(address), Retry: retries(s.ctx), Cloud: s.cloud.config},
		// The session refuses tokens for anything but vaults. Behind an address that is not
		// Azure's the SDK would refuse those too.
		DisableChallengeResourceVerification: s.address != "",
	})
}

// retries are for what passes, and end before ctx does: what the store answered tells
// more than that time is up.
func retries(ctx context.Context) policy.RetryOptions {
	most := 2 * time.Second
	deadline, ok := ctx.Deadline()
	if ok {
		most = max(time.Millisecond, min(most, time.Until(deadline)/4))
	}
	return policy.RetryOptions{MaxRetries: 2, RetryDelay: 150 * time.Millisecond, MaxRetryDelay: most, ShouldRetry: passing(deadline)}
}
