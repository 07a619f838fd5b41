package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/getkeyzero/kz/internal/roottest"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// What no file and no error may show.
const (
	canaryValue      = "KZ-CANARY-VALUE-5f1c"
	canaryName       = "KZ-CANARY-NAME-77aa"
	canaryPassphrase = "KZ-CANARY-PASSPHRASE-03be"
)

// fixedKey is that of a slot of the vaults in testdata.
func fixedKey(t testing.TB) seal.Key {
	t.Helper()
	key, err := seal.KeyFrom(bytes.Repeat([]byte{7}, seal.KeySize))
	must(t, err)
	return key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func passphrase(text string) NewSlot {
	return PassphraseSlot("passphrase", resolve.NewSecret(text), seal.DefaultCost())
}

func secrets(pairs ...string) map[string]resolve.Secret {
	m := map[string]resolve.Secret{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = resolve.NewSecret(pairs[i+1])
	}
	return m
}

// create makes a vault with these entries that opens with fixedKey.
func create(t testing.TB, pairs ...string) (path string, key seal.Key) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "vault.kz")
	key, err := Create(t.Context(), path, KeychainSlot("keychain", fixedKey(t)))
	must(t, err)
	put(t, path, key, pairs...)
	return path, key
}

func put(t testing.TB, path string, key seal.Key, pairs ...string) {
	t.Helper()
	must(t, Update(t.Context(), path, key, func(entries map[string]resolve.Secret) error {
		maps.Copy(entries, secrets(pairs...))
		return nil
	}))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func open(t testing.TB, path string) *Vault {
	t.Helper()
	v, err := Open(path)
	must(t, err)
	return v
}

// show is what the vault holds, or why it cannot be read.
func show(t testing.TB, v *Vault, key seal.Key) string {
	t.Helper()
	entries, err := v.Entries(key)
	if err != nil {
		return err.Error()
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		list = append(list, name+"="+entries[name].Reveal())
	}
	return strings.Join(list, " ")
}

func checkHolds(t testing.TB, path string, key seal.Key, want string) {
	t.Helper()
	if got := show(t, open(t, path), key); got != want {
		t.Errorf("the vault holds %q, want %q", got, want)
	}
}

func files(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func checkHidden(t testing.TB, what, text string) {
	t.Helper()
	for _, canary := range []string{canaryValue, canaryName, canaryPassphrase} {
		if strings.Contains(text, canary) {
			t.Errorf("%s shows %q", what, canary)
		}
	}
}

func TestVault(t *testing.T) {
	path, key := create(t)
	checkHolds(t, path, key, "")
	put(t, path, key, "b", "2", "a", "1", "ø/x y", "\xff\n\x01")
	checkHolds(t, path, key, "a=1 b=2 ø/x y=\xff\n\x01")
	must(t, Update(t.Context(), path, key, func(entries map[string]resolve.Secret) error {
		delete(entries, "b")
		entries["a"] = resolve.NewSecret("")
		return nil
	}))
	checkHolds(t, path, key, "a= ø/x y=\xff\n\x01")

	v := open(t, path)
	unlocked, err := v.UnlockWith(fixedKey(t))
	if err != nil || show(t, v, unlocked) != show(t, v, key) {
		t.Errorf("the unlocked vault holds %q, %v", show(t, v, unlocked), err)
	}
	if s, err := v.Get(key, "a"); err != nil || s.Reveal() != "" {
		t.Errorf("Get(a) = %v, %v", s, err)
	}
	if _, err := v.Get(key, "b"); !errors.Is(err, ErrNoEntry) || err.Error() != `no such entry: "b"` {
		t.Errorf("Get(b) = %v", err)
	}
	if len(v.ID()) != 32 || v.ID() != open(t, path).ID() {
		t.Errorf("the ID is %q", v.ID())
	}
}

func TestUnlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "vault.kz")
	key, err := Create(t.Context(), path, passphrase(canaryPassphrase), KeychainSlot("keychain", fixedKey(t)))
	must(t, err)
	put(t, path, key, "a", "1")
	v := open(t, path)
	got, err := v.Unlock(resolve.NewSecret(canaryPassphrase))
	if err != nil || show(t, v, got) != "a=1" {
		t.Errorf("Unlock gives a key to %q, %v", show(t, v, got), err)
	}
	if key, err := v.Unlock(resolve.NewSecret(canaryPassphrase + " ")); err != ErrPassphrase || key != (seal.Key{}) {
		t.Errorf("Unlock with a wrong passphrase = %v, %v", key, err)
	}
	if key, err := v.UnlockWith(seal.NewKey()); err != ErrKey || key != (seal.Key{}) {
		t.Errorf("UnlockWith a wrong key = %v, %v", key, err)
	}
	want := []Slot{{Passphrase, "passphrase", seal.DefaultCost()}, {Keychain, "keychain", seal.Cost{}}}
	if got := v.Slots(); !slices.Equal(got, want) {
		t.Errorf("Slots() = %v, want %v", got, want)
	}
	if got := show(t, v, seal.NewKey()); got != path+": "+ErrDamaged.Error() {
		t.Errorf("with a wrong data key the vault holds %q", got)
	}

	other, _ := create(t)
	if _, err := open(t, other).Unlock(resolve.NewSecret("x")); !errors.Is(err, ErrNoSlot) {
		t.Errorf("Unlock without a passphrase slot = %v", err)
	}
}

