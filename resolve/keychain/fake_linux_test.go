package keychain

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/getkeyzero/kz/internal/keyringtest"
	"github.com/getkeyzero/kz/resolve"
)

// A fake is a Secret Service with answers that gnome-keyring would not give. Every
// search finds all its items.
type fake struct {
	encrypt          bool
	public           []byte // its half of the key exchange
	unlocked, locked []fakeItem
	forgets          bool   // what it found when it is asked for the values
	says             string // the error that it gives for the values
	defaultPath      dbus.ObjectPath
	defaultLocked    bool
	prompts          bool // before it deletes an item
	deleted          atomic.Int32
}

type fakeItem struct {
	secret   wireSecret
	modified uint64
}

func plainItem(value string, modified uint64) fakeItem {
	return fakeItem{wireSecret{Value: []byte(value)}, modified}
}

func (f *fake) OpenSession(algorithm string, _ dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	switch {
	case algorithm == "plain" && !f.encrypt:
		return dbus.MakeVariant(""), "/session", nil
	case algorithm != "plain" && f.encrypt:
		return dbus.MakeVariant(f.public), "/session", nil
	}
	return dbus.MakeVariant(""), "/", dbus.NewError("org.freedesktop.DBus.Error.NotSupported", nil)
}

func paths(kind string, items []fakeItem) []dbus.ObjectPath {
	list := []dbus.ObjectPath{}
	for i := range items {
		list = append(list, dbus.ObjectPath("/"+kind+"/"+string(rune('a'+i))))
	}
	return list
}

func (f *fake) SearchItems(map[string]string) (_, _ []dbus.ObjectPath, _ *dbus.Error) {
	return paths("unlocked", f.unlocked), paths("locked", f.locked), nil
}

func (f *fake) GetSecrets(asked []dbus.ObjectPath, _ dbus.ObjectPath) (map[dbus.ObjectPath]wireSecret, *dbus.Error) {
	answer := map[dbus.ObjectPath]wireSecret{}
	if f.says != "" {
		return nil, dbus.NewError(f.says, []any{"message with " + canary})
	}
	for i, path := range asked {
		if !f.forgets {
			f.unlocked[i].secret.Session = "/session"
			answer[path] = f.unlocked[i].secret
		}
	}
	return answer, nil
}

func (f *fake) ReadAlias(string) (dbus.ObjectPath, *dbus.Error) { return f.defaultPath, nil }

func (f *fake) Delete() (dbus.ObjectPath, *dbus.Error) {
	f.deleted.Add(1)
	if f.prompts {
		return "/prompt", nil
	}
	return "/", nil
}

// Properties are those of one object.
type properties map[string]any

func (p properties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(p[name]), nil
}

