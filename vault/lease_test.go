package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
)

// A session is a holder that never forgets by itself.
type session map[string]seal.Key

func (s session) Keep(_ context.Context, name string, key seal.Key, _ time.Duration) error {
	s[name] = key
	return nil
}

func (s session) Key(_ context.Context, name string) (seal.Key, error) {
	if key, ok := s[name]; ok {
		return key, nil
	}
	return seal.Key{}, holder.ErrNoKey
}

func (s session) Forget(_ context.Context, name string) error { delete(s, name); return nil }
func (session) About() holder.About                           { return holder.About{} }

// none is where nothing keeps keys.
type none struct{ session }

func (none) Keep(context.Context, string, seal.Key, time.Duration) error { return holder.ErrNone }
func (none) Key(context.Context, string) (seal.Key, error)               { return seal.Key{}, holder.ErrNone }
func (none) Forget(context.Context, string) error                        { return holder.ErrNone }

const (
	idA = "0123456789abcdef0123456789abcdef"
	idB = "fedcba9876543210fedcba9876543210"
)

// A wall is a clock that tests set.
type wall struct{ now clock.Stamp }

func (w *wall) Now() clock.Stamp { return w.now }

func (w *wall) sleep(d time.Duration) {
	w.now.Since += d
	w.now.Wall += int64(d)
}

// sessions returns the leases of n login sessions over one directory.
func sessions(t *testing.T, n int) (leases []Lease, w *wall) {
	t.Helper()
	w = &wall{clock.Stamp{Boot: "boot", Since: time.Hour, Wall: 1e18}}
	dir := filepath.Join(t.TempDir(), "leases")
	for range n {
		leases = append(leases, Lease{Dir: dir, Holder: session{}, Now: w.Now})
	}
	return leases, w
}

func checkUnlocked(t *testing.T, what string, l Lease, id string, want seal.Key) {
	t.Helper()
	key, err := l.Key(t.Context(), id)
	if err != nil || string(key.Sum("x")) != string(want.Sum("x")) {
		t.Errorf("%s: Key = %v, want the data key", what, err)
	}
}

func checkLocked(t *testing.T, what string, l Lease, id string) {
	t.Helper()
	key, err := l.Key(t.Context(), id)
	if !errors.Is(err, holder.ErrNoKey) || !strings.HasPrefix(err.Error(), "the vault is locked: ") || key != (seal.Key{}) {
		t.Errorf("%s: Key = %v, want that the vault is locked", what, err)
	}
}

func TestLease(t *testing.T) {
	ls, w := sessions(t, 2)
	one, two, ctx := ls[0], ls[1], t.Context()
	a, b := seal.NewKey(), seal.NewKey()
	checkLocked(t, "at first", one, idA)
	must(t, one.Revoke(ctx, idA))
	must(t, one.Grant(ctx, idA, a, time.Hour))
	checkUnlocked(t, "in the session", one, idA, a)
	checkLocked(t, "in another session", two, idA)
	checkLocked(t, "another vault", one, idB)

	must(t, two.Grant(ctx, idA, a, 2*time.Hour))
	must(t, two.Grant(ctx, idB, b, 2*time.Hour))
	checkUnlocked(t, "side by side", one, idA, a)
	checkUnlocked(t, "side by side", two, idA, a)
	checkUnlocked(t, "two vaults", two, idB, b)

	w.sleep(time.Hour - 1)
	checkUnlocked(t, "just before its time", one, idA, a)
	w.sleep(1)
	checkLocked(t, "after its time, the holder having forgotten nothing", one, idA)
	checkUnlocked(t, "the longer lease", two, idA, a)

	must(t, one.Grant(ctx, idA, a, MaxLease))
	must(t, one.Revoke(ctx, idA))
	checkLocked(t, "revoked", one, idA)
	checkLocked(t, "revoked by another session", two, idA)
	checkUnlocked(t, "another vault than the revoked one", two, idB, b)
	if len(one.Holder.(session)) != 0 {
		t.Error("the own holder still has the key")
	}
}

func TestGrantAgain(t *testing.T) {
	ls, w := sessions(t, 2)
	l, ctx, key := ls[0], t.Context(), seal.NewKey()
	must(t, ls[1].Grant(ctx, idB, key, time.Minute))
	must(t, l.Grant(ctx, idA, key, time.Hour))
	must(t, l.Grant(ctx, idA, key, 2*time.Hour))
	if got := strings.Fields(files(t, l.Dir)); len(got) != 2 {
		t.Errorf("after the second grant there are %q", got)
	}
	w.sleep(90 * time.Minute)
	checkUnlocked(t, "granted for longer", l, idA, key)
	must(t, l.Grant(ctx, idA, key, time.Minute))
	if got := strings.Fields(files(t, l.Dir)); len(got) != 1 || !strings.HasPrefix(got[0], idA+"-") {
		t.Errorf("after all but one have expired there are %q", got)
	}
}

