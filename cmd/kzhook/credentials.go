package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/resolve"
)

// signIns are files that change when a user signs in to a store as somebody else, below the
// home directory or named by a variable. What was kept before then is another account's.
var signIns = map[string][]string{
	"1password": {".config/op/config"},
	"age":       {".config/age/keys.txt", ".config/sops/age/keys.txt", ".ssh/id_ed25519", ".ssh/id_rsa"},
	"aws":       {".aws/config", ".aws/credentials", ".aws/sso/cache", "$AWS_CONFIG_FILE", "$AWS_SHARED_CREDENTIALS_FILE", "$AWS_WEB_IDENTITY_TOKEN_FILE"},
	"azure":     {".azure/azureProfile.json", "$AZURE_FEDERATED_TOKEN_FILE", "$AZURE_CLIENT_CERTIFICATE_PATH"},
	"bitwarden": {".config/bws/config", ".config/rbw/config.json"},
	"doppler":   {".doppler/.doppler.yaml"},
	"gcp":       {".config/gcloud/application_default_credentials.json", "$GOOGLE_APPLICATION_CREDENTIALS"},
	"hashicorp": {".vault-token", "$VAULT_CLIENT_CERT", "$BAO_CLIENT_CERT"},
	"infisical": {".infisical/infisical-config.json"},
	"sops":      {".config/sops/age/keys.txt", ".ssh/id_ed25519", ".ssh/id_rsa", "$SOPS_AGE_KEY_FILE", "$SOPS_AGE_SSH_PRIVATE_KEY_FILE"},
}

// signedInAs stands for who the user is at a store, as far as files tell.
func (inv *invocation) signedInAs(p config.Provider, outer environ.Env) string {
	var text strings.Builder
	for _, file := range signIns[p.Type] {
		if name, ok := strings.CutPrefix(file, "$"); ok {
			file = outer[name]
		}
		if file != "" && !filepath.IsAbs(file) {
			file = filepath.Join(inv.places.home, file)
		}
		text.WriteString(edition(file))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Settings)) {
		if value := p.Settings[key]; strings.HasSuffix(key, "_file") || key == "identities" || key == "client_cert" {
			for _, file := range strings.Split(value, "\n") {
				text.WriteString(edition(file))
			}
		}
	}
	return text.String()
}

// encrypted stands for the content of the file that a reference is into, if it is.
func encrypted(p config.Provider, r resolve.Ref) string {
	if p.Type != "age" && p.Type != "sops" {
		return ""
	}
	file, _, _ := strings.Cut(r.Path, "#")
	return edition(filepath.Join(r.Dir, file))
}

// edition changes with what a file holds, as far as can be told without reading it.
func edition(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "- "
	}
	inode := uint64(0)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	return fmt.Sprintf("%d.%d.%d ", inode, info.Size(), info.ModTime().UnixNano())
}