// serve puts f on a bus of its own, and returns a Provider that meets it.
func (f *fake) serve(t *testing.T) *Provider {
	t.Helper()
	if f.defaultPath == "" {
		f.defaultPath = "/"
	}
	env := keyringtest.StartBus(t)
	conn, err := dbus.Connect(strings.TrimPrefix(env[0], busVariable+"="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	export := func(what any, path dbus.ObjectPath, iface string) {
		if err := conn.Export(what, path, iface); err != nil {
			t.Fatal(err)
		}
	}
	export(f, secretsPath, serviceInterface)
	for i, path := range paths("unlocked", f.unlocked) {
		export(properties{"Modified": f.unlocked[i].modified}, path, "org.freedesktop.DBus.Properties")
		export(f, path, itemInterface)
	}
	export(properties{"Locked": f.defaultLocked}, "/default", "org.freedesktop.DBus.Properties")
	if _, err := conn.RequestName(secretsName, 0); err != nil {
		t.Fatal(err)
	}
	return New(env)
}

func TestOddServices(t *testing.T) {
	iv := make([]byte, aes.BlockSize)
	encrypted := func(text string) fakeItem {
		// A fake whose public half is the generator knows the shared secret: our public half.
		return fakeItem{secret: wireSecret{Parameters: iv, Value: []byte(text)}}
	}
	g := big.NewInt(2).Bytes()
	for name, tt := range map[string]struct {
		fake  *fake
		value string
		class resolve.Class
	}{
		"no encryption":                       {&fake{unlocked: []fakeItem{plainItem("v", 0)}}, "v", ""},
		"two items with one value":            {&fake{unlocked: []fakeItem{plainItem("v", 1), plainItem("v", 1)}}, "v", ""},
		"the newest first":                    {&fake{unlocked: []fakeItem{plainItem("new", 2), plainItem("old", 1)}}, "new", ""},
		"the newest last":                     {&fake{unlocked: []fakeItem{plainItem("old", 1), plainItem("old", 1), plainItem("new", 2)}}, "new", ""},
		"two of one second":                   {&fake{unlocked: []fakeItem{plainItem("old", 1), plainItem(canary, 2), plainItem("other", 2)}}, "", resolve.Ambiguous},
		"two of one second, one twice":        {&fake{unlocked: []fakeItem{plainItem("a", 2), plainItem("b", 2), plainItem("a", 2)}}, "", resolve.Ambiguous},
		"two of one second, one newer":        {&fake{unlocked: []fakeItem{plainItem("a", 2), plainItem("b", 2), plainItem("new", 3)}}, "new", ""},
		"unlocked beside locked":              {&fake{unlocked: []fakeItem{plainItem("v", 1)}, locked: []fakeItem{{}}}, "v", ""},
		"locked item":                         {&fake{locked: []fakeItem{{}}}, "", resolve.Locked},
		"locked between search and answer":    {&fake{unlocked: []fakeItem{plainItem("v", 1)}, forgets: true}, "", resolve.Locked},
		"says locked":                         {&fake{unlocked: []fakeItem{plainItem("v", 1)}, says: "org.freedesktop.Secret.Error.IsLocked"}, "", resolve.Locked},
		"says denied":                         {&fake{unlocked: []fakeItem{plainItem("v", 1)}, says: "org.freedesktop.DBus.Error.AccessDenied"}, "", resolve.Denied},
		"says something":                      {&fake{unlocked: []fakeItem{plainItem("v", 1)}, says: "org.example.Odd"}, "", resolve.Unreachable},
		"went away":                           {&fake{unlocked: []fakeItem{plainItem("v", 1)}, says: "org.freedesktop.DBus.Error.NoReply"}, "", resolve.Unreachable},
		"no default collection":               {&fake{}, "", resolve.NotFound},
		"hides what is locked":                {&fake{defaultPath: "/default", defaultLocked: true}, "", resolve.Locked},
		"default open":                        {&fake{defaultPath: "/default"}, "", resolve.NotFound},
		"key exchange with 0":                 {&fake{encrypt: true, public: []byte{0}, unlocked: []fakeItem{encrypted(strings.Repeat("x", 16))}}, "", resolve.Malformed},
		"key exchange with 1":                 {&fake{encrypt: true, public: []byte{1}, unlocked: []fakeItem{encrypted(strings.Repeat("x", 16))}}, "", resolve.Malformed},
		"key exchange with the prime less 1":  {&fake{encrypt: true, public: append(bytes.Repeat([]byte{0xff}, 127), 0xfe), unlocked: []fakeItem{encrypted("")}}, "", resolve.Malformed},
		"encrypted, no bytes":                 {&fake{encrypt: true, public: g, unlocked: []fakeItem{encrypted("")}}, "", resolve.Malformed},
		"encrypted, not a whole block":        {&fake{encrypt: true, public: g, unlocked: []fakeItem{encrypted("xxx")}}, "", resolve.Malformed},
		"encrypted, no initialization vector": {&fake{encrypt: true, public: g, unlocked: []fakeItem{{secret: wireSecret{Value: make([]byte, 16)}}}}, "", resolve.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, name, fetch(t, tt.fake.serve(t), "a")[0], tt.value, tt.class)
		})
	}
}

