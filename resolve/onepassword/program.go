package onepassword

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

const maxOutput = 4 << 20

// program asks through op.
type program struct {
	*tool.Runner
	name    string
	account string
	setup   resolve.Setup
}

// run runs op once, and again while 1Password is throttled. The words that op was
// given say nothing about what went wrong when it repeats them.
func (p *program) run(ctx context.Context, stdin []byte, words []string, args ...string) ([]byte, error) {
	found, err := p.Find(p.name)
	if err != nil {
		return nil, err
	}
	args = append(args, "--no-color")
	if p.account != "" {
		args = append(args, "--account="+p.account)
	}
	var stdout []byte
	err = ask.Again(ctx, func() error {
		out, err := p.Run(ctx, found, tool.Call{Args: args, Stdin: stdin, Most: maxOutput})
		if err == nil && !out.State.Success() {
			err = failure(out, words)
		}
		stdout = out.Stdout
		return err
	})
	return stdout, ask.Hint(err, p.hints())
}

func (p *program) hints() map[resolve.Class]string {
	signIn := "op signin"
	if p.account != "" {
		signIn += " --account " + p.account
	}
	if signIn = ask.Without(p.setup, signIn, "OP_SERVICE_ACCOUNT_TOKEN"); strings.HasPrefix(p.variable(), "environment OP_SESSION_") {
		signIn = `eval "$(` + signIn + `)"` // which sets the variable anew
	}
	return map[resolve.Class]string{resolve.NotLoggedIn: signIn, resolve.Expired: signIn, resolve.Locked: signIn, resolve.PromptNeeded: signIn}
}

// phrases are what op writes besides what package tool knows of it, in lower case.
var phrases = []struct {
	text  string
	class resolve.Class
}{
	{"session expired", resolve.Expired},
	{"token has expired", resolve.Expired},
	{"no accounts configured", resolve.NotLoggedIn},
	{"not currently signed in", resolve.NotLoggedIn},
	{"(401) (unauthorized)", resolve.NotLoggedIn},
	{"invalid service account token", resolve.NotLoggedIn},
	{"authorization prompt dismissed", resolve.PromptNeeded},
	{"authorization timeout", resolve.PromptNeeded},
	{"app is locked", resolve.Locked},
	{"connecting to desktop app", resolve.Locked},
	{"rate limit", resolve.Throttled},
	{"(429)", resolve.Throttled},
	{"(403) (forbidden)", resolve.Denied},
	{"more than one", resolve.Ambiguous},
	{"isn't a vault", resolve.NotFound},
	{"isn't a field", resolve.NotFound},
	{"could not be found", resolve.NotFound},
	{"could not find", resolve.NotFound},
	{"does not have a field", resolve.NotFound},
	{"not found in item", resolve.NotFound},
}

// failure returns the error for an op that failed. An item called "not signed in",
// which op quotes, does not sign anybody out.
func failure(out tool.Outcome, words []string) error {
	text := strings.ToLower(string(out.Stderr))
	for _, w := range words {
		w = strings.ToLower(w)
		text = strings.NewReplacer(`"`+w+`"`, `""`, `'`+w+`'`, `''`).Replace(text)
	}
	for _, p := range phrases {
		if strings.Contains(text, p.text) {
			return &resolve.Error{Class: p.class}
		}
	}
	out.Stderr = []byte(text)
	return out.Err()
}

// fetch asks for all by one op. That fails as a whole if one of the references is bad,
// and then each is asked for by an op of its own.
func (p *program) fetch(ctx context.Context, refs []reference) []resolve.Result {
	if len(refs) > 1 {
		results, err := p.batch(ctx, refs)
		if err == nil {
			return results
		}
		if !mixed(ctx, err) {
			return resolve.Fail(len(refs), err)
		}
	}
	asked := make([]resolve.Ref, len(refs))
	by := map[string]reference{}
	for i, r := range refs {
		asked[i].Path = r.String()
		by[asked[i].Path] = r
	}
	return ask.Each(ctx, asked, parallel, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		results, err := p.inject(ctx, []reference{by[ref.Path]})
		if err != nil {
			return resolve.Secret{}, err
		}
		return results[0].Secret, results[0].Err
	})
}

