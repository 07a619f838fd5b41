package vault

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// both returns a vault with a slot of either kind, and the key of its
// passphrase's slot, so that this need not be derived again.
func both(t testing.TB) (data []byte, v *Vault, slotKey seal.Key) {
	t.Helper()
	v, _, err := build(secrets("a", "1", "b", "2"), []NewSlot{passphrase("hunter2"), KeychainSlot("keychain", fixedKey(t))})
	must(t, err)
	slotKey, err = seal.FromPassphrase("hunter2", v.slots[0].salt, v.slots[0].Cost)
	must(t, err)
	return v.bytes(), v, slotKey
}

// refused fails unless the bytes are refused by way of either slot.
func refused(t testing.TB, what string, data []byte, passphraseKey seal.Key) {
	t.Helper()
	v, err := Parse(data)
	if err != nil {
		if v != nil {
			t.Errorf("%s: Parse gives a vault beside %v", what, err)
		}
		return
	}
	if _, err := v.UnlockWith(fixedKey(t)); err != ErrKey && err != ErrDamaged && !errors.Is(err, ErrNoSlot) {
		t.Errorf("%s: by the keychain: %v", what, err)
	}
	_, err = v.unlock(Passphrase, ErrPassphrase, func(slot) (seal.Key, error) { return passphraseKey, nil })
	if err != ErrPassphrase && err != ErrDamaged && !errors.Is(err, ErrNoSlot) {
		t.Errorf("%s: by the passphrase: %v", what, err)
	}
}

func TestEveryBytePlaysItsPart(t *testing.T) {
	data, v, slotKey := both(t)
	if _, err := v.unlock(Passphrase, ErrPassphrase, func(slot) (seal.Key, error) { return slotKey, nil }); err != nil {
		t.Fatalf("the vault itself is refused: %v", err)
	}
	if !bytes.Equal(data[len(data)-len(v.body):], v.body) || len(data) < 300 {
		t.Fatalf("the vault has %d bytes", len(data))
	}
	for i := range data {
		for _, mask := range []byte{1, 2, 0x80, 0xff} {
			changed := slices.Clone(data)
			changed[i] ^= mask
			refused(t, "byte "+hex.EncodeToString(binary.BigEndian.AppendUint16(nil, uint16(i)))+" changed", changed, slotKey)
		}
	}
}

// Equal slots of equal vaults have nothing in common.
func TestVaultIsRandom(t *testing.T) {
	_, v, _ := both(t)
	_, w, _ := both(t)
	if v.id == w.id || v.slots[0].salt == w.slots[0].salt || v.id == [idSize]byte{} {
		t.Errorf("two vaults have the IDs %x and %x, the salts %x and %x", v.id, w.id, v.slots[0].salt, w.slots[0].salt)
	}
}

// What unwraps a slot's key binds the slot's own fields: without looking at the
// MAC, no field of a passphrase slot can be changed.
func TestSlotIsBoundToItsFields(t *testing.T) {
	_, v, slotKey := both(t)
	other, _, err := build(nil, []NewSlot{KeychainSlot("k", slotKey)})
	must(t, err)
	unwraps := func(id [idSize]byte, s slot) bool {
		_, err := slotKey.OpenKey(purposeSlot, s.place(id), s.wrapped)
		return err == nil
	}
	if !unwraps(v.id, v.slots[0]) {
		t.Fatal("the slot does not open")
	}
	for what, change := range map[string]func(s *slot){
		"name":   func(s *slot) { s.Name = "Passphrase" },
		"kind":   func(s *slot) { s.Kind = Keychain },
		"salt":   func(s *slot) { s.salt[15] ^= 1 },
		"memory": func(s *slot) { s.Cost.Memory++ },
		"passes": func(s *slot) { s.Cost.Passes++ },
		"lanes":  func(s *slot) { s.Cost.Lanes++ },
	} {
		s := v.slots[0]
		if change(&s); unwraps(v.id, s) {
			t.Errorf("the slot opens with another %s", what)
		}
	}
	if unwraps(other.id, v.slots[0]) {
		t.Error("the slot opens in another vault")
	}
}

func TestTruncated(t *testing.T) {
	data, _, slotKey := both(t)
	for n := range data {
		_, err := Parse(data[:n])
		if want := map[bool]error{true: ErrNotVault, false: ErrDamaged}[n < len(magic)]; err != want {
			t.Errorf("the first %d bytes: Parse = %v, want %v", n, err, want)
		}
	}
	refused(t, "a byte more", append(slices.Clone(data), 0), slotKey)
	refused(t, "twice", append(slices.Clone(data), data...), slotKey)
}

