package session

import (
	"encoding/binary"
	"time"
)

// pack returns s as bytes: its fields in order, texts with their lengths before
// them. Each prompt at which something changes does so, and JSON takes ten times
// as long and has no place for bytes that are not UTF-8.
func (s State) pack() []byte {
	p := packer{}
	p.texts(s.Config, s.Digest, s.Environment, s.Mark, s.Taken.Boot)
	p.numbers(int64(s.Taken.Since), s.Taken.Wall)
	p.flags(s.Partial, s.Torn)
	p.numbers(int64(len(s.Vars)))
	for _, v := range s.Vars {
		p.texts(v.Name, string(v.Sum), string(v.Was), v.File)
		p.numbers(int64(v.Left))
		p.flags(v.Before != nil)
		if v.Before != nil {
			p.texts(*v.Before)
		}
	}
	return p
}

// unpack returns the State of which pack made data, or ErrForged.
func unpack(data []byte) (State, error) {
	u := unpacker{rest: data}
	s := State{Config: u.text(), Digest: u.text(), Environment: u.text(), Mark: u.text()}
	s.Taken.Boot, s.Taken.Since, s.Taken.Wall = u.text(), time.Duration(u.number()), u.number()
	s.Partial, s.Torn = u.flag(), u.flag()
	for n := u.number(); n > 0 && !u.bad; n-- {
		v := Variable{Name: u.text(), Sum: u.bytes(), Was: u.bytes(), File: u.text(), Left: time.Duration(u.number())}
		if u.flag() {
			before := u.text()
			v.Before = &before
		}
		s.Vars = append(s.Vars, v)
	}
	if u.bad || len(u.rest) > 0 {
		return State{}, ErrForged
	}
	return s, nil
}

type packer []byte

func (p *packer) texts(list ...string) {
	for _, text := range list {
		*p = append(binary.AppendUvarint(*p, uint64(len(text))), text...)
	}
}

func (p *packer) numbers(list ...int64) {
	for _, n := range list {
		*p = binary.AppendVarint(*p, n)
	}
}

func (p *packer) flags(list ...bool) {
	for _, flag := range list {
		if flag {
			*p = append(*p, 1)
		} else {
			*p = append(*p, 0)
		}
	}
}

// An unpacker takes bytes apart from their beginning. Once they are not as pack
// writes them it is bad and gives zeros.
type unpacker struct {
	rest []byte
	bad  bool
}

func (u *unpacker) take(n uint64) []byte {
	if u.bad || n > uint64(len(u.rest)) {
		u.bad, u.rest = true, nil
		return nil
	}
	data := u.rest[:n]
	u.rest = u.rest[n:]
	return data
}

func (u *unpacker) text() string {
	n, size := binary.Uvarint(u.rest)
	u.skip(size)
	return string(u.take(n))
}

// bytes returns nil for none, as pack got it.
func (u *unpacker) bytes() []byte {
	if text := u.text(); text != "" {
		return []byte(text)
	}
	return nil
}

func (u *unpacker) number() int64 {
	n, size := binary.Varint(u.rest)
	u.skip(size)
	return n
}

func (u *unpacker) flag() bool {
	b := u.take(1)
	if len(b) == 0 {
		return false
	}
	u.bad = u.bad || b[0] > 1
	return b[0] == 1
}

// skip passes over a number that took so many bytes, if it was one.
func (u *unpacker) skip(size int) {
	if size <= 0 {
		u.bad, u.rest = true, nil
		return
	}
	u.take(uint64(size))
}
