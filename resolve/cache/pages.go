package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/resolve"
)

// pages are what one file holds, by the ids of requests.
type pages struct {
	Place    Place
	Values   map[string]value
	Failures map[string]failure
}

type value struct {
	From       string        // provider and reference, for people
	Text       []byte        // the value
	At         clock.Stamp   // when the store gave it
	TTL, Stale time.Duration // as the request had them
}

type failure struct {
	Class resolve.Class
	Cause string
	At    clock.Stamp
}

func newPages(place Place) *pages {
	return &pages{Place: place, Values: map[string]value{}, Failures: map[string]failure{}}
}

// id tells requests apart by all that their answers depend on.
func id(r resolve.Request) string {
	h := sha256.New()
	for _, part := range []string{r.Scope, r.Provider, r.Ref.Dir, r.Ref.Path, r.Field} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// answer puts into results what is here and returns the positions of the rest.
func (p *pages) answer(requests []resolve.Request, results []resolve.Result, now clock.Stamp) (open []int) {
	for i, r := range requests {
		found, ok := p.find(r, now)
		if !ok {
			open = append(open, i)
		}
		results[i] = found
	}
	return open
}

// find returns the value of a request that is good still, or a failure so recent
// that asking again would be no use.
func (p *pages) find(r resolve.Request, now clock.Stamp) (resolve.Result, bool) {
	if r.Scope == "" {
		return resolve.Result{}, false
	}
	id := id(r)
	if v, ok := p.Values[id]; ok {
		if age, ok := v.At.Age(now); ok && age < r.TTL {
			return resolve.Result{Secret: resolve.NewSecret(string(v.Text)), Left: r.TTL - age}, true
		}
	}
	if f, ok := p.Failures[id]; ok {
		if age, ok := f.At.Age(now); ok && age < failureTTL {
			return p.rescue(r, resolve.Result{Err: f.error()}, now), true
		}
	}
	return resolve.Result{}, false
}

// rescue returns the answer of a store, or in place of none a value past its time.
func (p *pages) rescue(r resolve.Request, answer resolve.Result, now clock.Stamp) resolve.Result {
	if r.Scope == "" || r.Stale == 0 || !unreachable(answer.Err) {
		return answer
	}
	v, ok := p.Values[id(r)]
	if age, known := v.At.Age(now); ok && known && age < r.TTL+r.Stale {
		left := min(r.TTL+r.Stale-age, r.TTL, retry)
		return resolve.Result{Secret: resolve.NewSecret(string(v.Text)), Left: left, Stale: true}
	}
	return answer
}

// learn takes over what the stores answered that were asked at a moment, and
// reports whether that is anything to keep. What another process asked for later
// and has got by now is the newer.
func (p *pages) learn(requests []resolve.Request, answers []resolve.Result, asked, now clock.Stamp) bool {
	p.forget(now)
	learned := false
	for _, i := range keepable(requests) {
		r, id := requests[i], id(requests[i])
		var failed *resolve.Error
		switch err := answers[i].Err; {
		case p.Values[id].At.After(asked):
		case err == nil:
			text := []byte(answers[i].Secret.Reveal())
			p.Values[id] = value{From: r.Provider + " " + r.Ref.Path, Text: text, At: asked, TTL: r.TTL, Stale: r.Stale}
			delete(p.Failures, id)
			learned = true
		case errors.As(err, &failed):
			p.Failures[id] = failure{failed.Class, failed.Cause, now}
			learned = true
		}
	}
	return learned
}

// forget drops what is of no use any more.
func (p *pages) forget(now clock.Stamp) {
	for id, v := range p.Values {
		if age, ok := v.At.Age(now); !ok || age > v.TTL+v.Stale {
			delete(p.Values, id)
		}
	}
	for id, f := range p.Failures {
		if age, ok := f.At.Age(now); !ok || age > failureTTL {
			delete(p.Failures, id)
		}
	}
}

func (f failure) error() error { return &resolve.Error{Class: f.Class, Cause: f.Cause} }
