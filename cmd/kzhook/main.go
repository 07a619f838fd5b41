// Kz loads a project's secrets into the shell on cd and takes them back on leaving.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	deepen(false)
	inv := newInvocation()
	// What hooks call comes before the tree of commands, which takes time to build.
	if len(inv.args) > 0 && inv.args[0] == "hook-env" {
		return inv.hookEnv(inv.args[1:])
	}
	if err := inv.places.check(); err != nil {
		return inv.report(err)
	}
	ctx, stop := untilSignal()
	defer stop()
	return inv.report(inv.command().execute(ctx))
}

// deepen makes the stack as large as hooks need it, in one step. Otherwise it grows
// in four, at each of which the runtime goes through all functions that are being
// called, and through tables about them that the system has to read in first: that
// takes a tenth of the time in which kz loads.
//
//go:noinline
func deepen(use bool) byte {
	if !use { // the room counts from the moment of the call
		return 0
	}
	var room [24 << 10]byte
	return room[os.Getpid()]
}

// untilSignal returns a context that a signal to end cancels. Watching for
// signals takes a tenth of the time in which kz starts, so hooks do it late.
func untilSignal() (context.Context, context.CancelFunc) {
	// A reader that leaves must not kill kz half-way through its work: writing to
	// it then fails like any other write. Caught and not ignored, for commands
	// that kz starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signal.NotifyContext(context.Background(), endings()...)
}

// endings are the signals that end kz, less those that its caller has ignored.
func endings() []os.Signal {
	var signals []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	return signals
}