// No clock that is set and no reboot makes a lease last longer.
func TestLeaseAndClocks(t *testing.T) {
	for what, change := range map[string]func(s *clock.Stamp){
		"a reboot":                  func(s *clock.Stamp) { s.Boot = "another" },
		"a clock before the lease":  func(s *clock.Stamp) { s.Since -= time.Minute },
		"the wall clock set ahead":  func(s *clock.Stamp) { s.Wall += int64(time.Hour) },
		"sleep, the wall set back":  func(s *clock.Stamp) { s.Since += time.Hour; s.Wall -= int64(24 * time.Hour) },
		"a reboot, clocks the same": func(s *clock.Stamp) { s.Boot = "" },
	} {
		ls, w := sessions(t, 1)
		must(t, ls[0].Grant(t.Context(), idA, seal.NewKey(), time.Hour))
		change(&w.now)
		checkLocked(t, "after "+what, ls[0], idA)
	}
}

func TestGrantRefuses(t *testing.T) {
	ls, _ := sessions(t, 1)
	l := ls[0]
	for _, d := range []time.Duration{0, -1, MaxLease + 1} {
		if err := l.Grant(t.Context(), idA, seal.NewKey(), d); err == nil {
			t.Errorf("Grant for %v succeeds", d)
		}
	}
	for _, id := range []string{"", "..", "../" + idA[3:], idA + "0", strings.ToUpper(idA), "\x00" + idA[1:]} {
		_, err := l.Key(t.Context(), id)
		if l.Grant(t.Context(), id, seal.NewKey(), time.Hour) == nil || err == nil || l.Revoke(t.Context(), id) == nil {
			t.Errorf("%q counts as an ID", id)
		}
	}
	if _, err := os.Lstat(l.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("refusing leaves %q", files(t, l.Dir))
	}
	l.Holder = none{}
	if err := l.Grant(t.Context(), idA, seal.NewKey(), time.Hour); !errors.Is(err, holder.ErrNone) || files(t, l.Dir) != "" {
		t.Errorf("Grant without a holder = %v, and leaves %q", err, files(t, l.Dir))
	}
	if _, err := l.Key(t.Context(), idA); !errors.Is(err, holder.ErrNone) {
		t.Errorf("Key without a holder = %v", err)
	}
	if err := l.Revoke(t.Context(), idA); err != nil {
		t.Errorf("Revoke without a holder = %v", err)
	}
}

// A breaker keeps keys, and then the directory of the leases is no more.
type breaker struct {
	session
	dir string
}

func (b breaker) Keep(ctx context.Context, name string, key seal.Key, d time.Duration) error {
	return errors.Join(b.session.Keep(ctx, name, key, d), os.RemoveAll(b.dir))
}

// A file that cannot be written leaves no key behind.
func TestGrantFails(t *testing.T) {
	ls, _ := sessions(t, 1)
	l := ls[0]
	l.Holder = breaker{session{}, l.Dir}
	if err := l.Grant(t.Context(), idA, seal.NewKey(), time.Hour); err == nil || len(l.Holder.(breaker).session) != 0 {
		t.Errorf("Grant = %v, and the holder has %v", err, l.Holder)
	}
	must(t, os.WriteFile(l.Dir, nil, 0o600))
	if err := l.Grant(t.Context(), idA, seal.NewKey(), time.Hour); err == nil {
		t.Error("Grant into a file succeeds")
	}
}

func TestLeaseFile(t *testing.T) {
	ls, _ := sessions(t, 1)
	l, key := ls[0], fixedKey(t)
	must(t, l.Grant(t.Context(), idA, key, time.Hour))
	path := filepath.Join(l.Dir, files(t, l.Dir))
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v, want mode 0600", info, err)
	}
	data := read(t, path)
	if strings.Contains(string(data), strings.Repeat("\x07", 8)) || strings.Contains(path+string(data), fmt.Sprintf("%x", key.Sum(""))) {
		t.Error("the file has the key in clear")
	}
	for i := range data {
		for _, mask := range []byte{1, 0x80} {
			changed := slices.Clone(data)
			changed[i] ^= mask
			must(t, os.WriteFile(path, changed, 0o600))
			checkLocked(t, fmt.Sprintf("byte %d changed", i), l, idA)
		}
		must(t, os.WriteFile(path, data[:i], 0o600))
		checkLocked(t, fmt.Sprintf("the first %d bytes", i), l, idA)
	}
	must(t, os.WriteFile(path, data, 0o600))
	checkUnlocked(t, "as it was", l, idA, key)

	must(t, os.Chmod(path, 0o640))
	if _, err := l.Key(t.Context(), idA); !errors.Is(err, ErrUnsafe) {
		t.Errorf("readable by the group: %v", err)
	}
	must(t, os.Remove(path))
	must(t, os.Symlink("elsewhere", path))
	if _, err := l.Key(t.Context(), idA); err == nil {
		t.Error("a link counts as a lease")
	}
}

