package vaultfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/vault"
)

const canary = "KZ-CANARY-9d20"

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
)

// open returns the provider of a new vault, unlocked, and how often it was asked
// for the key.
func open(t *testing.T) (p *Provider, asked *int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vault.kz")
	key, err := vault.Create(t.Context(), path, vault.KeychainSlot("k", seal.NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	asked = new(int)
	return &Provider{path, func(_ context.Context, id string) (seal.Key, error) {
		*asked++
		if id != v.ID() {
			t.Errorf("asked for the key of %q, want %q", id, v.ID())
		}
		return key, nil
	}}, asked
}

func refs(paths ...string) (list []resolve.Ref) {
	for _, p := range paths {
		list = append(list, resolve.Ref{Path: p})
	}
	return list
}

func store(t *testing.T, p *Provider, name, value string) {
	t.Helper()
	if err := p.Store(t.Context(), resolve.Ref{Path: name}, resolve.NewSecret(value)); err != nil {
		t.Fatal(err)
	}
}

// show is what results are: values, or classes and errors.
func show(t *testing.T, results []resolve.Result) string {
	t.Helper()
	var list []string
	for _, r := range results {
		if r.Err == nil {
			list = append(list, r.Secret.Reveal())
			continue
		}
		if text := fmt.Sprintf("%v %+v %#v", r.Err, r.Err, r.Err); strings.Contains(text, canary) || r.Secret.Reveal() != "" {
			t.Errorf("an error shows a value: %s", text)
		}
		list = append(list, fmt.Sprintf("%s: %v", resolve.ClassOf(r.Err), r.Err))
	}
	return strings.Join(list, ", ")
}

func TestFetchAndStore(t *testing.T) {
	p, asked := open(t)
	store(t, p, "db/url", "postgres")
	store(t, p, "ø", "1")
	store(t, p, "ø", "2")
	*asked = 0
	got := show(t, p.Fetch(t.Context(), refs("ø", "none", "db/url", "", "ø", "a\nb")))
	want := `2, not_found: the vault has no entry "none", postgres, malformed: the reference is empty, 2, malformed: reference "a\nb": has control characters or is not UTF-8`
	if got != want || *asked != 1 {
		t.Errorf("Fetch gives %s, having asked %d times for the key; want %s", got, *asked, want)
	}
	if got := p.Fetch(t.Context(), nil); len(got) != 0 || *asked != 1 {
		t.Errorf("Fetch of nothing gives %v, having asked %d times", got, *asked)
	}
	if p.Fetch(t.Context(), refs("")); *asked != 1 {
		t.Error("Fetch of nothing well-formed reads the vault")
	}
}

// A reader of a batch reads the file once: in the middle it may be replaced.
func TestFetchReadsOnce(t *testing.T) {
	p, _ := open(t)
	store(t, p, "a", "1")
	store(t, p, "b", "1")
	key := p.Key
	p.Key = func(ctx context.Context, id string) (seal.Key, error) {
		defer os.Remove(p.Path)
		return key(ctx, id)
	}
	if got := show(t, p.Fetch(t.Context(), refs("a", "b", "a"))); got != "1, 1, 1" {
		t.Errorf("Fetch gives %s", got)
	}
}

func TestStoreRefuses(t *testing.T) {
	p, _ := open(t)
	for what, test := range map[string]struct{ name, value string }{
		"no name":            {"", canary},
		"a control":          {"a\x1b", canary},
		"no UTF-8":           {"\xff", canary},
		"a long name":        {strings.Repeat("x", vault.MaxName+1), canary},
		"a long value":       {"a", canary + strings.Repeat("x", resolve.MaxValue)},
		"a value with a NUL": {"a", canary + "\x00"},
	} {
		err := p.Store(t.Context(), resolve.Ref{Path: test.name}, resolve.NewSecret(test.value))
		if resolve.ClassOf(err) != resolve.Malformed || strings.Contains(fmt.Sprintf("%v %#v", err, err), canary) {
			t.Errorf("%s: Store = %v, want Malformed", what, err)
		}
	}
}

func TestErrors(t *testing.T) {
	damage := func(change func(data []byte) []byte) func(*Provider) error {
		return func(p *Provider) error {
			data, err := os.ReadFile(p.Path)
			return errors.Join(err, os.WriteFile(p.Path, change(data), 0o600))
		}
	}
	keyFails := func(err error) func(*Provider) error {
		return func(p *Provider) error {
			p.Key = func(context.Context, string) (seal.Key, error) { return seal.Key{}, err }
			return nil
		}
	}
	for what, test := range map[string]struct {
		prepare func(p *Provider) error
		class   resolve.Class
		text    string // PATH being the vault's
		wraps   error
	}{
		"locked":                    {keyFails(fmt.Errorf("key %s: %w", "1", holder.ErrNoKey)), resolve.Locked, "the vault is locked", holder.ErrNoKey},
		"nothing to hold":           {keyFails(holder.ErrNone), resolve.Locked, "the vault is locked", holder.ErrNone},
		"a holder's error":          {keyFails(errors.New("oops")), "", "oops", nil},
		"a wrong passphrase":        {keyFails(fmt.Errorf("FILE: %w", vault.ErrPassphrase)), resolve.Locked, "FILE: wrong passphrase", vault.ErrPassphrase},
		"a missing passphrase file": {keyFails(&fs.PathError{Op: "open", Path: "FILE", Err: syscall.ENOENT}), "", "open FILE: no such file or directory", fs.ErrNotExist},
		"cancelled":                 {keyFails(context.Canceled), "", "context canceled", context.Canceled},
		"too late":                  {keyFails(context.DeadlineExceeded), resolve.Timeout, "context deadline exceeded", context.DeadlineExceeded},
		"no vault":                  {func(p *Provider) error { return os.Remove(p.Path) }, resolve.NotFound, "there is no vault", fs.ErrNotExist},
		"not ours":                  {func(p *Provider) error { return os.Chmod(p.Path, 0o644) }, resolve.Denied, "PATH: other users may have read or written it", vault.ErrUnsafe},
		"empty":                     {damage(func([]byte) []byte { return nil }), resolve.Malformed, "PATH: not a vault", vault.ErrNotVault},
		"truncated":                 {damage(func(d []byte) []byte { return d[:len(d)-1] }), resolve.Malformed, "PATH: damaged, or changed by somebody without its key", vault.ErrDamaged},
		"newer":                     {damage(func(d []byte) []byte { d[8] = 9; return d }), resolve.Malformed, "PATH: written by a newer kz (format 9)", vault.ErrNewer},
		"changed":                   {damage(func(d []byte) []byte { d[len(d)-1] ^= 1; return d }), resolve.Malformed, "PATH: damaged, or changed by somebody without its key", vault.ErrDamaged},
	} {
		t.Run(what, func(t *testing.T) {
			p, _ := open(t)
			store(t, p, "a", canary)
			if err := test.prepare(p); err != nil {
				t.Fatal(err)
			}
			results := p.Fetch(t.Context(), refs("a", "none", "a"))
			if err := p.Available(t.Context()); err == nil {
				t.Error("Available = nil")
			}
			stored := resolve.Result{Err: p.Store(t.Context(), resolve.Ref{Path: "a"}, resolve.NewSecret(canary))}
			want := fmt.Sprintf("%s: %s", test.class, strings.ReplaceAll(test.text, "PATH", p.Path))
			for _, r := range append(results, stored) {
				got := show(t, []resolve.Result{r})
				if got != want || test.wraps != nil && !errors.Is(r.Err, test.wraps) {
					t.Errorf("an error is %s, want %s", got, want)
				}
			}
		})
	}
}

func TestContext(t *testing.T) {
	p, asked := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Store(ctx, resolve.Ref{Path: "a"}, resolve.NewSecret("1"))
	if got := p.Fetch(ctx, refs("a")); !errors.Is(got[0].Err, context.Canceled) || !errors.Is(err, context.Canceled) || *asked != 0 {
		t.Errorf("after the end of the context: Fetch = %v, Store = %v, the key asked for %d times", got[0].Err, err, *asked)
	}
}
