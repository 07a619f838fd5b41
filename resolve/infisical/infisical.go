// Package infisical resolves references to secrets of Infisical.
//
// A reference is PROJECT/ENVIRONMENT/PATH/NAME, with as many folders as PATH has, or none;
// or NAME, or /PATH/NAME, in the project and environment of the settings. All secrets of
// one folder are one request, and what the folder imports counts as its own.
package infisical

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
)

const (
	defaultAddress = "https://app.infisical.com"
	secretsPath    = "/api/v4/secrets"
	oldPath        = "/api/v3/secrets/raw" // of servers before v4; writes are still there
)

// A Provider asks one Infisical server.
type Provider struct {
	setup   resolve.Setup
	address string
	client  *rest.Client
	keyring resolve.Provider // where Infisical's own program keeps its session
	session rest.Session[session]
}

// New returns the Provider that a setup describes.
func New(s resolve.Setup) (*Provider, error) {
	address := s.Setting("address", "INFISICAL_API_URL", "INFISICAL_DOMAIN")
	if address == "" {
		address = defaultAddress
	}
	address = withoutAPI(address)
	client, err := rest.New(rest.Options{Address: address, CAFile: s.Settings["ca_file"]})
	if err != nil {
		return nil, err
	}
	return &Provider{setup: s, address: address, client: client, keyring: keychain.New(s.Env)}, nil
}

// withoutAPI returns an address as it is here: Infisical's own program has it with and
// without this end.
func withoutAPI(address string) string {
	return strings.TrimSuffix(strings.TrimSuffix(address, "/"), "/api")
}

// A folder is a place for secrets.
type folder struct{ project, environment, path string }

