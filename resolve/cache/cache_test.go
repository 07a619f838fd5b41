package cache

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/internal/roottest"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
)

// A drawer is a holder in memory.
type drawer struct {
	mu   sync.Mutex
	keys map[string]seal.Key
}

func (d *drawer) Keep(_ context.Context, name string, key seal.Key, _ time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[name] = key
	return nil
}

func (d *drawer) Key(_ context.Context, name string) (seal.Key, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key, ok := d.keys[name]
	if !ok {
		return key, holder.ErrNoKey
	}
	return key, nil
}

func (d *drawer) Forget(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, name)
	return nil
}

func (*drawer) About() holder.About { return holder.About{} }

// A store counts how often it is asked for what.
type store struct {
	asked  atomic.Int32
	answer func(resolve.Request) resolve.Result
}

func (s *store) ask(_ context.Context, requests []resolve.Request) []resolve.Result {
	var results []resolve.Result
	for _, r := range requests {
		s.asked.Add(1)
		results = append(results, s.answer(r))
	}
	return results
}

func echo(r resolve.Request) resolve.Result {
	return resolve.Result{Secret: resolve.NewSecret("KZC of " + r.Ref.Path), Left: r.TTL}
}

func failing(class resolve.Class) func(resolve.Request) resolve.Result {
	return func(resolve.Request) resolve.Result { return resolve.Result{Err: &resolve.Error{Class: class}} }
}

// A table is a cache with a clock that tests turn, and a store.
type table struct {
	Cache
	store
	now   clock.Stamp
	place Place
}

func newTable(t *testing.T) *table {
	tb := &table{now: clock.Now(), place: Place{Config: "/work/.keyzero.toml"}}
	tb.Cache = Cache{
		Dir: filepath.Join(t.TempDir(), "cache"), Holder: &drawer{keys: map[string]seal.Key{}},
		Now: func() clock.Stamp { return tb.now },
	}
	tb.answer = echo
	return tb
}

// pass lets time go by on both clocks.
func (tb *table) pass(d time.Duration) {
	tb.now.Since += d
	tb.now.Wall += int64(d)
}

func (tb *table) all(t *testing.T, requests ...resolve.Request) []resolve.Result {
	return tb.All(t.Context(), tb.place, requests, tb.ask)
}

func request(path string) resolve.Request {
	return resolve.Request{Provider: "op", Ref: resolve.Ref{Path: path}, TTL: time.Hour, Scope: "consent"}
}

// wants fails unless the request is answered as the store would, and the store
// has been asked so many times by then.
func (tb *table) wants(t *testing.T, what string, asked int32, r resolve.Request) resolve.Result {
	t.Helper()
	got := tb.all(t, r)[0]
	if got.Err != nil || got.Secret.Reveal() != "KZC of "+r.Ref.Path {
		t.Errorf("%s: %q, %v", what, got.Secret.Reveal(), got.Err)
	}
	if n := tb.asked.Load(); n != asked {
		t.Errorf("%s: the store was asked %d times, want %d", what, n, asked)
	}
	return got
}

func TestKeepsUntilTheTimeIsOver(t *testing.T) {
	tb := newTable(t)
	r := request("a")
	if got := tb.wants(t, "at first", 1, r); got.Left != time.Hour {
		t.Errorf("a fresh value is good for %v", got.Left)
	}
	tb.pass(40 * time.Minute)
	if got := tb.wants(t, "later", 1, r); got.Left != 20*time.Minute || got.Stale {
		t.Errorf("after 40 minutes it is good for %v, stale %v", got.Left, got.Stale)
	}
	tb.now.Wall -= int64(30 * 24 * time.Hour)
	tb.pass(20*time.Minute - 1)
	tb.wants(t, "with the clock set back", 1, r)
	tb.pass(1)
	tb.wants(t, "when the time is over", 2, r)
	tb.now.Boot = "another"
	tb.wants(t, "after a reboot", 3, r)
}

