package onepassword

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// made returns a field for a reference to what is not there yet.
func made(r reference, secret resolve.Secret) field {
	f := field{Label: r.field, Type: "CONCEALED", Value: secret.Reveal()}
	if r.section != "" {
		f.Section = &section{ID: r.section, Label: r.section}
	}
	return f
}

// created returns an item that has nothing but the field.
func created(r reference, secret resolve.Secret) map[string]any {
	f := made(r, secret)
	category := "API_CREDENTIAL"
	if named("password", r.field) && r.section == "" {
		f.ID, f.Purpose, category = "password", "PASSWORD", "PASSWORD"
	}
	it := map[string]any{"title": r.item, "category": category, "fields": []any{f.document()}}
	if f.Section != nil {
		it["sections"] = []section{*f.Section}
	}
	return it
}

// document is the field as a template has it, without what it has not.
func (f field) document() map[string]any {
	d := map[string]any{"label": f.Label, "type": f.Type, "value": f.Value}
	for name, text := range map[string]string{"id": f.ID, "purpose": f.Purpose} {
		if text != "" {
			d[name] = text
		}
	}
	if f.Section != nil {
		d["section"] = *f.Section
	}
	return d
}

// store sends op the whole item on its stdin: an assignment would be an argument.
func (p *program) store(ctx context.Context, r reference, secret resolve.Secret) error {
	var document map[string]any
	err := p.json(ctx, &document, r.words(), "item", "get", r.item, "--vault="+r.vault, "--reveal")
	if resolve.ClassOf(err) == resolve.NotFound {
		return p.send(ctx, created(r, secret), r, secret, "item", "create", "--vault="+r.vault)
	}
	if err != nil {
		return err
	}
	if err := set(document, r, secret); err != nil {
		return err
	}
	id, _ := document["id"].(string)
	if malformed(id) {
		return resolve.Errorf(resolve.Malformed, "op printed an item without an id")
	}
	return p.send(ctx, document, r, secret, "item", "edit", id, "--vault="+r.vault)
}

func (p *program) send(ctx context.Context, document map[string]any, r reference, secret resolve.Secret, args ...string) error {
	data, err := json.Marshal(document)
	if err != nil {
		return resolve.Errorf(resolve.Malformed, "the item cannot be written")
	}
	if args[1] == "create" {
		args = append(args, "-") // what edit reads without being told
	}
	if _, err = p.run(ctx, data, r.words(), args...); err != nil {
		return err
	}
	return p.written(ctx, r, secret)
}

// written looks at what is there now: an op that does not read its stdin here would
// change nothing and succeed.
func (p *program) written(ctx context.Context, r reference, secret resolve.Secret) error {
	results, err := p.inject(ctx, []reference{r})
	switch {
	case err != nil:
		return err
	case results[0].Err != nil || results[0].Secret.Reveal() != secret.Reveal():
		return resolve.Errorf(resolve.Malformed, "op did not write the value")
	}
	return nil
}

// set changes one field of an item, and leaves all of it that kz knows nothing of.
func set(document map[string]any, r reference, secret resolve.Secret) error {
	data, err := json.Marshal(document)
	var it item
	if err == nil {
		err = json.Unmarshal(data, &it)
	}
	fields, _ := document["fields"].([]any)
	if err != nil || len(fields) != len(it.Fields) {
		return resolve.Errorf(resolve.Malformed, "the item is not of its form")
	}
	i, err := it.find(r)
	if resolve.ClassOf(err) == resolve.NotFound {
		add(document, it, r, secret)
		return nil
	}
	if err != nil {
		return err
	}
	fields[i].(map[string]any)["value"] = secret.Reveal() // an object, for json read it as one
	return nil
}

func add(document map[string]any, it item, r reference, secret resolve.Secret) {
	f := made(r, secret)
	if f.Section != nil {
		if known, ok := it.section(r.section); ok {
			f.Section = &known
		} else {
			sections, _ := document["sections"].([]any)
			document["sections"] = append(sections, *f.Section)
		}
	}
	fields, _ := document["fields"].([]any)
	document["fields"] = append(fields, f.document())
}

// change is what PATCH does to an item that gets a value.
func (it item) change(r reference, secret resolve.Secret) (any, error) {
	i, err := it.find(r)
	if err == nil {
		path := "/fields/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(it.Fields[i].ID) + "/value"
		return []any{map[string]any{"op": "replace", "path": path, "value": secret.Reveal()}}, nil
	}
	if resolve.ClassOf(err) != resolve.NotFound {
		return nil, err
	}
	f := made(r, secret)
	if f.Section != nil {
		known, ok := it.section(r.section)
		if !ok {
			return nil, resolve.Errorf(resolve.NotFound, "the item has no section %q: make it in 1Password first", r.section)
		}
		f.Section = &section{ID: known.ID}
	}
	return []any{map[string]any{"op": "add", "path": "/fields", "value": f.document()}}, nil
}

// store changes one field, or makes the item.
func (c *connect) store(ctx context.Context, r reference, secret resolve.Secret) error {
	vault, err := c.vault(ctx, r.vault)
	if err != nil {
		return err
	}
	it, err := c.item(ctx, vault, r.item)
	items := "/v1/vaults/" + url.PathEscape(vault) + "/items"
	switch {
	case resolve.ClassOf(err) == resolve.NotFound:
		document := created(r, secret)
		document["vault"] = map[string]string{"id": vault}
		return c.call(ctx, rest.Call{Method: http.MethodPost, Path: items, Body: document}, nil)
	case err != nil:
		return err
	}
	change, err := it.change(r, secret)
	if err != nil {
		return err
	}
	return c.call(ctx, rest.Call{Method: http.MethodPatch, Path: items + "/" + url.PathEscape(it.ID), Body: change}, nil)
}
