// Package doppler resolves references to secrets of Doppler.
//
// A reference is PROJECT/CONFIG/NAME, or NAME where the settings, the environment, the
// directory's scope in Doppler's own configuration or a service token say which config
// is meant. All secrets of one config are one request.
package doppler

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
)

const (
	defaultAddress = "https://api.doppler.com"
	secretsPath    = "/v3/configs/config/secrets"
	most           = 100 // names in one request, for the sake of its address's length
)

// A Provider asks Doppler.
type Provider struct {
	setup   resolve.Setup
	address string
	client  *rest.Client
	keyring resolve.Provider // where Doppler's own program keeps its tokens
}

// New returns the Provider that a setup describes.
func New(s resolve.Setup) (*Provider, error) {
	address := s.Setting("address", "DOPPLER_API_HOST")
	if address == "" {
		address = defaultAddress
	}
	client, err := rest.New(rest.Options{Address: address, CAFile: s.Settings["ca_file"]})
	if err != nil {
		return nil, err
	}
	return &Provider{s, address, client, keychain.New(s.Env)}, nil
}

// A place is a config of a project, and by which token it is asked. Project and config
// are empty where the token implies them.
type place struct{ project, config, token string }

func (p place) query() url.Values {
	q := url.Values{}
	if p.project != "" {
		q.Set("project", p.project)
	}
	if p.config != "" {
		q.Set("config", p.config)
	}
	return q
}

func (p place) header() map[string]string {
	return map[string]string{"Authorization": "Bearer " + p.token}
}

// How long they may be, the code says: to count, an expression takes as many states.
var (
	slug = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// parse returns the parts of a reference; project and config may be empty.
func parse(ref string) (project, config, secret string, err error) {
	parts := strings.Split(ref, "/")
	if len(parts) == 1 {
		parts = []string{"", "", ref}
	} else if len(parts) != 3 || !isSlug(parts[0]) || !isSlug(parts[1]) {
		return "", "", "", resolve.Errorf(resolve.Malformed, "want PROJECT/CONFIG/NAME or NAME")
	}
	if !name.MatchString(parts[2]) || len(parts[2]) > 200 {
		return "", "", "", resolve.Errorf(resolve.Malformed, "a secret's name has letters, digits and underscores")
	}
	return parts[0], parts[1], parts[2], nil
}

func isSlug(text string) bool {
	return len(text) <= 100 && slug.MatchString(text) && !strings.Contains(text, "..")
}

// Fetch implements [resolve.Provider].
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	names := make([]string, len(refs))
	found := p.finder(ctx)
	of, count := map[part][]int{}, map[place]int{}
	for i, ref := range refs {
		var at place
		if at, names[i], results[i].Err = found.place(ref); results[i].Err == nil {
			key := part{at, count[at] / most}
			of[key] = append(of[key], i)
			count[at]++
		}
	}
	rest.Groups(results, of, func(key part, of []int) { p.fetch(ctx, key.place, names, of, results) })
	return results
}

// A part of a place is what one request asks for.
type part struct {
	place
	number int
}

// fetch fills in the results with the numbers of, which are of one place.
func (p *Provider) fetch(ctx context.Context, at place, names []string, of []int, results []resolve.Result) {
	wanted := make([]string, len(of))
	for i, n := range of {
		wanted[i] = names[n]
	}
	slices.Sort(wanted)
	values, err := p.values(ctx, at, slices.Compact(wanted))
	for _, n := range of {
		results[n] = resolve.Result{Err: err}
		if err == nil {
			results[n].Secret, results[n].Err = values.find(names[n])
		}
	}
}

// values are the secrets of an answer. One without a value is one that may not be read.
type values map[string]*struct {
	Computed *string `json:"computed"`
}

func (v values) find(name string) (resolve.Secret, error) {
	value, ok := v[name]
	switch {
	case !ok || value == nil:
		return resolve.Secret{}, &resolve.Error{Class: resolve.NotFound}
	case value.Computed == nil:
		return resolve.Secret{}, resolve.Errorf(resolve.Denied, "the secret is restricted, and its value is not shown to this token")
	}
	return resolve.NewSecret(*value.Computed), nil
}

