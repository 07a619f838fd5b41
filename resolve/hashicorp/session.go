package hashicorp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
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
	if s.auth == "token" {
		return resolve.Hinted(class, "vault login", "%s", cause)
	}
	return &resolve.Error{Class: class, Cause: cause}
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

// A mount is a key-value engine.
type mount struct {
	path string // as far as where secrets begin: "team/kv"
	v2   bool
}

// holds reports whether a path leads into the mount.
func (m mount) holds(path string) bool { return strings.HasPrefix(path, m.path+"/") }

// at returns the address of what lies at path, which the mount holds. In version 2 it
// is below data or metadata.
func (m mount) at(path, below string) string {
	within := strings.TrimPrefix(path, m.path+"/")
	if !m.v2 {
		return "/v1/" + escape(m.path) + "/" + escape(within)
	}
	return "/v1/" + escape(m.path) + "/" + below + "/" + escape(within)
}

// mount returns the mount that a path lies in: by the setting, whose mounts have
// names of one step, or as the server says. Mounts do not lie in each other.
func (s *session) mount(ctx context.Context, path string) (mount, error) {
	if s.kv != "" {
		name, _, _ := strings.Cut(path, "/")
		return mount{name, s.kv == "2"}, nil
	}
	s.mounting.Lock()
	defer s.mounting.Unlock()
	for _, m := range s.mounts {
		if m.holds(path) {
			return m, nil
		}
	}
	m, err := s.find(ctx, path)
	if err == nil {
		s.mounts = append(s.mounts, m)
	}
	return m, err
}

// find asks the server for the mount of a path, which every token may that may do
// anything in there.
func (s *session) find(ctx context.Context, path string) (mount, error) {
	a, err := s.do(ctx, rest.Call{Path: "/v1/sys/internal/ui/mounts/" + escape(path)})
	switch resolve.ClassOf(err) {
	case resolve.Denied: // which is also said of mounts that do not exist
		if s.lookup(ctx).mayAll() {
			return mount{}, resolve.Errorf(resolve.NotFound, "no mount holds %q", path)
		}
		return mount{}, resolve.Errorf(resolve.Denied, "%q is in no mount that this token may use", path)
	case resolve.NotFound:
		return mount{}, resolve.Errorf(resolve.NotFound, "no mount holds %q", path)
	}
	if err != nil {
		return mount{}, err
	}
	var answer struct{ Data described }
	if err := a.JSON(&answer); err != nil {
		return mount{}, err
	}
	m, ok := answer.Data.mount(answer.Data.Path)
	switch {
	case !m.holds(path):
		return mount{}, resolve.Errorf(resolve.Malformed, "the store's answer is about another path")
	case !ok:
		return mount{}, resolve.Errorf(resolve.Malformed, "the mount of %q does not hold keys and values", path)
	}
	return m, nil
}

func (s *self) mayAll() bool {
	for _, p := range s.Data.Policies {
		if s.err == nil && p == "root" {
			return true
		}
	}
	return false
}

// described is what the server says about a mount.
type described struct {
	Path    string            `json:"path"`
	Type    string            `json:"type"`
	Options map[string]string `json:"options"`
}

// mount returns the mount at a path, and whether it is one of keys and values.
func (d described) mount(path string) (mount, bool) {
	ok := d.Type == "kv" || d.Type == "generic" || d.Type == "cubbyhole"
	return mount{strings.TrimSuffix(path, "/"), d.Options["version"] == "2"}, ok
}

// read returns the fields of a secret as a JSON object.
func (s *session) read(ctx context.Context, pl place) (resolve.Secret, error) {
	m, err := s.mount(ctx, pl.path)
	if err != nil {
		return resolve.Secret{}, err
	}
	v, err := s.readIn(ctx, m, pl)
	if err == nil && v.fields == nil {
		err = v.missing(m, pl)
	}
	return resolve.NewSecret(string(v.fields)), err
}

// A version is one state of a secret.
type version struct {
	fields json.RawMessage // nil if there is none of that number, or no longer
	number int             // 0 if there never was one, and in mounts of version 1
}

// readIn returns a version of a secret. That there is none is not an error.
func (s *session) readIn(ctx context.Context, m mount, pl place) (version, error) {
	call := rest.Call{Path: m.at(pl.path, "data")}
	switch {
	case pl.version != "" && !m.v2:
		return version{}, resolve.Errorf(resolve.Malformed, "the mount %q keeps no versions", m.path)
	case pl.version != "":
		call.Query = url.Values{"version": {pl.version}}
	}
	a, err := s.do(ctx, call)
	if err != nil && a.Status != http.StatusNotFound {
		return version{}, err
	}
	if !m.v2 {
		return first(a)
	}
	return second(a, pl)
}

// missing says why a secret cannot be had.
func (v version) missing(m mount, pl place) error {
	switch {
	case v.number > 0:
		return resolve.Errorf(resolve.NotFound, "version %d of %q is deleted", v.number, pl.path)
	case pl.version != "":
		return resolve.Errorf(resolve.NotFound, "no version %s of %q", pl.version, pl.path)
	case m.v2 && m.holds(pl.path) && strings.HasPrefix(pl.path, m.path+"/data/"):
		return resolve.Errorf(resolve.NotFound, "no secret at %q: leave out the data/", pl.path)
	}
	return resolve.Errorf(resolve.NotFound, "no secret at %q", pl.path)
}

// first reads the answer of a mount of version 1.
func first(a rest.Answer) (version, error) {
	if a.Status == http.StatusNotFound {
		return version{}, nil
	}
	var answer struct{ Data json.RawMessage }
	if err := a.JSON(&answer); err != nil {
		return version{}, err
	}
	return version{fields: object(answer.Data)}, badly(object(answer.Data) == nil)
}

// second reads the answer of a mount of version 2, which with status 404 tells of
// versions that were deleted.
func second(a rest.Answer, pl place) (version, error) {
	var answer struct {
		Data struct {
			Data     json.RawMessage
			Metadata struct{ Version int }
		}
	}
	if a.Status == http.StatusNotFound && !bytes.Contains(a.Body, []byte(`"metadata"`)) {
		return version{}, nil
	}
	if err := a.JSON(&answer); err != nil {
		return version{}, err
	}
	v := version{object(answer.Data.Data), answer.Data.Metadata.Version}
	if pl.version != "" && strconv.Itoa(v.number) != pl.version {
		return version{}, resolve.Errorf(resolve.Malformed, "the store's answer is about another version")
	}
	return v, badly(v.number < 1 || a.Status == http.StatusOK && v.fields == nil)
}

func badly(is bool) error {
	if is {
		return resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	return nil
}

// object returns a JSON object, and nil for all else.
func object(data json.RawMessage) json.RawMessage {
	if !bytes.HasPrefix(data, []byte("{")) {
		return nil
	}
	return data
}

// says reports whether one of an answer's errors has a text in it.
func says(a rest.Answer, text string) bool {
	var answer struct{ Errors []string }
	return a.JSON(&answer) == nil && strings.Contains(strings.ToLower(strings.Join(answer.Errors, "\n")), text)
}
