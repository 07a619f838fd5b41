package doppler

import (
	"errors"
	"net/http"
	"testing"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// Denied has none: who may read a config is decided in Doppler.
func TestHints(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int
		said     string
		env      []string
		settings map[string]string
		class    resolve.Class
		hint     string // before the address
	}{
		"nothing":           {0, "", nil, nil, resolve.NotLoggedIn, "doppler login"},
		"a variable":        {401, "invalid", []string{"DOPPLER_TOKEN=t"}, nil, resolve.NotLoggedIn, "unset DOPPLER_TOKEN && doppler login"},
		"one that ran out":  {401, "expired", []string{"DOPPLER_TOKEN=t"}, nil, resolve.Expired, "unset DOPPLER_TOKEN && doppler login"},
		"a file of another": {0, "", nil, map[string]string{"token_file": "/none"}, resolve.NotLoggedIn, ""},
		"denied":            {403, "no", []string{"DOPPLER_TOKEN=t"}, nil, resolve.Denied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
				resttest.Answer(w, test.status, map[string]any{"messages": []string{test.said}})
			})
			s := setup(t, srv, test.env...)
			for k, v := range test.settings {
				s.Settings[k] = v
			}
			if test.hint != "" {
				test.hint += " --api-host " + srv.URL
			}
			err := provider(t, s).Fetch(t.Context(), refs("app/dev/A"))[0].Err
			if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != test.class || e.Hint != test.hint {
				t.Errorf("leads to %v, %#v; want %s, %q", err, err, test.class, test.hint)
			}
		})
	}
	if got := provider(t, resolve.Setup{}).hints()[resolve.Expired]; got != "doppler login" {
		t.Errorf("of Doppler's own address: %q", got)
	}
}
