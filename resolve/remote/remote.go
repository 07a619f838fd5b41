// Package remote asks stores through another program: kz-fetch, which has the
// libraries that kz does without, or a plug-in of the user's. What they say to
// each other is package protocol.
package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/protocol"
	"github.com/getkeyzero/kz/resolve"
)

// A Fetcher runs one program, once for all the stores that are asked at a time.
type Fetcher struct {
	alone  bool
	runner *tool.Runner
	find   func() (tool.Program, error)
	avoid  []string

	surroundings func() string
	tell         func(provider, text string)
}

// Options say which program to run.
type Options struct {
	// Programs are the absolute paths at which it may be; the first that exists counts.
	Programs []string
	tool.Options
	// Alone keeps the program from asking at the terminal: see [tool.Call].
	Alone bool
	// Tell, if not nil, is told what a store waits for. The text is of its making.
	Tell func(provider, text string)
}

// New returns the Fetcher of o. It looks for no program yet.
func New(o Options) (*Fetcher, error) {
	o.Pass = append(slices.Clone(o.Pass), passed...)
	runner, err := tool.New(o.Options)
	if err != nil {
		return nil, err
	}
	f := &Fetcher{alone: o.Alone, runner: runner, avoid: o.Avoid, tell: o.Tell}
	f.find = func() (tool.Program, error) { return find(runner, o.Programs) }
	f.surroundings = sync.OnceValue(func() string { // the same for all stores of the program
		program, _ := f.find()
		return runner.Surroundings(program.Path)
	})
	return f, nil
}

// passed are variables by which CI systems and platforms tell programs who they are,
// besides those that every store's program gets.
var passed = []string{
	"KUBERNETES_*", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET",
	"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GCE_METADATA_HOST", "GCLOUD_PROJECT", "CREDENTIALS_DIRECTORY",
}

// Beside returns where kz's helper of the name is looked for: beside the program
// that was called, beside the file that it really is, and in ../libexec/kz of each.
func Beside(self, name string) []string {
	paths := []string{self}
	if real, err := os.Executable(); err == nil {
		paths = append(paths, real)
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		paths = append(paths, real)
	}
	var list []string
	for _, p := range paths {
		dir := filepath.Dir(p)
		for _, at := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "kz", name)} {
			if !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	return list
}

func find(runner *tool.Runner, programs []string) (tool.Program, error) {
	for _, path := range programs {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		return runner.Find(path)
	}
	name := filepath.Base(programs[0])
	return tool.Program{}, resolve.Hinted(resolve.NoTool, installs[name], "%s is not installed beside kz", name)
}

// installs are the commands, in kz's own folder, that install its helpers.
var installs = map[string]string{"kz-fetch": "./install.sh", "kz-fetch-sops": "./install.sh --sops"}

// Close ends what is under way.
func (f *Fetcher) Close() { f.runner.Close() }

// plugin is the type of stores that a program of the user's asks.
const plugin = "plugin"

// A Provider is one store that is asked through a Fetcher.
type Provider struct {
	fetcher  *Fetcher
	name     string
	typ      string
	settings map[string]string
}

// Provider returns the store of the name and the type.
func (f *Fetcher) Provider(name, typ string, settings map[string]string) *Provider {
	return &Provider{f, name, typ, settings}
}

// A Writable is a Provider whose store can also be written to.
type Writable struct{ *Provider }

func (p *Provider) self() *Provider { return p }

// Pool implements [resolve.Pooled].
func (p *Provider) Pool() resolve.Pool { return p.fetcher }

// Close ends what its Fetcher does, for all of the Fetcher's stores.
func (p *Provider) Close() { p.fetcher.Close() }

// Fetch implements [resolve.Provider].
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	return p.fetcher.Fetch(ctx, []resolve.Batch{{Provider: p, Refs: refs}})[0]
}

// Fetch implements [resolve.Pool] for batches of its own Providers.
func (f *Fetcher) Fetch(ctx context.Context, batches []resolve.Batch) [][]resolve.Result {
	var asked []protocol.Provider
	for _, b := range batches {
		asked = append(asked, b.Provider.(interface{ self() *Provider }).self().ask(b.Refs))
	}
	results := make([][]resolve.Result, len(batches))
	answers, err := f.run(ctx, protocol.Fetch, asked)
	for i, b := range batches {
		results[i] = resolve.Fail(len(b.Refs), err)
		if err == nil {
			results[i] = opened(answers[i], len(b.Refs))
		}
	}
	return results
}

