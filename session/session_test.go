package session

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/seal"
)

func anyText() string {
	return []string{"", "plain", "it's \"<&>\"\n", "\xff\xfe\x00", "ø日本\u2028", "\ufffd", strings.Repeat("x", 100)}[rand.IntN(7)]
}

func anyState(key seal.Key) State {
	s := State{Config: anyText(), Digest: "sha256:" + strings.Repeat("a", 64), Environment: "production", Mark: "m", Partial: rand.IntN(2) == 0}
	for i := range rand.IntN(4) {
		v := NewVariable(key, fmt.Sprintf("NAME_%d", i), anyText(), nil)
		if rand.IntN(2) == 0 {
			v.Before = new(anyText())
		}
		if rand.IntN(2) == 0 {
			v.File = "/run/" + anyText()
		}
		s.Vars = append(s.Vars, v)
	}
	return s
}

// show makes pointers visible.
func show(s State) string {
	text := fmt.Sprintf("%q %q %q %q %v", s.Config, s.Digest, s.Environment, s.Mark, s.Partial)
	for _, v := range s.Vars {
		before := "none"
		if v.Before != nil {
			before = fmt.Sprintf("%q", *v.Before)
		}
		text += fmt.Sprintf(" %s %x before %s %q", v.Name, v.Sum, before, v.File)
	}
	return text
}

func encode(t *testing.T, key seal.Key, s State) string {
	t.Helper()
	text, err := Encode(key, s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDecodeWhatWasEncoded(t *testing.T) {
	key := seal.NewKey()
	for range 500 {
		s := anyState(key)
		given := show(s)
		text := encode(t, key, s)
		got, err := Decode(key, text)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("Decode(Encode(s)) = %s, %v, want %s", show(got), err, show(s))
		}
		if show(s) != given {
			t.Fatalf("Encode changed its argument from %s to %s", given, show(s))
		}
		if i := strings.IndexFunc(text, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", r)
		}); i >= 0 {
			t.Fatalf("Encode gives %q, with %q in it", text, text[i])
		}
	}
}

func TestDecodeChanged(t *testing.T) {
	key := seal.NewKey()
	// Of three lengths, since base64 leaves bits unused at the end of two of them.
	for pad := range 3 {
		text := encode(t, key, State{Config: "/a/.keyzero.toml" + strings.Repeat("x", pad), Vars: []Variable{NewVariable(key, "A", "1", nil)}})
		for i := range text {
			for bit := range 8 {
				changed := []byte(text)
				changed[i] ^= 1 << bit
				if s, err := Decode(key, string(changed)); err != ErrForged || !reflect.DeepEqual(s, State{}) {
					t.Fatalf("Decode(%q), where byte %d was %q, = %s, %v, want ErrForged", changed, i, text[i], show(s), err)
				}
			}
			for _, add := range []string{"\n", "\r", "=", " ", "A"} {
				if _, err := Decode(key, text[:i]+add+text[i:]); err != ErrForged {
					t.Fatalf("Decode with %q before byte %d = %v, want ErrForged", add, i, err)
				}
			}
			if _, err := Decode(key, text[:i]); err != ErrForged {
				t.Fatalf("Decode of the first %d bytes = %v, want ErrForged", i, err)
			}
		}
		for _, end := range []string{"\n", "\r\n", "=", "==", "A", "AAAA", text} {
			if _, err := Decode(key, text+end); err != ErrForged {
				t.Errorf("Decode with %.8q after it = %v, want ErrForged", end, err)
			}
		}
		if _, err := Decode(seal.NewKey(), text); err != ErrForged {
			t.Errorf("Decode under another key = %v, want ErrForged", err)
		}
	}
}

func TestDecodeGarbageIsCheap(t *testing.T) {
	key := seal.NewKey()
	valid := encode(t, key, State{Config: "/a"})
	random := make([]byte, 96<<10)
	for i := range random {
		random[i] = byte(rand.IntN(256))
	}
	for what, text := range map[string]string{
		"nothing":                      "",
		"a letter":                     "A",
		"128 KiB of one letter":        strings.Repeat("A", 128<<10),
		"as much as is looked at":      strings.Repeat("A", maxText),
		"random bytes":                 string(random),
		"random bytes, well encoded":   base64.RawURLEncoding.EncodeToString(random[:70<<10]),
		"a valid state and 128 KiB":    valid + strings.Repeat("A", 128<<10),
		"a state that is too long":     base64.RawURLEncoding.EncodeToString(key.Seal(purpose, place, []byte(`{"c":"`+strings.Repeat("a", 80<<10)+`"}`))),
		"a valid state with padding":   valid + "==",
		"a state that is not sealed":   base64.RawURLEncoding.EncodeToString([]byte(`{"c":"/a","v":[]}`)),
		"what was sealed for another":  base64.RawURLEncoding.EncodeToString(key.Seal("cache", place, []byte(`{"c":"/a"}`))),
		"what is sealed but no state":  base64.RawURLEncoding.EncodeToString(key.Seal(purpose, place, []byte(`[1`))),
		"what is sealed, of odd types": base64.RawURLEncoding.EncodeToString(key.Seal(purpose, place, []byte(`{"v":{"n":1}}`))),
	} {
		t.Run(what, func(t *testing.T) {
			start := time.Now()
			_, err := Decode(key, text)
			if took := time.Since(start); err != ErrForged || took > time.Second {
				t.Errorf("Decode(%.40q) = %v after %v, want ErrForged", text, err, took)
			}
			if n := testing.AllocsPerRun(1, func() { _, _ = Decode(key, text) }); n > 40 {
				t.Errorf("Decode(%.40q) allocates %v times", text, n)
			}
		})
	}
}