func TestCreate(t *testing.T) {
	was := syscall.Umask(0)
	defer syscall.Umask(was)
	path, _ := create(t)
	before := read(t, path)
	if _, err := Create(t.Context(), path, KeychainSlot("k", seal.NewKey())); !errors.Is(err, fs.ErrExist) || !bytes.Equal(read(t, path), before) {
		t.Errorf("Create over a vault = %v", err)
	}
	dir := filepath.Join(t.TempDir(), "dir")
	path = filepath.Join(dir, "vault.kz")
	for what, slots := range map[string][]NewSlot{
		"no slot":             {},
		"two of a name":       {KeychainSlot("k", seal.NewKey()), KeychainSlot("k", seal.NewKey())},
		"seventeen":           slices.Collect(many(MaxSlots + 1)),
		"no name":             {KeychainSlot("", seal.NewKey())},
		"a long name":         {KeychainSlot(strings.Repeat("x", maxSlotName+1), seal.NewKey())},
		"a name with newline": {KeychainSlot("a\nb", seal.NewKey())},
		"an empty passphrase": {passphrase("")},
		"a weak passphrase":   {PassphraseSlot("p", resolve.NewSecret(canaryPassphrase), seal.Cost{Memory: 19 << 10, Passes: 2, Lanes: 1})},
		"a zero slot":         {{}},
	} {
		if key, err := Create(t.Context(), path, slots...); err == nil || key != (seal.Key{}) {
			t.Errorf("Create with %s = %v, %v", what, key, err)
		} else {
			checkHidden(t, "Create with "+what, err.Error())
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("failing leaves %q", files(t, dir))
	}
	key, err := Create(t.Context(), path, slices.Collect(many(MaxSlots))...)
	must(t, err)
	put(t, path, key, "a", "1")
	for _, name := range []string{"vault.kz", "vault.kz.bak", "vault.kz.lock"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	if info, _ := os.Lstat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has %v", info.Mode())
	}
}

func many(n int) func(func(NewSlot) bool) {
	return func(yield func(NewSlot) bool) {
		for i := range n {
			if !yield(KeychainSlot(fmt.Sprint(i), seal.NewKey())) {
				return
			}
		}
	}
}

// Slots come and go, and the entries' bytes stay.
func TestSlotsLeaveTheEntriesAlone(t *testing.T) {
	path, key := create(t, "a", "1")
	body := open(t, path).body
	check := func(what string, err error, want ...string) {
		t.Helper()
		must(t, err)
		v := open(t, path)
		var names []string
		for _, s := range v.Slots() {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, want) || !bytes.Equal(v.body, body) || show(t, v, key) != "a=1" {
			t.Errorf("after %s: slots %q, want %q; the entries have the same bytes: %v; %s", what, names, want, bytes.Equal(v.body, body), show(t, v, key))
		}
	}
	ctx, second := t.Context(), seal.NewKey()
	check("AddSlot", AddSlot(ctx, path, key, KeychainSlot("second", second)), "keychain", "second")
	check("AddSlot", AddSlot(ctx, path, key, passphrase("old")), "keychain", "second", "passphrase")
	check("Passwd", Passwd(ctx, path, key, passphrase("new")), "keychain", "second", "passphrase")
	check("RemoveSlot", RemoveSlot(ctx, path, key, "keychain"), "second", "passphrase")

	v := open(t, path)
	if _, err := v.Unlock(resolve.NewSecret("old")); err != ErrPassphrase {
		t.Errorf("with the old passphrase: %v", err)
	}
	if _, err := v.Unlock(resolve.NewSecret("new")); err != nil {
		t.Errorf("with the new passphrase: %v", err)
	}
	if _, err := v.UnlockWith(fixedKey(t)); err != ErrKey {
		t.Errorf("with the key of the removed slot: %v", err)
	}
	if _, err := v.UnlockWith(second); err != nil {
		t.Errorf("with the key of the other slot: %v", err)
	}
	// Nor does the backup open with what was taken away.
	if !bytes.Equal(read(t, path+Backup), read(t, path)) {
		t.Error("the backup is not as the vault after RemoveSlot")
	}
}

func TestSlotErrors(t *testing.T) {
	path, key := create(t, "a", "1")
	before := read(t, path)
	ctx := t.Context()
	for what, test := range map[string]struct {
		err  error
		want error
	}{
		"removing the only slot":     {RemoveSlot(ctx, path, key, "keychain"), nil},
		"removing no slot":           {RemoveSlot(ctx, path, key, "none"), ErrNoSlot},
		"adding one of the name":     {AddSlot(ctx, path, key, KeychainSlot("keychain", key)), nil},
		"passwd of a keychain slot":  {Passwd(ctx, path, key, KeychainSlot("keychain", key)), nil},
		"passwd of no slot":          {Passwd(ctx, path, key, passphrase("x")), ErrNoSlot},
		"another's data key":         {RemoveSlot(ctx, path, seal.NewKey(), "keychain"), ErrDamaged},
		"an update with another key": {Update(ctx, path, seal.NewKey(), func(map[string]resolve.Secret) error { return nil }), ErrDamaged},
		"rekey without slots":        {second(Rekey(ctx, path, key)), nil},
		"a path without a vault":     {AddSlot(ctx, path+"x", key, KeychainSlot("k", key)), fs.ErrNotExist},
	} {
		if test.err == nil || test.want != nil && !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", what, test.err, test.want)
		}
	}
	if !bytes.Equal(read(t, path), before) {
		t.Error("failing changed the vault")
	}
}

