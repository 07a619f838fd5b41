package keychain

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zalando/go-keyring"

	"github.com/getkeyzero/kz/resolve"
)

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
)

func TestParse(t *testing.T) {
	for path, want := range map[string]item{
		"a":           {"keyzero", "a"},
		"a/b":         {"a", "b"},
		"a/b/c":       {"a", "b/c"},
		"a/b/":        {"a", "b/"},
		"a//b":        {"a", "/b"},
		"two words":   {"keyzero", "two words"},
		"user@host:1": {"keyzero", "user@host:1"},
	} {
		if got, err := parse(path); err != nil || got != want {
			t.Errorf("parse(%q) gives %q, %v; want %q", path, got, err, want)
		}
	}
	if _, err := parse(strings.Repeat("a", maxRef)); err != nil {
		t.Errorf("a reference of %d bytes: %v", maxRef, err)
	}
	for _, path := range []string{
		"", "/", "/a", "a/", "a\x00b", "a\nb", "a\x1b[2Jb", "a\x7f", "a\u0085b", "a\xffb", strings.Repeat("a", maxRef+1),
	} {
		_, err := parse(path)
		if resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("parse(%.40q) leads to %v", path, err)
		} else if strings.ContainsAny(err.Error(), "\x00\n\x1b\x7f\u0085") || !utf8.ValidString(err.Error()) {
			t.Errorf("parse(%.40q): control characters in the error", path)
		}
	}
}

// security takes a line of 4096 bytes, of which go-keyring (v0.2.8, keyring_darwin.go)
// uses the last one wrongly.
func TestValueLimit(t *testing.T) {
	for _, it := range []item{{"keyzero", "a"}, {"keyzero", "ab"}, {"keyzero", "abc"}, {"keyzero", "abcd"}, {"keyzero", "it's"}, {strings.Repeat("'", 700), "a"}, {"s", strings.Repeat("a", 1000)}} {
		limit := valueLimit("darwin", it)
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }
		line := func(n int) int {
			value := "go-keyring-base64:" + strings.Repeat("A", (n+2)/3*4)
			return len("add-generic-password -U -s " + quote(it.service) + " -a " + quote(it.account) + " -w " + value + "\n")
		}
		if line(limit) > 4095 || line(limit+1) <= 4095 {
			t.Errorf("limit %d for %.20q makes lines of %d, and one byte more of %d", limit, it, line(limit), line(limit+1))
		}
	}
	if limit := valueLimit("darwin", item{strings.Repeat("'", 1000), "a"}); limit != 0 {
		t.Errorf("a service that fills the line leaves %d", limit)
	}
	if limit := valueLimit("darwin", item{"keyzero", "token"}); limit < 2900 || limit > 3100 {
		t.Errorf("a usual reference leaves %d, want about 2.9 KiB", limit)
	}
	if limit := valueLimit("linux", item{"keyzero", "a"}); limit != -1 {
		t.Errorf("on Linux the limit is %d", limit)
	}
}

func TestFetchEach(t *testing.T) {
	var running, most atomic.Int32
	get := func(service, account string) (string, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(2 * time.Millisecond)
		switch account {
		case "3":
			return "", keyring.ErrNotFound
		case "4":
			panic("canary")
		}
		return service + account, nil
	}
	items := make([]item, 40)
	for i := range items {
		items[i] = item{"s", fmt.Sprint(i)}
	}
	for i, got := range fetchEach(context.Background(), items, get) {
		value, class := fmt.Sprint("s", i), resolve.Class("")
		switch i {
		case 3:
			value, class = "", resolve.NotFound
		case 4:
			value, class = "", resolve.Unreachable
		}
		if got.Secret.Reveal() != value || resolve.ClassOf(got.Err) != class {
			t.Errorf("item %d leads to %q, %v", i, got.Secret.Reveal(), got.Err)
		}
	}
	if most.Load() > parallel || most.Load() < 2 {
		t.Errorf("%d calls at once, want up to %d", most.Load(), parallel)
	}
}

func TestFetchEachHeedsTheContext(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	results := fetchEach(ctx, make([]item, 3*parallel), func(string, string) (string, error) { <-never; return "", nil })
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	for i, r := range results {
		if !errors.Is(r.Err, context.DeadlineExceeded) {
			t.Errorf("item %d leads to %v", i, r.Err)
		}
	}
}

func TestNothingIsBegunTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	begun := make(chan bool, 1)
	if _, err := within(ctx, func() (int, error) { begun <- true; return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("within leads to %v", err)
	}
	select {
	case <-begun:
		t.Error("it was begun")
	case <-time.After(20 * time.Millisecond):
	}
}

func TestClassify(t *testing.T) {
	status := func(n int) error { return exec.Command("/bin/sh", "-c", fmt.Sprint("exit ", n)).Run() }
	for _, tt := range []struct {
		err   error
		class resolve.Class
	}{
		{keyring.ErrNotFound, resolve.NotFound},
		{keyring.ErrSetDataTooBig, resolve.Malformed},
		{keyring.ErrUnsupportedPlatform, resolve.Unreachable},
		{status(36), resolve.Locked},
		{status(44), resolve.NotFound},
		{status(51), resolve.Denied},
		{status(128), resolve.Denied},
		{status(3), resolve.Unreachable},
		{context.DeadlineExceeded, resolve.Timeout},
		{resolve.Errorf(resolve.Malformed, "x"), resolve.Malformed},
		{errors.New("canary"), resolve.Unreachable},
	} {
		got := classify(tt.err)
		if resolve.ClassOf(got) != tt.class || strings.Contains(got.Error(), "canary") {
			t.Errorf("classify(%v) gives %v", tt.err, got)
		}
	}
	if err := classify(nil); err != nil {
		t.Errorf("classify(nil) gives %v", err)
	}
}
