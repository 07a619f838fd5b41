package azure

import (
	"net/url"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// An item is a secret of a vault, or a version of one.
type item struct{ vault, name, version string }

var errForm = resolve.Errorf(resolve.Malformed, "want VAULT/NAME[/VERSION], with names of letters, digits and hyphens")

// parse reads VAULT/NAME[/VERSION], NAME[/VERSION] where a vault is set, or the
// identifier that Azure shows.
func (p *Provider) parse(path string) (item, error) {
	if strings.Contains(path, ":") {
		return p.identifier(path)
	}
	parts := strings.Split(path, "/")
	// Versions are 32 hexadecimal digits, which few would name a secret by.
	if p.vault != "" && (len(parts) == 1 || len(parts) == 2 && isVersion(parts[1])) {
		parts = append([]string{p.vault}, parts...)
	}
	if len(parts) == 2 {
		parts = append(parts, "")
	}
	if len(parts) != 3 || strings.Count(path, "/") > 1 && parts[2] == "" {
		return item{}, errForm
	}
	return p.checked(item{parts[0], parts[1], parts[2]})
}

// identifier reads https://VAULT.vault.azure.net/secrets/NAME[/VERSION], whose host must
// be one of the cloud's own.
func (p *Provider) identifier(path string) (item, error) {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Port() != "" || strings.Contains(path, "%") {
		return item{}, errForm
	}
	vault, ok := strings.CutSuffix(u.Host, "."+p.cloud.suffix)
	name, below := strings.CutPrefix(u.Path, "/secrets/")
	if !ok || !below {
		return item{}, resolve.Errorf(resolve.Malformed, "not the identifier of a secret of %s", p.cloud.suffix)
	}
	name, version, _ := strings.Cut(name, "/")
	return p.checked(item{vault, name, version})
}

func (p *Provider) checked(it item) (item, error) {
	switch {
	case !isName(it.vault, 24) || !isName(it.name, 127) || it.version != "" && !isVersion(it.version):
		return item{}, errForm
	case p.address != "" && !strings.EqualFold(it.vault, p.vault):
		return item{}, resolve.Errorf(resolve.Malformed, "the address is set for the vault %s alone", p.vault)
	}
	it.vault = strings.ToLower(it.vault) // as hosts are
	return it, nil
}

// isName reports whether a text has nothing but letters, digits and hyphens inside.
func isName(text string, most int) bool {
	return text != "" && len(text) <= most && !strings.HasPrefix(text, "-") && strings.IndexFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
	}) < 0
}

func isVersion(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}
