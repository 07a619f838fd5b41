// Package session is the memory that a shell carries of what kz loaded into it.
//
// It travels in one exported variable, sealed: children see that kz was here,
// and neither which values it set nor which it replaced. Only processes of the
// same user, who alone can read the key, make or read one.
package session

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/seal"
)

// A State says what is loaded.
type State struct {
	Config      string // canonical path of the configuration
	Digest      string // of all files that it consists of
	Environment string
	// Mark stands for what else a reload depends on, such as a "kz reload"
	// after which values are to be fetched again.
	Mark string
	// Partial says that something optional could not be loaded.
	Partial bool
	// Torn says that the shell was on its way to what Vars say.
	Torn bool
	// Taken is when the variables were as old as they say.
	Taken clock.Stamp
	Vars  []Variable
}

// A Variable is one that kz loaded.
type Variable struct {
	Name string
	// Sum recognizes the value that was set, without holding it.
	Sum []byte
	// Was recognizes an earlier value of kz's own, in a torn state.
	Was []byte
	// Before is the value that the variable had in the environment, nil if none.
	Before *string
	// File is the path of a delivered file, which goes when the variable goes.
	File string
	// Left is how long, from State.Taken on, the value is good; 0 if that has no end.
	Left time.Duration
}

const (
	purpose = "session"
	place   = ""
	sumSize = 8 // bytes; nobody without the key can look for another value with the same sum
	// maxText bounds what Decode looks at and Encode makes. Linux passes at most
	// 128 KiB in one variable.
	maxText = 96 << 10
)

// encoding is strict, so that a state has one text.
var encoding = base64.RawURLEncoding.Strict()

// ErrForged is what Decode returns for a text that Encode did not make.
var ErrForged = errors.New("not a state of this user's kz")

// ErrTooLarge is what Encode returns when the values to restore are too many.
var ErrTooLarge = errors.New("the values to put back later are too large to keep")

// NewVariable returns the record of a variable that is set to value over before.
func NewVariable(key seal.Key, name, value string, before *string) Variable {
	return Variable{Name: name, Sum: sum(key, name, value), Before: before}
}

// Holds reports whether value is the one that was set.
func (v Variable) Holds(key seal.Key, value string) bool {
	s := sum(key, v.Name, value)
	return hmac.Equal(v.Sum, s) || hmac.Equal(v.Was, s)
}

// Toward returns the state for the time in which a shell goes from s to next,
// one statement after the other. A shell that is interrupted then keeps it, and
// everything that kz has set or not yet put back is known by it.
func (s State) Toward(next State) State {
	next.Digest, next.Torn, next.Vars = "", true, slices.Clone(next.Vars)
	for _, old := range s.Vars {
		i := slices.IndexFunc(next.Vars, func(v Variable) bool { return v.Name == old.Name })
		if i < 0 {
			next.Vars = append(next.Vars, old)
		} else {
			next.Vars[i].Was = old.Sum
		}
	}
	return next
}

// Left returns how long all variables of s are good from now on, 0 if one is past
// its time, and false if that has no end. The clock is read only if need be.
func (s State) Left(now func() clock.Stamp) (left time.Duration, ends bool) {
	for _, v := range s.Vars {
		if v.Left > 0 && (!ends || v.Left < left) {
			left, ends = v.Left, true
		}
	}
	if !ends {
		return 0, false
	}
	age, ok := s.Taken.Age(now())
	if !ok {
		return 0, true
	}
	return max(left-age, 0), true
}

// Good returns s without the variables that are past their time.
func (s State) Good(now func() clock.Stamp) State {
	if _, ends := s.Left(now); !ends {
		return s
	}
	age, ok := s.Taken.Age(now())
	s.Vars = slices.DeleteFunc(slices.Clone(s.Vars), func(v Variable) bool { return v.Left > 0 && (!ok || age >= v.Left) })
	return s
}

// untouched reports whether a variable is as it was before kz.
func (v Variable) untouched(value string, ok bool) bool {
	return ok && v.Before != nil && value == *v.Before || !ok && v.Before == nil
}

func sum(key seal.Key, name, value string) []byte {
	return key.Sum("value", name, value)[:sumSize]
}

// Encode returns s as a text without spaces.
func Encode(key seal.Key, s State) (string, error) {
	text := encoding.EncodeToString(key.SealAlike(purpose, place, s.pack()))
	if len(text) > maxText {
		return "", ErrTooLarge
	}
	return text, nil
}

// Decode returns what Encode encoded, or ErrForged. It takes little time and
// memory, whatever text is.
func Decode(key seal.Key, text string) (State, error) {
	if len(text) > maxText || strings.ContainsAny(text, "\r\n") { // which base64 passes over
		return State{}, ErrForged
	}
	sealed, err := encoding.DecodeString(text)
	if err != nil {
		return State{}, ErrForged
	}
	plain, err := key.Open(purpose, place, sealed)
	if err != nil {
		return State{}, ErrForged
	}
	return unpack(plain)
}

// Outer returns env without what is loaded: each variable that still holds the
// value kz set has its earlier one or is absent. Those that hold another value
// are the user's by now; they stay, and changed names them in the order of s.Vars.
func (s State) Outer(key seal.Key, env environ.Env) (outer environ.Env, changed []string) {
	outer = environ.Apply(env, nil)
	for _, v := range s.Vars {
		value, ok := env[v.Name]
		switch {
		case s.Torn && v.untouched(value, ok):
		case s.Torn && !ok && v.Before != nil: // on its way from one value to the other
			outer[v.Name] = *v.Before
		case !ok || !v.Holds(key, value):
			changed = append(changed, v.Name)
		case v.Before != nil:
			outer[v.Name] = *v.Before
		default:
			delete(outer, v.Name)
		}
	}
	return outer, changed
}
