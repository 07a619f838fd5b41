// Package gcp resolves references to secrets of Google Cloud's Secret Manager.
//
// A reference is projects/P/secrets/S or, of the settings' project, S; either may end in
// /versions/V, and is the latest version if not. The store has no batches: each version is
// one request, several at a time, whatever number of references is to it.
package gcp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	defaultAddress = "https://secretmanager.googleapis.com"
	login          = "gcloud auth application-default login"
	pages          = 100 // that List reads at most
)

// A Provider asks Secret Manager.
type Provider struct {
	setup    resolve.Setup
	address  string
	found    func() (credentials, error) // the default ones, read once
	metadata string                      // where a machine of Google's has its metadata service
	iam      string                      // who makes tokens for one who acts as another
	session  rest.Session[session]

	mu      sync.Mutex
	clients map[string]*rest.Client // by address
}

// New returns the Provider that a setup describes.
func New(s resolve.Setup) (*Provider, error) {
	p := &Provider{setup: s, address: s.Settings["address"], metadata: "169.254.169.254", iam: iamAddress, clients: map[string]*rest.Client{}}
	p.found = sync.OnceValues(p.find)
	_, err := p.client("")
	return p, err
}

// client returns the one for a location, whose name is a label. An address that the
// settings have is for all locations.
func (p *Provider) client(location string) (*rest.Client, error) {
	address := p.address
	switch {
	case address == "" && location == "":
		address = defaultAddress
	case address == "":
		address = "https://secretmanager." + location + ".rep.googleapis.com"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clients[address]; c != nil {
		return c, nil
	}
	c, err := rest.New(rest.Options{Address: address, CAFile: p.setup.Settings["ca_file"]})
	if err == nil {
		p.clients[address] = c
	}
	return c, err
}

// A version is what a reference means.
type version struct{ project, location, secret, number string }

// parent is what the secret is a part of.
func (v version) parent() string {
	path := "/v1/projects/" + url.PathEscape(v.project)
	if v.location != "" {
		path += "/locations/" + v.location
	}
	return path
}

func (v version) path() string { return v.parent() + "/secrets/" + v.secret }

var (
	reference  = regexp.MustCompile(`^(?:projects/([^/]+)/(?:locations/([a-z0-9-]+)/)?secrets/)?([A-Za-z0-9_-]+)(?:(?:/versions/|\?version=)([A-Za-z0-9_-]+))?$`)
	projectID  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:._-]*$`)
	wantedForm = "want projects/PROJECT/secrets/SECRET or SECRET, with or without /versions/VERSION"
)

func (p *Provider) parse(ref string) (version, error) {
	parts := reference.FindStringSubmatch(ref)
	if parts == nil || strings.HasPrefix(ref, "-") {
		return version{}, resolve.Errorf(resolve.Malformed, "%s", wantedForm)
	}
	v := version{parts[1], parts[2], parts[3], parts[4]}
	if len(v.location) > 40 || len(v.secret) > 255 || len(v.number) > 63 { // which the expression would take long to count
		return version{}, resolve.Errorf(resolve.Malformed, "%s", wantedForm)
	}
	if v.project == "" {
		v.project = p.project()
	}
	if v.number == "" {
		v.number = "latest"
	}
	return v, v.check()
}

func (v version) check() error {
	if len(v.project) > 100 || !projectID.MatchString(v.project) || strings.Contains(v.project, "..") {
		return resolve.Errorf(resolve.Malformed, "which project is meant is not said")
	}
	return nil
}

// project is the one of references that name none.
func (p *Provider) project() string {
	if project := p.setup.Setting("project", "GOOGLE_CLOUD_PROJECT"); project != "" {
		return project
	}
	c, err := p.found()
	if err != nil {
		return ""
	}
	if c.Quota != "" {
		return c.Quota
	}
	return c.Project
}

// Fetch implements [resolve.Provider].
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	of := map[version][]int{}
	for i, ref := range refs {
		var v version
		if v, results[i].Err = p.parse(ref.Path); results[i].Err == nil {
			of[v] = append(of[v], i)
		}
	}
	rest.Groups(results, of, func(v version, of []int) {
		secret, err := p.access(ctx, v)
		for _, i := range of {
			results[i] = resolve.Result{Secret: secret, Err: err}
		}
	})
	return results
}

func (p *Provider) access(ctx context.Context, v version) (resolve.Secret, error) {
	var body struct {
		Name    string `json:"name"`
		Payload *struct {
			Data  []byte `json:"data"`
			Check string `json:"dataCrc32c"`
		} `json:"payload"`
	}
	err := p.ask(ctx, v, rest.Call{Path: v.path() + "/versions/" + v.number + ":access"}, &body)
	switch {
	case err != nil:
		return resolve.Secret{}, err
	case body.Payload == nil || !v.is(body.Name):
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the store's answer is for another secret")
	case body.Payload.Check != "" && body.Payload.Check != checksum(body.Payload.Data):
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the value does not fit its checksum")
	}
	return resolve.NewSecret(string(body.Payload.Data)), nil
}

// is reports whether the name that an answer has can be the version's. Its project is a
// number there, and of latest and of aliases the number is not known.
func (v version) is(name string) bool {
	_, of, ok := strings.Cut(name, "/secrets/")
	secret, number, _ := strings.Cut(of, "/versions/")
	_, err := strconv.ParseUint(v.number, 10, 64)
	return ok && secret == v.secret && (err != nil || number == v.number)
}

func checksum(data []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10)
}

// ask signs in, sends a call about v and reads the answer into body.
func (p *Provider) ask(ctx context.Context, v version, call rest.Call, body any) error {
	s, err := p.session.Get(ctx, p.begin)
	if err != nil {
		return p.mend(err)
	}
	client, err := p.client(v.location)
	if err != nil {
		return err
	}
	call.Header = map[string]string{"Authorization": "Bearer " + s.token}
	if s.quota != "" {
		call.Header["X-Goog-User-Project"] = s.quota
	}
	answer, err := client.Do(ctx, call)
	if err != nil {
		return err
	}
	if err := failure(answer); err != nil {
		return p.mend(err)
	}
	return answer.JSON(body)
}

// failure gives what Google refuses its class. Its words are looked at, and not passed on.
func failure(answer rest.Answer) error {
	var body struct {
		Error struct {
			Status  string `json:"status"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	if answer.Status < 400 || answer.JSON(&body) != nil {
		return answer.Err()
	}
	for _, d := range body.Error.Details {
		switch d.Reason {
		case "SERVICE_DISABLED":
			return resolve.Hinted(resolve.Denied, "gcloud services enable secretmanager.googleapis.com", "the project has no Secret Manager switched on")
		case "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
			return resolve.Hinted(resolve.Denied, login, "the token is not for Secret Manager")
		}
	}
	switch {
	case body.Error.Status == "FAILED_PRECONDITION":
		return resolve.Errorf(resolve.NotFound, "the version is disabled or destroyed")
	case answer.Status == http.StatusUnauthorized:
		return resolve.Hinted(resolve.NotLoggedIn, login, "the token is not valid")
	}
	return answer.Err()
}

