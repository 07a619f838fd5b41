package hashicorp

import (
	"strings"

	"github.com/getkeyzero/kz/internal/ask"
)

// hints are by the method of signing in what gives it something that the server takes. A
// certificate, a password and what a cluster or a cloud says of a machine have none: it
// is not for their reader to renew them.
func (p *Provider) hints() map[string]string {
	return map[string]string{"token": p.loginHint(), "approle": p.renew("secret_id_file", "VAULT_SECRET_ID", "BAO_SECRET_ID"), "jwt": p.renew("jwt_file", "VAULT_ID_TOKEN", "BAO_ID_TOKEN")}
}

// loginHint is the command that leaves a token where this looks for it.
func (p *Provider) loginHint() string {
	command := "vault login"
	if p.setup.Getenv("VAULT_ADDR") == "" && p.setup.Getenv("BAO_ADDR") != "" || p.setup.Getenv("VAULT_TOKEN") == "" && p.setup.Getenv("BAO_TOKEN") != "" {
		command = "bao login"
	}
	if address := p.setup.Settings["address"]; ask.Plain(address) {
		command += " -address=" + address
	}
	if namespace := p.setup.Settings["namespace"]; ask.Plain(namespace) {
		command += " -namespace=" + namespace
	}
	if file := p.setup.Setting("token_file"); file != "" { // which the command does not know
		if !ask.Plain(p.setup.Short(file)) {
			return ""
		}
		command = "(umask 077 && " + command + " -token-only >" + p.setup.Short(file) + ")"
	}
	return ask.Without(p.setup, command, "VAULT_TOKEN", "BAO_TOKEN")
}

// renew is for what lies in a variable, unless a file goes before that.
func (p *Provider) renew(file string, variables ...string) string {
	if p.setup.Setting(file) != "" {
		return ""
	}
	name := variables[0]
	for _, v := range variables {
		if p.setup.Getenv(v) != "" {
			name = v
			break
		}
	}
	return "export " + name + "=" + name[strings.Index(name, "_")+1:]
}

// mend gives the failure to sign in its hint. To be denied has none: the role, the mount
// or what proves it may be wrong, and the server does not say which.
func (s *session) mend(err error) error { return ask.Hint(err, ask.SignIn(s.hints[s.auth])) }
