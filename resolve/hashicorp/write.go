package hashicorp

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

const tries = 4 // at writing where others write too

// Store implements [resolve.Storer]. The other fields stay as they are. A mount of
// version 2 refuses what was changed in between, and then kz reads again; one of
// version 1 cannot, and of two that write at once the later wins.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	pl, err := parse(ref.Path)
	switch {
	case err != nil:
		return err
	case pl.version != "":
		return resolve.Errorf(resolve.Malformed, "a version that exists cannot be written")
	case !utf8.ValidString(secret.Reveal()):
		return resolve.Errorf(resolve.Malformed, "the value is not UTF-8, as the store's values are")
	}
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	m, err := s.mount(ctx, pl.path)
	if err != nil {
		return err
	}
	return s.write(ctx, m, pl, secret)
}

func (s *session) write(ctx context.Context, m mount, pl place, secret resolve.Secret) error {
	last := -1
	for range tries {
		v, err := s.readIn(ctx, m, pl)
		if err != nil {
			return err
		}
		if v.number == last { // nobody else wrote: it is something else that is refused
			break
		}
		last = v.number
		body, err := v.with(m, cmp.Or(pl.field, byDefault), secret)
		if err != nil {
			return err
		}
		a, err := s.do(ctx, rest.Call{Method: http.MethodPost, Path: m.at(pl.path, "data"), Body: body})
		if !m.v2 || a.Status != http.StatusBadRequest {
			return err
		}
	}
	return resolve.Errorf(resolve.Malformed, "the server does not take the value")
}

// with returns what is sent to set a field.
func (v version) with(m mount, field string, secret resolve.Secret) (any, error) {
	fields := map[string]any{}
	if v.fields != nil {
		var old map[string]json.RawMessage // numbers stay as they are written
		if json.Unmarshal(v.fields, &old) != nil {
			return nil, badly(true)
		}
		for name, raw := range old {
			fields[name] = raw
		}
	}
	fields[field] = secret.Reveal()
	if !m.v2 {
		return fields, nil
	}
	return map[string]any{"data": fields, "options": map[string]int{"cas": v.number}}, nil
}
