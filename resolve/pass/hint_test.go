package pass

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Neither program has a session that could end. Denied has none: the key that opens the
// store is another's, or is lost.
func TestHintsToBegin(t *testing.T) {
	t.Parallel()
	b := newBench(t, "exit 6")
	if err := os.RemoveAll(filepath.Join(b.home, ".password-store")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		p    *Provider
		hint string
	}{
		"pass":           {b.pass(t), "pass init KEY-ID"},
		"another store":  {b.pass(t, "store", "/none/s"), "PASSWORD_STORE_DIR=/none/s pass init KEY-ID"},
		"an odd one":     {b.pass(t, "store", "/none/$(s)"), ""},
		"another's name": {b.pass(t, "program", b.home+"/bin/pass"), ""},
		"gopass":         {b.gopass(t), "gopass setup"},
	} {
		err := fetch(t, test.p, "a")[0].Err
		if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != resolve.NotLoggedIn || e.Hint != test.hint {
			t.Errorf("%s leads to %v, %#v; want %q", name, err, err, test.hint)
		}
	}
	gone := newBench(t, "echo '[GNUPG:] DECRYPTION_FAILED' >&2; exit 2", "a")
	err := fetch(t, gone.pass(t), "a")[0].Err
	if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != resolve.Denied || e.Hint != "" {
		t.Errorf("without the key: %#v", err)
	}
}
