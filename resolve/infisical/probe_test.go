package infisical

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// Without a folder in the settings the token is tried all the same, or not said to be.
func TestProbeTriesTheToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		token  string
		status int
		answer object
		path   string
		asked  bool
		class  resolve.Class
	}{
		"good":            {"t", 200, object{"projects": []object{}}, "/api/v1/projects", true, ""},
		"of a service":    {"st.a.b.c", 200, object{"id": "x"}, "/api/v2/service-token", true, ""},
		"expired":         {"t", 403, object{"error": "TokenError", "message": "expired"}, "/api/v1/projects", false, resolve.Expired},
		"unknown":         {"t", 401, object{}, "/api/v1/projects", false, resolve.NotLoggedIn},
		"not for this":    {"t", 403, object{"error": "PermissionDenied"}, "/api/v1/projects", false, ""},
		"a server of old": {"t", 404, object{"message": "Route GET:/x not found"}, "/api/v1/projects", false, ""},
		"failing":         {"t", 500, object{}, "/api/v1/projects", false, resolve.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := resttest.Start(t, func(w http.ResponseWriter, _ *http.Request) { resttest.Answer(w, test.status, test.answer) })
			standing, err := provider(t, setup(t, srv, "INFISICAL_TOKEN="+test.token)).Probe(t.Context())
			if standing.Asked != test.asked || resolve.ClassOf(err) != test.class || standing.As != "token" {
				t.Errorf("leads to %+v, %v; want asked %v, class %q", standing, err, test.asked, test.class)
			}
			if r := srv.Requests(); len(r) == 0 || !strings.HasSuffix(r[0].Line, test.path) {
				t.Errorf("asked %+v, want %s", r, test.path)
			}
		})
	}
}

// A server that has no route for a folder without values has said nothing of the token.
func TestProbeOfAnOldServer(t *testing.T) {
	t.Parallel()
	srv := resttest.Start(t, (&standIn{old: true}).ServeHTTP)
	s := setup(t, srv, "INFISICAL_TOKEN="+token)
	s.Settings["project"], s.Settings["environment"] = "p1", "dev"
	if standing, err := provider(t, s).Probe(t.Context()); err != nil || standing.Asked {
		t.Errorf("leads to %+v, %v", standing, err)
	}
}
