package seal

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/argon2"
)

// A Cost is what it takes to make a key from a passphrase with Argon2id, for us
// and for each guess of somebody who has what the key sealed.
type Cost struct {
	Memory uint32 // in KiB
	Passes uint32 // over that memory
	Lanes  uint8  // that may be computed at once
}

// The least and the most that a cost may be. What was sealed names its cost in
// clear, so either bound may be met in a file that somebody else changed.
const (
	minMemory = 64 << 10
	maxMemory = 512 << 10
	minPasses = 3
	maxPasses = 64
	maxLanes  = 16
)

// maxWork is the most memory times passes: about two seconds.
const maxWork = minMemory * maxPasses

// SaltSize is the length of a salt in bytes.
const SaltSize = 16

// ErrWeak says that a cost is too low to keep guesses away.
var ErrWeak = errors.New("a passphrase is protected by less than kz accepts")

// ErrCostly says that a cost is more than anybody needs.
var ErrCostly = errors.New("a passphrase takes more memory or time than kz spends")

// DefaultCost returns the lowest cost that is accepted, the second of those
// that RFC 9106 recommends.
func DefaultCost() Cost { return Cost{Memory: minMemory, Passes: minPasses, Lanes: 4} }

// Work returns memory times passes, in KiB.
func (c Cost) Work() uint64 { return uint64(c.Memory) * uint64(c.Passes) }

// Check returns nil, or an error that wraps [ErrWeak] or [ErrCostly].
func (c Cost) Check() error {
	switch {
	case c.Memory < minMemory, c.Passes < minPasses, c.Lanes < 1:
		return fmt.Errorf("%w: %v", ErrWeak, c)
	case c.Memory > maxMemory, c.Lanes > maxLanes, c.Work() > maxWork:
		return fmt.Errorf("%w: %v", ErrCostly, c)
	}
	return nil
}

// String returns the cost for people.
func (c Cost) String() string {
	return fmt.Sprintf("Argon2id, %d KiB, %d passes, %d lanes", c.Memory, c.Passes, c.Lanes)
}

// FromPassphrase returns the key that a passphrase gives with a salt, after
// having spent c. Its error is that of c.Check.
func FromPassphrase(passphrase string, salt [SaltSize]byte, c Cost) (Key, error) {
	if err := c.Check(); err != nil {
		return Key{}, err
	}
	data := argon2.IDKey([]byte(passphrase), salt[:], c.Passes, c.Memory, c.Lanes, KeySize)
	return Key{new(string(data))}, nil
}

// Calibrate returns the default cost with as many passes as take about target
// here, within what is accepted. It takes about twice that time.
func Calibrate(target time.Duration) Cost { return calibrate(target, measure) }

func calibrate(target time.Duration, measure func(Cost) time.Duration) Cost {
	c := DefaultCost()
	for c.Passes < maxPasses {
		took := max(measure(c), time.Millisecond)
		if took >= target*9/10 {
			break
		}
		passes := uint64(c.Passes) * uint64(target) / uint64(took)
		c.Passes = uint32(min(maxPasses, max(uint64(c.Passes)+1, passes)))
	}
	return c
}

func measure(c Cost) time.Duration {
	start := time.Now()
	_, _ = FromPassphrase("", [SaltSize]byte{}, c)
	return time.Since(start)
}