func TestDeleteOfSeveral(t *testing.T) {
	two := []fakeItem{plainItem("a", 1), plainItem("b", 2)}
	for name, tt := range map[string]struct {
		fake    *fake
		deleted int32
		class   resolve.Class
	}{
		"all of them":          {&fake{unlocked: two}, 2, ""},
		"one is locked":        {&fake{unlocked: two, locked: two[:1]}, 2, resolve.Locked},
		"all are locked":       {&fake{locked: two}, 0, resolve.Locked},
		"somebody is asked":    {&fake{unlocked: two, prompts: true}, 1, resolve.PromptNeeded},
		"hides what is locked": {&fake{defaultPath: "/default", defaultLocked: true}, 0, resolve.Locked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.fake.serve(t).Delete(soon(t, 10*time.Second), resolve.Ref{Path: "a"})
			want(t, name, resolve.Result{Err: err}, "", tt.class)
			if got := tt.fake.deleted.Load(); got != tt.deleted {
				t.Errorf("%d items were deleted, want %d", got, tt.deleted)
			}
		})
	}
}

func TestAvailableNeedsADefault(t *testing.T) {
	for name, tt := range map[string]struct {
		fake  *fake
		class resolve.Class
	}{
		"none":   {&fake{}, resolve.Unreachable},
		"locked": {&fake{defaultPath: "/default", defaultLocked: true}, resolve.Locked},
		"open":   {&fake{defaultPath: "/default"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.fake.serve(t).Available(soon(t, 10*time.Second))
			want(t, name, resolve.Result{Err: err}, "", tt.class)
			if name == "none" && err.Error() != "the keychain has no default collection" {
				t.Errorf("the error is %q", err)
			}
		})
	}
}

// The keys were calculated with another program.
func TestSessionKey(t *testing.T) {
	prime, _ := new(big.Int).SetString(oakley2, 16)
	for name, tt := range map[string]struct {
		theirs   *big.Int
		exponent int64
		key      string
	}{
		"a short shared secret": {big.NewInt(2), 100, "edd793fa7eaf391616e6e1b310310b7b"},
		"a usual one":           {new(big.Int).Exp(big.NewInt(3), big.NewInt(400), prime), 0x1234567890abcdef, "3ba406af7314daad8da6b59b7a3afe9f"},
		"nothing":               {big.NewInt(0), 100, ""},
		"one":                   {big.NewInt(1), 100, ""},
		"the prime less one":    {new(big.Int).Sub(prime, big.NewInt(1)), 100, ""},
		"the prime":             {prime, 100, ""},
		"more":                  {new(big.Int).Lsh(prime, 1), 100, ""},
	} {
		key, err := sessionKey(tt.theirs.Bytes(), big.NewInt(tt.exponent), prime)
		if got := hex.EncodeToString(key); got != tt.key || (err == nil) != (tt.key != "") {
			t.Errorf("%s: the key is %q, %v; want %q", name, got, err, tt.key)
		}
	}
}

func TestExplainName(t *testing.T) {
	const bus = "org.freedesktop.DBus.Error."
	for name, text := range map[string]string{
		bus + "ServiceUnknown":                  "no keychain service is running",
		bus + "NameHasNoOwner":                  "no keychain service is running",
		bus + "Spawn.ExecFailed":                "no keychain service is running",
		bus + "NoReply":                         "the keychain service went away",
		"org.example.\x1b[2J":                   `the keychain service answered "org.example.\x1b[2J"`,
		bus + "AccessDenied":                    "access denied",
		"org.freedesktop.Secret.Error.IsLocked": "locked",
	} {
		if got := explainName(name).Error(); got != text {
			t.Errorf("explainName(%q) gives %q, want %q", name, got, text)
		}
	}
}

func TestPadding(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	seal := func(text []byte) wireSecret {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		iv := bytes.Repeat([]byte{9}, aes.BlockSize)
		out := make([]byte, len(text))
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, text)
		return wireSecret{Parameters: iv, Value: out}
	}
	for name, tt := range map[string]struct {
		padded string
		value  string
		ok     bool
	}{
		"one byte":     {"123456789012345\x01", "123456789012345", true},
		"whole block":  {strings.Repeat("\x10", 16), "", true},
		"two":          {"12345678901234\x02\x02", "12345678901234", true},
		"zero":         {"123456789012345\x00", "", false},
		"too long":     {"123456789012345\x11", "", false},
		"inconsistent": {"12345678901234\x01\x02", "", false},
	} {
		got, err := session{key: key}.open(seal([]byte(tt.padded)))
		if got != tt.value || (err == nil) != tt.ok {
			t.Errorf("%s: open gives %q, %v", name, got, err)
		}
	}
}
