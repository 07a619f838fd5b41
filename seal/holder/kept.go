package holder

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/seal"
)

// keptVersion changes when an older kz could not make sense of what is kept.
const keptVersion = 1

// A kept is a key with its time, as holders store it. The kernel has a timeout of
// its own, but by the wall clock, which can be set back.
type kept struct {
	Version int           `json:"v"`
	Key     []byte        `json:"k"`
	At      clock.Stamp   `json:"at"`
	For     time.Duration `json:"for"`
}

var (
	errForm = errors.New("what is held is not a key of this program")
	errOver = errors.New("its time is over")
)

func keptText(key seal.Key, d time.Duration) []byte {
	text, err := json.Marshal(kept{keptVersion, key.Reveal(), clock.Now(), d})
	if err != nil {
		panic(err) // numbers, bytes and a text: nothing of it can fail
	}
	return text
}

// keptKey returns the key in text, or errForm, or errOver from its time on.
// Time is also over when the machine was started anew. No error holds any part of text.
func keptKey(text []byte, now clock.Stamp) (seal.Key, error) {
	var k kept
	if json.Unmarshal(text, &k) != nil || k.Version != keptVersion {
		return seal.Key{}, errForm
	}
	key, err := seal.KeyFrom(k.Key)
	if err != nil {
		return seal.Key{}, errForm
	}
	if age, ok := k.At.Age(now); !ok || age >= min(k.For, Longest) {
		return seal.Key{}, errOver
	}
	return key, nil
}
