package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
)

// programs builds kz and kz-fetch-sops beside each other, and returns the path of kz.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, module := range map[string]string{"kz": "../..", "kz-fetch-sops": "."} {
		source := map[string]string{"kz": "./cmd/kzhook", "kz-fetch-sops": "."}[name]
		cmd := exec.Command("go", "build", "-C", module, "-buildvcs=false", "-o", filepath.Join(dir, name), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", source, err, out)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "kz")
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// seal encrypts a YAML file as the program sops does.
func seal(t *testing.T, text, recipient string) []byte {
	t.Helper()
	store := common.StoreForFormat(formats.Yaml, config.NewStoresConfig())
	branches, err := store.LoadPlainFile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sopsage.MasterKeyFromRecipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{KeyGroups: []sops.KeyGroup{{key}}, Version: "3.13.3"}}
	dataKey, errs := tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if err := common.EncryptTree(common.EncryptTreeOpts{Tree: &tree, Cipher: aes.NewCipher(), DataKey: dataKey}); err != nil {
		t.Fatal(err)
	}
	data, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Kz finds its helper beside itself, and a value comes all the way.
func TestThroughKz(t *testing.T) {
	kz, root := programs(t), t.TempDir()
	home, app := filepath.Join(root, "home"), filepath.Join(root, "app")
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".config/sops/age/keys.txt"), []byte(id.String()+"\n"))
	write(t, filepath.Join(app, "secrets.yaml"), seal(t, "db:\n    url: postgres://hunter2\n", id.Recipient().String()))
	write(t, filepath.Join(app, ".keyzero.toml"), []byte("[secrets]\nDATABASE_URL = { provider = \"sops\", ref = \"secrets.yaml#db.url\" }\n"))
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), kz, args...)
		var stderr bytes.Buffer
		cmd.Dir, cmd.Env, cmd.Stderr = app, []string{"HOME=" + home, "PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + root}, &stderr
		out, err := cmd.Output()
		if err != nil && len(args) > 1 { // status has one of its own for what is not allowed yet
			t.Fatalf("kz %q: %v\n%s", args, err, stderr.String())
		}
		return string(out)
	}
	run("allow", "--digest", regexp.MustCompile("sha256:[0-9a-f]+").FindString(run("status")))
	if got := run("get", "DATABASE_URL"); got != "postgres://hunter2\n" && got != "postgres://hunter2" {
		t.Errorf("kz get prints %q", got)
	}
}
