package onepassword

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// connect asks a Connect server.
type connect struct {
	client  *rest.Client
	address string
	token   string
	mend    string
}

// ids are what 1Password makes of 26 letters and digits. A title may look like one.
var ids = regexp.MustCompile(`^[a-z0-9]{26}$`)

// call sends a request and reads the answer into v.
func (c *connect) call(ctx context.Context, call rest.Call, v any) error {
	call.Header = map[string]string{"Authorization": "Bearer " + c.token}
	answer, err := c.client.Do(ctx, call)
	if err != nil {
		return err
	}
	if answer.Status == http.StatusUnauthorized && bytes.Contains(bytes.ToLower(answer.Body), []byte("expired")) {
		return resolve.Hinted(resolve.Expired, c.mend, "the token in OP_CONNECT_TOKEN is expired")
	}
	if answer.Status == http.StatusUnauthorized {
		return resolve.Hinted(resolve.NotLoggedIn, c.mend, "the token in OP_CONNECT_TOKEN is not valid")
	}
	if err := answer.Err(); err != nil || v == nil {
		return err
	}
	return answer.JSON(v)
}

// A place is an item within a vault, as references have them.
type place struct{ vault, item string }

func (c *connect) fetch(ctx context.Context, refs []reference) []resolve.Result {
	vaults := map[string]func() (string, error){}
	items := map[place]func() (item, error){}
	asked := make([]resolve.Ref, len(refs))
	by := map[string]reference{}
	for i, r := range refs {
		vault, at := strings.ToLower(r.vault), place{strings.ToLower(r.vault), strings.ToLower(r.item)}
		if vaults[vault] == nil {
			vaults[vault] = sync.OnceValues(func() (string, error) { return c.vault(ctx, r.vault) })
		}
		if items[at] == nil {
			items[at] = sync.OnceValues(func() (item, error) {
				id, err := vaults[vault]()
				if err != nil {
					return item{}, err
				}
				return c.item(ctx, id, r.item)
			})
		}
		asked[i].Path = r.String()
		by[asked[i].Path] = r
	}
	return resolve.Each(ctx, asked, parallel, func(_ context.Context, ref resolve.Ref) (resolve.Secret, error) {
		r := by[ref.Path]
		if r.sshFormat {
			return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "a Connect server has no ?ssh-format")
		}
		it, err := items[place{strings.ToLower(r.vault), strings.ToLower(r.item)}]()
		if err != nil {
			return resolve.Secret{}, err
		}
		return it.secret(r)
	})
}

func (it item) secret(r reference) (resolve.Secret, error) {
	i, err := it.find(r)
	if err != nil {
		return resolve.Secret{}, err
	}
	text, err := it.Fields[i].attribute(r.attribute)
	return resolve.NewSecret(text), err
}

// vault returns the id of a vault that is named by its id or its name.
func (c *connect) vault(ctx context.Context, name string) (string, error) {
	if ids.MatchString(name) {
		var v struct{ ID string }
		err := c.call(ctx, rest.Call{Path: "/v1/vaults/" + name}, &v)
		if err == nil && v.ID != name {
			err = errOther
		}
		if resolve.ClassOf(err) != resolve.NotFound {
			return v.ID, err
		}
	}
	var found []struct{ ID, Name string }
	if err := c.call(ctx, rest.Call{Path: "/v1/vaults", Query: titled(name)}, &found); err != nil {
		return "", err
	}
	candidates := map[string]string{}
	for _, v := range found {
		candidates[v.ID] = v.Name
	}
	return only("vault", name, candidates)
}

var errOther = resolve.Errorf(resolve.Malformed, "the server answered for something else")

// item returns an item that is named by its id or its title.
func (c *connect) item(ctx context.Context, vault, name string) (item, error) {
	if ids.MatchString(name) {
		it, err := c.itemByID(ctx, vault, name)
		if resolve.ClassOf(err) != resolve.NotFound {
			return it, err
		}
	}
	var found []summary
	if err := c.call(ctx, rest.Call{Path: "/v1/vaults/" + url.PathEscape(vault) + "/items", Query: titled(name)}, &found); err != nil {
		return item{}, err
	}
	candidates := map[string]string{}
	for _, it := range found {
		candidates[it.ID] = it.Title
	}
	id, err := only("item", name, candidates)
	if err != nil {
		return item{}, err
	}
	return c.itemByID(ctx, vault, id)
}

func (c *connect) itemByID(ctx context.Context, vault, id string) (item, error) {
	var it item
	err := c.call(ctx, rest.Call{Path: "/v1/vaults/" + url.PathEscape(vault) + "/items/" + url.PathEscape(id)}, &it)
	if err == nil && it.ID != id {
		err = errOther
	}
	return it, err
}

// titled filters by a name, which has nothing that must be escaped within the quotes.
func titled(name string) url.Values {
	return url.Values{"filter": {`title eq "` + name + `"`}}
}

// only returns the id of the one that has the name: what a server lists besides was
// not asked for.
func only(what, name string, candidates map[string]string) (string, error) {
	var found []string
	for id, n := range candidates {
		if named(name, n) && id != "" {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", resolve.Errorf(resolve.NotFound, "no %s %q that the token may read", what, name)
	case 1:
		return found[0], nil
	}
	return "", resolve.Errorf(resolve.Ambiguous, "%d of the %ss are called %q: use an id", len(found), what, name)
}

func (c *connect) probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: c.address, Credential: "environment OP_CONNECT_TOKEN", Plain: true}
	var vaults []struct{ ID string }
	err := c.call(ctx, rest.Call{Path: "/v1/vaults"}, &vaults)
	standing.Asked = err == nil
	return standing, err
}

func (c *connect) list(ctx context.Context) ([]summary, error) {
	var vaults []struct{ ID, Name string }
	if err := c.call(ctx, rest.Call{Path: "/v1/vaults"}, &vaults); err != nil {
		return nil, err
	}
	var all []summary
	for _, v := range vaults {
		var items []summary
		if err := c.call(ctx, rest.Call{Path: "/v1/vaults/" + url.PathEscape(v.ID) + "/items"}, &items); err != nil {
			return nil, err
		}
		for _, it := range items {
			it.Vault.ID, it.Vault.Name = v.ID, v.Name
			all = append(all, it)
		}
		if len(all) >= maxItems {
			break
		}
	}
	return all, nil
}
