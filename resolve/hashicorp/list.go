package hashicorp

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// A list is of this many names at most, for which this many folders are looked into.
const (
	mostNames   = 2000
	mostFolders = 200
)

// List implements [resolve.Lister]: the paths of secrets, without fields, for whose
// names the values would have to be read. Folders that the token may not list are left
// out, and of a great many names those that lie deepest.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	s, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	mounts, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	folders := slices.Sorted(maps.Keys(mounts))
	for asked := 0; len(folders) > 0 && len(names) < mostNames && asked < mostFolders; {
		batch := folders[:min(len(folders), parallel, mostFolders-asked)]
		asked += len(batch)
		here, below, err := s.look(ctx, mounts, batch)
		if err != nil {
			return nil, err
		}
		names, folders = append(names, here...), append(folders[len(batch):], below...)
	}
	slices.Sort(names)
	return names[:min(len(names), mostNames)], nil
}

// all returns the key-value mounts that the token can see, by their paths with a / behind.
func (s *session) all(ctx context.Context) (map[string]mount, error) {
	a, err := s.do(ctx, rest.Call{Path: "/v1/sys/internal/ui/mounts"})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct{ Secret map[string]described }
	}
	if err := a.JSON(&answer); err != nil {
		return nil, err
	}
	mounts := map[string]mount{}
	for path, d := range answer.Data.Secret {
		m, ok := d.mount(path)
		if _, err := parse(m.path + "/x"); ok && err == nil && d.Type != "cubbyhole" {
			mounts[m.path+"/"] = m
		}
	}
	return mounts, nil
}

// look returns the secrets and the folders that lie in some folders.
func (s *session) look(ctx context.Context, mounts map[string]mount, folders []string) (names, below []string, err error) {
	refs := make([]resolve.Ref, len(folders))
	for i, f := range folders {
		refs[i].Path = f
	}
	results := resolve.Each(ctx, refs, parallel, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		found, err := s.folder(ctx, mountOf(mounts, ref.Path), ref.Path)
		return resolve.NewSecret(strings.Join(found, "\n")), err
	})
	for _, r := range results {
		switch resolve.ClassOf(r.Err) {
		case resolve.Denied, resolve.NotFound:
			continue
		}
		if r.Err != nil {
			return nil, nil, r.Err
		}
		for name := range strings.SplitSeq(r.Secret.Reveal(), "\n") {
			if strings.HasSuffix(name, "/") {
				below = append(below, name)
			} else if name != "" {
				names = append(names, name)
			}
		}
	}
	return names, below, nil
}

func mountOf(mounts map[string]mount, path string) mount {
	for _, m := range mounts {
		if m.holds(path) {
			return m
		}
	}
	return mount{}
}

// folder returns what lies in a folder, as far as a reference can name it.
func (s *session) folder(ctx context.Context, m mount, folder string) ([]string, error) {
	a, err := s.do(ctx, rest.Call{Path: m.at(folder, "metadata"), Query: url.Values{"list": {"true"}}})
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Keys []string } }
	if err := a.JSON(&answer); err != nil {
		return nil, err
	}
	var found []string
	for _, key := range answer.Data.Keys {
		path := folder + key
		if pl, err := parse(strings.TrimSuffix(path, "/")); err == nil && pl.document() == strings.TrimSuffix(path, "/") && pl.version == "" {
			found = append(found, path)
		}
	}
	return found, nil
}