// batch asks for all references at once. The app may ask a human then, which a token and a
// session do not.
func (p *program) batch(ctx context.Context, refs []reference) ([]resolve.Result, error) {
	if p.variable() == "" {
		end, err := ask.Turn(ctx)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	return p.inject(ctx, refs)
}

// mixed reports whether a batch may have failed for some of its references alone.
func mixed(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch resolve.ClassOf(err) {
	case resolve.NotFound, resolve.Ambiguous, resolve.Denied, "":
		return true
	}
	return false
}

// words are what op repeats of a reference in its messages.
func (r reference) words() []string {
	return []string{r.String(), r.vault, r.item, r.section, r.field, r.vault + "/" + r.item}
}

func value(out []byte) (resolve.Secret, error) {
	if len(out) == 0 {
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the field is empty")
	}
	if !utf8.Valid(out) {
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "op printed what is not UTF-8")
	}
	return resolve.NewSecret(string(out)), nil
}

// inject asks for references by one op. It is asked so for a single one too, and not by
// op read, of which one cannot tell the value from what else op may print.
func (p *program) inject(ctx context.Context, refs []reference) ([]resolve.Result, error) {
	seam := rand.Text() // no value can have it, for values are older
	var template strings.Builder
	var words []string
	for i, r := range refs {
		fmt.Fprintf(&template, "<%s %d>{{ %s }}", seam, i, r)
		words = append(words, r.words()...)
	}
	fmt.Fprintf(&template, "<%s %d>", seam, len(refs))
	out, err := p.run(ctx, []byte(template.String()), words, "inject")
	if err != nil {
		return nil, err
	}
	return cut(out, seam, len(refs))
}

// cut takes the values from what became of the template. What stands before or behind
// it is none of it.
func cut(out []byte, seam string, n int) ([]resolve.Result, error) {
	rest, ok := bytes.CutPrefix(out, fmt.Appendf(nil, "<%s 0>", seam))
	results := make([]resolve.Result, n)
	for i := range results {
		var text []byte
		if ok {
			text, rest, ok = bytes.Cut(rest, fmt.Appendf(nil, "<%s %d>", seam, i+1))
		}
		results[i].Secret, results[i].Err = value(text)
	}
	if !ok || len(bytes.TrimRight(rest, "\r\n")) > 0 {
		return nil, resolve.Errorf(resolve.Malformed, "op printed something else than the values")
	}
	return results, nil
}

// json runs op and reads what it prints, one document of UTF-8.
func (p *program) json(ctx context.Context, v any, words []string, args ...string) error {
	out, err := p.run(ctx, nil, words, append(args, "--format=json")...)
	if err != nil {
		return err
	}
	if !utf8.Valid(out) || json.Unmarshal(out, v) != nil {
		return resolve.Errorf(resolve.Malformed, "op printed something else than JSON")
	}
	return nil
}

func (p *program) list(ctx context.Context) ([]summary, error) {
	var items []summary
	err := p.json(ctx, &items, nil, "item", "list")
	return items, err
}

// probe asks op for what it knows without the 1Password app, and the store only where
// a token or a session answers for the human.
func (p *program) probe(ctx context.Context) (resolve.Standing, error) {
	found, err := p.Find(p.name)
	if err != nil {
		return resolve.Standing{}, err
	}
	standing := resolve.Standing{Through: found.Path, Credential: p.variable(), Plain: true}
	if standing.Credential == "" {
		standing.Credential, standing.Plain = "1Password app", false
	}
	if standing.Credential != "environment OP_SERVICE_ACCOUNT_TOKEN" {
		if standing.As, err = p.whoever(ctx); err != nil {
			return standing, err
		}
	}
	if standing.Plain {
		err = p.json(ctx, &[]struct{}{}, nil, "vault", "list")
		standing.Asked = err == nil
	}
	return standing, err
}

// variable names the variable that op signs in with, if there is one.
func (p *program) variable() string {
	if p.setup.Getenv("OP_SERVICE_ACCOUNT_TOKEN") != "" {
		return "environment OP_SERVICE_ACCOUNT_TOKEN"
	}
	for _, entry := range p.setup.Env {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OP_SESSION_") && value != "" {
			return "environment " + name
		}
	}
	return ""
}

// whoever returns the account that op would ask.
func (p *program) whoever(ctx context.Context) (string, error) {
	var accounts []struct {
		URL   string `json:"url"`
		Email string `json:"email"`
		User  string `json:"user_uuid"`
		ID    string `json:"account_uuid"`
	}
	if err := p.json(ctx, &accounts, nil, "account", "list"); err != nil {
		return "", err
	}
	want := p.setup.Setting("account", "OP_ACCOUNT")
	for _, a := range accounts {
		host, _, _ := strings.Cut(a.URL, ".")
		switch {
		case want == "" && len(accounts) > 1:
			return "", nil // the last that was used, which op does not tell
		case want == "", named(want, a.URL, a.Email, a.User, a.ID, host):
			return a.Email, nil
		}
	}
	return "", resolve.Hinted(resolve.NotLoggedIn, "op account add", "op knows no such account")
}