var (
	word = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
	name = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// place returns the folder and the name that a reference means.
func (p *Provider) place(ref string) (folder, string, error) {
	parts := strings.Split(ref, "/")
	at, folders := p.own(), parts[:len(parts)-1]
	switch {
	case len(parts) == 1:
		folders = segments(p.setup.Settings["path"])
	case parts[0] == "":
		folders = folders[1:]
	case len(parts) == 2:
		return folder{}, "", resolve.Errorf(resolve.Malformed, "want PROJECT/ENVIRONMENT/PATH/NAME, /PATH/NAME or NAME")
	default:
		at, folders = folder{project: parts[0], environment: parts[1]}, folders[2:]
	}
	at.path = "/" + strings.Join(folders, "/")
	last := parts[len(parts)-1]
	if slices.ContainsFunc(folders, func(f string) bool { return !word.MatchString(f) }) || !name.MatchString(last) {
		return folder{}, "", resolve.Errorf(resolve.Malformed, "folders and names have letters, digits, underscores and hyphens")
	}
	return at, last, at.check()
}

func segments(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// own is the folder that the settings say.
func (p *Provider) own() folder {
	return folder{p.setup.Settings["project"], p.setup.Settings["environment"],
		"/" + strings.Join(segments(p.setup.Settings["path"]), "/")}
}

func (f folder) check() error {
	if !word.MatchString(f.project) || !word.MatchString(f.environment) {
		return resolve.Errorf(resolve.Malformed, "which project and environment is meant is not said")
	}
	return nil
}

// Fetch implements [resolve.Provider]. A name that the folder does not have is NotFound,
// although Infisical itself is silent about it.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	names := make([]string, len(refs))
	of := map[folder][]int{}
	for i, ref := range refs {
		var at folder
		if at, names[i], results[i].Err = p.place(ref.Path); results[i].Err == nil {
			of[at] = append(of[at], i)
		}
	}
	rest.Groups(results, of, func(at folder, of []int) {
		contents, err := p.contents(ctx, at, true)
		for _, i := range of {
			results[i].Err = err
			if err == nil {
				results[i].Secret, results[i].Err = contents.find(names[i])
			}
		}
	})
	return results
}

// contents are the secrets of a folder.
type contents struct {
	Secrets []secret `json:"secrets"`
	Imports []struct {
		Secrets []secret `json:"secrets"`
	} `json:"imports"`
}

type secret struct {
	Key    string  `json:"secretKey"`
	Value  *string `json:"secretValue"`
	Hidden bool    `json:"secretValueHidden"`
	Type   string  `json:"type"`
	// Where it is, which not every server says.
	Environment string `json:"environment"`
	Path        string `json:"secretPath"`
}

// errOther refuses an answer for another folder than the one that was asked for.
var errOther = resolve.Errorf(resolve.Malformed, "the store's answer is for another reference")

// has reports whether a secret may be of the folder.
func (f folder) has(s secret) bool {
	return (s.Environment == "" || s.Environment == f.environment) &&
		(s.Path == "" || slices.Equal(segments(s.Path), segments(f.path)))
}

// all returns the secrets that are shared, each name once. The folder's own come before
// what it imports, and of the imports the later before the earlier.
func (c contents) all() []secret {
	lists := [][]secret{c.Secrets}
	for _, i := range slices.Backward(c.Imports) {
		lists = append(lists, i.Secrets)
	}
	var all []secret
	seen := map[string]bool{}
	for _, s := range slices.Concat(lists...) {
		if s.Type != "personal" && !seen[s.Key] {
			seen[s.Key] = true
			all = append(all, s)
		}
	}
	return all
}

func (c contents) find(name string) (resolve.Secret, error) {
	all := c.all()
	i := slices.IndexFunc(all, func(s secret) bool { return s.Key == name })
	switch {
	case i < 0:
		return resolve.Secret{}, &resolve.Error{Class: resolve.NotFound}
	case all[i].Hidden: // and a word of Infisical's in the value's place
		return resolve.Secret{}, resolve.Errorf(resolve.Denied, "this identity may see the secret's name and not its value")
	case all[i].Value == nil:
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the store's answer has no value")
	}
	return resolve.NewSecret(*all[i].Value), nil
}

// contents asks for a folder, with or without the values.
func (p *Provider) contents(ctx context.Context, at folder, values bool) (contents, error) {
	query := url.Values{
		"environment": {at.environment}, "secretPath": {at.path},
		"expandSecretReferences": {"true"}, "viewSecretValue": {strconv.FormatBool(values)},
	}
	c, err := p.list(ctx, secretsPath, query, "projectId", at.project, "includeImports", "true")
	if err == errNoRoute && values { // which an old server would give in any case
		c, err = p.list(ctx, oldPath, query, "workspaceId", at.project, "include_imports", "true")
	}
	// What is imported is of other folders, as it should be.
	if err == nil && slices.ContainsFunc(c.Secrets, func(s secret) bool { return !at.has(s) }) {
		return contents{}, errOther
	}
	return c, err
}

// list asks with the pairs of more added to the query.
func (p *Provider) list(ctx context.Context, path string, query url.Values, more ...string) (contents, error) {
	query = maps.Clone(query)
	for pair := range slices.Chunk(more, 2) {
		query.Set(pair[0], pair[1])
	}
	var c contents
	err := p.ask(ctx, rest.Call{Path: path, Query: query}, &c)
	if err == nil && c.Secrets == nil {
		err = resolve.Errorf(resolve.Malformed, "the store's answer has no secrets")
	}
	return c, err
}

// ask signs in, sends a call and reads the answer into v.
func (p *Provider) ask(ctx context.Context, call rest.Call, v any) error {
	s, err := p.session.Get(ctx, p.begin)
	if err != nil {
		return p.mend(err)
	}
	call.Header = map[string]string{"Authorization": "Bearer " + s.token}
	answer, err := p.client.Do(ctx, call)
	if err != nil {
		return err
	}
	if err := failure(answer); err != nil {
		if s.mend != "" {
			return s.mended(err)
		}
		return p.mend(err)
	}
	return answer.JSON(v)
}

var errNoRoute = resolve.Errorf(resolve.NotFound, "the server is too old for this")

// failure gives what Infisical refuses its class. Its words are looked at, and not passed on.
func failure(answer rest.Answer) error {
	var body struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if answer.Status >= 400 && answer.JSON(&body) != nil {
		return answer.Err()
	}
	// A dead token is status 403 as well.
	token := answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden && body.Error == "TokenError"
	switch {
	case token && strings.Contains(body.Message, "expired"):
		return &resolve.Error{Class: resolve.Expired}
	case token:
		return resolve.Errorf(resolve.NotLoggedIn, "the token is not valid")
	case answer.Status == http.StatusNotFound && strings.HasPrefix(body.Message, "Route "):
		return errNoRoute
	case answer.Status == http.StatusNotFound:
		return resolve.Errorf(resolve.NotFound, "no such project, environment or folder")
	}
	return answer.Err()
}

// Store implements [resolve.Storer].
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	at, name, err := p.place(ref.Path)
	if err != nil {
		return err
	}
	if err := resolve.CheckValue(secret); err != nil {
		return err
	}
	call := rest.Call{Method: http.MethodPatch, Path: oldPath + "/" + url.PathEscape(name), Body: map[string]string{
		"workspaceId": at.project, "environment": at.environment, "secretPath": at.path,
		"type": "shared", "secretValue": secret.Reveal(),
	}}
	var body struct {
		Approval any `json:"approval"`
	}
	err = p.ask(ctx, call, &body)
	if resolve.ClassOf(err) == resolve.NotFound {
		call.Method = http.MethodPost
		err = p.ask(ctx, call, &body)
	}
	if err == nil && body.Approval != nil {
		err = resolve.Errorf(resolve.Denied, "the change waits for someone's approval")
	}
	return err
}

// List implements [resolve.Lister], for the folder that the settings say.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	at := p.own()
	if err := at.check(); err != nil {
		return nil, err
	}
	c, err := p.contents(ctx, at, false)
	var names []string
	for _, s := range c.all() {
		if name.MatchString(s.Key) {
			names = append(names, s.Key)
		}
	}
	slices.Sort(names)
	return names, err
}

// Probe implements [resolve.Prober]. Where the settings say a folder it is looked at,
// without values; else what any token may be asked for.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: p.address}
	s, err := p.session.Get(ctx, p.begin)
	if err != nil {
		return standing, p.mend(err)
	}
	standing.As, standing.Credential, standing.Plain = s.as, s.lies, s.plain
	standing.Asked, err = p.tried(ctx)
	return standing, err
}