func TestKeepsApart(t *testing.T) {
	tb := newTable(t)
	tb.wants(t, "at first", 1, request("a"))
	asked := int32(1)
	for what, change := range map[string]func(*resolve.Request){
		"another consent or settings": func(r *resolve.Request) { r.Scope += "!" },
		"another provider":            func(r *resolve.Request) { r.Provider = "vault" },
		"another reference":           func(r *resolve.Request) { r.Ref.Path = "b" },
		"another directory":           func(r *resolve.Request) { r.Ref.Dir = "/work" },
		"another field":               func(r *resolve.Request) { r.Field = "f" },
	} {
		r := request("a")
		change(&r)
		asked++
		tb.wants(t, what, asked, r)
	}
	for _, place := range []Place{{"/work/.keyzero.toml", "production"}, {"/other/.keyzero.toml", ""}} {
		tb.place = place
		asked++
		tb.wants(t, fmt.Sprint(place), asked, request("a"))
	}
	tb.place = Place{Config: "/work/.keyzero.toml"}
	tb.wants(t, "and the first still", asked, request("a"))
	local := request("a")
	local.Scope = ""
	for range 2 {
		asked++
		tb.wants(t, "a local store", asked, local)
	}
}

func TestStale(t *testing.T) {
	for class, rescued := range map[resolve.Class]bool{
		resolve.Unreachable: true, resolve.Timeout: true, resolve.Throttled: true,
		resolve.NotFound: false, resolve.Denied: false, resolve.NotLoggedIn: false, resolve.Expired: false, resolve.Locked: false,
	} {
		t.Run(string(class), func(t *testing.T) {
			tb := newTable(t)
			r := request("a")
			r.Stale = 24 * time.Hour
			tb.wants(t, "at first", 1, r)
			tb.answer = failing(class)
			tb.pass(24 * time.Hour)
			got := tb.all(t, r)[0]
			if rescued != (got.Err == nil && got.Stale && got.Secret.Reveal() == "KZC of a") {
				t.Errorf("a value past its time: %q, stale %v, %v", got.Secret.Reveal(), got.Stale, got.Err)
			}
			if rescued && (got.Left <= 0 || got.Left > retry) {
				t.Errorf("it is good for %v", got.Left)
			}
			tb.pass(time.Hour + 1)
			if got := tb.all(t, r)[0]; got.Err == nil {
				t.Error("it is used past its longest time")
			}
			r.Stale = 0
			if got := tb.all(t, r)[0]; got.Err == nil {
				t.Error("it is used where that was not allowed")
			}
		})
	}
}

func TestFailuresAreRememberedBriefly(t *testing.T) {
	tb := newTable(t)
	tb.answer = failing(resolve.Denied)
	for range 5 {
		if got := tb.all(t, request("a"))[0]; resolve.ClassOf(got.Err) != resolve.Denied {
			t.Fatal(got.Err)
		}
	}
	if n := tb.asked.Load(); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	tb.answer = echo
	tb.pass(failureTTL)
	tb.wants(t, "a little later", 2, request("a"))
}

func TestRefresh(t *testing.T) {
	tb := newTable(t)
	tb.wants(t, "at first", 1, request("a"))
	tb.answer = func(resolve.Request) resolve.Result { return resolve.Result{Secret: resolve.NewSecret("rotated")} }
	for what, got := range map[string]resolve.Result{
		"refreshed": tb.Refresh(t.Context(), tb.place, []resolve.Request{request("a")}, tb.ask)[0],
		"cached":    tb.all(t, request("a"))[0],
	} {
		if got.Err != nil || got.Secret.Reveal() != "rotated" {
			t.Errorf("%s: %q, %v", what, got.Secret.Reveal(), got.Err)
		}
	}
	if n := tb.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// Of many that want the same at once, one asks.
func TestManyAskOnce(t *testing.T) {
	tb := newTable(t)
	tb.answer = func(r resolve.Request) resolve.Result {
		time.Sleep(100 * time.Millisecond)
		return echo(r)
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if got := tb.all(t, request("a"))[0]; got.Err != nil || got.Secret.Reveal() != "KZC of a" {
				t.Errorf("%q, %v", got.Secret.Reveal(), got.Err)
			}
		})
	}
	wg.Wait()
	if n := tb.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// Who waits for another's answer waits no longer than it can.