// A shell with ten variables carries a kilobyte.
func TestEncodeIsSmall(t *testing.T) {
	key := seal.NewKey()
	s := State{
		Config: "/home/ada/work/shop/backend/.keyzero.toml", Digest: "sha256:" + strings.Repeat("0123456789abcdef", 4),
		Environment: "production", Mark: "1795312655",
	}
	for _, name := range []string{"DATABASE_URL", "REDIS_URL", "STRIPE_KEY", "STRIPE_WEBHOOK_SECRET", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SENTRY_DSN", "LOG_LEVEL", "SMTP_PASSWORD"} {
		s.Vars = append(s.Vars, NewVariable(key, name, strings.Repeat("v", 60), nil))
	}
	if n := len(encode(t, key, s)); n > 1<<10 {
		t.Errorf("the state of ten variables has %d bytes, want at most 1 KiB", n)
	}
}

func TestEncodeTooLarge(t *testing.T) {
	key := seal.NewKey()
	state := func(n int) State {
		return State{Vars: []Variable{NewVariable(key, "A", "1", new(strings.Repeat("x", n)))}}
	}
	if text, err := Encode(key, state(72<<10)); err != ErrTooLarge || text != "" {
		t.Errorf("Encode of an earlier value of 72 KiB = %d bytes, %v, want ErrTooLarge", len(text), err)
	}
	if text, err := Encode(key, state(64<<10)); err != nil || len(text) > 128<<10-100 {
		t.Errorf("Encode of an earlier value of 64 KiB = %d bytes, %v", len(text), err)
	}
}

// Neither what kz set nor what it replaced can be found in the text.
func TestEncodeHides(t *testing.T) {
	const before, value = "KZCANARYbefore", "KZCANARYvalue"
	key := seal.NewKey()
	text := encode(t, key, State{Config: "KZCANARYconfig", Vars: []Variable{NewVariable(key, "KZCANARYname", value, new(before))}})
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{before, value, "KZCANARY"} {
		forms := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
		for shift := range 3 { // base64 looks different at each of three places
			b := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			forms = append(forms, b[(shift*8+5)/6:len(b)-1])
		}
		for _, form := range forms {
			if strings.Contains(text, form) || strings.Contains(string(sealed), form) {
				t.Errorf("%q shows in %q as %q", secret, text, form)
			}
		}
	}
	// zsh never gives back the memory of a text that it has not had before.
	once, again := encode(t, key, State{Config: "/a"}), encode(t, key, State{Config: "/a"})
	if once != again {
		t.Error("Encode gives one state two texts")
	}
	if once[:40] == encode(t, key, State{Config: "/b"})[:40] {
		t.Error("Encode uses a nonce twice")
	}
}

func TestHolds(t *testing.T) {
	key := seal.NewKey()
	v := NewVariable(key, "TOKEN", "hunter2", nil)
	if !v.Holds(key, "hunter2") {
		t.Error("a variable does not hold the value that it was set to")
	}
	for _, other := range []string{"", "hunter", "hunter22", "Hunter2", "hunter2\x00"} {
		if v.Holds(key, other) {
			t.Errorf("a variable set to hunter2 holds %q", other)
		}
	}
	if v.Holds(seal.NewKey(), "hunter2") {
		t.Error("another key tells the value")
	}
	if same := NewVariable(key, "OTHER", "hunter2", nil); slices.Equal(same.Sum, v.Sum) {
		t.Error("two variables with one value have one sum: children see which are equal")
	}
	if (Variable{Name: "TOKEN"}).Holds(key, "") {
		t.Error("a variable without a sum holds the empty value")
	}
}

// loaded returns what env is after kz set some of the names, with the state of that.
func loaded(key seal.Key, env environ.Env, names []string) (environ.Env, State) {
	now, s := environ.Apply(env, nil), State{Config: "/a"}
	for _, name := range names {
		value := anyText()
		var before *string
		if earlier, ok := env[name]; ok {
			before = &earlier
		}
		now[name] = value
		s.Vars = append(s.Vars, NewVariable(key, name, value, before))
	}
	return now, s
}

