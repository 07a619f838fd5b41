package gcp

import (
	"errors"
	"net/http"
	"testing"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// Denied has one where the token or the project is to blame: who may read a secret is
// decided elsewhere.
func TestHints(t *testing.T) {
	t.Parallel()
	const unset = "unset GOOGLE_APPLICATION_CREDENTIALS && "
	for name, test := range map[string]struct {
		token, status int
		said          object
		class         resolve.Class
		hint          string
		set           string // when the variable is set
	}{
		"no token":      {400, 0, object{"error": "invalid_client"}, resolve.NotLoggedIn, login, unset + login},
		"it ran out":    {400, 0, object{"error": "invalid_grant"}, resolve.Expired, login, unset + login},
		"not taken":     {200, 401, object{"error": object{}}, resolve.NotLoggedIn, login, unset + login},
		"of less":       {200, 403, object{"error": object{"details": []object{{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}}}}, resolve.Denied, login, unset + login},
		"not there yet": {200, 403, object{"error": object{"details": []object{{"reason": "SERVICE_DISABLED"}}}}, resolve.Denied, "gcloud services enable secretmanager.googleapis.com", "gcloud services enable secretmanager.googleapis.com"},
		"denied":        {200, 403, object{"error": object{}}, resolve.Denied, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path != "/token":
					resttest.Answer(w, test.status, test.said)
				case test.token == 200:
					resttest.Answer(w, 200, object{"access_token": "a", "token_type": "Bearer", "expires_in": 3600})
				default:
					resttest.Answer(w, test.token, test.said)
				}
			})
			for _, set := range []bool{false, true} {
				s, hint := setup(t, srv.URL, srv.CAFile), test.hint
				if set {
					s.Env = append(s.Env, "GOOGLE_APPLICATION_CREDENTIALS="+s.Home()+"/.config/gcloud/"+ownFile)
					hint = test.set
				}
				err := provider(t, s).Fetch(t.Context(), refs("A"))[0].Err
				if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != test.class || e.Hint != hint {
					t.Errorf("leads to %v, %#v; want %s, %q", err, err, test.class, hint)
				}
			}
		})
	}
}

func TestHintWithoutTheFile(t *testing.T) {
	p := provider(t, resolve.Setup{Env: []string{"HOME=" + t.TempDir(), "GOOGLE_APPLICATION_CREDENTIALS=/none"}, Settings: map[string]string{"project": "p"}})
	_, err := p.Probe(t.Context())
	if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Hint != "unset GOOGLE_APPLICATION_CREDENTIALS && "+login {
		t.Errorf("leads to %#v", err)
	}
}
