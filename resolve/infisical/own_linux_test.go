package infisical

import (
	"testing"

	"github.com/getkeyzero/kz/internal/keyringtest"
	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// The session comes out of a real keyring, in an item as go-keyring makes it, through
// which Infisical's own program writes; and a locked one asks nobody. The server is a
// stand-in.
func TestOwnLoginInTheKeyring(t *testing.T) {
	env := keyringtest.Start(t)
	srv := resttest.Start(t, (&standIn{folders: folders}).ServeHTTP)
	s := resolve.Setup{Settings: map[string]string{"address": srv.URL, "ca_file": srv.CAFile}, Env: env}
	writeOwn(t, s.Home(), `{"loggedInUserEmail":"eve@example.com","LoggedInUserDomain":"`+srv.URL+`/api","vaultBackendType":"auto"}`)
	fetch := func() string {
		p, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		return outcomes(t, p.Fetch(t.Context(), refs("p1/dev/A")))[0]
	}
	if got := fetch(); got != "!not_logged_in" {
		t.Errorf("without an item Fetch gives %q", got)
	}
	keyringtest.Set(t, env, "infisical-cli", "eve@example.com", `{"email":"eve@example.com","JTWToken":"`+userToken+`"}`)
	if got := fetch(); got != "1" {
		t.Errorf("Fetch gives %q", got)
	}
	keyringtest.Lock(t, env)
	if got := fetch(); got != "!locked" {
		t.Errorf("with a locked keyring Fetch gives %q", got)
	}
	if n := len(srv.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
