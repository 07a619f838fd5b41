package infisical

import (
	"errors"

	"github.com/getkeyzero/kz/internal/ask"
)

// mend gives err the hint that signs in: by a login where nothing is set, else by another
// value for the variable that was refused. What lies in a file is another's to renew.
func (p *Provider) mend(err error) error {
	settings, hint := p.setup.Settings, "infisical login"
	set := func(names ...string) bool {
		for _, name := range names {
			if p.setup.Getenv(name) != "" {
				hint = "export " + name + "=" + words[name]
				return true
			}
		}
		return false
	}
	tokens := settings["auth"] == "" || settings["auth"] == "token"
	switch {
	case errors.Is(err, errKeptInFile): // another login would be kept there too
		hint = "export INFISICAL_TOKEN=TOKEN"
	case tokens && set("INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN", "INFISICAL_TOKEN"):
	case settings["token_file"] != "" && tokens, settings["client_secret_file"] != "",
		settings["auth"] == "kubernetes", settings["auth"] == "oidc":
		return err
	case settings["auth"] != "token" && set("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"):
	case settings["auth"] == "universal" || settings["auth"] == "" && p.clientID() != "":
		hint = "export INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=SECRET"
	}
	return ask.Hint(err, ask.SignIn(hint))
}

var words = map[string]string{
	"INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN": "TOKEN", "INFISICAL_TOKEN": "TOKEN", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET": "SECRET",
}
