package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
)

const (
	magic   = "kz vault"
	version = 1

	idSize      = 16
	macSize     = 32
	wrappedSize = seal.KeySize + seal.Overhead
)

// Parse reads the bytes of a vault, as Export gives them and Open finds them.
// It checks all that can be checked without a key.
func Parse(data []byte) (*Vault, error) {
	r := &reader{rest: data}
	if string(r.take(len(magic))) != magic || len(data) > MaxFile {
		return nil, ErrNotVault
	}
	switch v := r.byte(); {
	case v > version:
		return nil, fmt.Errorf("%w (format %d)", ErrNewer, v)
	case v != version:
		return nil, ErrDamaged
	}
	v := &Vault{}
	copy(v.id[:], r.take(idSize))
	for range r.byte() {
		if r.short {
			break
		}
		v.slots = append(v.slots, r.slot())
	}
	size := r.uint32()
	v.mac = r.take(macSize)
	if v.body = r.rest; r.short || uint64(len(v.body)) != uint64(size) {
		return nil, ErrDamaged
	}
	if err := checkSlots(v.slots); errors.Is(err, seal.ErrWeak) || errors.Is(err, seal.ErrCostly) {
		return nil, err // who meets these should know, even if it is damage like the rest
	} else if err != nil {
		return nil, ErrDamaged
	}
	return v, nil
}

// head returns what comes before the MAC.
func (v *Vault) head() []byte {
	b := append([]byte(magic), version)
	b = append(b, v.id[:]...)
	b = append(b, byte(len(v.slots)))
	for _, s := range v.slots {
		b = append(s.appendFields(b), s.wrapped...)
	}
	return binary.BigEndian.AppendUint32(b, uint32(len(v.body)))
}

// bytes returns the file.
func (v *Vault) bytes() []byte { return slices.Concat(v.head(), v.mac, v.body) }

// appendFields appends all of the slot but the wrapped key.
func (s slot) appendFields(b []byte) []byte {
	b = append(b, byte(s.Kind), byte(len(s.Name)))
	b = append(b, s.Name...)
	if s.Kind == Passphrase {
		b = append(b, s.salt[:]...)
		b = binary.BigEndian.AppendUint32(b, s.Cost.Memory)
		b = binary.BigEndian.AppendUint32(b, s.Cost.Passes)
		b = append(b, s.Cost.Lanes)
	}
	return b
}

func (r *reader) slot() slot {
	var s slot
	s.Kind = Kind(r.byte())
	s.Name = string(r.take(int(r.byte())))
	if s.Kind == Passphrase {
		copy(s.salt[:], r.take(seal.SaltSize))
		s.Cost.Memory, s.Cost.Passes, s.Cost.Lanes = r.uint32(), r.uint32(), r.byte()
	}
	s.wrapped = r.take(wrappedSize)
	return s
}

// encodeEntries returns the text that is sealed: equal entries give equal texts.
func encodeEntries(entries map[string]resolve.Secret) ([]byte, error) {
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("%d entries are more than %d", len(entries), MaxEntries)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(entries)))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		value := entries[name].Reveal()
		if err := checkEntry(name, value); err != nil {
			return nil, err
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
	}
	return b, nil
}

// decodeEntries is the inverse of encodeEntries. Nothing but what that returns
// is accepted.
func decodeEntries(text []byte) (map[string]resolve.Secret, error) {
	r := &reader{rest: text}
	n := r.uint32()
	if n > MaxEntries {
		return nil, ErrDamaged
	}
	entries, last := make(map[string]resolve.Secret, n), ""
	for range n {
		name := string(r.take(int(r.uint16())))
		value := string(r.take(int(r.uint32())))
		if r.short || checkEntry(name, value) != nil || name <= last {
			return nil, ErrDamaged
		}
		entries[name], last = resolve.NewSecret(value), name
	}
	if r.short || len(r.rest) > 0 {
		return nil, ErrDamaged
	}
	return entries, nil
}

func checkEntry(name, value string) error {
	if !validName(name, MaxName) {
		return fmt.Errorf("entry %.40q: a name has 1 to %d bytes of UTF-8, and no control characters", name, MaxName)
	}
	if len(value) > resolve.MaxValue {
		return fmt.Errorf("entry %.40q: the value has %d bytes, more than %d", name, len(value), resolve.MaxValue)
	}
	return nil
}

// A reader takes fields from the front of rest. Once that is too short for one
// it gives zeros.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	field := r.rest[:n:n]
	r.rest = r.rest[n:]
	return field
}

func (r *reader) number(size int) uint64 {
	var n uint64
	for _, b := range r.take(size) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (r *reader) byte() byte     { return byte(r.number(1)) }
func (r *reader) uint16() uint16 { return uint16(r.number(2)) }
func (r *reader) uint32() uint32 { return uint32(r.number(4)) }
