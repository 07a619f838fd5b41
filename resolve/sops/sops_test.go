package sops

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		env, file string
		present   string
		where     string
		plain     bool
	}{
		"nothing":        {where: "gpg-agent, or the sign-in to a cloud's key service"},
		"a key":          {env: "SOPS_AGE_KEY=hunter2", present: "$SOPS_AGE_KEY", where: "environment SOPS_AGE_KEY", plain: true},
		"a key's file":   {env: "SOPS_AGE_KEY_FILE=/x", present: "$SOPS_AGE_KEY_FILE", where: "environment SOPS_AGE_KEY_FILE", plain: true},
		"a program":      {env: "SOPS_AGE_KEY_CMD=x", present: "$SOPS_AGE_KEY_CMD", where: "environment SOPS_AGE_KEY_CMD"},
		"the file":       {file: ".config/sops/age/keys.txt", present: "~/.config/sops/age/keys.txt", where: "file ~/.config/sops/age/keys.txt", plain: true},
		"an SSH key":     {file: ".ssh/id_rsa", where: "file ~/.ssh/id_rsa", plain: true},
		"elsewhere":      {env: "XDG_CONFIG_HOME=/none", file: ".config/sops/age/keys.txt", where: "gpg-agent, or the sign-in to a cloud's key service"},
		"two: the first": {env: "SOPS_AGE_KEY=x", file: ".ssh/id_rsa", present: "$SOPS_AGE_KEY", where: "file ~/.ssh/id_rsa", plain: true},
	} {
		home := t.TempDir()
		if test.file != "" {
			path := filepath.Join(home, test.file)
			_ = os.MkdirAll(filepath.Dir(path), 0o700)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := resolve.Setup{Env: []string{"HOME=" + home, test.env}}
		where, plain := Credential(s)
		if got := Present(s); got != test.present || where != test.where || plain != test.plain {
			t.Errorf("%s: Present = %q, Credential = %q, %v", name, got, where, plain)
		}
	}
}