// A header of before and entries of after are both genuine, and no vault: else a
// slot that was removed could be brought back.
func TestPartsOfTwoVersions(t *testing.T) {
	path, key := create(t, "a", "1")
	before := open(t, path)
	must(t, AddSlot(t.Context(), path, key, KeychainSlot("second", seal.NewKey())))
	must(t, RemoveSlot(t.Context(), path, key, "keychain"))
	put(t, path, key, "a", "2")
	after := open(t, path)
	for what, v := range map[string]*Vault{
		"the old slots with the new entries":         {before.id, before.slots, before.mac, after.body, ""},
		"the old slots with the new entries and MAC": {before.id, before.slots, after.mac, after.body, ""},
		"the new slots with the old entries":         {after.id, after.slots, after.mac, before.body, ""},
		"all slots":                                  {after.id, append(before.slots, after.slots...), after.mac, after.body, ""},
		"no slots":                                   {after.id, nil, after.mac, after.body, ""},
		"the slots in another order":                 {after.id, slices.Concat(after.slots, before.slots), after.mac, after.body, ""},
		"another ID":                                 {[idSize]byte{1}, after.slots, after.mac, after.body, ""},
	} {
		parsed, err := Parse(v.bytes())
		if err != nil {
			continue
		}
		if got := show(t, parsed, key); got != ErrDamaged.Error() {
			t.Errorf("%s: the vault holds %q", what, got)
		}
	}
}