func someNames() []string {
	return slices.DeleteFunc([]string{"A", "B", "C", "D"}, func(string) bool { return rand.IntN(2) == 0 })
}

func TestOuterUndoesLoading(t *testing.T) {
	key := seal.NewKey()
	for range 500 {
		env := environ.Env{"HOME": "/home/ada"}
		for _, name := range someNames() {
			env[name] = anyText()
		}
		now, s := loaded(key, env, someNames())
		s, err := Decode(key, encode(t, key, s)) // as it comes back from a shell
		if err != nil {
			t.Fatal(err)
		}
		given := maps.Clone(now)
		got, changed := s.Outer(key, now)
		if !maps.Equal(got, env) || changed != nil {
			t.Fatalf("Outer(%q) = %q, %q, want %q", now, got, changed, env)
		}
		if !maps.Equal(now, given) {
			t.Fatalf("Outer changed its argument from %q to %q", given, now)
		}
	}
}

// What the user set or unset by hand meanwhile is theirs.
func TestOuterLeavesWhatTheUserChanged(t *testing.T) {
	key := seal.NewKey()
	for range 500 {
		env := environ.Env{"A": "outer", "B": "outer"}
		now, s := loaded(key, env, someNames())
		want, byHand := maps.Clone(env), []string(nil)
		for _, v := range s.Vars {
			switch rand.IntN(3) {
			case 0:
				now[v.Name], want[v.Name] = "by hand", "by hand"
			case 1:
				delete(now, v.Name)
				delete(want, v.Name)
			default:
				continue
			}
			byHand = append(byHand, v.Name)
		}
		got, changed := s.Outer(key, now)
		if !maps.Equal(got, want) || !slices.Equal(changed, byHand) {
			t.Fatalf("Outer(%q) = %q, %q, want %q, %q", now, got, changed, want, byHand)
		}
	}
}

// Under another key nothing is recognized, so nothing is touched.
func TestOuterUnderAnotherKey(t *testing.T) {
	now, s := loaded(seal.NewKey(), environ.Env{"A": "outer"}, []string{"A", "B"})
	got, changed := s.Outer(seal.NewKey(), now)
	if !maps.Equal(got, now) || !slices.Equal(changed, []string{"A", "B"}) {
		t.Errorf("Outer = %q, %q, want %q and both changed", got, changed, now)
	}
}

func FuzzDecode(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzDecode")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	key, err := seal.KeyFrom([]byte("the key of the seeds, 32 bytes.."))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		s, err := Decode(key, text)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Decode takes %v for %d bytes", took, len(text))
		}
		if err != nil {
			if err != ErrForged || !reflect.DeepEqual(s, State{}) {
				t.Errorf("Decode(%q) = %s, %v, want ErrForged", text, show(s), err)
			}
			return
		}
		// Sealed under the key: one of the seeds.
		again, err := Encode(key, s)
		if err != nil {
			t.Fatalf("Encode of what %q decodes to: %v", text, err)
		}
		if got, err := Decode(key, again); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("Decode(Encode(s)) = %s, %v, want %s", show(got), err, show(s))
		}
	})
}

// A state is as good as the least lasting of its variables; what lasts for ever
// outlives a reboot.
func TestLeft(t *testing.T) {
	start := clock.Now()
	after := func(d time.Duration) func() clock.Stamp {
		return func() clock.Stamp {
			return clock.Stamp{Boot: start.Boot, Since: start.Since + d, Wall: start.Wall + int64(d)}
		}
	}
	never := func() clock.Stamp { t.Error("the clock is read for nothing"); return start }
	forever := State{Vars: []Variable{{Name: "A"}}}
	if _, ends := forever.Left(never); ends || len(forever.Good(never).Vars) != 1 {
		t.Error("a value without an end has one")
	}
	s := State{Taken: start, Vars: []Variable{{Name: "A"}, {Name: "B", Left: time.Minute}, {Name: "C", Left: time.Hour}}}
	for d, want := range map[time.Duration]struct {
		left time.Duration
		good string
	}{
		0: {time.Minute, "ABC"}, time.Minute - 1: {1, "ABC"}, time.Minute: {0, "AC"}, time.Hour: {0, "A"},
	} {
		left, ends := s.Left(after(d))
		good := ""
		for _, v := range s.Good(after(d)).Vars {
			good += v.Name
		}
		if left != want.left || !ends || good != want.good {
			t.Errorf("after %v: %v left, %s good; want %v, %s", d, left, good, want.left, want.good)
		}
	}
	reboot := func() clock.Stamp { return clock.Stamp{Boot: "another", Since: start.Since, Wall: start.Wall} }
	if left, ends := s.Left(reboot); left != 0 || !ends || len(s.Good(reboot).Vars) != 1 {
		t.Errorf("after a reboot: %v, %v", left, ends)
	}
}