// The lease of one vault is none of another, whoever copies files.
func TestLeaseIsOfItsVault(t *testing.T) {
	ls, _ := sessions(t, 1)
	l, ctx := ls[0], t.Context()
	must(t, l.Grant(ctx, idA, seal.NewKey(), time.Hour))
	s := l.Holder.(session)
	s[holderName(idB)] = s[holderName(idA)]
	must(t, os.Rename(l.path(idA, s[holderName(idA)]), l.path(idB, s[holderName(idB)])))
	checkLocked(t, "with the other's file and key", l, idB)
}

// What a process that was killed left of a lease goes with the others.
func TestRevokeSweeps(t *testing.T) {
	ls, _ := sessions(t, 1)
	l := ls[0]
	must(t, os.MkdirAll(l.Dir, 0o700))
	for _, name := range []string{"." + idA + "-00.lease.kz-1-X", idA + "-00.lease", idB + "-00.lease", "other"} {
		must(t, os.WriteFile(filepath.Join(l.Dir, name), nil, 0o600))
	}
	must(t, l.Revoke(t.Context(), idA))
	if got := files(t, l.Dir); got != idB+"-00.lease other" {
		t.Errorf("Revoke leaves %q", got)
	}
	must(t, l.Grant(t.Context(), idA, seal.NewKey(), time.Hour))
	if got := files(t, l.Dir); !strings.Contains(got, "other") {
		t.Errorf("Grant leaves %q", got)
	}
}

// Where the vault cannot be read, its leases go all the same, and their keys.
func TestRevokeAll(t *testing.T) {
	ls, _ := sessions(t, 1)
	l := ls[0]
	for _, id := range []string{idA, idB} {
		must(t, l.Grant(t.Context(), id, seal.NewKey(), time.Hour))
	}
	for _, name := range []string{"." + idA + "-00.lease.kz-1-X", "other"} {
		must(t, os.WriteFile(filepath.Join(l.Dir, name), nil, 0o600))
	}
	must(t, l.RevokeAll(t.Context()))
	if got := files(t, l.Dir); got != "other" || len(l.Holder.(session)) != 0 {
		t.Errorf("RevokeAll leaves %q and %d keys", got, len(l.Holder.(session)))
	}
	must(t, Lease{Dir: filepath.Join(t.TempDir(), "none"), Holder: none{}}.RevokeAll(t.Context()))

	// A key whose file is gone goes if its vault is known.
	must(t, l.Grant(t.Context(), idA, seal.NewKey(), time.Hour))
	must(t, os.RemoveAll(l.Dir))
	must(t, l.RevokeAll(t.Context(), idA))
	if len(l.Holder.(session)) != 0 {
		t.Error("the holder still has a key")
	}
}

// What was granted before the vault was locked stays locked, though its file is
// where the locking did not see it, and the vault was unlocked since.
func TestLeaseOfAnotherEpoch(t *testing.T) {
	ls, _ := sessions(t, 1)
	l, key := ls[0], seal.NewKey()
	must(t, l.Grant(t.Context(), idA, key, time.Hour))
	later := l
	later.Epoch = "1"
	checkLocked(t, "after the locking", later, idA)
	checkUnlocked(t, "before it", l, idA, key)
	must(t, later.Grant(t.Context(), idA, key, time.Hour))
	checkUnlocked(t, "unlocked again", later, idA, key)
	if got := files(t, l.Dir); strings.Contains(got, " ") {
		t.Errorf("there are still %q", got)
	}
}

func TestLeaseByTheRealClock(t *testing.T) {
	l := Lease{Dir: t.TempDir(), Holder: session{}}
	key := seal.NewKey()
	must(t, l.Grant(t.Context(), idA, key, 50*time.Millisecond))
	time.Sleep(60 * time.Millisecond)
	checkLocked(t, "after its time", l, idA)
	must(t, l.Grant(t.Context(), idA, key, time.Hour))
	checkUnlocked(t, "within its time", l, idA, key)
}
