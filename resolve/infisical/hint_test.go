package infisical

import (
	"errors"
	"net/http"
	"testing"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// Denied has none: who may read a folder is decided in Infisical.
func TestHints(t *testing.T) {
	t.Parallel()
	const id, secret = "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=i", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=s"
	for name, test := range map[string]struct {
		status   int
		said     string
		env      []string
		settings map[string]string
		class    resolve.Class
		hint     string
	}{
		"nothing":            {0, "", nil, nil, resolve.NotLoggedIn, "infisical login"},
		"a token":            {401, "no", []string{"INFISICAL_TOKEN=t"}, nil, resolve.NotLoggedIn, "export INFISICAL_TOKEN=TOKEN"},
		"one that ran out":   {401, "expired", []string{"INFISICAL_TOKEN=t"}, nil, resolve.Expired, "export INFISICAL_TOKEN=TOKEN"},
		"an identity's":      {401, "expired", []string{"INFISICAL_TOKEN=t", "INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN=t"}, nil, resolve.Expired, "export INFISICAL_UNIVERSAL_AUTH_ACCESS_TOKEN=TOKEN"},
		"a file of another":  {0, "", nil, map[string]string{"token_file": "/none"}, resolve.NotLoggedIn, ""},
		"an identity":        {401, "no", []string{id, secret}, nil, resolve.NotLoggedIn, "export INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=SECRET"},
		"without its secret": {0, "", []string{id}, nil, resolve.NotLoggedIn, "export INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET=SECRET"},
		"a pod":              {0, "", []string{"INFISICAL_TOKEN=t"}, map[string]string{"auth": "kubernetes"}, resolve.NotLoggedIn, ""},
		"denied":             {403, "no", []string{"INFISICAL_TOKEN=t"}, nil, resolve.Denied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
				resttest.Answer(w, test.status, map[string]any{"message": test.said})
			})
			s := setup(t, srv, test.env...)
			for k, v := range test.settings {
				s.Settings[k] = v
			}
			err := provider(t, s).Fetch(t.Context(), refs("p1/dev/A"))[0].Err
			if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != test.class || e.Hint != test.hint {
				t.Errorf("leads to %v, %#v; want %s, %q", err, err, test.class, test.hint)
			}
		})
	}
}
