package aws

import (
	"net/http"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

// Denied has none: who may read a secret is decided in AWS.
func TestHints(t *testing.T) {
	t.Parallel()
	const unset = "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN && "
	files := map[string]string{"credentials": "[default]\naws_access_key_id=K\naws_secret_access_key=" + secretKey + "\n[work]\naws_access_key_id=K\naws_secret_access_key=" + secretKey}
	keys := []string{"AWS_ACCESS_KEY_ID=K", "AWS_SECRET_ACCESS_KEY=" + secretKey}
	for code, class := range map[string]resolve.Class{
		"UnrecognizedClientException": resolve.NotLoggedIn, "ExpiredTokenException": resolve.Expired, "AccessDeniedException": resolve.Denied,
	} {
		s := newStandIn(t)
		s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"__type":"` + code + `"}`))
			return true
		}
		for where, test := range map[string]struct {
			env  []string
			hint string
		}{
			"the files": {nil, "aws configure"}, "a profile": {[]string{"AWS_PROFILE=work"}, "aws configure --profile work"},
			"variables": {keys, unset + "aws configure"},
		} {
			if class == resolve.Denied {
				test.hint = ""
			}
			e := identified(t, s.homed(t, files, test.env...))
			if e.Class != class || e.Hint != test.hint {
				t.Errorf("%s, %s leads to %v (%s), %q; want %q", code, where, e, e.Class, e.Hint, test.hint)
			}
		}
	}
}
