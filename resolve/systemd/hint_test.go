//go:build unix

package systemd

import (
	"errors"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// No failure has a hint: credentials are given by the unit's file.
func TestNoHints(t *testing.T) {
	for _, env := range [][]string{nil, {variable + "=/none"}} {
		p, err := New(resolve.Setup{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		err = fetch(p, "a").Err
		if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != resolve.NotLoggedIn || e.Hint != "" {
			t.Errorf("%q leads to %#v", env, err)
		}
	}
}
