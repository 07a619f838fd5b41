package onepassword

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/resolve"
)

// Denied has none: who may read a vault is decided in 1Password.
func TestHints(t *testing.T) {
	t.Parallel()
	const signIn = "op signin --account team.1password.com"
	for where, test := range map[string]struct{ env, hint string }{
		"the app":           {"X=y", signIn},
		"a service account": {"OP_SERVICE_ACCOUNT_TOKEN=t", "unset OP_SERVICE_ACCOUNT_TOKEN && " + signIn},
		"a session":         {"OP_SESSION_abc=t", `eval "$(` + signIn + `)"`},
	} {
		for mode, class := range map[string]resolve.Class{
			"signed out": resolve.NotLoggedIn, "expired": resolve.Expired, "locked": resolve.Locked, "dismissed": resolve.PromptNeeded, "denied": resolve.Denied,
		} {
			hint := test.hint
			if class == resolve.Denied {
				hint = ""
			}
			t.Run(fmt.Sprint(where, " ", mode), func(t *testing.T) {
				t.Parallel()
				err := newStage(t, mode, nil, test.env).fetch(t, "op://a/b/c")[0].Err
				if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != class || e.Hint != hint {
					t.Errorf("leads to %v, %#v; want %s, %q", err, err, class, hint)
				}
			})
		}
	}
}

func TestConnectHints(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for said, class := range map[string]resolve.Class{"expired": resolve.Expired, "invalid": resolve.NotLoggedIn} {
		s.answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, said, http.StatusUnauthorized) }
		for address, hint := range map[string]string{"": "unset OP_CONNECT_TOKEN && op signin", s.URL: "export OP_CONNECT_TOKEN=TOKEN"} {
			p, err := New(resolve.Setup{
				Settings: map[string]string{"ca_file": s.ca, "address": address},
				Env:      []string{"OP_CONNECT_HOST=" + s.URL, "OP_CONNECT_TOKEN=t", "HOME=" + t.TempDir()},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = p.Fetch(t.Context(), []resolve.Ref{{Path: "op://Dev/db/password"}})[0].Err
			if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Class != class || e.Hint != hint {
				t.Errorf("%q, %s leads to %#v; want %q", address, said, err, hint)
			}
		}
	}
	_, err := New(resolve.Setup{Settings: map[string]string{"address": s.URL}})
	if e, ok := errors.AsType[*resolve.Error](err); !ok || e.Hint != "export OP_CONNECT_TOKEN=TOKEN" {
		t.Errorf("without a token: %#v", err)
	}
}

// Of the app only the account is known: to ask it would have a human touch it.
func TestAsked(t *testing.T) {
	t.Parallel()
	for env, asked := range map[string]bool{"X=y": false, "OP_SESSION_abc=t": true, "OP_SERVICE_ACCOUNT_TOKEN=t": true} {
		s := newStage(t, "", nil, env)
		write(t, s.dir, "accounts", `[{"url":"team.1password.com","email":"ada@example.com"}]`)
		if standing, err := s.Probe(t.Context()); err != nil || standing.Asked != asked {
			t.Errorf("%s leads to %+v, %v; want asked %v", env, standing, err, asked)
		}
	}
	if standing, err := newStage(t, "signed out", nil, "OP_SERVICE_ACCOUNT_TOKEN=t").Probe(t.Context()); err == nil || standing.Asked {
		t.Errorf("signed out leads to %+v, %v", standing, err)
	}
}

// While another store has a human to ask, the app is not asked; by a token one is.
func TestTurn(t *testing.T) {
	end, err := ask.Turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	values := map[string]string{"op://a/b/c": "1", "op://a/b/d": "2"}
	for env, class := range map[string]resolve.Class{"X=y": resolve.Timeout, "OP_SERVICE_ACCOUNT_TOKEN=t": ""} {
		s := newStage(t, "", values, env)
		patience := 300 * time.Millisecond
		if class == "" {
			patience = 20 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for _, r := range s.Fetch(ctx, []resolve.Ref{{Path: "op://a/b/c"}, {Path: "op://a/b/d"}}) {
			if resolve.ClassOf(r.Err) != class {
				t.Errorf("%s leads to %v, want class %q", env, r.Err, class)
			}
		}
		if class != "" && s.calls(t, "") != 0 {
			t.Errorf("op was called %d times", s.calls(t, ""))
		}
	}
}
