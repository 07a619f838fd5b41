package main

import (
	"slices"
	"strings"

	"github.com/getkeyzero/kz/environ"
)

// withheld are variables that open stores. A command gets the secrets that the
// plan names, and not the means to fetch all others.
var withheld = []string{
	"KZ_*", "_kz_*", "__KZ_*", "KEYZERO_VAULT_PASSPHRASE_FILE",
	"VAULT_TOKEN", "BAO_TOKEN", "OP_SESSION_*", "OP_SERVICE_ACCOUNT_TOKEN", "OP_CONNECT_TOKEN",
	"DOPPLER_TOKEN", "INFISICAL_TOKEN", "INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET",
	"VAULT_SECRET_ID", "BAO_SECRET_ID", "VAULT_ID_TOKEN", "BAO_ID_TOKEN", "BW_PASSWORD", "BW_CLIENTSECRET", "IDENTITY_HEADER", "MSI_SECRET",
	"BW_SESSION", "BWS_ACCESS_TOKEN", "SOPS_AGE_KEY",
}

// basic are the variables that --clean-env passes on.
var basic = []string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "TERM", "COLORTERM", "LANG", "LC_*", "TZ", "TMPDIR"}

// childEnv returns what a command gets of the environment that kz was started
// in, without what kz loaded into it.
func childEnv(outer environ.Env, o runOptions) environ.Env {
	env := environ.Env{}
	for name, value := range outer {
		switch {
		case slices.Contains(o.keep, name) && !anyMatch([]string{"KZ_*", "__KZ_*", "_kz_*"}, name):
		case o.clean && !anyMatch(basic, name), anyMatch(withheld, name):
			continue
		}
		env[name] = value
	}
	return env
}

func anyMatch(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		head, star := strings.CutSuffix(p, "*")
		return name == p || star && strings.HasPrefix(name, head)
	})
}
