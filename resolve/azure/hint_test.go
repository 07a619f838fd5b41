package azure

import (
	"errors"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Denied has none: who may read a vault is decided in Azure.
func TestHints(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.az(t, "exit 1")
	app := func(tenant string) []string {
		return []string{"AZURE_TENANT_ID=" + tenant, "AZURE_CLIENT_ID=id", "AZURE_CLIENT_SECRET=x"}
	}
	for name, test := range map[string]struct {
		env   []string
		auth  string
		class resolve.Class
		hint  string
	}{
		"the CLI":             {nil, "", resolve.NotLoggedIn, "az login"},
		"an app":              {app("wrong"), "", resolve.NotLoggedIn, "unset AZURE_CLIENT_SECRET && az login"},
		"one that ran out":    {app("over"), "", resolve.Expired, "unset AZURE_CLIENT_SECRET && az login"},
		"one and no other":    {app("over"), "environment", resolve.Expired, "export AZURE_CLIENT_SECRET=SECRET"},
		"half of one":         {app(""), "", resolve.NotLoggedIn, "unset AZURE_CLIENT_SECRET && az login"},
		"a workload, a pod's": {[]string{"AZURE_FEDERATED_TOKEN_FILE=/none", "AZURE_TENANT_ID=wrong", "AZURE_CLIENT_ID=id"}, "", resolve.NotLoggedIn, ""},
	} {
		t.Run(name, func(t *testing.T) {
			setup := s.setup(test.env...)
			if test.auth != "" {
				setup.Settings["auth"] = test.auth
			}
			err := fetch(t, newProvider(t, setup), "db")[0].Err
			if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != test.class || e.Hint != test.hint {
				t.Errorf("leads to %v, %#v; want %s, %q", err, err, test.class, test.hint)
			}
		})
	}
}

// The CLI gives a token that it has kept, whether it still holds or not.
func TestTheCLIIsNotTheStore(t *testing.T) {
	t.Parallel()
	if standing, err := newStandIn(t).provider(t).Probe(t.Context()); err != nil || standing.Asked {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
}
