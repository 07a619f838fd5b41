package hashicorp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

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

// object returns a JSON object, and nil for all else.
func object(data json.RawMessage) json.RawMessage {
	if !bytes.HasPrefix(data, []byte("{")) {
		return nil
	}
	return data
}
