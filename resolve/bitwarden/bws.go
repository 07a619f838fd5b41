package bitwarden

import (
	"context"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/resolve"
)

// secrets asks Secrets Manager through bws.
type secrets struct {
	cli
	project string // for references that name none: its id or its name
}

// token has what to do when bws has none, or one that is not taken: a human makes another.
var token = ask.SignIn("export BWS_ACCESS_TOKEN=TOKEN")

type secret struct {
	ID      string `json:"id"`
	Project string `json:"projectId"`
	Key     string `json:"key"`
	Value   string `json:"value"`
}

// bws runs the program with a list of arguments that has no secret in it, and reads what it prints.
func (b secrets) bws(ctx context.Context, v any, args ...string) error {
	out, err := b.run(ctx, nil, token, append(args, "--output=json", "--color=no")...)
	if err != nil {
		return err
	}
	return read(out, v)
}

func (b secrets) check(ref string) error {
	project, key := b.split(ref)
	if key == "" || strings.HasPrefix(ref, "-") || strings.HasPrefix(project, "-") || strings.Contains(ref, "/") && project == "" {
		return resolve.Errorf(resolve.Malformed, "not of the form UUID, KEY or PROJECT/KEY")
	}
	return nil
}

// split returns the project and the key of a reference.
func (b secrets) split(ref string) (project, key string) {
	if project, key, ok := strings.Cut(ref, "/"); ok {
		return project, key
	}
	return b.project, ref
}

func (b secrets) fetch(ctx context.Context, refs []string) []resolve.Result {
	if len(refs) == 1 && uuid.MatchString(refs[0]) {
		return []resolve.Result{b.get(ctx, refs[0])}
	}
	projects, err := b.projects(ctx, refs)
	if err != nil {
		return resolve.Fail(len(refs), err)
	}
	all, err := b.all(ctx, b.common(refs, projects))
	if err != nil {
		return resolve.Fail(len(refs), err)
	}
	results := make([]resolve.Result, len(refs))
	for i, ref := range refs {
		results[i] = b.find(all, projects, ref)
	}
	return results
}

func (b secrets) get(ctx context.Context, id string) resolve.Result {
	var s secret
	err := b.bws(ctx, &s, "secret", "get", id)
	if err == nil && !strings.EqualFold(s.ID, id) {
		err = resolve.Errorf(resolve.Malformed, "bws answered for another secret")
	}
	return s.result(err)
}

func (s secret) result(err error) resolve.Result {
	if err == nil && s.Value == "" {
		err = resolve.Errorf(resolve.NotFound, "the secret is empty")
	}
	if err != nil {
		return resolve.Result{Err: err}
	}
	return resolve.Result{Secret: resolve.NewSecret(s.Value)}
}

// all returns the secrets of a project, or of all that the token may read for "".
func (b secrets) all(ctx context.Context, project string) ([]secret, error) {
	args := []string{"secret", "list"}
	if project != "" {
		args = append(args, project)
	}
	var all []secret
	err := b.bws(ctx, &all, args...)
	return all, err
}

// projects returns the ids of the projects that references name, by their names. bws
// is asked for those only where a reference does not have the id.
func (b secrets) projects(ctx context.Context, refs []string) (map[string][]string, error) {
	byName := func(ref string) bool {
		project, key := b.split(ref)
		return project != "" && !uuid.MatchString(project) && !uuid.MatchString(key)
	}
	if !slices.ContainsFunc(refs, byName) {
		return nil, nil
	}
	var listed []struct{ ID, Name string }
	if err := b.bws(ctx, &listed, "project", "list"); err != nil {
		return nil, err
	}
	ids := map[string][]string{}
	for _, p := range listed {
		ids[p.Name] = append(ids[p.Name], p.ID)
	}
	return ids, nil
}

// id returns the id of a project.
func id(projects map[string][]string, name string) (string, error) {
	found := projects[name]
	switch {
	case uuid.MatchString(name):
		return name, nil
	case len(found) == 0:
		return "", resolve.Errorf(resolve.NotFound, "no project %q that the token may read", name)
	case len(found) > 1:
		return "", resolve.Errorf(resolve.Ambiguous, "%d projects are called %q: use an id", len(found), name)
	}
	return found[0], nil
}

// common returns the project that all references are in, or "".
func (b secrets) common(refs []string, projects map[string][]string) string {
	all := ""
	for i, ref := range refs {
		project, key := b.split(ref)
		found, err := id(projects, project)
		if err != nil || uuid.MatchString(key) || !uuid.MatchString(found) || i > 0 && found != all {
			return ""
		}
		all = found
	}
	return all
}

func (b secrets) find(all []secret, projects map[string][]string, ref string) resolve.Result {
	project, key := b.split(ref)
	want := ""
	if project != "" && !uuid.MatchString(key) {
		var err error
		if want, err = id(projects, project); err != nil {
			return resolve.Result{Err: err}
		}
	}
	var found []secret
	for _, s := range all {
		if byID := uuid.MatchString(key); byID && strings.EqualFold(s.ID, key) || !byID && s.Key == key && (want == "" || strings.EqualFold(s.Project, want)) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return resolve.Result{Err: resolve.Errorf(resolve.NotFound, "no secret %q that the token may read", key)}
	case 1:
		return found[0].result(nil)
	}
	return resolve.Result{Err: resolve.Errorf(resolve.Ambiguous, "%d secrets are called %q: name the project, or use an id", len(found), key)}
}

func (b secrets) store(context.Context, string, resolve.Secret) error {
	return resolve.Errorf(resolve.Denied, "bws takes values as arguments, which other programs can read: kz does not write through it")
}

func (b secrets) probe(ctx context.Context) (resolve.Standing, error) {
	found, err := b.Find(b.name)
	if err != nil {
		return resolve.Standing{}, err
	}
	standing := resolve.Standing{Through: found.Path, Credential: "environment BWS_ACCESS_TOKEN", Plain: true}
	if b.setup.Getenv("BWS_ACCESS_TOKEN") == "" {
		if !tokenFile(b.setup) {
			return resolve.Standing{Through: found.Path}, resolve.Hinted(resolve.NotLoggedIn, token[resolve.NotLoggedIn], "BWS_ACCESS_TOKEN is not set")
		}
		standing.Credential = "file ~/.config/bws/config"
	}
	err = b.bws(ctx, &[]struct{}{}, "project", "list")
	standing.Asked = err == nil
	return standing, err
}

func (b secrets) list(ctx context.Context) ([]string, error) {
	all, err := b.all(ctx, "")
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, s := range all {
		ref := s.Key
		same := func(other secret) bool { return other.Key == s.Key && other.ID != s.ID }
		if b.project != "" || strings.ContainsAny(s.Key, "/") || uuid.MatchString(s.Key) || b.check(ref) != nil || unprintable(ref) || slices.ContainsFunc(all, same) {
			ref = s.ID
		}
		list = append(list, ref)
	}
	slices.Sort(list)
	return list, nil
}
