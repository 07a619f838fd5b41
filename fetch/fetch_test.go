package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getkeyzero/kz/protocol"
	"github.com/getkeyzero/kz/resolve"
)

const canary = "KZCANARY52b9"

// A stand-in is a store in memory.
type standIn struct {
	resolve.Setup
	items map[string]string
	wait  time.Duration
	panic bool
}

func (s standIn) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	if s.panic {
		panic(canary)
	}
	select {
	case <-ctx.Done():
		if s.Settings["stubborn"] != "" {
			time.Sleep(time.Hour)
		}
		return resolve.Fail(len(refs), ctx.Err())
	case <-time.After(s.wait):
	}
	s.Tell("touch the key")
	results := make([]resolve.Result, len(refs))
	for i, r := range refs {
		text, ok := s.items[r.Path]
		if results[i].Secret = resolve.NewSecret(text); !ok {
			results[i] = resolve.Result{Err: resolve.Hinted(resolve.NotFound, "make one", "no item %q", r.Path)}
		}
	}
	return results
}

func (s standIn) Store(_ context.Context, r resolve.Ref, secret resolve.Secret) error {
	if s.panic {
		panic(canary)
	}
	s.items[r.Path] = secret.Reveal()
	return nil
}

func (s standIn) Probe(context.Context) (resolve.Standing, error) {
	return resolve.Standing{Through: "memory", As: s.Getenv("USER"), Credential: "environment", Plain: true, Asked: true}, nil
}

func (s standIn) List(context.Context) ([]string, error) { return []string{"a", "b"}, nil }

// A mute store can do nothing but fetch.
type mute struct{}

func (mute) Fetch(_ context.Context, refs []resolve.Ref) []resolve.Result {
	return resolve.Fail(len(refs), errors.New("mute"))
}

func server(items map[string]string) Server {
	kind := func(p resolve.Provider, err error) Kind {
		return Kind{
			New: func(s resolve.Setup) (resolve.Provider, error) {
				if in, ok := p.(standIn); ok {
					in.Setup = s
					return in, nil
				}
				return p, err
			},
			Present: func(s resolve.Setup) string { return s.Getenv("USER") + "'s" },
		}
	}
	with := func(wait time.Duration, crash bool) Kind {
		return kind(standIn{items: items, wait: wait, panic: crash}, nil)
	}
	return Server{Env: []string{"USER=ada"}, Kinds: Kinds{
		"quick": with(0, false), "slow": with(time.Second, false), "hung": with(time.Hour, false), "crash": with(0, true),
		"mute": kind(mute{}, nil), "broken": kind(nil, resolve.Errorf(resolve.NotLoggedIn, "no token")),
	}}
}

func in(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }

func serve(t *testing.T, s Server, q protocol.Request) []protocol.Answer {
	t.Helper()
	q.Protocol = protocol.Version
	if q.Deadline == 0 {
		q.Deadline = in(5 * time.Second)
	}
	request, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Serve(t.Context(), bytes.NewReader(request), &out); err != nil {
		t.Fatal(err)
	}
	r, err := protocol.ParseResponse(out.Bytes(), q)
	if err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return r.Providers
}

func asked(name, typ string, refs ...string) protocol.Provider {
	p := protocol.Provider{Name: name, Type: typ}
	for _, r := range refs {
		p.Refs = append(p.Refs, protocol.Ref{Ref: r})
	}
	return p
}

// show is what a store answered, in one line.
func show(a protocol.Answer) string {
	if a.Error != nil {
		return "!" + a.Error.Class + " " + a.Error.Cause
	}
	var words []string
	for _, r := range a.Results {
		if r.Error != nil {
			words = append(words, "!"+r.Error.Class+" "+r.Error.Cause)
		} else {
			s, _ := r.Value.Secret()
			words = append(words, s.Reveal())
		}
	}
	return strings.Join(words, "|")
}

// Each store has its own answer, and takes its own time beside the others.
func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := strings.Repeat("x", 3*resolve.MaxValue)
		s := server(map[string]string{"a": "1", "b": "two\nlines", "bytes": "\xff\x00", "big": big})
		begin := time.Now()
		answers := serve(t, s, protocol.Request{Op: protocol.Fetch, Providers: []protocol.Provider{
			asked("one", "quick", "a", "none", "b"), asked("two", "slow", "bytes"), asked("three", "slow", "a"),
			asked("four", "none", "a"), asked("five", "broken", "a", "b"), asked("six", "crash", "a"), asked("seven", "quick", "big"),
		}})
		if took := time.Since(begin); took != time.Second {
			t.Errorf("two stores that take a second took %v", took)
		}
		for i, want := range []string{
			`1|!not_found no item "none"|two` + "\nlines", "\xff\x00", "1", `!no_tool stores of type "none" are not known here`,
			"!not_logged_in no token", "! provider crashed", big, // kz takes fields out of what is too long itself
		} {
			if got := show(answers[i]); got != want {
				t.Errorf("store %d answered %.60q, want %.60q", i+1, got, want)
			}
		}
		if hint := answers[0].Results[1].Error.Hint; hint != "make one" {
			t.Errorf("the hint is %q", hint)
		}
	})
}

