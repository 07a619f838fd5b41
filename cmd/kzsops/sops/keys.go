//go:build unix

package sops

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/hckms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"

	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

// choose leaves the keys that may be asked for, and returns their kinds. A file says itself
// at which address its key services are, and it is the project's: the library would send
// the user's token wherever that is.
func (p *Provider) choose(src projectfile.File, t *sops.Tree) ([]string, error) {
	left := 0
	for i, group := range t.Metadata.KeyGroups {
		var kept sops.KeyGroup
		for _, key := range group {
			if p.mayAsk(key) {
				kept = append(kept, key)
			}
		}
		t.Metadata.KeyGroups[i] = kept
		left += len(kept)
	}
	if left == 0 {
		return nil, resolve.Errorf(resolve.Denied, "%v: its keys are at addresses that are not the user's", src)
	}
	return kindsOf(t), nil
}

var (
	step       = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
	region     = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	kmsKey     = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]{1,63}:[0-9]+:(key|alias)/`)
	azureVault = regexp.MustCompile(`^https://[A-Za-z0-9-]{1,63}\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net|managedhsm\.azure\.net)(:443)?/?$`)
)

// mayAsk reports whether a key is on this machine, or at an address that a cloud or the
// user has chosen.
func (p *Provider) mayAsk(key keys.MasterKey) bool {
	switch key := key.(type) {
	case *hcvault.MasterKey:
		return p.isVault(key.VaultAddress) && isEngine(key.EnginePath) && step.MatchString(key.KeyName)
	case *azkv.MasterKey:
		return azureVault.MatchString(key.VaultURL)
	case *kms.MasterKey:
		return kmsKey.MatchString(key.Arn)
	case *hckms.MasterKey:
		return region.MatchString(key.Region)
	}
	return true // age and PGP keys, and Google's, which has one address
}

// isEngine reports whether a path can be that of an engine that decrypts. The library puts
// it into a request that writes, with the user's token: one that leads elsewhere would
// overwrite secrets, or seal the server.
func isEngine(path string) bool {
	steps := strings.Split(path, "/")
	return !slices.Contains([]string{"sys", "auth", "identity", "cubbyhole"}, steps[0]) &&
		!slices.ContainsFunc(steps, func(s string) bool { return !step.MatchString(s) })
}

// isVault reports whether an address is that of the user's own Vault.
func (p *Provider) isVault(address string) bool {
	for _, name := range []string{"VAULT_ADDR", "BAO_ADDR"} {
		own, err := url.Parse(p.setup.Getenv(name))
		asked, err2 := url.Parse(address)
		if err == nil && err2 == nil && own.Host != "" && own.User == nil && asked.User == nil &&
			own.Scheme == asked.Scheme && strings.EqualFold(own.Host, asked.Host) {
			return true
		}
	}
	return false
}
