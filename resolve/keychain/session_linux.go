package keychain

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"math/big"

	"github.com/godbus/dbus/v5"

	"github.com/getkeyzero/kz/resolve"
)

// A wireSecret is the API's structure (oayays).
type wireSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

// A session is how the service hands out values. With a key they cross the bus
// encrypted, so that a log or a monitor of the bus does not show them. Setting
// that up costs 4 to 5 ms, nearly all of them the service's. It is no defence
// against another program of the same user, which can ask the service itself.
type session struct {
	path dbus.ObjectPath
	key  []byte // of AES-128, nil for a plain session
}

const encryption = "dh-ietf1024-sha256-aes128-cbc-pkcs7"

// oakley2 is the second Oakley group of RFC 2409, which the API prescribes.
const oakley2 = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
	"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
	"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF"

const (
	primeSize    = 128
	exponentSize = 32 // ample for a group of this strength, and a quarter of the work
)

func (s *service) openSession(ctx context.Context) (session, error) {
	secret := make([]byte, exponentSize)
	_, _ = rand.Read(secret) // never fails
	exponent := new(big.Int).SetBytes(secret)
	prime, _ := new(big.Int).SetString(oakley2, 16)
	public := new(big.Int).Exp(big.NewInt(2), exponent, prime).FillBytes(make([]byte, primeSize))

	var theirs []byte
	path, err := s.negotiate(ctx, encryption, public, &theirs)
	var said dbus.Error
	if errors.As(err, &said) { // a service need not know the encryption
		var nothing any
		path, err = s.negotiate(ctx, "plain", "", &nothing)
		return session{path: path}, err
	}
	if err != nil {
		return session{}, err
	}
	key, err := sessionKey(theirs, exponent, prime)
	return session{path, key}, err
}

func (s *service) negotiate(ctx context.Context, algorithm string, input, output any) (dbus.ObjectPath, error) {
	var v dbus.Variant
	var path dbus.ObjectPath
	err := s.call(ctx, secretsPath, serviceInterface+".OpenSession", algorithm, dbus.MakeVariant(input)).Store(&v, &path)
	if err != nil {
		return "", err
	}
	return path, v.Store(output)
}

func sessionKey(theirs []byte, exponent, prime *big.Int) ([]byte, error) {
	y := new(big.Int).SetBytes(theirs)
	// 0, 1 and -1 would give a secret that everybody knows.
	if y.Cmp(big.NewInt(1)) <= 0 || y.Cmp(new(big.Int).Sub(prime, big.NewInt(1))) >= 0 {
		return nil, malformed()
	}
	shared := y.Exp(y, exponent, prime).FillBytes(make([]byte, primeSize))
	return hkdf.Key(sha256.New, shared, nil, "", aes.BlockSize)
}

// open returns the text of a secret that came in the session.
func (s session) open(secret wireSecret) (string, error) {
	if s.key == nil {
		return string(secret.Value), nil
	}
	if len(secret.Parameters) != aes.BlockSize || len(secret.Value) == 0 || len(secret.Value)%aes.BlockSize != 0 {
		return "", malformed()
	}
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return "", err
	}
	text := make([]byte, len(secret.Value))
	cipher.NewCBCDecrypter(block, secret.Parameters).CryptBlocks(text, secret.Value)
	return unpad(text)
}

func unpad(text []byte) (string, error) {
	last := text[len(text)-1]
	end := len(text) - int(last)
	if last == 0 || last > aes.BlockSize || !bytes.Equal(text[end:], bytes.Repeat([]byte{last}, int(last))) {
		return "", malformed()
	}
	return string(text[:end]), nil
}

func malformed() error {
	return resolve.Errorf(resolve.Malformed, "the keychain service's answer makes no sense")
}
