package tool

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// passed are the variables that a program gets, where a name ending in _ stands for
// all that begin with it. This is what programs need to find their files, their
// agents, a screen for a prompt and the way out; passedToStores is what stores' own
// programs read. Not among them, though harmless by their names: what makes
// programs load code (LD_*, NODE_OPTIONS, PYTHONPATH) or look at a repository (GIT_*).
var passed = []string{
	"HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_", "TERM", "TZ", "TMPDIR",
	"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
	"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
	"SSH_AUTH_SOCK", "GPG_TTY", "GNUPGHOME",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"http_proxy", "https_proxy", "all_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "NIX_SSL_CERT_FILE",
}

var passedToStores = []string{
	"OP_", "VAULT_", "BAO_", "AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "DOPPLER_", "INFISICAL_",
	"BW_", "BWS_", "BITWARDENCLI_", "PASSWORD_STORE_", "GOPASS_", "SOPS_", "AGE_", "RBW_", "LPASS_",
	"CONJUR_", "HUAWEICLOUD_", "AKEYLESS_", "KEEPER_", "PROTON_PASS_",
}

// environ returns the program's environment, whose PATH has the entries of path.
func environ(o Options, path []string) []string {
	env := []string{} // not nil, which exec would take for the environment of this process
	for _, entry := range o.Env {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "PATH" || private(name) {
			continue
		}
		if slices.ContainsFunc(passed, func(p string) bool { return matches(name, p, "_") }) || o.steers(name) {
			env = append(env, entry)
		}
	}
	if len(path) > 0 { // an empty PATH means the current directory
		env = append(env, "PATH="+strings.Join(path, ":"))
	}
	return env
}

// steers reports whether a variable may decide which store the program asks, and as whom.
func (o Options) steers(name string) bool {
	return slices.ContainsFunc(passedToStores, func(p string) bool { return matches(name, p, "_") }) ||
		slices.ContainsFunc(o.Pass, func(p string) bool { return matches(name, p, "*") })
}

// Surroundings returns a digest of what the answers of a program depend on besides
// its arguments: which program it is, and what its environment says about stores.
func (r *Runner) Surroundings(program string, argv ...string) string {
	p, _ := r.Find(program)
	h := sha256.New()
	for _, text := range append([]string{p.Path}, argv...) {
		fmt.Fprintf(h, "%q ", text)
	}
	for _, entry := range environ(r.options, nil) {
		if name, _, _ := strings.Cut(entry, "="); name == "GNUPGHOME" || r.options.steers(name) {
			fmt.Fprintf(h, "%q ", entry)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// matches reports whether name is the pattern or, if that ends in open, begins
// with it.
func matches(name, pattern, open string) bool {
	if strings.HasSuffix(pattern, open) {
		return strings.HasPrefix(name, strings.TrimSuffix(pattern, "*"))
	}
	return name == pattern
}

// private reports whether a variable is kz's own.
func private(name string) bool {
	return strings.HasPrefix(name, "__KZ_") || strings.HasPrefix(name, "KZ_") || strings.HasPrefix(name, "KEYZERO_")
}
