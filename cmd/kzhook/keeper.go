package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/watch"
)

const (
	// Whatever events do not tell is found by a look at the times of the files:
	// on a file system of the network, or when a directory further up is renamed.
	slowly = time.Minute
	// often is how often to look if the system does not let kz watch.
	often = 2 * time.Second
	// soonest is the least time between two looks.
	soonest = 200 * time.Millisecond

	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
)

// A keeper runs a command, and starts it again or sends it a signal whenever
// what kz gives it changes.
type keeper struct {
	inv     *invocation
	options runOptions
	out     outlet

	modes *term.State // of the terminal, nil if there is none

	child   *child
	begun   task // as the child was started
	have    load // what the child has, or will have
	next    *task
	since   time.Time       // when the child was asked to end, to be started again
	stopped chan bool       // told when it has; true if it had to be killed
	asked   time.Time       // when somebody else asked it to end
	done    <-chan struct{} // closed when it has ended of itself

	watcher *watch.Watcher
	seen    []watch.File
	pace    time.Duration // of looking at the files' times
	timer   *time.Timer
	taken   clock.Stamp // when left was true
	left    time.Duration
	retry   time.Duration // 0 unless the last look failed
	said    string

	looking bool
	again   bool // something happened meanwhile
	looked  chan outcome
}

func newKeeper(inv *invocation, options runOptions, out outlet) *keeper {
	return &keeper{
		inv: inv, options: options, out: out, pace: slowly, timer: time.NewTimer(slowly),
		stopped: make(chan bool, 1), looked: make(chan outcome, 1),
	}
}

// keep starts the command with what the first look found, and returns the way
// in which it ended in the end.
func (k *keeper) keep(ctx context.Context, c task, first outcome) error {
	signals, stop := passedOn()
	defer stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	events := k.watch()
	if k.watcher != nil {
		defer k.watcher.Close()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a signal ends the command or nothing
	defer k.rest(cancel)
	k.have = first.load
	k.modes, _ = term.GetState(int(k.inv.stdin.Fd()))
	if err := k.start(c); err != nil {
		return err
	}
	k.await(first)
	for {
		select {
		case s := <-signals:
			k.pass(s)
		case <-k.done:
			return k.child.status()
		case killed := <-k.stopped:
			for len(signals) > 0 {
				k.pass(<-signals)
			}
			if ended, err := k.restart(killed); ended {
				return err
			}
		case <-events:
			k.look(ctx)
		case <-k.timer.C:
			k.tick(ctx)
		case o := <-k.looked:
			k.learn(ctx, o)
		}
	}
}

func (k *keeper) say(format string, args ...any) {
	fmt.Fprintf(k.inv.stderr, program+": "+format+"\n", args...)
}

func (k *keeper) start(c task) error {
	child, err := k.inv.start(c)
	if err != nil {
		return err
	}
	k.child, k.begun, k.done = child, c, child.done
	return nil
}

func (k *keeper) pass(s os.Signal) {
	k.child.pass(s)
	if slices.Contains([]os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP}, s) {
		k.asked = time.Now()
	}
}

// leaving returns for how long yet a command that somebody has asked to end may
// do so, in which time it is not to be started again.
func (k *keeper) leaving() time.Duration {
	if k.asked.IsZero() {
		return 0
	}
	return max(0, max(k.options.grace, firstRetry)-time.Since(k.asked))
}

// watch begins to watch, if the system lets it.
func (k *keeper) watch() <-chan struct{} {
	w, err := watch.NewWatcher()
	if err != nil {
		k.poll(err)
		return nil
	}
	k.watcher = w
	return w.C
}

func (k *keeper) poll(err error) {
	if k.pace == slowly {
		k.say("%s; kz looks at the files every %v instead", k.inv.message(fmt.Errorf("cannot watch: %w", err)), often)
	}
	k.pace = often
}

// await has kz look again when something changes that o depends on, or when
// the first of its values is past its time.
func (k *keeper) await(o outcome) {
	k.seen = o.seen
	if k.watcher != nil {
		var paths []string
		for _, f := range o.seen {
			paths = append(paths, f.Path)
		}
		if err := k.watcher.Set(paths); err != nil {
			k.poll(err)
		}
	}
	k.taken, k.left = clock.Now(), o.left()
	if o.err != nil {
		k.left = k.retry
	}
	if leaving := k.leaving(); leaving > 0 {
		k.left = leaving
	}
	if watch.Changed(k.seen) { // before it was watched
		k.left = soonest
	}
	k.wind()
}

