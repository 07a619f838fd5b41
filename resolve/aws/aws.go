// Package aws asks AWS Secrets Manager and the SSM Parameter Store, through the SDK of
// AWS and with the identity that its tools have: environment, profile, SSO, role, instance.
//
// Secrets are asked for in batches, all of which are under way at once. What names a
// host, a region, comes checked from the config or from an ARN whose form is checked here.
package aws

import (
	"context"
	"os"
	"path/filepath"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// A Provider asks both stores.
type Provider struct {
	setup   resolve.Setup
	address string // in place of the stores' own, "" for those
	caFile  string
	role    string
}

// New returns the Provider of s. It reads no file and asks nobody yet.
func New(s resolve.Setup) (*Provider, error) {
	p := &Provider{setup: s, address: s.Setting("address"), caFile: s.Setting("ca_file"), role: s.Setting("role_arn")}
	if p.address != "" {
		if _, err := rest.New(rest.Options{Address: p.address}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Fetch implements [resolve.Provider]. An item that several references name is asked for once.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	keys := make([]string, len(refs))
	items := make([]item, len(refs))
	answers := map[item]*answer{}
	for i, ref := range refs {
		if items[i], keys[i], results[i].Err = parse(ref.Path); results[i].Err == nil {
			answers[items[i]] = &answer{err: errSilent}
		}
	}
	p.ask(ctx, answers)
	for i := range results {
		if results[i].Err == nil {
			results[i] = answers[items[i]].result(keys[i])
		}
	}
	return results
}

// An answer is what a store has for an item. It is written by one goroutine, and read
// when that has ended.
type answer struct {
	secret resolve.Secret
	err    error
}

// errSilent is the answer for an item that the store said nothing about.
var errSilent = resolve.Errorf(resolve.Malformed, "the store's answer has nothing for this reference")

func (a answer) result(key string) resolve.Result {
	if a.err == nil && key != "" {
		a.secret, a.err = resolve.Pick(a.secret, key)
	}
	if a.err != nil {
		return resolve.Result{Err: a.err}
	}
	return resolve.Result{Secret: a.secret}
}

// ask fills in the answers.
func (p *Provider) ask(ctx context.Context, answers map[item]*answer) {
	if len(answers) == 0 {
		return
	}
	s, err := p.open(ctx, regionOf(answers))
	if err != nil {
		for _, a := range answers {
			a.err = err
		}
		return
	}
	s.fetch(ctx, answers)
}

// regionOf returns a region that can be asked who one is when none is set.
func regionOf(answers map[item]*answer) string {
	first := ""
	for it := range answers {
		if first == "" || it.region != "" && it.region < first {
			first = it.region
		}
	}
	return first
}

// Present says what of AWS is found on this machine, "" if nothing.
func Present(s resolve.Setup) string {
	for _, name := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if s.Getenv(name) != "" {
			return "environment " + name
		}
	}
	for _, name := range []string{".aws/config", ".aws/credentials"} {
		if _, err := os.Stat(filepath.Join(s.Home(), name)); err == nil && s.Home() != "" {
			return "~/" + name
		}
	}
	return ""
}
