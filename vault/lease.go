package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
)

// MaxLease is how long a vault may stay unlocked.
const MaxLease = 12 * time.Hour

const (
	purposeLease     = "vault 1 lease"
	purposeLeaseName = "vault 1 lease name"

	leaseSuffix = ".lease"
	maxLeaseLen = 4 << 10
)

// A Lease is what keeps a vault unlocked for a while: the holder has a random
// key, and a file in Dir has the data key sealed under it. Each login session
// has a file of its own, since each may have a holder's key of its own.
// Without the file the holder's key opens nothing, so removing the files locks
// the vault in all sessions, those that cannot be reached among them.
type Lease struct {
	Dir    string
	Holder holder.Holder
	Now    func() clock.Stamp // nil means clock.Now

	// Epoch is another one after each locking. A lease that was granted in one
	// counts in no other, wherever its file is: a session with another Dir has
	// leases that Revoke does not find.
	Epoch string
}

// terms are the first line of a lease's file. They are authenticated.
type terms struct {
	Vault string        `json:"vault"`
	At    clock.Stamp   `json:"at"`
	For   time.Duration `json:"for"`
	Epoch string        `json:"epoch,omitempty"`
}

// current reports whether a lease of these terms still runs. After a reboot none
// does, nor after the vault was locked.
func (l Lease) current(t terms) bool {
	age, ok := t.At.Age(l.now())
	return ok && age < min(t.For, MaxLease) && t.Epoch == l.Epoch
}

// Grant keeps the vault with that ID unlocked for d, in place of an earlier
// grant of the same session.
func (l Lease) Grant(ctx context.Context, id string, dataKey seal.Key, d time.Duration) error {
	if d <= 0 || d > MaxLease {
		return fmt.Errorf("a vault stays unlocked for at most %v", MaxLease)
	}
	if err := checkID(id); err != nil {
		return err
	}
	if err := l.tidy(ctx, id); err != nil {
		return err
	}
	line, err := json.Marshal(terms{Vault: id, At: l.now(), For: d, Epoch: l.Epoch})
	if err != nil {
		return err
	}
	key := seal.NewKey()
	if err := l.Holder.Keep(ctx, holderName(id), key, d); err != nil {
		return err
	}
	text := slices.Concat(line, []byte("\n"), key.SealKey(purposeLease, string(line), dataKey))
	if err := atomicfile.Write(l.path(id, key), text, 0o600); err != nil {
		return errors.Join(err, l.Holder.Forget(ctx, holderName(id)))
	}
	return nil
}

// Key returns the data key of the vault with that ID, or an error that wraps
// [holder.ErrNoKey] if it is locked.
func (l Lease) Key(ctx context.Context, id string) (seal.Key, error) {
	if err := checkID(id); err != nil {
		return seal.Key{}, err
	}
	key, err := l.Holder.Key(ctx, holderName(id))
	if err != nil {
		return seal.Key{}, fmt.Errorf("the vault is locked: %w", err)
	}
	dataKey, err := l.open(id, key)
	if err != nil {
		return seal.Key{}, fmt.Errorf("the vault is locked: %w", err)
	}
	return dataKey, nil
}

// open returns the data key of the lease that key seals. A file that is missing,
// expired or not what Grant wrote is no lease.
func (l Lease) open(id string, key seal.Key) (seal.Key, error) {
	text, err := readOwn(l.path(id, key), maxLeaseLen)
	if errors.Is(err, fs.ErrNotExist) {
		return seal.Key{}, holder.ErrNoKey
	}
	if err != nil {
		return seal.Key{}, err
	}
	line, sealed, _ := bytes.Cut(text, []byte("\n"))
	dataKey, err := key.OpenKey(purposeLease, string(line), sealed)
	if err != nil {
		return seal.Key{}, fmt.Errorf("%w: the lease was changed", holder.ErrNoKey)
	}
	if t, ok := parseTerms(line); !ok || t.Vault != id || !l.current(t) {
		return seal.Key{}, fmt.Errorf("%w: the lease has expired", holder.ErrNoKey)
	}
	return dataKey, nil
}

// Revoke locks the vault with that ID, in all sessions at once.
func (l Lease) Revoke(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	err := l.remove(func(name string) bool { return strings.HasPrefix(strings.TrimPrefix(name, "."), id+"-") })
	return errors.Join(err, l.forget(ctx, id))
}

// forget has the holder drop its key. Where there is none it has none. One that
// hangs may keep the key: without its file that opens nothing.
func (l Lease) forget(ctx context.Context, id string) error {
	err := l.Holder.Forget(ctx, holderName(id))
	if errors.Is(err, holder.ErrNone) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// RevokeAll locks every vault, in all sessions at once, for when the ID of the
// vault cannot be read. The holder forgets the keys of those that have a file, and
// of the known ones.
func (l Lease) RevokeAll(ctx context.Context, known ...string) error {
	ids := slices.Clone(known)
	err := l.remove(func(name string) bool {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, "."), "-")
		if checkID(id) != nil {
			return false
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return true
	})
	for _, id := range ids {
		err = errors.Join(err, l.forget(ctx, id))
	}
	return err
}

// tidy makes the directory, and removes this session's lease and those that
// have expired.
func (l Lease) tidy(ctx context.Context, id string) error {
	if err := atomicfile.MkdirPrivate(l.Dir); err != nil {
		return err
	}
	own := ""
	if key, err := l.Holder.Key(ctx, holderName(id)); err == nil {
		own = filepath.Base(l.path(id, key))
	}
	return l.remove(func(name string) bool {
		return name == own || strings.HasSuffix(name, leaseSuffix) && l.expired(name)
	})
}

func (l Lease) expired(name string) bool {
	text, err := readOwn(filepath.Join(l.Dir, name), maxLeaseLen)
	if err != nil {
		return false
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	t, ok := parseTerms(line)
	return ok && !l.current(t)
}

// remove removes the files of Dir that are meant.
func (l Lease) remove(meant func(name string) bool) error {
	entries, err := os.ReadDir(l.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !meant(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(l.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (l Lease) now() clock.Stamp {
	if l.Now == nil {
		return clock.Now()
	}
	return l.Now()
}

// path is the file of the lease that key seals: who has not the key cannot tell
// whose file it is.
func (l Lease) path(id string, key seal.Key) string {
	return filepath.Join(l.Dir, id+"-"+hex.EncodeToString(key.Sum(purposeLeaseName, id)[:16])+leaseSuffix)
}

func parseTerms(line []byte) (t terms, ok bool) {
	err := json.Unmarshal(line, &t)
	return t, err == nil
}

func holderName(id string) string { return "vault-" + id }

// checkID refuses what is no ID, since names of files begin with it.
func checkID(id string) error {
	if data, err := hex.DecodeString(id); err != nil || len(data) != idSize || id != strings.ToLower(id) {
		return fmt.Errorf("%q is not the ID of a vault", id)
	}
	return nil
}
