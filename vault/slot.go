package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

// A Kind is a way to the data key. Its number is that of the format.
type Kind byte

// The kinds.
const (
	Passphrase Kind = 1
	Keychain   Kind = 2
)

// String returns the kind in a word.
func (k Kind) String() string {
	return map[Kind]string{Passphrase: "passphrase", Keychain: "keychain"}[k]
}

// A Slot is one way to the data key, as everybody can read it in the file.
type Slot struct {
	Kind Kind
	Name string    // unique in the vault; of a keychain's slot, what the keychain calls the key
	Cost seal.Cost // of a passphrase
}

// A slot is a Slot with what the file has of it besides.
type slot struct {
	Slot
	salt    [seal.SaltSize]byte // of a passphrase
	wrapped []byte
}

// A NewSlot is a slot to be made. PassphraseSlot and KeychainSlot return them.
type NewSlot struct {
	Slot
	passphrase resolve.Secret
	key        seal.Key
}

// PassphraseSlot is a slot that opens with a passphrase.
func PassphraseSlot(name string, passphrase resolve.Secret, cost seal.Cost) NewSlot {
	return NewSlot{Slot: Slot{Passphrase, name, cost}, passphrase: passphrase}
}

// KeychainSlot is a slot that opens with a random key, which the keychain has
// under that name.
func KeychainSlot(name string, key seal.Key) NewSlot {
	return NewSlot{Slot: Slot{Kind: Keychain, Name: name}, key: key}
}

// wrap makes the slot of a vault: it seals the data key for it.
func (n NewSlot) wrap(id [idSize]byte, key seal.Key) (slot, error) {
	s := slot{Slot: n.Slot}
	if err := s.check(); err != nil {
		return slot{}, err
	}
	slotKey := n.key
	if n.Kind == Passphrase {
		if n.passphrase.Reveal() == "" {
			return slot{}, errors.New("the passphrase is empty")
		}
		_, _ = rand.Read(s.salt[:])
		var err error
		if slotKey, err = seal.FromPassphrase(n.passphrase.Reveal(), s.salt, n.Cost); err != nil {
			return slot{}, err
		}
	}
	s.wrapped = slotKey.SealKey(purposeSlot, s.place(id), key)
	return s, nil
}

// place is where the wrapped key belongs: in this vault, beside these fields.
func (s slot) place(id [idSize]byte) string {
	return string(s.appendFields(id[:]))
}

func (s slot) check() error {
	if !validName(s.Name, maxSlotName) {
		return fmt.Errorf("slot %q: a name has 1 to %d bytes, and no control characters", s.Name, maxSlotName)
	}
	switch s.Kind {
	case Keychain:
		return nil
	case Passphrase:
		if err := s.Cost.Check(); err != nil {
			return fmt.Errorf("slot %q: %w", s.Name, err)
		}
		return nil
	}
	return fmt.Errorf("slot %q: of no kind", s.Name)
}

// checkSlots returns nil for slots that one vault can have together.
func checkSlots(slots []slot) error {
	if len(slots) < 1 || len(slots) > MaxSlots {
		return fmt.Errorf("a vault has 1 to %d slots, or it could never be opened", MaxSlots)
	}
	var work uint64
	for i, s := range slots {
		if err := s.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(slots[:i], func(o slot) bool { return o.Name == s.Name }) {
			return fmt.Errorf("slot %q: there are two of that name", s.Name)
		}
		work += s.Cost.Work()
	}
	// A wrong passphrase is tried in every slot.
	if work > maxWork {
		return fmt.Errorf("all slots together: %w", seal.ErrCostly)
	}
	return nil
}

// maxWork is the most memory times passes of all slots, in KiB: that of four of
// the most costly slots, or of sixteen with 64 MiB and 16 passes.
const maxWork = 16 << 20

const maxSlotName = 128

// validName reports whether a name can be stored, and shown in one line.
func validName(name string, most int) bool {
	return name != "" && len(name) <= most && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}
