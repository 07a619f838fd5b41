//go:build unix

package sops

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

// What a human can mend has a command, whose path is as it is or not there.
func TestHints(t *testing.T) {
	const plain, odd = "/work/app/s.yaml", "/work/it's/s.yaml"
	for _, test := range []struct {
		class            resolve.Class
		kind, path, want string
	}{
		{resolve.Denied, "age", plain, "sops updatekeys " + plain}, {resolve.Denied, "age", odd, ""},
		{resolve.Locked, "pgp", plain, "sops decrypt " + plain + " >/dev/null"}, {resolve.Locked, "pgp", odd, ""},
		{resolve.NotLoggedIn, "kms", odd, "aws sso login"}, {resolve.Expired, "kms", plain, "aws sso login"},
		{resolve.NotLoggedIn, "gcp_kms", plain, "gcloud auth application-default login"}, {resolve.Expired, "azure_kv", plain, "az login"},
		{resolve.Expired, "hc_vault", plain, "vault login"}, {resolve.NotLoggedIn, "age", plain, ""}, // whose keys have no session
		{resolve.Unreachable, "kms", plain, ""},
	} {
		src := projectfile.File{Dir: filepath.Dir(test.path), Name: filepath.Base(test.path)}
		err := refused(src, []string{test.kind}, errors.New(says[test.class]))
		e := &resolve.Error{}
		if !errors.As(err, &e) || e.Class != test.class || e.Hint != test.want {
			t.Errorf("%v leads to %v", fmt.Sprint(test), fmt.Sprintf("%#v", err))
		}
	}
}

// says has of each class what a library might say.
var says = map[resolve.Class]string{
	resolve.Denied: "no", resolve.Locked: "vault is locked", resolve.NotLoggedIn: "not logged in", resolve.Expired: "ExpiredToken", resolve.Unreachable: "connection refused",
}
