package hashicorp

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// A session is what one Fetch, Store, List or Probe does with the server.
type session struct {
	client *rest.Client
	header map[string]string // of every request: after signIn the token among them
	kv     string            // the setting
	auth   string            // how the token was got, for hints
	hints  map[string]string // by auth

	mounting sync.Mutex // one asks, so that those that wait find its answer
	mounts   []mount

	refusing sync.Mutex
	self     *self

	ending sync.Mutex
	ended  error // why no further request has a chance
}

// do sends a call. An answer that is not one of success comes with its error.
func (s *session) do(ctx context.Context, call rest.Call) (rest.Answer, error) {
	if err := s.over(nil); err != nil {
		return rest.Answer{}, err
	}
	call.Header = s.header
	a, err := s.client.Do(ctx, call)
	if err == nil {
		err = s.failure(ctx, a)
	}
	switch resolve.ClassOf(err) {
	case resolve.Locked, resolve.Expired:
		s.over(err)
	}
	return a, err
}

// over remembers err, if it is one, and returns the first that was remembered.
func (s *session) over(err error) error {
	s.ending.Lock()
	defer s.ending.Unlock()
	if s.ended == nil {
		s.ended = err
	}
	return s.ended
}

// failure returns what is wrong with an answer, in kz's words.
func (s *session) failure(ctx context.Context, a rest.Answer) error {
	switch {
	case a.Status >= 300 && a.Status < 400:
		return resolve.Errorf(resolve.Unreachable, "the store sends elsewhere, which kz does not follow")
	case a.Status == http.StatusServiceUnavailable && says(a, "sealed"):
		return resolve.Hinted(resolve.Locked, "vault operator unseal", "the server is sealed")
	case a.Status == http.StatusBadRequest && says(a, "missing client token"):
		return s.signedOut(resolve.NotLoggedIn, "not signed in")
	case a.Status == http.StatusForbidden && s.header[tokenHeader] != "":
		return s.refused(ctx)
	}
	return a.Err()
}

func (s *session) signedOut(class resolve.Class, cause string) error {
	return resolve.Hinted(class, s.hints[s.auth], "%s", cause)
}

// self is what the server says about the token.
type self struct {
	err  error // nil if the token is good
	Data struct {
		Name     string   `json:"display_name"`
		TTL      int64    `json:"ttl"`
		Policies []string `json:"policies"`
	} `json:"data"`
}

// refused tells a token that is dead from one that may not do what was asked. A server
// answers both alike, save for what every living token may ask. It asks once.
func (s *session) refused(ctx context.Context) error {
	if err := s.lookup(ctx).err; resolve.ClassOf(err) == resolve.Expired {
		return err
	}
	return &resolve.Error{Class: resolve.Denied}
}

// lookup asks the server about the token, once.
func (s *session) lookup(ctx context.Context) *self {
	s.refusing.Lock()
	defer s.refusing.Unlock()
	if s.self != nil {
		return s.self
	}
	s.self = new(self)
	a, err := s.client.Do(ctx, rest.Call{Path: "/v1/auth/token/lookup-self", Header: s.header})
	switch {
	case err != nil:
		s.self.err = err
	case a.Status == http.StatusForbidden:
		s.self.err = s.signedOut(resolve.Expired, "the token is expired or revoked")
	case a.Status >= 300:
		s.self.err = s.failure(ctx, a)
	default:
		s.self.err = a.JSON(s.self)
	}
	return s.self
}

func (s *self) mayAll() bool { return s.err == nil && slices.Contains(s.Data.Policies, "root") }

func badly(is bool) error {
	if is {
		return resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	return nil
}

// says reports whether one of an answer's errors has a text in it.
func says(a rest.Answer, text string) bool {
	var answer struct{ Errors []string }
	return a.JSON(&answer) == nil && strings.Contains(strings.ToLower(strings.Join(answer.Errors, "\n")), text)
}
