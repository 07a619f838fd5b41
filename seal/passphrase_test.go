package seal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"
)

// The key is that of every Argon2id: libargon2 20171227, the reference in C, gives this.
func TestFromPassphrase(t *testing.T) {
	salt := [SaltSize]byte([]byte("sixteen bytes it"))
	key, err := FromPassphrase("correct horse", salt, DefaultCost())
	if err != nil {
		t.Fatal(err)
	}
	const want = "4e4a3ae24f600c12dc38c2e7e41db4961fd25d7e85359c32d38eb94c1b2c4281"
	if got := hex.EncodeToString(key.Reveal()); got != want {
		t.Errorf("FromPassphrase gives %s, want %s", got, want)
	}
}

func TestCostBounds(t *testing.T) {
	for cost, want := range map[Cost]error{
		DefaultCost():    nil,
		{64 << 10, 3, 1}: nil, {64 << 10, 64, 4}: nil, {512 << 10, 8, 16}: nil, {256 << 10, 3, 4}: nil,
		{}: ErrWeak, {64<<10 - 1, 3, 4}: ErrWeak, {64 << 10, 2, 4}: ErrWeak, {64 << 10, 3, 0}: ErrWeak, {8, 64, 1}: ErrWeak, {1 << 31, 0, 4}: ErrWeak,
		{512<<10 + 1, 3, 4}: ErrCostly, {64 << 10, 65, 4}: ErrCostly, {64 << 10, 3, 17}: ErrCostly, {512 << 10, 9, 4}: ErrCostly,
		{1<<32 - 1, 1<<32 - 1, 255}: ErrCostly, {64 << 10, 1<<32 - 1, 4}: ErrCostly, {1<<32 - 1, 3, 4}: ErrCostly,
	} {
		if err := cost.Check(); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v: Check = %v, want %v", cost, err, want)
		}
		if want != nil {
			if key, err := FromPassphrase("hunter2", [SaltSize]byte{}, cost); !errors.Is(err, want) || key != (Key{}) {
				t.Errorf("%v: FromPassphrase = %v, %v, want %v", cost, key, err, want)
			}
		}
	}
}

// On a machine where a pass takes so long, the passes are so many.
func TestCalibrate(t *testing.T) {
	for perPass, want := range map[time.Duration]uint32{
		0: maxPasses, time.Microsecond: maxPasses, time.Millisecond: maxPasses, 10 * time.Millisecond: 25, 22 * time.Millisecond: 11,
		80 * time.Millisecond: 3, 84 * time.Millisecond: 3, time.Second: 3,
	} {
		spent := time.Duration(0)
		got := calibrate(250*time.Millisecond, func(c Cost) time.Duration {
			spent += perPass * time.Duration(c.Passes)
			return perPass * time.Duration(c.Passes)
		})
		if got != (Cost{minMemory, want, 4}) || got.Check() != nil {
			t.Errorf("with %v a pass: %v, want %d passes", perPass, got, want)
		}
		if spent > 3100*time.Millisecond {
			t.Errorf("with %v a pass: it took %v", perPass, spent)
		}
	}
	if c := Calibrate(0); c != DefaultCost() {
		t.Errorf("Calibrate(0) = %v", c)
	}
	// A slow first measurement must not loop, nor one that varies.
	times := []time.Duration{1, 300, 1, 1, 1}
	n := 0
	got := calibrate(250*time.Millisecond, func(Cost) time.Duration { n++; return times[min(n-1, 4)] * time.Millisecond })
	if got.Passes != maxPasses && n > 2 {
		t.Errorf("%d measurements give %v", n, got)
	}
}

func TestSealKey(t *testing.T) {
	key, inner := NewKey(), NewKey()
	sealed := key.SealKey("slot", "here", inner)
	if len(sealed) != KeySize+Overhead {
		t.Errorf("a sealed key has %d bytes", len(sealed))
	}
	if got, err := key.OpenKey("slot", "here", sealed); err != nil || fmt.Sprint(got.Reveal()) != fmt.Sprint(inner.Reveal()) {
		t.Errorf("OpenKey(SealKey) is another key, %v", err)
	}
	for what, open := range map[string]func() (Key, error){
		"under another key":   func() (Key, error) { return inner.OpenKey("slot", "here", sealed) },
		"for another purpose": func() (Key, error) { return key.OpenKey("vault", "here", sealed) },
		"at another place":    func() (Key, error) { return key.OpenKey("slot", "there", sealed) },
		"cut":                 func() (Key, error) { return key.OpenKey("slot", "here", sealed[:len(sealed)-1]) },
		"of 31 bytes":         func() (Key, error) { return key.OpenKey("slot", "here", key.Seal("slot", "here", make([]byte, 31))) },
		"of 33 bytes":         func() (Key, error) { return key.OpenKey("slot", "here", key.Seal("slot", "here", make([]byte, 33))) },
	} {
		if got, err := open(); err != ErrOpen || got != (Key{}) {
			t.Errorf("%s: OpenKey = %v, %v, want ErrOpen", what, got, err)
		}
	}
}
