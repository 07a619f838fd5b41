package bitwarden

import (
	"context"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/resolve"
)

const parallel = 4 // rbw at once

// agent asks Password Manager through rbw, whose agent asks the human by pinentry.
type agent struct{ cli }

var unlock = map[resolve.Class]string{
	resolve.NotLoggedIn:  "rbw login",
	resolve.Locked:       "rbw unlock",
	resolve.Expired:      "rbw login",
	resolve.PromptNeeded: "rbw unlock",
}

func (a agent) check(ref string) error { return checkItem(ref) }

// fetch asks for each item once, as a whole: so several of its fields come by one rbw,
// and it can be seen whether it is the one. By itself rbw takes part of a name for the name.
func (a agent) fetch(ctx context.Context, refs []string) []resolve.Result {
	var items []resolve.Ref
	at := map[string]int{}
	for _, ref := range refs {
		name, _ := split(ref)
		if _, seen := at[name]; !seen {
			at[name] = len(items)
			items = append(items, resolve.Ref{Path: name})
		}
	}
	documents := ask.Each(ctx, items, parallel, a.item)
	results := make([]resolve.Result, len(refs))
	for i, ref := range refs {
		name, field := split(ref)
		var it item
		err := documents[at[name]].Err
		if err == nil {
			err = read([]byte(documents[at[name]].Secret.Reveal()), &it)
		}
		if results[i].Err = err; err == nil {
			results[i].Secret, results[i].Err = it.value(field)
		}
	}
	return results
}

// item returns what rbw prints of one.
func (a agent) item(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
	out, err := a.run(ctx, nil, unlock, "get", "--raw", "--", ref.Path)
	if err != nil {
		return resolve.Secret{}, err
	}
	var it item
	if err := read(out, &it); err != nil {
		return resolve.Secret{}, err
	}
	if !it.is(ref.Path) {
		return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "no item %q", ref.Path)
	}
	return resolve.NewSecret(string(out)), nil
}

func (a agent) store(context.Context, string, resolve.Secret) error {
	return resolve.Errorf(resolve.Denied, "rbw edits a password and its notes at once: kz does not write through it")
}

// probe asks the agent whether it is unlocked, which asks nobody.
func (a agent) probe(ctx context.Context) (resolve.Standing, error) {
	found, err := a.Find(a.name)
	if err != nil {
		return resolve.Standing{}, err
	}
	standing := resolve.Standing{Through: found.Path, Credential: "rbw agent"}
	_, err = a.run(ctx, nil, unlock, "unlocked")
	if err != nil && resolve.ClassOf(err) == "" && ctx.Err() == nil { // as it fails when locked
		err = resolve.Hinted(resolve.Locked, "rbw unlock", "locked")
	}
	standing.Asked = err == nil
	return standing, err
}

func (a agent) list(ctx context.Context) ([]string, error) {
	out, err := a.run(ctx, nil, unlock, "list", "--fields", "id,name")
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	var items []item
	for line := range strings.Lines(string(out)) {
		id, name, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		if !ok || !uuid.MatchString(id) {
			return nil, resolve.Errorf(resolve.Malformed, "rbw printed something else than ids and names")
		}
		count[name]++
		items = append(items, item{ID: id, Name: name})
	}
	list := []string{}
	for _, it := range items {
		if count[it.Name] > 1 || checkItem(it.Name) != nil || strings.Contains(it.Name, "#") || unprintable(it.Name) {
			it.Name = it.ID
		}
		list = append(list, it.Name)
	}
	slices.Sort(list)
	return list, nil
}
