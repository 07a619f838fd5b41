package holder

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/seal"
)

func testKey() seal.Key {
	key, err := seal.KeyFrom([]byte(canary))
	if err != nil {
		panic(err)
	}
	return key
}

const canary = "kz-canary-of-thirty-two-bytes-4d"

func TestKeptKey(t *testing.T) {
	text := keptText(testKey(), time.Hour)
	now := clock.Now()
	later := func(since, wall time.Duration) clock.Stamp {
		return clock.Stamp{Boot: now.Boot, Since: now.Since + since, Wall: now.Wall + int64(wall)}
	}
	for what, tt := range map[string]struct {
		now clock.Stamp
		err error
	}{
		"at once":                {now, nil},
		"before its time":        {later(59*time.Minute, 59*time.Minute), nil},
		"at its time":            {later(time.Hour, time.Hour), errOver},
		"with the clock back":    {later(time.Hour, -time.Hour), errOver},
		"with the clock forward": {later(0, time.Hour), errOver},
		"after a reboot":         {clock.Stamp{Boot: "other", Since: now.Since, Wall: now.Wall}, errOver},
	} {
		key, err := keptKey(text, tt.now)
		if !errors.Is(err, tt.err) || (err == nil && string(key.Reveal()) != canary) {
			t.Errorf("%s: %v, want %v", what, err, tt.err)
		}
	}
}

func TestKeptForm(t *testing.T) {
	good := string(keptText(testKey(), time.Hour))
	for what, text := range map[string]string{
		"nothing":         "",
		"not JSON":        canary,
		"another version": strings.Replace(good, `"v":1`, `"v":2`, 1),
		"a short key":     strings.Replace(good, `"k":"`, `"k":"AAAA`, 1),
		"no key":          `{"v":1}`,
		"cut off":         good[:len(good)-1],
		"two":             good + good,
	} {
		if _, err := keptKey([]byte(text), clock.Now()); !errors.Is(err, errForm) || hasKey(err.Error()) {
			t.Errorf("%s leads to %v", what, err)
		}
	}
	long := string(keptText(testKey(), 10*Longest))
	at := clock.Now()
	at.Since += Longest
	if _, err := keptKey([]byte(long), at); !errors.Is(err, errOver) {
		t.Errorf("one that claims to be for longer than Longest: %v", err)
	}
}

// hasKey reports whether text holds the test's key in some form.
func hasKey(text string) bool {
	for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(text, strings.Trim(form, "[]=")) {
			return true
		}
	}
	return false
}

func TestNamesAndDurations(t *testing.T) {
	holders := map[string]Holder{
		"chain":    chain{None(), None(), new(atomic.Bool)},
		"keychain": Keychain([]string{"DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent"}),
	}
	if k, err := Kernel(); err == nil {
		holders["kernel"] = k
	}
	for what, h := range holders {
		for _, d := range []time.Duration{0, -1, Longest + 1} {
			if err := h.Keep(t.Context(), "n", testKey(), d); err == nil || !strings.Contains(err.Error(), "at most") {
				t.Errorf("%s: Keep for %v leads to %v", what, d, err)
			}
		}
		for _, name := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("a", maxName+1)} {
			err := h.Keep(t.Context(), name, testKey(), time.Minute)
			if err == nil || !strings.Contains(err.Error(), "under the name") {
				t.Errorf("%s: Keep(%.10q) leads to %v", what, name, err)
			}
			if _, err := h.Key(t.Context(), name); !errors.Is(err, ErrNoKey) {
				t.Errorf("%s: Key(%.10q) leads to %v", what, name, err)
			}
		}
	}
}

func TestNone(t *testing.T) {
	h := None()
	if err := h.Keep(t.Context(), "n", seal.NewKey(), time.Minute); !errors.Is(err, ErrNone) {
		t.Errorf("Keep leads to %v", err)
	}
	if _, err := h.Key(t.Context(), "n"); !errors.Is(err, ErrNone) || !errors.Is(err, ErrNoKey) {
		t.Errorf("Key leads to %v", err)
	}
	if err := h.Forget(t.Context(), "n"); err != nil {
		t.Errorf("Forget leads to %v", err)
	}
	if h.About().Name != "none" {
		t.Errorf("About = %+v", h.About())
	}
}
