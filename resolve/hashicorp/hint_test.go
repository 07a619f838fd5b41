package hashicorp

import (
	"errors"
	"net/http"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Each class that a human can mend has a command for it, by where the credential lies.
// Denied has none: who writes the policies is asked by no command.
func TestHints(t *testing.T) {
	t.Parallel()
	const dead, denied, sealed = "dead", "denied", "sealed"
	for name, test := range map[string]struct {
		server   string
		env      []string // besides HOME
		settings map[string]string
		class    resolve.Class
		hint     string
	}{
		"no address":       {"", nil, nil, resolve.NotLoggedIn, "export VAULT_ADDR=https://HOST:8200"},
		"nothing":          {dead, []string{"VAULT_ADDR"}, nil, resolve.NotLoggedIn, "vault login"},
		"OpenBao":          {dead, []string{"BAO_ADDR"}, nil, resolve.NotLoggedIn, "bao login"},
		"a variable":       {dead, []string{"VAULT_ADDR", "VAULT_TOKEN=a"}, nil, resolve.Expired, "unset VAULT_TOKEN && vault login"},
		"OpenBao's":        {dead, []string{"VAULT_ADDR", "BAO_TOKEN=a"}, nil, resolve.Expired, "unset BAO_TOKEN && bao login"},
		"both":             {dead, []string{"VAULT_ADDR", "BAO_TOKEN=a", "VAULT_TOKEN=b"}, nil, resolve.Expired, "unset VAULT_TOKEN BAO_TOKEN && vault login"},
		"a namespace":      {dead, []string{"VAULT_ADDR"}, map[string]string{"namespace": "a/b"}, resolve.NotLoggedIn, "vault login -namespace=a/b"},
		"an odd one":       {dead, []string{"VAULT_ADDR"}, map[string]string{"namespace": "$(x)"}, resolve.NotLoggedIn, "vault login"},
		"an AppRole":       {dead, []string{"VAULT_ADDR"}, map[string]string{"auth": "approle", "role_id": "r"}, resolve.NotLoggedIn, "export VAULT_SECRET_ID=SECRET_ID"},
		"another's file":   {dead, []string{"VAULT_ADDR"}, map[string]string{"auth": "approle", "role_id": "r", "secret_id_file": "/none"}, resolve.NotLoggedIn, ""},
		"an ID token":      {dead, []string{"VAULT_ADDR"}, map[string]string{"auth": "jwt", "role": "r"}, resolve.NotLoggedIn, "export VAULT_ID_TOKEN=ID_TOKEN"},
		"a token's file":   {dead, []string{"VAULT_ADDR"}, map[string]string{"auth": "token", "token_file": "/none/t"}, resolve.NotLoggedIn, "(umask 077 && vault login -token-only >/none/t)"},
		"with an odd name": {dead, []string{"VAULT_ADDR"}, map[string]string{"auth": "token", "token_file": "/none/$(t)"}, resolve.NotLoggedIn, ""},
		"sealed":           {sealed, []string{"VAULT_ADDR", "VAULT_TOKEN=" + canaryToken}, nil, resolve.Locked, "vault operator unseal"},
		"denied":           {denied, []string{"VAULT_ADDR", "VAULT_TOKEN=" + canaryToken}, nil, resolve.Denied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := map[string]http.HandlerFunc{mountPath: text(403, `{}`), selfPath: text(403, `{}`)}
			switch test.server {
			case sealed:
				answers[mountPath] = text(503, `{"errors":["Vault is sealed"]}`)
			case denied:
				answers[selfPath] = text(200, `{"data":{"display_name":"a","ttl":1}}`)
			}
			s := newStandIn(t, answers)
			setup := s.setup(t)
			setup.Env = setup.Env[:1]
			for _, e := range test.env {
				if e == "VAULT_ADDR" || e == "BAO_ADDR" {
					e += "=" + s.URL
				}
				setup.Env = append(setup.Env, e)
			}
			for k, v := range test.settings {
				setup.Settings[k] = v
			}
			err := provider(t, setup).Fetch(t.Context(), refs("secret/app"))[0].Err
			if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != test.class || e.Hint != test.hint {
				t.Errorf("leads to %v, %#v; want %s, %q", err, err, test.class, test.hint)
			}
		})
	}
	s := newStandIn(t, map[string]http.HandlerFunc{mountPath: text(403, `{}`), selfPath: text(403, `{}`)})
	setup := s.setup(t)
	setup.Env, setup.Settings["address"] = setup.Env[:1], s.URL
	err := provider(t, setup).Fetch(t.Context(), refs("secret/app"))[0].Err
	if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Hint != "vault login -address="+s.URL {
		t.Errorf("with an address of the settings: %#v", err)
	}
}
