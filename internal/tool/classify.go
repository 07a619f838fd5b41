package tool

import (
	"bytes"

	"github.com/getkeyzero/kz/resolve"
)

// phrases are what the programs of stores write when they fail, in lower case, and what it
// means. The first that occurs counts: an expired session is often also said to be
// no session.
var phrases = []struct {
	text  string
	class resolve.Class
}{
	{"session has expired", resolve.Expired},               // Infisical
	{"expiredtoken", resolve.Expired},                      // AWS
	{"token has expired", resolve.Expired},                 // AWS SSO
	{"vault is locked", resolve.Locked},                    // Bitwarden
	{"not signed in", resolve.NotLoggedIn},                 // 1Password
	{"not logged in", resolve.NotLoggedIn},                 // Bitwarden
	{"must be logged in", resolve.NotLoggedIn},             // Infisical
	{"you must provide a token", resolve.NotLoggedIn},      // Doppler
	{"missing client token", resolve.NotLoggedIn},          // Vault
	{"missing access token", resolve.NotLoggedIn},          // Bitwarden Secrets Manager
	{"please run 'az login'", resolve.NotLoggedIn},         // Azure
	{"unable to locate credentials", resolve.NotLoggedIn},  // AWS
	{"too many requests", resolve.Throttled},               // 1Password
	{"throttlingexception", resolve.Throttled},             // AWS
	{"more than one item matches", resolve.Ambiguous},      // 1Password
	{"more than one result", resolve.Ambiguous},            // Bitwarden
	{"isn't an item", resolve.NotFound},                    // 1Password
	{"could not find requested", resolve.NotFound},         // Doppler
	{"no value found at", resolve.NotFound},                // Vault
	{"is not in the password store", resolve.NotFound},     // pass
	{"resourcenotfoundexception", resolve.NotFound},        // AWS
	{"parameternotfound", resolve.NotFound},                // AWS
	{"secretnotfound", resolve.NotFound},                   // Azure
	{"accessdenied", resolve.Denied},                       // AWS
	{"permission_denied", resolve.Denied},                  // Google
	{"code: 403", resolve.Denied},                          // Vault
	{"the user does not have secrets get", resolve.Denied}, // Azure
	{"no such host", resolve.Unreachable},                  // programs in Go: op, vault, doppler, infisical
	{"connection refused", resolve.Unreachable},
	{"network is unreachable", resolve.Unreachable},
	{"i/o timeout", resolve.Unreachable},                           // Go
	{"could not connect to the endpoint url", resolve.Unreachable}, // AWS
	{"failed to establish a new connection", resolve.Unreachable},  // Python: az, gcloud
	{"getaddrinfo", resolve.Unreachable},                           // Node: bw
	{"failed to lookup address", resolve.Unreachable},              // Rust: bws
	{"could not resolve host", resolve.Unreachable},                // curl
}

// Classify returns the class that a program's messages stand for, or "".
func Classify(stderr []byte) resolve.Class {
	text := bytes.ToLower(stderr)
	for _, p := range phrases {
		if bytes.Contains(text, []byte(p.text)) {
			return p.class
		}
	}
	return ""
}