func TestWaitingEnds(t *testing.T) {
	tb := newTable(t)
	release, err := tb.lock(t.Context(), tb.place.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got := tb.All(ctx, tb.place, []resolve.Request{request("a")}, tb.ask)[0]
	if resolve.ClassOf(got.Err) != resolve.Timeout || tb.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", got.Err, tb.asked.Load())
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if got := tb.All(ctx, tb.place, []resolve.Request{request("a")}, tb.ask)[0]; got.Err != context.Canceled {
		t.Errorf("%v", got.Err)
	}
}

// Whatever happens to the file, the answer is the store's.
func TestBadFiles(t *testing.T) {
	for what, spoil := range map[string]func(tb *table, path string) error{
		"flipped": func(_ *table, path string) error {
			data, err := os.ReadFile(path)
			data[len(data)/2] ^= 1
			return errors.Join(err, os.WriteFile(path, data, 0o600))
		},
		"cut":   func(_ *table, path string) error { return os.Truncate(path, 30) },
		"empty": func(_ *table, path string) error { return os.Truncate(path, 0) },
		"of another project": func(tb *table, path string) error {
			return os.Rename(path, tb.path(Place{Config: "/other"}))
		},
		"a link": func(_ *table, path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
		"huge":       func(_ *table, path string) error { return os.Truncate(path, 1<<40) },
		"a lost key": func(tb *table, _ string) error { return tb.Holder.Forget(context.Background(), tb.keyName()) },
		"another key": func(tb *table, _ string) error {
			return tb.Holder.Keep(context.Background(), tb.keyName(), seal.NewKey(), 0)
		},
		"not writable": func(tb *table, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(what, func(t *testing.T) {
			tb := newTable(t)
			tb.wants(t, "at first", 1, request("a"))
			if err := spoil(tb, tb.path(tb.place)); err != nil {
				t.Fatal(err)
			}
			if what == "of another project" {
				tb.place = Place{Config: "/other"}
			}
			tb.wants(t, "then", 2, request("a"))
		})
	}
}

func TestWithoutHolder(t *testing.T) {
	tb := newTable(t)
	tb.Holder = holder.None()
	tb.wants(t, "at first", 1, request("a"))
	tb.wants(t, "again", 2, request("a"))
	tb.Refresh(t.Context(), tb.place, []resolve.Request{request("a")}, tb.ask)
	if files := tb.files(); len(files) > 0 {
		t.Errorf("there are %v", files)
	}
}

// Of a value nothing shows on disk, nor of the reference.
func TestNothingShows(t *testing.T) {
	tb := newTable(t)
	tb.wants(t, "at first", 1, request("place/of/a"))
	files := tb.files()
	if len(files) != 1 {
		t.Fatalf("there are %v", files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"KZC of place/of/a", "place/of/a", "/work"} {
		for _, form := range []string{text, base64.StdEncoding.EncodeToString([]byte(text))[:8], hex.EncodeToString([]byte(text))} {
			if bytes.Contains(data, []byte(form)) || strings.Contains(files[0], form) {
				t.Errorf("the file shows %q", form)
			}
		}
	}
	if info, _ := os.Stat(files[0]); info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	if info, _ := os.Stat(tb.Dir); info.Mode().Perm() != 0o700 {
		t.Errorf("its directory's mode is %v", info.Mode())
	}
}

func TestListDropClear(t *testing.T) {
	tb := newTable(t)
	tb.all(t, request("b"), request("a"))
	tb.place.Environment = "production"
	tb.all(t, request("c"))
	tb.pass(time.Minute)
	var got []string
	for _, k := range tb.List(t.Context()) {
		got = append(got, fmt.Sprintf("%s %s %s %v", k.Config, k.Environment, k.From, k.Left))
	}
	want := "/work/.keyzero.toml  op a 59m0s, /work/.keyzero.toml  op b 59m0s, /work/.keyzero.toml production op c 59m0s"
	if strings.Join(got, ", ") != want {
		t.Errorf("kept: %v", got)
	}
	tb.place = Place{Config: "/other"}
	tb.all(t, request("d"))
	if err := tb.Drop(t.Context(), "/work/.keyzero.toml"); err != nil {
		t.Fatal(err)
	}
	if list := tb.List(t.Context()); len(list) != 1 || list[0].Config != "/other" {
		t.Errorf("after a drop: %v", list)
	}
	if err := tb.Clear(t.Context()); err != nil || len(tb.files()) > 0 {
		t.Errorf("Clear: %v, there are %v", err, tb.files())
	}
	if _, err := tb.Holder.Key(t.Context(), tb.keyName()); err == nil {
		t.Error("the key is still held")
	}
}

func TestSweep(t *testing.T) {
	tb := newTable(t)
	tb.all(t, request("a"))
	old := tb.files()[0]
	longAgo := time.Now().Add(-holder.Longest - time.Hour)
	if err := os.Chtimes(old, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	tb.place.Config = "/other"
	tb.all(t, request("a"))
	if _, err := os.Stat(old); err == nil {
		t.Error("a file that no key opens any more is still there")
	}
}

// What was asked before all was forgotten is not kept afterwards.
func TestForgottenStaysForgotten(t *testing.T) {
	for what, forget := range map[string]func(tb *table) error{
		"Drop":  func(tb *table) error { return tb.Drop(context.Background(), tb.place.Config) },
		"Clear": func(tb *table) error { return tb.Clear(context.Background()) },
	} {
		for how, method := range map[string]func(Cache, context.Context, Place, []resolve.Request, Ask) []resolve.Result{"All": Cache.All, "Refresh": Cache.Refresh} {
			if what == "Drop" && how == "All" {
				continue // which waits for the other
			}
			t.Run(what+" while "+how, func(t *testing.T) {
				tb := newTable(t)
				if what == "Clear" {
					tb.all(t, request("other"))
				}
				got := method(tb.Cache, t.Context(), tb.place, []resolve.Request{request("a")}, func(ctx context.Context, requests []resolve.Request) []resolve.Result {
					if err := forget(tb); err != nil {
						t.Error(err)
					}
					return tb.ask(ctx, requests)
				})[0]
				if got.Err != nil || got.Secret.Reveal() != "KZC of a" {
					t.Errorf("%q, %v", got.Secret.Reveal(), got.Err)
				}
				if kept := tb.List(t.Context()); len(kept) > 0 {
					t.Errorf("kept: %v", kept)
				}
			})
		}
	}
}

// Of two answers the one that was asked for later is kept, whichever came first.
func TestTheNewerAnswerStays(t *testing.T) {
	tb := newTable(t)
	slow := tb.Refresh(t.Context(), tb.place, []resolve.Request{request("a")}, func(context.Context, []resolve.Request) []resolve.Result {
		tb.pass(time.Second)
		tb.Refresh(t.Context(), tb.place, []resolve.Request{request("a")}, tb.ask)
		return []resolve.Result{{Secret: resolve.NewSecret("of before")}}
	})[0]
	if slow.Secret.Reveal() != "of before" {
		t.Errorf("the one who asked got %q", slow.Secret.Reveal())
	}
	tb.wants(t, "later", 1, request("a"))
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	tb := &table{now: clock.Now(), place: Place{Config: "/work/.keyzero.toml"}}
	tb.Cache = Cache{Dir: dir, Holder: &drawer{keys: map[string]seal.Key{}}, Now: func() clock.Stamp { return tb.now }}
	tb.answer = echo
	tb.All(f.Context(), tb.place, []resolve.Request{request("a")}, tb.ask)
	path := tb.path(tb.place)
	sealed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	key, err := tb.Holder.Key(f.Context(), tb.keyName())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, false)
	f.Add(sealed[:len(sealed)-1], false)
	f.Add([]byte(`{"Place":{"Config":"/work/.keyzero.toml"},"Values":{"x":{"Text":"eA=="}},"Failures":null}`), true)
	f.Add([]byte(`{"Values":{"x":null}}`), true)
	f.Add([]byte(`null`), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		own := bytes.Equal(data, sealed)
		if seal { // what only this user's kz could have written
			data = key.Seal(purpose, filepath.Base(path), data)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got := tb.All(t.Context(), tb.place, []resolve.Request{request("a")}, tb.ask)[0]
		if got.Err != nil && !seal || !own && !seal && got.Secret.Reveal() != "KZC of a" {
			t.Errorf("%q, %v", got.Secret.Reveal(), got.Err)
		}
		tb.List(t.Context())
	})
}

// Where there is no room, an answer is an answer all the same.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	roottest.Tmpfs(t, dir, "16k", func() {
		tb := newTable(t)
		tb.Dir = filepath.Join(dir, "cache")
		r := request("a")
		tb.answer = func(resolve.Request) resolve.Result {
			return resolve.Result{Secret: resolve.NewSecret(strings.Repeat("x", 60<<10))}
		}
		for range 2 {
			if got := tb.all(t, r)[0]; got.Err != nil || len(got.Secret.Reveal()) != 60<<10 {
				t.Errorf("%d bytes, %v", len(got.Secret.Reveal()), got.Err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(tb.Dir, "*.kz*")); len(left) > 0 {
			t.Errorf("there are %v", left)
		}
		tb.answer = echo
		tb.wants(t, "a small one", tb.asked.Load()+1, request("b"))
		tb.wants(t, "again", tb.asked.Load(), request("b"))
	})
}
