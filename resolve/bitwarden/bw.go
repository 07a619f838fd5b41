package bitwarden

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/resolve"
)

// passwords asks Password Manager through bw.
type passwords struct{ cli }

// mend has what to do when bw is not ready.
var mend = map[resolve.Class]string{
	resolve.NotLoggedIn: "bw login",
	resolve.Locked:      `export BW_SESSION="$(bw unlock --raw)"`,
	resolve.Expired:     `export BW_SESSION="$(bw unlock --raw)"`,
}

func (b passwords) check(ref string) error { return checkItem(ref) }

func (b passwords) fetch(ctx context.Context, refs []string) []resolve.Result {
	var items []item
	if err := b.items(ctx, &items); err != nil {
		return resolve.Fail(len(refs), err)
	}
	return pick(items, refs)
}

// items has bw print all items: it takes a second to start, whatever it is asked.
func (b passwords) items(ctx context.Context, v any) error {
	return b.bw(ctx, v, nil, "list", "items")
}

func (b passwords) bw(ctx context.Context, v any, stdin []byte, args ...string) error {
	out, err := b.run(ctx, stdin, mend, append(args, "--nointeraction", "--raw")...)
	if err != nil {
		return err
	}
	return readRaw(out, v)
}

// readRaw reads what bw printed. It may say on its stdout, and succeed, that it did
// nothing; a document says nothing of that kind, whatever is in it.
func readRaw(out []byte, v any) error {
	err := read(out, v)
	if text := bytes.TrimSpace(out); err != nil && len(text) < 256 && !bytes.ContainsAny(text, "[{") {
		if class := classify(text); class != "" {
			return ask.Hint(&resolve.Error{Class: class}, mend)
		}
	}
	return err
}

func (b passwords) store(ctx context.Context, ref string, secret resolve.Secret) error {
	var documents []map[string]any
	if err := b.items(ctx, &documents); err != nil {
		return err
	}
	document, id, err := changed(documents, ref, secret)
	if err != nil {
		return err
	}
	args := []string{"create", "item"}
	if id != "" {
		args = []string{"edit", "item", id}
	}
	data, err := json.Marshal(document)
	if err != nil {
		return resolve.Errorf(resolve.Malformed, "the item cannot be written")
	}
	stdin := []byte(base64.StdEncoding.EncodeToString(data))
	return b.bw(ctx, &map[string]any{}, stdin, args...)
}

// changed returns the item that a reference means with the value in it, and its id; or
// a new item and no id.
func changed(documents []map[string]any, ref string, secret resolve.Secret) (map[string]any, string, error) {
	var items []item
	data, err := json.Marshal(documents)
	if err != nil || json.Unmarshal(data, &items) != nil {
		return nil, "", resolve.Errorf(resolve.Malformed, "bw printed items that are not of the form")
	}
	name, field := split(ref)
	i, err := choose(items, name)
	switch {
	case resolve.ClassOf(err) == resolve.NotFound && !uuid.MatchString(name):
		document := map[string]any{"type": 1, "name": name, "notes": nil, "favorite": false, "fields": []any{}, "reprompt": 0}
		return document, "", set(document, field, secret)
	case err != nil:
		return nil, "", err
	case !uuid.MatchString(items[i].ID):
		return nil, "", resolve.Errorf(resolve.Malformed, "bw printed an item without an id")
	}
	return documents[i], items[i].ID, set(documents[i], field, secret)
}

// set changes one field, and leaves all of an item that kz knows nothing of.
func set(document map[string]any, name string, secret resolve.Secret) error {
	switch name {
	case "notes":
		document["notes"] = secret.Reveal()
	case "password", "username":
		login, ok := document["login"].(map[string]any)
		if !ok {
			login = map[string]any{}
			document["login"] = login
		}
		if kind := document["type"]; kind != 1 && kind != float64(1) {
			return resolve.Errorf(resolve.Malformed, "the item is no login, and has no %s", name)
		}
		login[name] = secret.Reveal()
	case "uri":
		return resolve.Errorf(resolve.Malformed, "kz does not write addresses")
	default:
		return setField(document, name, secret)
	}
	return nil
}

func setField(document map[string]any, name string, secret resolve.Secret) error {
	fields, _ := document["fields"].([]any)
	var found []map[string]any
	for _, f := range fields {
		if f, ok := f.(map[string]any); ok && f["name"] == name {
			found = append(found, f)
		}
	}
	const hidden = 1
	switch len(found) {
	case 0:
		document["fields"] = append(fields, map[string]any{"name": name, "value": secret.Reveal(), "type": hidden})
	case 1:
		found[0]["value"] = secret.Reveal()
	default:
		return resolve.Errorf(resolve.Ambiguous, "the item has %d fields %q", len(found), name)
	}
	return nil
}

// probe asks bw for its status, which needs no password.
func (b passwords) probe(ctx context.Context) (resolve.Standing, error) {
	found, err := b.Find(b.name)
	if err != nil {
		return resolve.Standing{}, err
	}
	standing := resolve.Standing{Through: found.Path}
	if b.setup.Getenv("BW_SESSION") != "" {
		standing.Credential, standing.Plain = "environment BW_SESSION", true
	}
	var s status
	if err := b.bw(ctx, &s, nil, "status"); err != nil {
		return standing, err
	}
	standing.As = s.Email
	err = s.err()
	standing.Asked = err == nil // by what holds the values, which is on this machine
	return standing, err
}

// A status is what bw says of itself.
type status struct {
	Status string `json:"status"`
	Email  string `json:"userEmail"`
}

func (s status) err() error {
	class := resolve.Malformed
	switch s.Status {
	case "unlocked":
		return nil
	case "locked":
		class = resolve.Locked
	case "unauthenticated":
		class = resolve.NotLoggedIn
	}
	return &resolve.Error{Class: class, Hint: mend[class]}
}

func (b passwords) list(ctx context.Context) ([]string, error) {
	var items []item
	if err := b.items(ctx, &items); err != nil {
		return nil, err
	}
	return names(items), nil
}

func unprintable(name string) bool { return strings.ContainsFunc(name, unicode.IsControl) }
