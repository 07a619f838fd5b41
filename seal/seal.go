// Package seal is the one place that encrypts: XChaCha20-Poly1305 under a
// 32-byte key, with the purpose and the place of a text bound to it, so that
// one sealed for one use does not open for another.
package seal

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Key is a symmetric key. It does not print. Only those that the functions of
// this package return without an error are keys.
type Key struct {
	// A pointer, because fmt walks into unexported fields without calling their
	// methods; of a pointer that it meets on the way it prints the address. Not
	// to an array: that it prints when the verb does not fit (go1.26).
	text *string
}

// KeySize is the length of a key in bytes.
const KeySize = chacha20poly1305.KeySize

// version is the first byte of everything sealed, and part of what is
// authenticated. A later format takes another number.
const version = 1

// Overhead is by how many bytes a sealed text is longer than the text.
const Overhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// ErrOpen is the error for a text that was not sealed under this key for this
// purpose and place, or was changed since. It says no more on purpose.
var ErrOpen = errors.New("not sealed by this key for this use")

// NewKey returns a random key.
func NewKey() Key {
	data := make([]byte, KeySize)
	_, _ = rand.Read(data) // never fails: the program ends if the system has no randomness
	return Key{new(string(data))}
}

// KeyFrom returns the key with these bytes.
func KeyFrom(data []byte) (Key, error) {
	if len(data) != KeySize {
		return Key{}, fmt.Errorf("a key has %d bytes, not %d", KeySize, len(data))
	}
	return Key{new(string(data))}, nil
}

// Reveal returns the bytes, for those who keep or wrap keys.
func (k Key) Reveal() []byte { return []byte(*k.text) }

// Format implements [fmt.Formatter], for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "[key]") }

// Seal encrypts and authenticates text. purpose and place are authenticated:
// Open wants the same ones.
func (k Key) Seal(purpose, place string, text []byte) []byte {
	aead, err := chacha20poly1305.NewX(k.Reveal())
	if err != nil {
		panic(err) // only for a key of a wrong length, which a Key cannot have
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return sealWith(aead, nonce, purpose, place, text)
}

// SealAlike is Seal with a nonce that follows from the text, so that equal texts
// are sealed alike: that they are equal is then for everybody to see, and nothing
// else. It is for what goes into variables, since zsh never gives back the memory
// of a variable's value that it has not had before.
func (k Key) SealAlike(purpose, place string, text []byte) []byte {
	aead, err := chacha20poly1305.NewX(k.Reveal())
	if err != nil {
		panic(err)
	}
	nonce := k.Sum("nonce", purpose, place, string(text))[:aead.NonceSize()]
	return sealWith(aead, nonce, purpose, place, text)
}

func sealWith(aead cipher.AEAD, nonce []byte, purpose, place string, text []byte) []byte {
	out := make([]byte, 0, len(text)+Overhead)
	out = append(append(out, version), nonce...)
	return aead.Seal(out, nonce, text, associated(purpose, place))
}

// Open returns the text that was sealed, or ErrOpen.
func (k Key) Open(purpose, place string, sealed []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.Reveal())
	if err != nil {
		panic(err)
	}
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrOpen
	}
	nonce, body := sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():]
	text, err := aead.Open(nil, nonce, body, associated(purpose, place))
	if err != nil {
		return nil, ErrOpen
	}
	return text, nil
}

// SealKey is Seal of another key.
func (k Key) SealKey(purpose, place string, other Key) []byte {
	return k.Seal(purpose, place, other.Reveal())
}

// OpenKey returns the key that SealKey sealed, or ErrOpen.
func (k Key) OpenKey(purpose, place string, sealed []byte) (Key, error) {
	data, err := k.Open(purpose, place, sealed)
	if err != nil || len(data) != KeySize {
		return Key{}, ErrOpen
	}
	return KeyFrom(data)
}

// Sum returns a digest of the parts that only a holder of the key can compute,
// so that equal texts can be told without keeping them.
func (k Key) Sum(purpose string, parts ...string) []byte {
	mac := hmac.New(sha256.New, k.Reveal())
	for _, p := range append([]string{purpose}, parts...) {
		fmt.Fprintf(mac, "%d:", len(p))
		_, _ = mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

func associated(purpose, place string) []byte {
	return fmt.Appendf(nil, "kz %d %d:%s%d:%s", version, len(purpose), purpose, len(place), place)
}
