package holder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/seal"
)

const (
	keyType   = "user"
	keyPrefix = "keyzero:"

	// possessorOnly lets those who possess the key view, read, find and link it and
	// set its attributes, and lets nobody else do anything.
	possessorOnly = 0x3b000000

	maxKept  = 1 << 10
	attempts = 10
)

// A kernel keeps keys in one keyring of the kernel. Its calls take microseconds and
// do not look at their contexts.
type kernel struct {
	// The keyring's serial number. Not KEY_SPEC_SESSION_KEYRING: to write to that makes
	// a private keyring where there is none, which would go with this process.
	ring  int
	login bool // it is the keyring of a login session, not the one that all of the user share
}

// Kernel returns the holder in the kernel, or the error that keeps it from
// answering. It writes nothing.
func Kernel() (Holder, error) {
	k, err := findRing()
	if err != nil {
		return nil, kernelError(err)
	}
	return k, nil
}

func findRing() (kernel, error) {
	runtime.LockOSThread() // keyrings are those of a thread
	defer runtime.UnlockOSThread()
	session, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		return kernel{}, err
	}
	user, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, false)
	if err != nil {
		return kernel{}, err
	}
	if session == user { // what the kernel answers where there is no session keyring
		return kernel{ring: user}, nil
	}
	return kernel{ring: session, login: true}, checkOwner(session)
}

// checkOwner refuses a keyring that came with a change of user: under sudo,
// everything of the user who called it possesses that keyring.
func checkOwner(ring int) error {
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, ring) // "keyring;0;0;3f030000;_ses"
	if err != nil {
		return err
	}
	fields := strings.Split(text, ";")
	if len(fields) < 2 || fields[1] != strconv.Itoa(os.Geteuid()) {
		return errors.New("the session keyring belongs to another user")
	}
	return nil
}

func (k kernel) Keep(_ context.Context, name string, key seal.Key, d time.Duration) error {
	if err := check(name, d); err != nil {
		return err
	}
	return kernelError(k.put(keyPrefix+name, keptText(key, d), d))
}

// put prepares the key where only this thread has it, so that from its first
// moment in the ring it is guarded and limited; the link replaces the one to an
// older key of that description.
func (k kernel) put(description string, text []byte, d time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := unix.AddKey(keyType, description, text, unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		return err
	}
	defer func() { _, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_THREAD_KEYRING, 0, 0) }()
	if err := unix.KeyctlSetperm(id, possessorOnly); err != nil {
		return err
	}
	seconds := int((d + time.Second - 1) / time.Second) // never 0, which would be for ever
	if _, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, seconds, 0, 0); err != nil {
		return err
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_LINK, id, k.ring, 0, 0)
	return err
}

func (k kernel) Key(_ context.Context, name string) (seal.Key, error) {
	if err := checkName(name); err != nil {
		return seal.Key{}, noKey(err)
	}
	text, err := k.get(keyPrefix + name)
	if absent(err) {
		return seal.Key{}, ErrNoKey
	}
	if err != nil {
		return seal.Key{}, noKey(kernelError(err))
	}
	key, err := keptKey(text, clock.Now())
	if err != nil {
		return seal.Key{}, noKey(err)
	}
	return key, nil
}

// get finds and reads a key, and once more if it was replaced between the two.
func (k kernel) get(description string) (text []byte, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range attempts {
		id, findErr := k.find(description)
		if findErr != nil {
			return nil, findErr
		}
		if text, err = read(id); err == nil {
			return text, nil
		}
	}
	return nil, err
}

// find returns the key in the ring itself. The kernel's search also descends into the keyrings
// that are linked there, and a login's session keyring links to the user's, where
// every other session can put a key of its own choice.
func (k kernel) find(description string) (int, error) {
	for range attempts {
		id, err := unix.KeyctlSearch(k.ring, keyType, description, 0)
		if err != nil {
			return 0, err
		}
		inside, err := k.contains(id)
		if inside || err != nil {
			return id, err
		}
	}
	return 0, unix.ENOKEY
}

func (k kernel) contains(id int) (bool, error) {
	list, err := read(k.ring)
	for chunk := range slices.Chunk(list, 4) {
		if int(int32(binary.NativeEndian.Uint32(chunk))) == id {
			return true, nil
		}
	}
	return false, err
}

// read returns the text of a key, or the serial numbers of a keyring, four bytes each.
func read(id int) ([]byte, error) {
	for size := maxKept; ; {
		data := make([]byte, size)
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, data, 0)
		if err != nil {
			return nil, err
		}
		if n <= size {
			return data[:n], nil
		}
		size = n
	}
}

// Forget revokes the key, so that links to it that others made lead nowhere.
func (k kernel) Forget(_ context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := k.drop(keyPrefix + name)
	if absent(err) {
		return nil
	}
	return kernelError(err)
}

func (k kernel) drop(description string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := k.find(description)
	if err != nil {
		return err
	}
	_, revokeErr := unix.KeyctlInt(unix.KEYCTL_REVOKE, id, 0, 0, 0)
	if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, k.ring, 0, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return revokeErr
}

// About says of a login's keyring and of the user's what differs.
func (k kernel) About() About {
	if k.login {
		return About{
			"kernel keyring of the login session",
			"in memory, until logout; closed to other users and logins, open to every program started from this one",
		}
	}
	return About{
		"kernel keyring of the user, as this login has none of its own",
		"in memory; closed to other users, open to every program of this one",
	}
}

func absent(err error) bool {
	return errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.EKEYEXPIRED) || errors.Is(err, unix.EKEYREVOKED)
}

func kernelError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("kernel keyring: %w", err)
}
