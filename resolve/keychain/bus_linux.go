package keychain

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/getkeyzero/kz/resolve"
)

const busVariable = "DBUS_SESSION_BUS_ADDRESS"

// dial connects to the session bus. The connection ends with ctx, in whatever
// step of the conversation: godbus heeds a context only once it is connected
// and while the bus reads what is sent to it.
func dial(ctx context.Context, env []string) (*service, error) {
	address, err := busAddress(env)
	if err != nil {
		return nil, err
	}
	socket, err := dialSocket(ctx, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	conn, err := dbus.ConnectUnix(socket)
	if err != nil {
		stop()
		return nil, err
	}
	return &service{conn: conn, address: address, stop: stop}, nil
}

// busAddress returns the address in env, or the place where the user's bus lies by
// convention. It starts no bus: that would run a program that PATH leads to.
func busAddress(env []string) (string, error) {
	address, dir := "", ""
	for _, entry := range env {
		switch name, value, _ := strings.Cut(entry, "="); name {
		case busVariable:
			address = value
		case "XDG_RUNTIME_DIR":
			dir = value
		}
	}
	if address != "" && address != "autolaunch:" {
		return address, nil
	}
	for _, dir := range []string{dir, "/run/user/" + strconv.Itoa(os.Geteuid())} {
		if !filepath.IsAbs(dir) {
			continue
		}
		socket := filepath.Join(dir, "bus")
		if _, err := os.Stat(socket); err == nil {
			return "unix:path=" + dbus.EscapeBusAddressValue(socket), nil
		}
	}
	return "", resolve.Errorf(resolve.Unreachable, "no session bus: %s is not set", busVariable)
}

// dialSocket tries each part of an address in turn. It knows no transport but
// the Unix socket: values do not go over a network.
func dialSocket(ctx context.Context, address string) (*net.UnixConn, error) {
	err := resolve.Errorf(resolve.Unreachable, "session bus: no Unix socket in %s", busVariable)
	for part := range strings.SplitSeq(address, ";") {
		name := socketName(part)
		if name == "" {
			continue
		}
		var conn net.Conn
		if conn, err = new(net.Dialer).DialContext(ctx, "unix", name); err != nil {
			continue
		}
		socket := conn.(*net.UnixConn)
		if err = checkPeer(socket); err == nil {
			return socket, nil
		}
		_ = socket.Close()
	}
	return nil, err
}

// socketName returns the socket of an address like unix:path=/run/user/1000/bus,guid=…,
// the abstract ones with net's @.
func socketName(address string) string {
	keys, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return ""
	}
	for pair := range strings.SplitSeq(keys, ",") {
		key, value, _ := strings.Cut(pair, "=")
		name, err := dbus.UnescapeBusAddressValue(value)
		switch {
		case err != nil || name == "":
		case key == "path":
			return name
		case key == "abstract":
			return "@" + name
		}
	}
	return ""
}

// checkPeer refuses a bus of another user. The name of an abstract socket is free for
// anybody to take once the bus is gone.
func checkPeer(socket *net.UnixConn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) { peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	switch {
	case peerErr != nil:
		return peerErr
	case peer.Uid != 0 && int(peer.Uid) != os.Geteuid():
		return resolve.Errorf(resolve.Unreachable, "session bus: belongs to another user")
	}
	return nil
}
