// Package sops says what of SOPS is on this machine. It decrypts nothing, and links nothing
// of SOPS, which takes longer to start than kz may take: cmd/kzsops does.
package sops

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// A key is a place where SOPS looks for private keys.
type key struct {
	where string // as a Standing has it
	shown string // as Present has it
	plain bool
}

// Present names the key by which SOPS would decrypt first, if one for age was set up.
func Present(s resolve.Setup) string {
	k, _ := find(s, false)
	return k.shown
}

// Credential says where the first key is that SOPS would try, and whether it lies there
// as plain text. If none is found it is what SOPS tries then.
func Credential(s resolve.Setup) (where string, plain bool) {
	if k, ok := find(s, true); ok {
		return k.where, k.plain
	}
	return "gpg-agent, or the sign-in to a cloud's key service", false
}

// find looks in the order of SOPS. SSH keys can decrypt, but are there for other reasons.
func find(s resolve.Setup, ssh bool) (key, bool) {
	for _, name := range []string{"SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"} {
		if s.Getenv(name) != "" {
			return key{"environment " + name, "$" + name, strings.HasSuffix(name, "FILE")}, true
		}
	}
	if ssh {
		for _, file := range []string{".ssh/id_ed25519", ".ssh/id_rsa"} {
			if _, err := os.Stat(filepath.Join(s.Home(), file)); err == nil {
				return key{"file ~/" + file, "~/" + file, true}, true
			}
		}
	}
	for _, name := range []string{"SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY_CMD"} {
		if s.Getenv(name) != "" {
			return key{"environment " + name, "$" + name, name != "SOPS_AGE_KEY_CMD"}, true
		}
	}
	config, shown := s.Getenv("XDG_CONFIG_HOME"), ""
	if shown = config; config == "" {
		config, shown = filepath.Join(s.Home(), ".config"), "~/.config"
	}
	if _, err := os.Stat(filepath.Join(config, "sops/age/keys.txt")); err == nil {
		return key{"file " + shown + "/sops/age/keys.txt", shown + "/sops/age/keys.txt", true}, true
	}
	return key{}, false
}
