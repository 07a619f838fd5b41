// Package resolve turns references into secrets: concurrently across stores,
// batched within one, and always within the caller's deadline.
//
// Values travel as [Secret]. No error of this package, nor of a provider that
// keeps its contract, holds any part of a value.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Ref names one secret in one store.
type Ref struct {
	// Path is the reference in the store's own syntax, as the config has it.
	Path string
	// Dir is the absolute directory of the config that holds the reference, for
	// the stores whose references are files relative to it.
	Dir string
}

// A Result is the answer for one Ref: a Secret, or an error.
type Result struct {
	Secret Secret
	Err    error

	Left  time.Duration // how long the value is good from now on, 0 if that has no end
	Stale bool          // it is past its time, and the store cannot be reached
}

// A Provider fetches secrets from one store.
type Provider interface {
	// Fetch returns one Result for each of refs, in their order. It returns soon
	// after ctx is done. A Result's Err is or wraps an *Error whenever the store
	// answered something that has a class.
	Fetch(ctx context.Context, refs []Ref) []Result
}

// A Storer is a Provider that can also be written to.
type Storer interface {
	// Store creates or replaces the secret at ref. The value reaches the store
	// by a channel that other processes cannot read: never by an argument.
	Store(ctx context.Context, ref Ref, secret Secret) error
}

// A Class says what kind of failure a store met, in words that every store shares.
type Class string

// The classes.
const (
	NotFound     Class = "not_found"     // the store answered that it has no such secret
	NotLoggedIn  Class = "not_logged_in" // no session with the store
	Locked       Class = "locked"        // the store must be unlocked by a human
	Expired      Class = "expired"       // the session with the store ran out
	Denied       Class = "denied"        // the store knows the caller and refuses
	Ambiguous    Class = "ambiguous"     // the reference fits several secrets
	Throttled    Class = "throttled"     // too many requests
	NoTool       Class = "no_tool"       // the store's program is missing or may not be run
	PromptNeeded Class = "prompt_needed" // a touch, PIN or password, and nobody to ask
	Timeout      Class = "timeout"       // no answer within the deadline
	Unreachable  Class = "unreachable"   // no connection
	Malformed    Class = "malformed"     // the reference or the answer is not of the store's form
)

// An Error is a failure of a class. Cause is one short line in lower case
// without any part of a value or of what a store printed; it may be empty. Hint
// is a command that mends it and can be pasted, if the store knows one.
type Error struct {
	Class Class
	Cause string
	Hint  string
}

// Error returns the cause, or the class in words when there is none.
func (e *Error) Error() string {
	if e.Cause != "" {
		return e.Cause
	}
	return classWords[e.Class]
}

var classWords = map[Class]string{
	NotFound:     "not found",
	NotLoggedIn:  "not signed in",
	Locked:       "locked",
	Expired:      "session expired",
	Denied:       "access denied",
	Ambiguous:    "more than one match",
	Throttled:    "too many requests",
	NoTool:       "program not found",
	PromptNeeded: "needs a human to answer",
	Timeout:      "no answer in time",
	Unreachable:  "cannot be reached",
	Malformed:    "malformed",
}

// Valid reports whether the class is one of those above.
func (c Class) Valid() bool { return classWords[c] != "" }

// Errorf returns an *Error of the class with a formatted cause.
func Errorf(class Class, format string, args ...any) error {
	return &Error{Class: class, Cause: fmt.Sprintf(format, args...)}
}

// Hinted returns an *Error of the class with a hint and a formatted cause.
func Hinted(class Class, hint, format string, args ...any) error {
	return &Error{Class: class, Cause: fmt.Sprintf(format, args...), Hint: hint}
}

// ClassOf returns the class of err, or "" if it has none. The end of a context
// counts as Timeout.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return ""
}

// Fail returns n Results that all hold err.
func Fail(n int, err error) []Result {
	results := make([]Result, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}
