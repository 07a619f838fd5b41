// Package cache keeps what remote stores gave, sealed and for as long as each
// secret is good, so that a prompt does not wait for a network and a hundred
// shells ask a store once.
//
// One file holds what one project got in one environment. Its key is with a
// [holder.Holder]; without one nothing is kept.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/filelock"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
)

// A Cache is where the files are and who holds their key.
type Cache struct {
	Dir    string // private to the user; made when something is kept
	Holder holder.Holder
	Now    func() clock.Stamp
}

// A Place is a project in one environment.
type Place struct{ Config, Environment string }

// Ask is how the stores are asked: it returns an answer to each request, in order.
type Ask func(ctx context.Context, requests []resolve.Request) []resolve.Result

const (
	// failureTTL is how long a failure is remembered: long enough for the other
	// shells that wait for the same answer, too short for a person to notice.
	failureTTL = 3 * time.Second
	// retry is when a value past its time is asked for again, at the latest.
	retry = 5 * time.Minute
	// afterwards is how long storing may take when the time for asking is over.
	afterwards = 250 * time.Millisecond
	// patience is how long to wait for others before forgetting what they get.
	patience = 5 * time.Second
)

// All answers requests from what is kept for place, asks for the rest, and keeps
// the answers. Of several processes that miss the same values one asks and the
// others wait for what it gets. A value past its time is the answer if the
// request allows that and the store cannot be reached.
func (c Cache) All(ctx context.Context, place Place, requests []resolve.Request, ask Ask) []resolve.Result {
	results := make([]resolve.Result, len(requests))
	pages, err := c.read(ctx, place)
	if errors.Is(err, holder.ErrNone) {
		return ask(ctx, requests)
	}
	open := pages.answer(requests, results, c.Now())
	var begun beginning // counts only where something may be kept
	if slices.ContainsFunc(open, func(i int) bool { return requests[i].Scope != "" }) {
		release, err := c.lock(ctx, place.Config)
		switch {
		case err == nil:
			defer release()
		case ctx.Err() != nil:
			return c.late(ctx, pages, requests)
		}
		begun = c.begin(place)
		pages, _ = c.read(ctx, place) // what the one before got
		open = pages.answer(requests, results, c.Now())
	}
	if len(open) == 0 {
		return results
	}
	asked := make([]resolve.Request, len(open))
	for i, at := range open {
		asked[i] = requests[at]
	}
	answers := ask(ctx, asked)
	c.keep(ctx, begun, pages, asked, answers)
	for i, at := range open {
		results[at] = answers[i]
	}
	return results
}

// Refresh asks for everything and keeps the answers.
func (c Cache) Refresh(ctx context.Context, place Place, requests []resolve.Request, ask Ask) []resolve.Result {
	_ = atomicfile.MkdirPrivate(c.Dir) // for others to say there that all is to be forgotten
	begun := c.begin(place)
	answers := ask(ctx, requests)
	after, cancel := later(ctx)
	defer cancel()
	if release, err := c.lock(after, place.Config); err == nil {
		defer release()
	}
	if pages, err := c.read(after, place); !errors.Is(err, holder.ErrNone) {
		c.keep(ctx, begun, pages, requests, answers)
	}
	return answers
}

// A beginning is when a store was asked: what it answers is as old as that, and
// is not kept if all was forgotten since.
type beginning struct {
	at         clock.Stamp
	generation string
}

func (c Cache) begin(place Place) beginning { return beginning{c.Now(), c.generation(place.Config)} }

// keep adds answers to pages, and puts values past their time in the place of
// those answers that stores did not give.
func (c Cache) keep(ctx context.Context, begun beginning, pages *pages, requests []resolve.Request, answers []resolve.Result) {
	after, cancel := later(ctx)
	defer cancel()
	now := c.Now()
	if pages.learn(requests, answers, begun.at, now) && c.generation(pages.Place.Config) == begun.generation {
		_ = c.write(after, pages) // a value that cannot be kept is a value all the same
		if c.generation(pages.Place.Config) != begun.generation {
			_ = os.Remove(c.path(pages.Place))
		}
	}
	for i, r := range requests {
		answers[i] = pages.rescue(r, answers[i], now)
	}
}

// later gives time to store what was got when the time for asking is over.
func later(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), afterwards)
}

// late is for those who waited in vain for another process to ask.
func (c Cache) late(ctx context.Context, pages *pages, requests []resolve.Request) []resolve.Result {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		err = &resolve.Error{Class: resolve.Timeout}
	}
	results := resolve.Fail(len(requests), err)
	for i, r := range requests {
		results[i] = pages.rescue(r, results[i], c.Now())
	}
	return results
}

// lock makes the directory if need be. It is no lock on anything but the right to ask.
func (c Cache) lock(ctx context.Context, config string) (release func(), err error) {
	if err := atomicfile.MkdirPrivate(c.Dir); err != nil {
		return nil, err
	}
	return filelock.Acquire(ctx, c.stem(config)+"lock")
}

// keyName is the name under which the holder has the key of all files of the
// directory. Those of another directory have their own lock, and so their own key.
func (c Cache) keyName() string {
	sum := sha256.Sum256([]byte(c.Dir))
	return "cache:" + hex.EncodeToString(sum[:8])
}

// key returns the key, or a new one that the holder has agreed to keep. Whoever
// makes one holds a lock, so that no other process makes another meanwhile.
func (c Cache) key(ctx context.Context) (seal.Key, error) {
	release, err := filelock.Acquire(ctx, filepath.Join(c.Dir, "key.lock"))
	if err != nil {
		return seal.Key{}, err
	}
	defer release()
	key, err := c.Holder.Key(ctx, c.keyName())
	if errors.Is(err, holder.ErrNoKey) {
		key = seal.NewKey()
	} else if err != nil {
		return seal.Key{}, err
	}
	return key, c.Holder.Keep(ctx, c.keyName(), key, holder.Longest)
}

// Keepable reports whether any of the answers may be kept, without which there
// is no need of a cache.
func Keepable(requests []resolve.Request) bool { return len(keepable(requests)) > 0 }

// keepable returns the positions of the requests whose answers may be kept.
func keepable(requests []resolve.Request) []int {
	var list []int
	for i, r := range requests {
		if r.Scope != "" {
			list = append(list, i)
		}
	}
	return list
}

// unreachable reports whether a store gave no answer at all, which says nothing
// about the value that it gave before.
func unreachable(err error) bool {
	return slices.Contains([]resolve.Class{resolve.Timeout, resolve.Unreachable, resolve.Throttled}, resolve.ClassOf(err))
}