func second(_ seal.Key, err error) error { return err }

func TestRekey(t *testing.T) {
	path, key := create(t, "a", "1")
	before, slotKey := open(t, path), seal.NewKey()
	next, err := Rekey(t.Context(), path, key, KeychainSlot("new", slotKey))
	must(t, err)
	after := open(t, path)
	if show(t, after, next) != "a=1" || show(t, after, key) != path+": "+ErrDamaged.Error() || after.ID() == before.ID() {
		t.Errorf("with the new key %q, with the old one %q", show(t, after, next), show(t, after, key))
	}
	if _, err := after.UnlockWith(fixedKey(t)); err != ErrKey {
		t.Errorf("with the old slot's key: %v", err)
	}
	if !bytes.Equal(read(t, path+Backup), read(t, path)) {
		t.Error("the backup still opens with the old key")
	}
}

func TestBackup(t *testing.T) {
	path, key := create(t)
	put(t, path, key, "a", "1")
	one := read(t, path)
	put(t, path, key, "a", "2")
	if !bytes.Equal(read(t, path+Backup), one) {
		t.Error("the backup is not what was there before")
	}
	checkHolds(t, path+Backup, key, "a=1")
	two := read(t, path)
	put(t, path, key, "a", "2") // changes nothing
	if !bytes.Equal(read(t, path), two) || !bytes.Equal(read(t, path+Backup), one) {
		t.Error("an update that changes nothing writes")
	}
	oops := errors.New("oops")
	err := Update(t.Context(), path, key, func(entries map[string]resolve.Secret) error {
		clear(entries)
		return oops
	})
	if err != oops || !bytes.Equal(read(t, path), two) {
		t.Errorf("an update that fails = %v", err)
	}
}

