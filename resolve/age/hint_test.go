//go:build unix

package age

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Age itself has no session that could end. Denied has none: who can open the file has
// to encrypt it for this machine.
func TestHints(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dir        string // in the home
		identities string
		key        bool
		class      resolve.Class
		hint       string
	}{
		"nothing":        {"", "", false, resolve.NotLoggedIn, "mkdir -p ~/.config/age && age-keygen -o ~/.config/age/keys.txt"},
		"the folder":     {".config/age", "", false, resolve.NotLoggedIn, "age-keygen -o ~/.config/age/keys.txt"},
		"a named file":   {"", "~/keys", false, resolve.NotLoggedIn, "age-keygen -o ~/keys"},
		"of an odd name": {"", "~/$(x)", false, resolve.NotLoggedIn, ""},
		"another's file": {"", "", true, resolve.Denied, ""},
		"not to be read": {"folder", "~/folder", false, resolve.NotLoggedIn, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.seal("a.age", "x", p.key("").Recipient())
			if test.dir != "" {
				if err := os.MkdirAll(filepath.Join(p.home, test.dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if test.key {
				p.key(keys)
			}
			err := p.fetch(p.provider("identities", test.identities), "a.age")[0].Err
			if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != test.class || e.Hint != test.hint {
				t.Errorf("leads to %v, %#v; want %s, %q", err, err, test.class, test.hint)
			}
		})
	}
}