func (p *Provider) ask(refs []resolve.Ref) protocol.Provider {
	asked := protocol.Provider{Name: p.name, Type: p.typ, Settings: maps.Clone(p.settings)}
	if p.typ == plugin {
		delete(asked.Settings, "program") // which is the one that reads this
	}
	for _, r := range refs {
		asked.Refs = append(asked.Refs, protocol.Ref{Ref: r.Path, Dir: r.Dir})
	}
	return asked
}

// opened returns the results in the answer of a store that was asked for n values.
func opened(a protocol.Answer, n int) []resolve.Result {
	if a.Error != nil {
		return resolve.Fail(n, a.Error.Err())
	}
	results := make([]resolve.Result, n)
	for i, r := range a.Results {
		if results[i].Err = r.Error.Err(); r.Error == nil {
			results[i].Secret, results[i].Err = value(r.Value)
		}
	}
	return results
}

func value(v *protocol.Value) (resolve.Secret, error) {
	secret, err := v.Secret()
	if err != nil {
		err = resolve.Errorf(resolve.Malformed, "the value in the answer is not in its form")
	}
	return secret, err
}

// Store implements [resolve.Storer].
func (p Writable) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	asked := p.ask([]resolve.Ref{ref})
	asked.Value = protocol.NewValue(secret)
	a, err := p.run(ctx, protocol.Store, asked)
	if err != nil {
		return err
	}
	return a.Results[0].Error.Err()
}

// Probe implements [resolve.Prober].
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	a, err := p.run(ctx, protocol.Probe, p.ask(nil))
	if a.Status == nil { // which may stand beside an error
		return resolve.Standing{}, err
	}
	return resolve.Standing(*a.Status), err
}

// List implements [resolve.Lister].
func (p *Provider) List(ctx context.Context) ([]string, error) {
	a, err := p.run(ctx, protocol.List, p.ask(nil))
	return a.Items, err
}

// Find returns of the types of stores those for which this machine has something, with
// a few words on what that is. Nothing is asked of a store.
func (f *Fetcher) Find(ctx context.Context, types []string) (map[string]string, error) {
	var asked []protocol.Provider
	for _, t := range types {
		asked = append(asked, protocol.Provider{Name: t, Type: t})
	}
	answers, err := f.run(ctx, protocol.Find, asked)
	found := map[string]string{}
	for _, a := range answers {
		if a.Error == nil && a.Status.Through != "" {
			found[a.Name] = a.Status.Through
		}
	}
	return found, err
}

func (p *Provider) run(ctx context.Context, op string, asked protocol.Provider) (protocol.Answer, error) {
	answers, err := p.fetcher.run(ctx, op, []protocol.Provider{asked})
	if err != nil {
		return protocol.Answer{}, err
	}
	return answers[0], answers[0].Error.Err()
}

// unbounded is how long the program has if nobody waits for it with a deadline.
const unbounded = 5 * time.Minute

// margin is how much of the time is for the program's end.
const margin = 250 * time.Millisecond

// run gives the program one request and returns what it answers for each store. Its
// deadline is a little before ctx's, so that what it has by then still arrives.
func (f *Fetcher) run(ctx context.Context, op string, asked []protocol.Provider) ([]protocol.Answer, error) {
	program, err := f.find()
	if err != nil {
		return nil, err
	}
	q := protocol.Request{Protocol: protocol.Version, Op: op, Deadline: deadline(ctx).UnixMilli(), Avoid: f.avoid, Providers: asked}
	request, err := json.Marshal(q)
	if err != nil || len(request) > protocol.MaxRequest {
		return nil, resolve.Errorf(resolve.Malformed, "the request is too large")
	}
	call := tool.Call{Stdin: request, Most: protocol.MaxResponse, Events: f.events, Alone: f.alone}
	out, err := f.runner.Run(ctx, program, call)
	if err != nil {
		return nil, err
	}
	if !out.State.Success() {
		return nil, fmt.Errorf("%s ended with %v", filepath.Base(program.Path), out.State)
	}
	response, err := protocol.ParseResponse(out.Stdout, q)
	if err != nil {
		return nil, resolve.Errorf(resolve.Malformed, "%s: %v", filepath.Base(program.Path), err)
	}
	return response.Providers, nil
}

func deadline(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now().Add(unbounded)
	}
	return deadline.Add(-min(time.Until(deadline)/5, margin))
}

// events passes on what the program tells while it works. It reads to the end, so
// that the program is never held up.
func (f *Fetcher) events(r *os.File) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var e protocol.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Text != "" && f.tell != nil {
			f.tell(e.Provider, e.Text)
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line that is too long
}

// Surroundings returns a digest of what the store's answers depend on besides the
// configuration: who the user is there, as the environment says.
func (p *Provider) Surroundings() string {
	return p.fetcher.surroundings()
}
