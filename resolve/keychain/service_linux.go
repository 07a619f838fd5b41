package keychain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"

	"github.com/godbus/dbus/v5"

	"github.com/getkeyzero/kz/resolve"
)

// The names of the Secret Service API, draft 0.2.
const (
	secretsName         = "org.freedesktop.secrets"
	secretsPath         = "/org/freedesktop/secrets"
	serviceInterface    = "org.freedesktop.Secret.Service"
	collectionInterface = "org.freedesktop.Secret.Collection"
	itemInterface       = "org.freedesktop.Secret.Item"
)

// window is how many searches are on their way at once. A bus may limit
// the replies that one connection waits for; dbus-daemon's own default is 128.
const window = 64

// A service is a connection to the Secret Service.
type service struct {
	conn    *dbus.Conn
	address string
	stop    func() bool
	missing error // what absent said
}

// matches are the items of the keychain that fit an item of ours.
type matches struct {
	unlocked, locked []dbus.ObjectPath
}

func (s *service) close() {
	s.stop()
	_ = s.conn.Close()
}

func (s *service) call(ctx context.Context, path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return s.conn.Object(secretsName, path).CallWithContext(ctx, method, 0, args...)
}

// search asks for each item by both attributes, without waiting between. To search by
// service alone and sort the items found here would need the attributes of
// every one of them: ten times slower for 50 references to a service of 500 items.
func (s *service) search(ctx context.Context, items []item) ([]matches, error) {
	object := s.conn.Object(secretsName, secretsPath)
	calls := make([]*dbus.Call, len(items))
	found := make([]matches, len(items))
	for i := range len(items) + window {
		if i < len(items) {
			// The attributes that go-keyring gives its items.
			attributes := map[string]string{"service": items[i].service, "username": items[i].account}
			calls[i] = object.GoWithContext(ctx, serviceInterface+".SearchItems", 0, make(chan *dbus.Call, 1), attributes)
		}
		if j := i - window; 0 <= j && j < len(items) {
			if err := (<-calls[j].Done).Store(&found[j].unlocked, &found[j].locked); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// secrets returns the values of all unlocked matches.
func (s *service) secrets(ctx context.Context, found []matches) (map[dbus.ObjectPath]string, error) {
	var paths []dbus.ObjectPath
	for _, m := range found {
		paths = append(paths, m.unlocked...)
	}
	if len(paths) == 0 {
		return nil, nil
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	sess, err := s.openSession(ctx)
	if err != nil {
		return nil, err
	}
	var answer map[dbus.ObjectPath]wireSecret
	if err := s.call(ctx, secretsPath, serviceInterface+".GetSecrets", paths, sess.path).Store(&answer); err != nil {
		return nil, err
	}
	values := make(map[dbus.ObjectPath]string, len(answer))
	for path, secret := range answer {
		text, err := sess.open(secret)
		if err != nil {
			return nil, err
		}
		values[path] = text
	}
	return values, nil
}

// collection returns the path of the default collection, or an error where there is none.
func (s *service) collection(ctx context.Context) (dbus.ObjectPath, error) {
	path, err := s.defaultCollection(ctx)
	if err == nil && path == "/" {
		return "", resolve.Errorf(resolve.Unreachable, "the keychain has no default collection")
	}
	return path, err
}

func (s *service) defaultCollection(ctx context.Context) (path dbus.ObjectPath, err error) {
	err = s.call(ctx, secretsPath, serviceInterface+".ReadAlias", "default").Store(&path)
	return path, err
}

func (s *service) isLocked(ctx context.Context, collection dbus.ObjectPath) (locked bool, err error) {
	err = s.property(ctx, collection, collectionInterface, "Locked", &locked)
	return locked, err
}

func (s *service) deleteItem(ctx context.Context, path dbus.ObjectPath) error {
	var prompt dbus.ObjectPath
	if err := s.call(ctx, path, itemInterface+".Delete").Store(&prompt); err != nil {
		return err
	}
	if prompt != "/" {
		return &resolve.Error{Class: resolve.PromptNeeded}
	}
	return nil
}

func (s *service) property(ctx context.Context, path dbus.ObjectPath, iface, name string, value any) error {
	var v dbus.Variant
	if err := s.call(ctx, path, "org.freedesktop.DBus.Properties.Get", iface, name).Store(&v); err != nil {
		return err
	}
	return v.Store(value)
}

// explain gives an error of a conversation its class. It passes on names of
// errors and no message, which a service writes as it likes.
func explain(ctx context.Context, err error) error {
	var known *resolve.Error
	var said dbus.Error
	var errno syscall.Errno
	switch {
	case ctx.Err() != nil: // whatever it led to
		return ctx.Err()
	case errors.As(err, &known):
		return err
	case errors.As(err, &said):
		return explainName(said.Name)
	case errors.As(err, &errno):
		return resolve.Errorf(resolve.Unreachable, "session bus: %v", errno)
	}
	return resolve.Errorf(resolve.Unreachable, "session bus: the conversation broke off")
}

func explainName(name string) error {
	const bus = "org.freedesktop.DBus.Error."
	switch {
	case name == "org.freedesktop.Secret.Error.IsLocked":
		return &resolve.Error{Class: resolve.Locked}
	case name == bus+"AccessDenied":
		return &resolve.Error{Class: resolve.Denied}
	case name == bus+"ServiceUnknown", name == bus+"NameHasNoOwner", strings.HasPrefix(name, bus+"Spawn."):
		return resolve.Errorf(resolve.Unreachable, "no keychain service is running")
	case name == bus+"NoReply":
		return resolve.Errorf(resolve.Unreachable, "the keychain service went away")
	}
	return resolve.Errorf(resolve.Unreachable, "the keychain service answered %q", name)
}