// Entries of another vault under the same key, or sealed for something else,
// are refused even if the MAC were right.
func TestEntriesAreBound(t *testing.T) {
	v, key, err := build(secrets("a", "1"), []NewSlot{KeychainSlot("k", fixedKey(t))})
	must(t, err)
	text, err := encodeEntries(secrets("a", "2"))
	must(t, err)
	for what, body := range map[string][]byte{
		"of another vault":   key.Seal(purposeEntries, strings.Repeat("x", idSize), text),
		"of another purpose": key.Seal(purposeSlot, string(v.id[:]), text),
		"of a later format":  key.Seal("vault 2 entries", string(v.id[:]), text),
		"of another form":    key.Seal(purposeEntries, string(v.id[:]), append(text, 0)),
	} {
		bad := *v
		bad.body = body
		bad.mac = bad.sum(key)
		if got := show(t, &bad, key); got != ErrDamaged.Error() {
			t.Errorf("entries %s: the vault holds %q", what, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	data, v, _ := both(t)
	with := func(change func(v *Vault)) []byte {
		c := *v
		c.slots = slices.Clone(v.slots)
		change(&c)
		return c.bytes()
	}
	cost := func(c seal.Cost) []byte { return with(func(v *Vault) { v.slots[0].Cost = c }) }
	for what, test := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                {nil, ErrNotVault},
		"a text":                 {[]byte("DATABASE_URL=postgres"), ErrNotVault},
		"too much":               {append(slices.Clone(data), make([]byte, MaxFile)...), ErrNotVault},
		"a newer version":        {append([]byte(magic), 2), ErrNewer},
		"the newest version":     {append([]byte(magic), 255), ErrNewer},
		"version 0":              {append([]byte(magic), 0), ErrDamaged},
		"the start alone":        {append([]byte(magic), 1), ErrDamaged},
		"less memory":            {cost(seal.Cost{Memory: 64<<10 - 1, Passes: 3, Lanes: 4}), seal.ErrWeak},
		"fewer passes":           {cost(seal.Cost{Memory: 64 << 10, Passes: 2, Lanes: 4}), seal.ErrWeak},
		"no lanes":               {cost(seal.Cost{Memory: 64 << 10, Passes: 3}), seal.ErrWeak},
		"too much memory":        {cost(seal.Cost{Memory: 1<<32 - 1, Passes: 3, Lanes: 4}), seal.ErrCostly},
		"too many passes":        {cost(seal.Cost{Memory: 64 << 10, Passes: 1<<32 - 1, Lanes: 4}), seal.ErrCostly},
		"too many lanes":         {cost(seal.Cost{Memory: 64 << 10, Passes: 3, Lanes: 255}), seal.ErrCostly},
		"too much in all":        {with(costly(5)), seal.ErrCostly},
		"slots of one name":      {with(func(v *Vault) { v.slots[1].Name = v.slots[0].Name }), ErrDamaged},
		"a slot without a name":  {with(func(v *Vault) { v.slots[1].Name = "" }), ErrDamaged},
		"a name with an escape":  {with(func(v *Vault) { v.slots[1].Name = "\x1b[31m" }), ErrDamaged},
		"a slot of another kind": {with(func(v *Vault) { v.slots[1].Kind = 3 }), ErrDamaged},
		"no slots":               {with(func(v *Vault) { v.slots = nil }), ErrDamaged},
		"seventeen slots":        {with(func(v *Vault) { v.slots = slots(t, MaxSlots+1) }), ErrDamaged},
	} {
		if v, err := Parse(test.data); !errors.Is(err, test.want) || v != nil {
			t.Errorf("Parse of %s = %v, %v, want %v", what, v, err, test.want)
		}
	}
	for what, data := range map[string][]byte{"four costly slots": with(costly(4)), "sixteen slots": with(func(v *Vault) { v.slots = slots(t, MaxSlots) })} {
		if _, err := Parse(data); err != nil {
			t.Errorf("Parse of %s = %v", what, err)
		}
	}
}

func costly(n int) func(v *Vault) {
	return func(v *Vault) {
		s := v.slots[0]
		v.slots = nil
		for i := range n {
			s.Name, s.Cost = string(rune('a'+i)), seal.Cost{Memory: 64 << 10, Passes: 64, Lanes: 4}
			v.slots = append(v.slots, s)
		}
	}
}

func slots(t testing.TB, n int) (made []slot) {
	for new := range many(n) {
		s, err := new.wrap([idSize]byte{}, fixedKey(t))
		must(t, err)
		made = append(made, s)
	}
	return made
}

// The format is that of docs/vault-format.md: this reads a vault with nothing
// but the numbers that stand there.
func TestFormat(t *testing.T) {
	data, v, slotKey := both(t)
	at := 0
	take := func(n int) []byte { at += n; return data[at-n : at] }
	if got := string(take(8)) + string(take(1)); got != "kz vault\x01" {
		t.Errorf("the start is %q", got)
	}
	id := string(take(16))
	if hex.EncodeToString([]byte(id)) != v.ID() {
		t.Errorf("the ID is %x", id)
	}
	if n := take(1)[0]; n != 2 {
		t.Errorf("there are %d slots", n)
	}
	start := at
	if kind, n := take(1)[0], int(take(1)[0]); kind != 1 || string(take(n)) != "passphrase" {
		t.Errorf("the first slot is of kind %d", kind)
	}
	take(16)
	if got := take(9); !bytes.Equal(got, []byte{0, 1, 0, 0, 0, 0, 0, 3, 4}) {
		t.Errorf("the cost is % x", got)
	}
	fields := string(data[start:at])
	raw, err := slotKey.Open("vault 1 slot", id+fields, take(73))
	must(t, err)
	key, err := seal.KeyFrom(raw)
	must(t, err)
	if kind, n := take(1)[0], int(take(1)[0]); kind != 2 || string(take(n)) != "keychain" {
		t.Errorf("the second slot is of kind %d", kind)
	}
	take(73)
	size := int(binary.BigEndian.Uint32(take(4)))
	head := string(data[:at])
	mac, body := take(32), data[at:]
	if len(body) != size || !bytes.Equal(mac, key.Sum("vault 1 file", head, string(body))) {
		t.Errorf("the entries have %d bytes, want %d, or the MAC is another", len(body), size)
	}
	text, err := key.Open("vault 1 entries", id, body)
	want := "\x00\x00\x00\x02" + "\x00\x01a\x00\x00\x00\x011" + "\x00\x01b\x00\x00\x00\x012"
	if err != nil || string(text) != want {
		t.Errorf("the entries are %q, %v, want %q", text, err, want)
	}
}

func TestDecodeEntriesRefuses(t *testing.T) {
	for what, text := range map[string]string{
		"nothing":       "",
		"too few":       "\x00\x00\x00\x01",
		"too many":      "\x00\x00\x10\x01" + strings.Repeat("\x00\x01a\x00\x00\x00\x00", MaxEntries+1),
		"millions":      "\xff\xff\xff\xff",
		"more":          "\x00\x00\x00\x00x",
		"no name":       "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
		"twice":         "\x00\x00\x00\x02\x00\x01a\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00",
		"unsorted":      "\x00\x00\x00\x02\x00\x01b\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00",
		"a long length": "\x00\x00\x00\x01\x00\x01a\xff\xff\xff\xff",
		"a long value":  "\x00\x00\x00\x01\x00\x01a\x00\x01\x00\x01" + strings.Repeat("x", resolve.MaxValue+1),
	} {
		if got, err := decodeEntries([]byte(text)); err != ErrDamaged || got != nil {
			t.Errorf("decodeEntries(%s) = %v, %v", what, got, err)
		}
	}
}

// Whatever the bytes are: no panic, one form for each vault, and nothing opens
// but what was written by somebody with the key.
func FuzzParse(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzParse")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	genuine := map[string]bool{}
	for _, name := range []string{"testdata/empty.kz", "testdata/entries.kz"} {
		data := read(f, name)
		genuine[string(data)] = true
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if err != nil {
			if v != nil {
				t.Errorf("a vault beside %v", err)
			}
			return
		}
		if !bytes.Equal(v.bytes(), data) {
			t.Error("two forms of one vault")
		}
		if _, err := v.UnlockWith(fixedKey(t)); (err == nil) != genuine[string(data)] {
			t.Errorf("UnlockWith = %v, genuine: %v", err, genuine[string(data)])
		}
	})
}

// What is decoded is what is encoded.
func FuzzDecodeEntries(f *testing.F) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzDecodeEntries")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := decodeEntries(text)
		if err != nil {
			return
		}
		if again, err := encodeEntries(entries); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q is encoded as %q, %v", text, again, err)
		}
	})
}
