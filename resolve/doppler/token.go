package doppler

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

const (
	ownFile  = ".doppler/.doppler.yaml" // of Doppler's program, below the home directory
	shown    = "~/" + ownFile
	inRing   = "secret-"     // begins a token that is only the name of one in the keyring
	ringName = "doppler-cli" // service of those
)

// Present says what of Doppler is found on this machine.
func Present(s resolve.Setup) string {
	if s.Getenv("DOPPLER_TOKEN") != "" {
		return "environment DOPPLER_TOKEN"
	}
	if home := s.Home(); home != "" {
		if info, err := os.Stat(filepath.Join(home, ownFile)); err == nil && info.Mode().IsRegular() {
			return shown
		}
	}
	return ""
}

// hints are for the place where the token lies. The token of a file that the settings
// name is another's to renew.
func (p *Provider) hints() map[resolve.Class]string {
	if p.setup.Getenv("DOPPLER_TOKEN") == "" && p.setup.Settings["token_file"] != "" {
		return nil
	}
	login := "doppler login"
	if p.address != defaultAddress && ask.Plain(p.address) {
		login += " --api-host " + p.address
	}
	return ask.SignIn(ask.Without(p.setup, login, "DOPPLER_TOKEN"))
}

// A credential is a token and where it lies.
type credential struct {
	token, lies string
	plain       bool
}

// A finder finds the places of references. It reads each file and asks the keyring for
// each token once.
type finder struct {
	*Provider
	ctx    context.Context
	own    *scopes
	tokens map[string]found
}

type found struct {
	credential
	err error
}

func (p *Provider) finder(ctx context.Context) *finder {
	return &finder{Provider: p, ctx: ctx, tokens: map[string]found{}}
}

// place returns what a reference means, and by which token it is asked.
func (f *finder) place(ref resolve.Ref) (place, string, error) {
	project, config, name, err := parse(ref.Path)
	if err != nil {
		return place{}, "", err
	}
	c, err := f.credential(ref.Dir)
	if err != nil {
		return place{}, "", err
	}
	if project == "" {
		scope := f.scope(ref.Dir)
		project = first(f.setup.Setting("project", "DOPPLER_PROJECT"), scope.Project, scope.OldProject)
		config = first(f.setup.Setting("config", "DOPPLER_CONFIG"), scope.Config, scope.OldConfig)
	}
	at := place{project, config, c.token}
	switch implied := strings.HasPrefix(c.token, "dp.st."); {
	case project == "" && config == "" && implied:
	case !isSlug(project) || !isSlug(config):
		return place{}, "", errNoPlace
	}
	return at, name, nil
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// credential returns the token for what lies in a directory.
func (f *finder) credential(dir string) (credential, error) {
	if token := f.setup.Getenv("DOPPLER_TOKEN"); token != "" {
		return checked(credential{token, "environment DOPPLER_TOKEN", true}, nil)
	}
	key := f.setup.Settings["token_file"]
	if key == "" {
		key = f.scope(dir).Token
	}
	got, ok := f.tokens[key]
	if !ok {
		got.credential, got.err = f.read(dir)
		got.err = ask.Hint(got.err, f.hints())
		f.tokens[key] = got
	}
	return got.credential, got.err
}

func (f *finder) read(dir string) (credential, error) {
	if file := f.setup.Settings["token_file"]; file != "" {
		token, err := rest.ReadToken(file, file)
		return credential{token, "file " + file, true}, err
	}
	scope := f.scope(dir)
	switch {
	case f.own.err != nil:
		return credential{}, f.own.err
	case scope.Token == "":
		return credential{}, resolve.Errorf(resolve.NotLoggedIn, "there is no token")
	case scope.Host != "" && !sameOrigin(scope.Host, f.address):
		return credential{}, resolve.Errorf(resolve.NotLoggedIn, "the token in %s is for another host", shown)
	case strings.HasPrefix(scope.Token, inRing):
		return checked(f.fromRing(scope.Token))
	}
	return checked(credential{scope.Token, "file " + shown, true}, nil)
}

func checked(c credential, err error) (credential, error) {
	if err == nil && !rest.IsToken(c.token) {
		return credential{}, resolve.Errorf(resolve.Malformed, "what lies in %s is not a token", c.lies)
	}
	return c, err
}

// fromRing asks the system's keyring, which opens no prompt on Linux.
func (f *finder) fromRing(id string) (credential, error) {
	got := f.keyring.Fetch(f.ctx, []resolve.Ref{{Path: ringName + "/" + id}})[0]
	if resolve.ClassOf(got.Err) == resolve.NotFound {
		return credential{}, resolve.Errorf(resolve.NotLoggedIn, "the keychain does not have the token that %s names", shown)
	}
	return credential{got.Secret.Reveal(), "keychain", false}, got.Err
}

func sameOrigin(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Host, y.Host)
}

// A scope is what Doppler's program remembers for a directory and those below.
type scope struct {
	Token      string `yaml:"token"`
	Host       string `yaml:"api-host"`
	Project    string `yaml:"enclave.project"`
	Config     string `yaml:"enclave.config"`
	OldProject string `yaml:"project"`
	OldConfig  string `yaml:"config"`
}

type scopes struct {
	Scoped map[string]scope `yaml:"scoped"`
	err    error
}

// scope returns what holds in a directory: of each option, what the longest of the
// directories says that has it.
func (f *finder) scope(dir string) scope {
	if f.own == nil {
		f.own = readScopes(f.setup.Home())
	}
	var holds scope
	dirs := make([]string, 0, len(f.own.Scoped))
	for of := range f.own.Scoped {
		dirs = append(dirs, of)
	}
	slices.Sort(dirs) // so that of nested ones the longer comes later
	for _, of := range dirs {
		if within(dir, of) {
			holds = holds.under(f.own.Scoped[of])
		}
	}
	return holds
}

func (s scope) under(inner scope) scope {
	if inner.Token != "" { // with the host that it is for
		s.Token, s.Host = inner.Token, first(inner.Host, s.Host)
	}
	s.Project, s.Config = first(inner.Project, s.Project), first(inner.Config, s.Config)
	s.OldProject, s.OldConfig = first(inner.OldProject, s.OldProject), first(inner.OldConfig, s.OldConfig)
	return s
}

func within(dir, of string) bool {
	if of == "*" || of == "/" { // as the first versions wrote it, and as later ones do
		return true
	}
	of = strings.TrimSuffix(of, "/")
	return filepath.IsAbs(of) && (dir == of || strings.HasPrefix(dir, of+"/"))
}

func readScopes(home string) *scopes {
	var s scopes
	if home == "" {
		return &s
	}
	path := filepath.Join(home, ownFile)
	if _, err := os.Stat(path); err != nil {
		return &s
	}
	data, err := rest.ReadFile(path, shown)
	if err == nil && yaml.Unmarshal(data, &s) != nil { // whose error has parts of the file
		err = resolve.Errorf(resolve.Malformed, "%s: is not of its form", shown)
	}
	s.err = err
	return &s
}