// wind sets the timer. It counts no time in which the machine sleeps, so it is
// never set for long.
func (k *keeper) wind() {
	wait := k.pace
	if left, ends := k.remaining(); ends {
		wait = min(wait, max(left, soonest))
	}
	k.timer.Reset(wait)
}

// remaining returns when to look again, if that has a time.
func (k *keeper) remaining() (left time.Duration, ends bool) {
	age, _ := k.taken.Age(clock.Now())
	return max(k.left-age, 0), k.left > 0
}

func (k *keeper) tick(ctx context.Context) {
	if left, ends := k.remaining(); ends && left == 0 || watch.Changed(k.seen) {
		k.look(ctx)
		return
	}
	k.wind()
}

// look looks again, and once more if something happens meanwhile.
func (k *keeper) look(ctx context.Context) {
	if k.looking {
		k.again = true
		return
	}
	k.looking, k.again = true, false
	have := k.have
	go func() { k.looked <- k.inv.lookAgain(ctx, k.options, have) }()
}

// rest waits for a look under way, which may have started programs.
func (k *keeper) rest(cancel context.CancelFunc) {
	cancel()
	if k.looking {
		<-k.looked
	}
}

// learn acts upon a look.
func (k *keeper) learn(ctx context.Context, o outcome) {
	k.looking = false
	if o.err == nil {
		o.err = k.adopt(o.load)
	}
	if o.err == nil {
		k.retry = 0
		k.tell(strings.Join(staleLines(o.Project, o.values), "\n"))
	} else {
		k.retry = min(max(2*k.retry, firstRetry), lastRetry)
		k.tell(k.inv.why(o.err) + "; the command keeps what it has")
	}
	k.await(o)
	if k.again {
		k.look(ctx)
	}
}

// tell says a line unless it is what was said last.
func (k *keeper) tell(line string) {
	if line != "" && line != k.said {
		fmt.Fprintln(k.inv.stderr, line)
	}
	k.said = line
}

// adopt has the command get what l has. On error it keeps what it has.
func (k *keeper) adopt(l load) error {
	d := difference(k.have, l)
	switch {
	case d.empty():
		return nil
	case k.leaving() > 0:
		return nil // await sees to it that kz looks again when it has not gone
	case k.options.signal != "":
		return k.notify(l, d)
	}
	c, err := k.inv.prepare(l, k.options, k.begun.argv, k.out)
	if err != nil {
		return err
	}
	k.say("restarting: %s", shorten(d.words(), k.inv.width()-20))
	k.have, k.next = l, &c
	k.stop()
	return nil
}

// stop asks the child to end, unless that has been done or it has ended already.
func (k *keeper) stop() {
	if k.done == nil {
		return
	}
	select {
	case <-k.done:
		return
	default:
	}
	k.done, k.since = nil, time.Now()
	child := k.child
	go func() { k.stopped <- child.end(k.options.grace) }()
}

// restart starts the command again when it has ended, unless somebody has asked
// for its end meanwhile.
func (k *keeper) restart(killed bool) (ended bool, err error) {
	if killed {
		regain(k.inv.stdin, k.modes)
		k.say("the command did not end within %v and was killed", k.options.grace)
	}
	if k.asked.After(k.since) {
		return true, k.child.status()
	}
	before := k.begun
	if err := k.start(*k.next); err != nil {
		return true, err
	}
	for name, path := range before.files {
		if k.begun.files[name] != path {
			k.out.owner.Remove(path)
		}
	}
	return false, nil
}

// notify rewrites the files that the command knows, and sends it the signal.
func (k *keeper) notify(l load, d delta) error {
	wanted := l.given()
	var unseen []string
	for _, name := range slices.Concat(d.added, d.changed, d.removed) {
		_, file := k.begun.files[name]
		if !file || !wanted[name].file {
			unseen = append(unseen, name)
			continue
		}
		if _, err := k.out.owner.Write(k.out.place, name, l.values[name].Secret); err != nil {
			return err
		}
	}
	k.have = l
	k.say("sending %s: %s", strings.TrimPrefix(unix.SignalName(k.options.signalNumber()), "SIG"), shorten(d.words(), k.inv.width()-20))
	if len(unseen) > 0 {
		k.say("the environment of a running command stays as it is: %s", shorten(unseen, k.inv.width()-60))
	}
	_ = k.child.Process.Signal(k.options.signalNumber())
	return nil
}
