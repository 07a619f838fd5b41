// Package fetch answers one request of package protocol: it makes the stores
// that the request names, asks them all at once, and puts the answers together.
package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/getkeyzero/kz/protocol"
	"github.com/getkeyzero/kz/resolve"
)

// A Kind is a type of store.
type Kind struct {
	New func(resolve.Setup) (resolve.Provider, error)
	// Present says in a few words what this machine has for it, "" for nothing. It
	// asks no network and runs no program.
	Present func(resolve.Setup) string
}

// Kinds are types of stores, by the names that config has for them.
type Kinds map[string]Kind

// A Server answers requests.
type Server struct {
	Kinds  Kinds
	Env    []string  // of the user, as "NAME=value"
	Events io.Writer // is told what stores wait for; may be nil
}

// Serve reads one request from in and writes its response to out. An error is one of
// the request or of out: what goes wrong with a store is a part of the response.
//
// When began is cancelled, as by a signal, all that stores have under way is ended at once.
func (s Server) Serve(began context.Context, in io.Reader, out io.Writer) error {
	q, err := protocol.ReadRequest(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(began, time.UnixMilli(q.Deadline))
	defer cancel()
	providers, answers := s.open(q)
	defer closeAll(providers) // when the response is out, for it may take time
	stop := context.AfterFunc(began, func() { closeAll(providers) })
	defer stop()
	s.answer(ctx, q, providers, answers)
	data, err := encode(answers)
	if err == nil && len(data) > most {
		trim(q, answers)
		data, err = encode(answers)
	}
	if err != nil {
		return errors.New("the response cannot be encoded")
	}
	_, err = out.Write(append(data, '\n'))
	return err
}

// open makes the stores, and begins an answer for each.
func (s Server) open(q protocol.Request) ([]resolve.Provider, []protocol.Answer) {
	providers := make([]resolve.Provider, len(q.Providers))
	answers := make([]protocol.Answer, len(q.Providers))
	for i, p := range q.Providers {
		var err error
		providers[i], err = s.provider(q, p)
		answers[i] = protocol.Answer{Name: p.Name, Error: protocol.NewError(err)}
	}
	return providers, answers
}

// answer does what the request is for with all stores that could be made.
func (s Server) answer(ctx context.Context, q protocol.Request, providers []resolve.Provider, answers []protocol.Answer) {
	if q.Op == protocol.Fetch {
		fetch(ctx, q, providers, answers)
		return
	}
	var wg sync.WaitGroup
	for i, p := range q.Providers {
		if answers[i].Error == nil {
			wg.Go(func() { s.one(ctx, q.Op, p, providers[i], &answers[i]) })
		}
	}
	wg.Wait()
}

func encode(answers []protocol.Answer) ([]byte, error) {
	return json.Marshal(protocol.Response{Protocol: protocol.Version, Providers: answers})
}

// most is how large answers may be together; the rest is for what is around them.
const most = protocol.MaxResponse - 64<<10

// trim takes back what the largest answers hold, until the response is of a size that
// kz reads: who gives too much is not to cost the others their values.
func trim(q protocol.Request, answers []protocol.Answer) {
	sizes := make([]int, len(answers))
	total := 0
	for i, a := range answers {
		data, _ := json.Marshal(a)
		sizes[i] = len(data)
		total += len(data)
	}
	for total > most {
		i := slices.Index(sizes, slices.Max(sizes))
		total -= sizes[i]
		sizes[i] = 0
		answers[i] = protocol.Answer{Name: q.Providers[i].Name, Error: protocol.NewError(
			resolve.Errorf(resolve.Malformed, "all that is asked of it is together more than %d MiB", protocol.MaxResponse>>20))}
	}
}

func closeAll(providers []resolve.Provider) {
	for _, p := range providers {
		if c, ok := p.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

func (s Server) provider(q protocol.Request, p protocol.Provider) (_ resolve.Provider, err error) {
	defer func() {
		if recover() != nil {
			err = resolve.ErrCrashed
		}
	}()
	kind, ok := s.Kinds[p.Type]
	if !ok {
		return nil, resolve.Errorf(resolve.NoTool, "stores of type %q are not known here", p.Type)
	}
	setup := s.setup(q, p)
	if q.Op == protocol.Find {
		return found{text: kind.Present(setup)}, nil
	}
	return kind.New(setup)
}

func (s Server) setup(q protocol.Request, p protocol.Provider) resolve.Setup {
	return resolve.Setup{
		Settings: p.Settings, Env: s.Env, Avoid: q.Avoid,
		Tell: func(text string) { s.tell(p.Name, text) },
	}
}

// found stands for a store of which only what this machine has for it is of interest.
type found struct {
	resolve.Provider
	text string
}

func (f found) Probe(context.Context) (resolve.Standing, error) {
	return resolve.Standing{Through: f.text}, nil
}

func (s Server) tell(provider, text string) {
	if s.Events == nil {
		return
	}
	if data, err := json.Marshal(protocol.Event{Provider: provider, Text: text}); err == nil {
		_, _ = s.Events.Write(append(data, '\n'))
	}
}

// fetch has all stores asked at once. [resolve.Ask] keeps the deadline even where a
// store does not, so that what the others gave gets out.
func fetch(ctx context.Context, q protocol.Request, providers []resolve.Provider, answers []protocol.Answer) {
	var batches []resolve.Batch
	var of []*protocol.Answer
	for i, p := range q.Providers {
		if answers[i].Error == nil {
			batches = append(batches, resolve.Batch{Provider: providers[i], Refs: refs(p)})
			of = append(of, &answers[i])
		}
	}
	for i, results := range resolve.Ask(ctx, batches) {
		for _, r := range results {
			of[i].Results = append(of[i].Results, result(r))
		}
	}
}

func refs(p protocol.Provider) []resolve.Ref {
	refs := make([]resolve.Ref, len(p.Refs))
	for i, r := range p.Refs {
		refs[i] = resolve.Ref{Path: r.Ref, Dir: r.Dir}
	}
	return refs
}

func result(r resolve.Result) protocol.Result {
	if r.Err != nil {
		return protocol.Result{Error: protocol.NewError(r.Err)}
	}
	return protocol.Result{Value: protocol.NewValue(r.Secret)}
}

// one does for a store what is not Fetch.
func (s Server) one(ctx context.Context, op string, p protocol.Provider, provider resolve.Provider, a *protocol.Answer) {
	defer func() {
		if recover() != nil { // with words that may hold a value
			*a = protocol.Answer{Name: p.Name, Error: protocol.NewError(resolve.ErrCrashed)}
		}
	}()
	var err error
	switch op {
	case protocol.Store:
		var results []protocol.Result
		results, err = store(ctx, p, provider)
		a.Results = results
	case protocol.Probe, protocol.Find:
		a.Status, err = probe(ctx, provider)
	case protocol.List:
		a.Items, err = list(ctx, provider)
	}
	a.Error = protocol.NewError(err)
}

func store(ctx context.Context, p protocol.Provider, provider resolve.Provider) ([]protocol.Result, error) {
	storer, ok := provider.(resolve.Storer)
	if !ok {
		return nil, resolve.Errorf(resolve.Denied, "kz only reads from this store")
	}
	secret, err := p.Value.Secret()
	if err == nil {
		err = storer.Store(ctx, refs(p)[0], secret)
	}
	return []protocol.Result{{Error: protocol.NewError(err)}}, nil
}

func probe(ctx context.Context, provider resolve.Provider) (*protocol.Standing, error) {
	prober, ok := provider.(resolve.Prober)
	if !ok {
		return &protocol.Standing{}, nil
	}
	standing, err := prober.Probe(ctx)
	return (*protocol.Standing)(&standing), err
}

func list(ctx context.Context, provider resolve.Provider) ([]string, error) {
	lister, ok := provider.(resolve.Lister)
	if !ok {
		return nil, nil
	}
	return lister.List(ctx)
}

// Main is the whole of a program that speaks the protocol. It returns the exit status.
func Main(kinds Kinds) int {
	s := Server{Kinds: kinds, Env: os.Environ()}
	if events := os.NewFile(3, "events"); usable(events) {
		s.Events = events
	}
	if len(os.Args) > 1 {
		fmt.Fprintf(os.Stderr, "%s is run by kz, which gives it one request of %s on stdin\n", os.Args[0], protocol.Version)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	if err := s.Serve(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		return 1
	}
	return 0
}

// usable reports whether there is a descriptor, and it is a pipe that kz reads.
func usable(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
