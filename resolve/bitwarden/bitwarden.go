// Package bitwarden fetches secrets from Bitwarden: from Secrets Manager through
// bws, or from Password Manager through rbw, bw, or a bw serve on a unix socket.
//
// References to Password Manager are ITEM or ITEM#FIELD, where ITEM is an id or a
// name that only one item has. Those to Secrets Manager are an id, KEY or PROJECT/KEY.
package bitwarden

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

// A backend is one of the ways to Bitwarden.
type backend interface {
	// check returns an error if a reference is not of the form.
	check(ref string) error
	// fetch asks for distinct references that check accepted.
	fetch(ctx context.Context, refs []string) []resolve.Result
	store(ctx context.Context, ref string, secret resolve.Secret) error
	probe(ctx context.Context) (resolve.Standing, error)
	list(ctx context.Context) ([]string, error)
}

// A Provider asks Bitwarden.
type Provider struct {
	*tool.Runner
	way backend
}

// New returns the Provider of s. Of programs it only looks whether rbw is there.
func New(s resolve.Setup) (*Provider, error) {
	runner, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return nil, err
	}
	p := &Provider{Runner: runner}
	name := through(s, runner)
	c := cli{Runner: runner, setup: s, name: name}
	if program := s.Setting("program"); program != "" {
		c.name = program
	}
	switch {
	case name == "bws":
		p.way = secrets{c, s.Setting("project")}
	case name == "rbw":
		p.way = agent{c}
	case s.Setting("socket") != "":
		p.way, err = newServe(s.Setting("socket"))
	default:
		p.way = passwords{c}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// through returns the program to ask: who has a machine's token means Secrets
// Manager, and rbw has an agent, which bw lacks.
func through(s resolve.Setup, runner *tool.Runner) string {
	switch {
	case s.Setting("through") != "":
		return s.Setting("through")
	case s.Setting("socket") != "":
		return "bw"
	case s.Getenv("BWS_ACCESS_TOKEN") != "" || tokenFile(s):
		return "bws"
	}
	if _, err := runner.Find("rbw"); err == nil && s.Setting("program") == "" {
		return "rbw"
	}
	return "bw"
}

func configFile(s resolve.Setup) string { return filepath.Join(s.Home(), ".config/bws/config") }

// tokenFile reports whether the config of bws has a token. It is not kept.
func tokenFile(s resolve.Setup) bool {
	f, err := os.Open(configFile(s))
	if err != nil || s.Home() == "" {
		return false
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "access_token" && strings.Trim(value, "\"' \t\r\n") != "" {
			return true
		}
	}
	return false
}

// Fetch implements [resolve.Provider].
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	at := map[string]int{}
	var distinct []string
	for i, ref := range refs {
		if results[i].Err = p.check(ref); results[i].Err != nil {
			continue
		}
		if _, seen := at[ref.Path]; !seen {
			at[ref.Path] = len(distinct)
			distinct = append(distinct, ref.Path)
		}
	}
	if len(distinct) == 0 {
		return results
	}
	answers := p.way.fetch(ctx, distinct)
	for i, ref := range refs {
		if results[i].Err == nil {
			results[i] = answers[at[ref.Path]]
		}
	}
	return results
}

func (p *Provider) check(ref resolve.Ref) error {
	if !utf8.ValidString(ref.Path) || strings.ContainsFunc(ref.Path, unicode.IsControl) {
		return resolve.Errorf(resolve.Malformed, "the reference has control characters or is not UTF-8")
	}
	return p.way.check(ref.Path)
}

// Store implements [resolve.Storer], through bw alone: bws takes values as arguments,
// which every process may read, and rbw would replace an item's notes.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	if err := p.check(ref); err != nil {
		return err
	}
	return p.way.store(ctx, ref.Path, secret)
}

// Probe implements [resolve.Prober].
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) { return p.way.probe(ctx) }

// List implements [resolve.Lister].
func (p *Provider) List(ctx context.Context) ([]string, error) { return p.way.list(ctx) }

// Present says by what Bitwarden could be asked from here.
func Present(s resolve.Setup) string {
	runner, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return ""
	}
	name := through(s, runner)
	if name == "bw" && s.Setting("socket") != "" {
		return "bw serve at " + s.Setting("socket")
	}
	program := name
	if s.Setting("program") != "" {
		program = s.Setting("program")
	}
	found, err := runner.Find(program)
	if err != nil {
		return ""
	}
	return name + " at " + found.Path
}

const maxOutput = 16 << 20 // bw and bws print all that they have

// A cli is a program of Bitwarden's.
type cli struct {
	*tool.Runner
	setup resolve.Setup
	name  string
}

// run runs the program once, and again while Bitwarden is throttled. What it prints is
// returned even when it fails.
func (c cli) run(ctx context.Context, stdin []byte, hints map[resolve.Class]string, args ...string) ([]byte, error) {
	found, err := c.Find(c.name)
	if err != nil {
		return nil, err
	}
	var stdout []byte
	err = ask.Again(ctx, func() error {
		out, err := c.Run(ctx, found, tool.Call{Args: args, Stdin: stdin, Most: maxOutput})
		if err == nil && !out.State.Success() {
			err = failure(out, args)
		}
		stdout = out.Stdout
		return err
	})
	return stdout, ask.Hint(err, hints)
}

// phrases are what the programs write besides what package tool knows, in lower case.
var phrases = []struct {
	text  string
	class resolve.Class
}{
	{"session key is invalid", resolve.Expired},
	{"token has expired", resolve.Expired},
	{"no entry found", resolve.NotFound},                            // rbw
	{"multiple entries found", resolve.Ambiguous},                   // rbw
	{"failed to read password from pinentry", resolve.PromptNeeded}, // rbw
	{"agent is locked", resolve.Locked},                             // rbw
	{"please run `rbw", resolve.NotLoggedIn},                        // rbw
	{"access token is not in a valid format", resolve.NotLoggedIn},
	{"invalid_client", resolve.NotLoggedIn}, // bws, of a token that was revoked
	{"401 unauthorized", resolve.NotLoggedIn},
	{"403 forbidden", resolve.Denied},
	{"rate limit", resolve.Throttled},
	{"404 not found", resolve.NotFound},
	{"resource not found", resolve.NotFound},
	{"not found.", resolve.NotFound},
	{"error sending request", resolve.Unreachable}, // bws
	{"econnrefused", resolve.Unreachable},          // bw
	{"503 service unavailable", resolve.Unreachable},
	{"500 internal server error", resolve.Unreachable},
	{"502 bad gateway", resolve.Unreachable},
}

// classify returns the class that a program's words stand for, or "".
func classify(text []byte) resolve.Class {
	lower := strings.ToLower(string(text))
	for _, p := range phrases {
		if strings.Contains(lower, p.text) {
			return p.class
		}
	}
	return tool.Classify(text)
}

// failure returns the error for a program that failed. An argument that it quotes does
// not say why.
func failure(out tool.Outcome, args []string) error {
	for _, a := range args {
		for _, quote := range []string{`"`, "'", "`"} {
			out.Stderr = bytes.ReplaceAll(out.Stderr, []byte(quote+a+quote), nil)
		}
	}
	if class := classify(out.Stderr); class != "" {
		return &resolve.Error{Class: class}
	}
	return out.Err()
}