func TestExport(t *testing.T) {
	data, err := Export(secrets(canaryName, canaryValue), resolve.NewSecret(canaryPassphrase), seal.DefaultCost())
	must(t, err)
	checkNoCanary(t, "an export", data)
	v, err := Parse(data)
	must(t, err)
	key, err := v.Unlock(resolve.NewSecret(canaryPassphrase))
	if got := show(t, v, key); err != nil || got != canaryName+"="+canaryValue {
		t.Errorf("the export holds %q, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	path, key := create(t, "kept", "1")
	before := read(t, path)
	update := func(change func(map[string]resolve.Secret)) error {
		return Update(t.Context(), path, key, func(entries map[string]resolve.Secret) error { change(entries); return nil })
	}
	value := func(n int) resolve.Secret {
		return resolve.NewSecret(canaryValue + strings.Repeat("x", n-len(canaryValue)))
	}
	for what, change := range map[string]func(map[string]resolve.Secret){
		"a value too long":           func(m map[string]resolve.Secret) { m["a"] = value(resolve.MaxValue + 1) },
		"a name too long":            func(m map[string]resolve.Secret) { m[strings.Repeat("x", MaxName+1)] = value(100) },
		"no name":                    func(m map[string]resolve.Secret) { m[""] = value(100) },
		"a control character":        func(m map[string]resolve.Secret) { m["a\x1b"] = value(100) },
		"bytes that are no UTF-8":    func(m map[string]resolve.Secret) { m["\xff"] = value(100) },
		"too many":                   func(m map[string]resolve.Secret) { fill(m, MaxEntries, value(100)) },
		"more than a file may have":  func(m map[string]resolve.Secret) { fill(m, 130, value(resolve.MaxValue)) },
		"a value far too long":       func(m map[string]resolve.Secret) { m["a"] = value(MaxFile + 1) },
		"a name that is as a prefix": func(m map[string]resolve.Secret) { m["a\x00"] = value(100) },
	} {
		err := update(change)
		if err == nil || !bytes.Equal(read(t, path), before) {
			t.Errorf("%s: Update = %v", what, err)
			continue
		}
		checkHidden(t, what, err.Error())
	}
	must(t, update(func(m map[string]resolve.Secret) {
		fill(m, MaxEntries-2, value(1000))
		m[strings.Repeat("x", MaxName)] = value(resolve.MaxValue)
	}))
	entries, err := open(t, path).Entries(key)
	if err != nil || len(entries) != MaxEntries || entries["17"].Reveal() != value(1000).Reveal() {
		t.Errorf("a full vault has %d entries, %v", len(entries), err)
	}
}

func fill(m map[string]resolve.Secret, n int, value resolve.Secret) {
	for i := range n {
		m[fmt.Sprint(i)] = value
	}
}

func checkNoCanary(t testing.TB, what string, data []byte) {
	t.Helper()
	for _, canary := range []string{canaryValue, canaryName, canaryPassphrase} {
		for _, shown := range encodings(canary) {
			if bytes.Contains(bytes.ToLower(data), bytes.ToLower([]byte(shown))) {
				t.Errorf("%s has %q as %q", what, canary, shown)
			}
		}
	}
}

// encodings returns what is found of text where it stands amid others, encoded.
func encodings(text string) []string {
	list := []string{text, hex.EncodeToString([]byte(text))}
	for _, before := range []string{"", "x", "xx"} {
		whole := base64.StdEncoding.EncodeToString([]byte(before + text))
		list = append(list, whole[4:len(whole)-4])
	}
	return list
}

// Neither values, nor names, nor the passphrase are in any file.
func TestNothingInClear(t *testing.T) {
	for _, shown := range encodings(canaryValue) {
		if len(shown) < 10 {
			t.Fatalf("this test looks for %q", shown)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "vault.kz")
	key, err := Create(t.Context(), path, passphrase(canaryPassphrase))
	must(t, err)
	put(t, path, key, canaryName, canaryValue)
	put(t, path, key, "other", canaryValue)
	for _, name := range strings.Fields(files(t, dir)) {
		checkNoCanary(t, name, read(t, filepath.Join(dir, name)))
	}
	if got := files(t, dir); got != "vault.kz vault.kz.bak vault.kz.lock" {
		t.Errorf("the files are %q", got)
	}
	v := open(t, path)
	checkHidden(t, "a vault", fmt.Sprintf("%v %+v %#v", v, v, *v))
	n := passphrase(canaryPassphrase)
	checkHidden(t, "a new slot", fmt.Sprintf("%v %+v %#v", n, n, []NewSlot{n}))
}

func TestOpenOnlyWhatIsOurs(t *testing.T) {
	path, key := create(t, "a", "1")
	for mode, want := range map[fs.FileMode]error{0o600: nil, 0o400: nil, 0o640: ErrUnsafe, 0o604: ErrUnsafe, 0o620: ErrUnsafe, 0o602: ErrUnsafe, 0o644: ErrUnsafe, 0o777: ErrUnsafe, 0o610: ErrUnsafe} {
		must(t, os.Chmod(path, mode))
		if _, err := Open(path); !errors.Is(err, want) {
			t.Errorf("Open of a file of mode %v = %v, want %v", mode, err, want)
		}
		if err := AddSlot(t.Context(), path, key, KeychainSlot(mode.String(), key)); !errors.Is(err, want) {
			t.Errorf("AddSlot to a file of mode %v = %v, want %v", mode, err, want)
		}
		must(t, os.Chmod(path, 0o600))
	}
	at := func(name string) string { return filepath.Join(filepath.Dir(path), name) }
	must(t, os.Symlink("vault.kz", at("link")))
	must(t, syscall.Mkfifo(at("fifo"), 0o600))
	must(t, os.Mkdir(at("dir"), 0o700))
	must(t, os.WriteFile(at("huge"), nil, 0o600))
	must(t, os.Truncate(at("huge"), 1<<40))
	for name, want := range map[string]error{"link": syscall.ELOOP, "fifo": ErrNotVault, "dir": ErrNotVault, "huge": ErrNotVault, "none": fs.ErrNotExist} {
		if _, err := Open(at(name)); !errors.Is(err, want) || !strings.Contains(err.Error(), at(name)) {
			t.Errorf("Open(%s) = %v, want %v", name, err, want)
		}
	}
}

func TestOpenOfAnotherUsers(t *testing.T) {
	dir := roottest.Dir(t)
	path := filepath.Join(dir, "vault.kz")
	data, err := Export(nil, resolve.NewSecret("x"), seal.DefaultCost())
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	must(t, os.Chown(path, 65534, 65534))
	if _, err := Open(path); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Open of another user's = %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	path, key := create(t)
	unlock, err := lock(t.Context(), path)
	must(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Update(ctx, path, key, func(map[string]resolve.Secret) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v", err)
	}
}

// What was given up before anything was written changes nothing, be it that
// nobody holds the lock: a passphrase takes its time, and heeds no context.
func TestContextEndsBeforeTheWriting(t *testing.T) {
	path, key := create(t, "a", "1")
	before := read(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"AddSlot": AddSlot(ctx, path, key, KeychainSlot("more", key)),
		"Rekey":   second(Rekey(ctx, path, key, KeychainSlot("k", key))),
		"Create":  second(Create(ctx, path+".new", KeychainSlot("k", key))),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v", what, err)
		}
	}
	if _, err := os.Lstat(path + ".new"); string(read(t, path)) != string(before) || err == nil {
		t.Error("something was written")
	}
}