// A store that hangs, or does not even heed the deadline, costs its own values alone.
func TestFetchDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		stubborn := asked("b", "hung", "a", "a2")
		stubborn.Settings = map[string]string{"stubborn": "yes"}
		answers := serve(t, server(map[string]string{"a": "1"}), protocol.Request{
			Op: protocol.Fetch, Deadline: in(2 * time.Second), Providers: []protocol.Provider{asked("a", "hung", "a"), stubborn, asked("c", "slow", "a")},
		})
		if took := time.Since(begin); took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("a deadline of 2 s took %v", took)
		}
		for i, want := range []string{"!timeout no answer in time", "!timeout no answer in time|!timeout no answer in time", "1"} {
			got := strings.ReplaceAll(show(answers[i]), "!timeout |", "!timeout no answer in time|")
			if got != want && got != strings.ReplaceAll(want, " no answer in time", " ") {
				t.Errorf("store %d answered %q, want %q", i, got, want)
			}
		}
		time.Sleep(2 * time.Hour) // what does not heed it ends some time
	})
}

// A store that gives more than kz reads costs its own values alone.
func TestFetchTooMuch(t *testing.T) {
	s := server(map[string]string{"a": "1", "flood": strings.Repeat("\x01", 1<<20)}) // six bytes each in JSON
	answers := serve(t, s, protocol.Request{Op: protocol.Fetch, Providers: []protocol.Provider{
		asked("one", "quick", "a", "flood", "flood"), asked("two", "quick", "a"),
	}})
	if answers[0].Error == nil || answers[0].Error.Class != "malformed" || show(answers[1]) != "1" {
		t.Errorf("the answers are %.100q and %.100q", show(answers[0]), show(answers[1]))
	}
}

func TestOtherOperations(t *testing.T) {
	items := map[string]string{}
	s := server(items)
	put := asked("x", "quick", "new")
	put.Value = protocol.NewValue(resolve.NewSecret(canary))
	if a := serve(t, s, protocol.Request{Op: protocol.Store, Providers: []protocol.Provider{put}})[0]; a.Error != nil || a.Results[0].Error != nil || items["new"] != canary {
		t.Errorf("store: %+v, and the store has %v", a, items)
	}
	put.Type = "mute"
	if a := serve(t, s, protocol.Request{Op: protocol.Store, Providers: []protocol.Provider{put}})[0]; a.Error == nil || a.Error.Class != "denied" {
		t.Errorf("a store that is only read: %+v", a)
	}
	put.Type = "crash"
	if a := serve(t, s, protocol.Request{Op: protocol.Store, Providers: []protocol.Provider{put}})[0]; a.Error == nil || strings.Contains(a.Error.Cause, canary) {
		t.Errorf("a crash: %+v", a.Error)
	}
	a := serve(t, s, protocol.Request{Op: protocol.Probe, Providers: []protocol.Provider{asked("x", "quick"), asked("y", "mute"), asked("z", "broken")}})
	if a[0].Status == nil || *a[0].Status != (protocol.Standing{Through: "memory", As: "ada", Credential: "environment", Plain: true, Asked: true}) || a[1].Status == nil || a[2].Error == nil {
		t.Errorf("probe: %+v", a)
	}
	a = serve(t, s, protocol.Request{Op: protocol.Find, Providers: []protocol.Provider{asked("x", "broken"), asked("y", "none")}})
	if a[0].Status == nil || a[0].Status.Through != "ada's" || a[1].Error == nil {
		t.Errorf("find: %+v", a)
	}
	a = serve(t, s, protocol.Request{Op: protocol.List, Providers: []protocol.Provider{asked("x", "quick"), asked("y", "mute")}})
	if strings.Join(a[0].Items, " ") != "a b" || a[1].Items != nil || a[1].Error != nil {
		t.Errorf("list: %+v", a)
	}
}

func TestEvents(t *testing.T) {
	var events bytes.Buffer
	s := server(map[string]string{"a": "1"})
	s.Events = &events
	serve(t, s, protocol.Request{Op: protocol.Fetch, Providers: []protocol.Provider{asked("x", "quick", "a")}})
	if want := `{"provider":"x","text":"touch the key"}` + "\n"; events.String() != want {
		t.Errorf("events: %q, want %q", events.String(), want)
	}
}

func TestRefusesRequests(t *testing.T) {
	var out bytes.Buffer
	if err := server(nil).Serve(t.Context(), strings.NewReader(`{"protocol":"x"}`), &out); err == nil || out.Len() > 0 {
		t.Errorf("a request of another protocol: %v, %q", err, out.String())
	}
}