// Store implements [resolve.Storer]: the value becomes a new version, of a new secret
// where there is none.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	v, err := p.parse(ref.Path)
	if err != nil {
		return err
	}
	if v.number != "latest" {
		return resolve.Errorf(resolve.Malformed, "only the latest version can be written")
	}
	if err := resolve.CheckValue(secret); err != nil {
		return err
	}
	data := []byte(secret.Reveal())
	add := rest.Call{Method: http.MethodPost, Path: v.path() + ":addVersion", Body: map[string]any{
		"payload": map[string]string{"data": base64.StdEncoding.EncodeToString(data), "dataCrc32c": checksum(data)},
	}}
	err = p.ask(ctx, v, add, &json.RawMessage{})
	if resolve.ClassOf(err) != resolve.NotFound {
		return err
	}
	if err := p.create(ctx, v); err != nil {
		return err
	}
	return p.ask(ctx, v, add, &json.RawMessage{})
}

func (p *Provider) create(ctx context.Context, v version) error {
	body := map[string]any{}
	if v.location == "" { // a location's secrets are there and nowhere else
		body["replication"] = map[string]any{"automatic": map[string]any{}}
	}
	return p.ask(ctx, v, rest.Call{
		Method: http.MethodPost, Path: v.parent() + "/secrets", Query: url.Values{"secretId": {v.secret}}, Body: body,
	}, &json.RawMessage{})
}

// List implements [resolve.Lister], for the project of references that name none.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	of := version{project: p.project()}
	if err := of.check(); err != nil {
		return nil, err
	}
	query := url.Values{"pageSize": {"1000"}}
	var names []string
	for range pages {
		var page struct {
			Secrets []struct {
				Name string `json:"name"`
			} `json:"secrets"`
			Next string `json:"nextPageToken"`
		}
		if err := p.ask(ctx, of, rest.Call{Path: of.parent() + "/secrets", Query: query}, &page); err != nil {
			return nil, err
		}
		for _, s := range page.Secrets {
			if _, name, ok := strings.Cut(s.Name, "/secrets/"); ok && reference.MatchString(name) {
				names = append(names, name)
			}
		}
		if page.Next == "" {
			return names, nil
		}
		query.Set("pageToken", page.Next)
	}
	return names, resolve.Errorf(resolve.Malformed, "the project has more than %d pages of secrets", pages)
}

// Probe implements [resolve.Prober]. Getting a token is all that it tries.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: p.address}
	if p.address == "" {
		standing.Through = defaultAddress
	}
	c, err := p.found()
	if err != nil {
		return standing, p.mend(err)
	}
	standing.Credential, standing.Plain, standing.As = c.lies, c.plain(), rest.Shown(c.as())
	_, err = p.session.Get(ctx, p.begin)
	standing.Asked = err == nil
	return standing, p.mend(err)
}