func (p *Provider) values(ctx context.Context, at place, names []string) (values, error) {
	query := at.query()
	query.Set("secrets", strings.Join(names, ","))
	query.Set("include_dynamic_secrets", "false") // which would be made for the asking
	var body struct {
		Secrets values `json:"secrets"`
	}
	err := p.ask(ctx, rest.Call{Path: secretsPath, Query: query, Header: at.header()}, &body)
	if err == nil && body.Secrets == nil {
		err = resolve.Errorf(resolve.Malformed, "the store's answer has no secrets")
	}
	return body.Secrets, err
}

// ask sends a call and reads the answer's JSON into v, or returns an error of what the
// answer says.
func (p *Provider) ask(ctx context.Context, call rest.Call, v any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	answer, err := p.client.Do(ctx, call)
	if err != nil {
		return err
	}
	if err := failure(answer); err != nil {
		return ask.Hint(err, p.hints())
	}
	return answer.JSON(v)
}

// failure gives what Doppler refuses its class. Its words are looked at, and not passed on.
func failure(answer rest.Answer) error {
	var body struct {
		Messages []string `json:"messages"`
	}
	said := ""
	if answer.Status >= 400 && answer.JSON(&body) == nil {
		said = strings.ToLower(strings.Join(body.Messages, "\n"))
	}
	switch {
	case answer.Status == http.StatusUnauthorized && strings.Contains(said, "expired"):
		return &resolve.Error{Class: resolve.Expired}
	case answer.Status == http.StatusUnauthorized:
		return resolve.Errorf(resolve.NotLoggedIn, "the token is not valid")
	case answer.Status == http.StatusForbidden:
		return resolve.Errorf(resolve.Denied, "the token may not read this project and config")
	case answer.Status == http.StatusNotFound:
		return resolve.Errorf(resolve.NotFound, "no such project or config")
	case answer.Status == http.StatusBadRequest && strings.Contains(said, "project"):
		return errNoPlace
	}
	return answer.Err()
}

var errNoPlace = resolve.Errorf(resolve.Malformed, "which project and config is meant is not said")

// Store implements [resolve.Storer].
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	at, name, err := p.finder(ctx).place(ref)
	if err != nil {
		return err
	}
	if err := resolve.CheckValue(secret); err != nil {
		return err
	}
	body := map[string]any{"secrets": map[string]string{name: secret.Reveal()}}
	for key, value := range at.query() {
		body[key] = value[0]
	}
	return p.ask(ctx, rest.Call{Method: http.MethodPost, Path: secretsPath, Header: at.header(), Body: body}, &struct{}{})
}

// List implements [resolve.Lister], for the config that the settings or the token say.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	at, _, err := p.finder(ctx).place(resolve.Ref{Path: "NAME"})
	if err != nil {
		return nil, err
	}
	var body struct {
		Names []string `json:"names"`
	}
	if err := p.ask(ctx, rest.Call{Path: secretsPath + "/names", Query: at.query(), Header: at.header()}, &body); err != nil {
		return nil, err
	}
	// Doppler adds these itself, to say which config it is.
	own := []string{"DOPPLER_PROJECT", "DOPPLER_ENVIRONMENT", "DOPPLER_CONFIG"}
	names := slices.DeleteFunc(body.Names, func(n string) bool { return !name.MatchString(n) || slices.Contains(own, n) })
	slices.Sort(names)
	return names, nil
}

// Probe implements [resolve.Prober]: Doppler says to whom the token belongs.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: p.address}
	c, err := p.finder(ctx).credential("")
	if err != nil {
		return standing, err
	}
	standing.Credential, standing.Plain = c.lies, c.plain
	var me struct {
		Type      string `json:"type"`
		Workplace struct {
			Name string `json:"name"`
		} `json:"workplace"`
	}
	err = p.ask(ctx, rest.Call{Path: "/v3/me", Header: place{token: c.token}.header()}, &me)
	standing.Asked = err == nil
	standing.As = rest.Shown(strings.TrimSpace(me.Workplace.Name + " " + strings.ReplaceAll(me.Type, "_", " ")))
	return standing, err
}
