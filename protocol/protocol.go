// Package protocol is what kz says to a program that asks stores, and what that
// answers: one JSON document each way. docs/provider-protocol.md describes it.
package protocol

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

// Version is the protocol's name. Who does not know it answers with an error.
const Version = "kz.provider/1"

// The operations.
const (
	Fetch = "fetch" // the values of references
	Store = "store" // give one reference a value
	Probe = "probe" // whether the store can be used, without fetching a secret
	List  = "list"  // the references that the store has
	Find  = "find"  // whether this machine has what the store is asked by; nothing is asked
)

// Limits on one document, in bytes.
const (
	MaxRequest  = 4 << 20
	MaxResponse = 8 << 20
)

// A Request is what the program reads on stdin, to its end.
type Request struct {
	Protocol string `json:"protocol"`
	Op       string `json:"op"`
	// Deadline is when the answer must be there, in milliseconds since 1970-01-01
	// 00:00 UTC. The program is killed soon after.
	Deadline int64 `json:"deadline_unix_ms"`
	// Avoid are absolute directories in which no program is to be run.
	Avoid     []string   `json:"avoid,omitempty"`
	Providers []Provider `json:"providers"`
}

// A Provider is one store with what is asked of it.
type Provider struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Settings map[string]string `json:"settings,omitempty"`
	Refs     []Ref             `json:"refs,omitempty"`
	Value    *Value            `json:"value,omitempty"` // for Store, with one of Refs
}

// A Ref is one reference. Dir is the directory of the configuration that has it.
type Ref struct {
	Ref string `json:"ref"`
	Dir string `json:"dir,omitempty"`
}

// A Response is what the program writes on stdout, with nothing before or behind it.
type Response struct {
	Protocol  string   `json:"protocol"`
	Providers []Answer `json:"providers"` // one for each of the request's, in their order
}

// An Answer is that of one store. Error is set if the store as a whole cannot be asked.
type Answer struct {
	Name    string    `json:"name"`
	Error   *Error    `json:"error,omitempty"`
	Results []Result  `json:"results,omitempty"` // one for each reference, in their order
	Status  *Standing `json:"status,omitempty"`  // for Probe and Find
	Items   []string  `json:"items,omitempty"`   // for List
}

// A Result is the answer for one reference: a value, or an error, or for Store nothing.
type Result struct {
	Value *Value `json:"value,omitempty"`
	Error *Error `json:"error,omitempty"`
}

// A Value is text, or in base64 what is not valid UTF-8.
type Value struct {
	Text   *string `json:"text,omitempty"`
	Base64 *string `json:"base64,omitempty"`
}

// An Error has one of the classes of [resolve.Class], or none.
type Error struct {
	Class string `json:"class,omitempty"`
	Cause string `json:"cause,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// A Standing is a [resolve.Standing].
type Standing struct {
	Through    string `json:"through,omitempty"`
	As         string `json:"as,omitempty"`
	Credential string `json:"credential,omitempty"`
	Plain      bool   `json:"plain,omitempty"`
	Asked      bool   `json:"asked,omitempty"`
}

// An Event is one line that the program may write to descriptor 3 at any time.
type Event struct {
	Provider string `json:"provider"`
	Text     string `json:"text"` // what it waits for: "touch the key"
}

// NewValue returns the secret as a Value.
func NewValue(s resolve.Secret) *Value {
	text := s.Reveal()
	if utf8.ValidString(text) {
		return &Value{Text: &text}
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	return &Value{Base64: &encoded}
}

// Secret returns what the Value stands for.
func (v *Value) Secret() (resolve.Secret, error) {
	switch {
	case v.Text != nil && v.Base64 == nil:
		return resolve.NewSecret(*v.Text), nil
	case v.Base64 != nil && v.Text == nil:
		data, err := base64.StdEncoding.Strict().DecodeString(*v.Base64)
		if err != nil {
			return resolve.Secret{}, errors.New("not base64") // the error of base64 tells where
		}
		return resolve.NewSecret(string(data)), nil
	}
	return resolve.Secret{}, errors.New("want text or base64")
}

// NewError returns err as an Error, nil if it is nil.
func NewError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *resolve.Error
	if errors.As(err, &e) {
		return &Error{string(e.Class), err.Error(), e.Hint}
	}
	if class := resolve.ClassOf(err); class != "" { // the end of a context, in words that are not for users
		return &Error{Class: string(class)}
	}
	return &Error{Cause: err.Error()}
}

// Err returns the Error as one of package resolve. A class that does not exist is none.
func (e *Error) Err() error {
	if e == nil {
		return nil
	}
	class := resolve.Class(e.Class)
	if !class.Valid() {
		class = ""
	}
	cause := e.Cause
	if cause == "" && class == "" {
		cause = "the store failed"
	}
	return &resolve.Error{Class: class, Cause: cause, Hint: e.Hint}
}

// ReadRequest reads a request to the end of r.
func ReadRequest(r io.Reader) (Request, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxRequest+1))
	if err != nil {
		return Request{}, err
	}
	if len(data) > MaxRequest {
		return Request{}, fmt.Errorf("the request has more than %d bytes", MaxRequest)
	}
	var q Request
	if err := decode(data, &q); err != nil {
		return Request{}, fmt.Errorf("the request %w", err)
	}
	return q, q.check()
}

func (q Request) check() error {
	switch {
	case q.Protocol != Version:
		return fmt.Errorf("the request is of protocol %q, not %s", q.Protocol, Version)
	case q.Deadline <= 0:
		return errors.New("the request has no deadline")
	case q.Op != Fetch && q.Op != Store && q.Op != Probe && q.Op != List && q.Op != Find:
		return fmt.Errorf("the request is for %q, which is unknown", q.Op)
	}
	for _, p := range q.Providers {
		if q.Op == Store && (p.Value == nil || len(p.Refs) != 1) || q.Op != Store && p.Value != nil {
			return errors.New("the request has a value without a reference, or a reference without a value")
		}
	}
	return nil
}

// ParseResponse returns the response in data to q.
func ParseResponse(data []byte, q Request) (Response, error) {
	if len(data) > MaxResponse {
		return Response{}, fmt.Errorf("the answer has more than %d bytes", MaxResponse)
	}
	var r Response
	if err := decode(data, &r); err != nil {
		return Response{}, fmt.Errorf("the answer %w", err)
	}
	if r.Protocol != Version {
		return Response{}, fmt.Errorf("the answer is not of protocol %s", Version)
	}
	if len(r.Providers) != len(q.Providers) {
		return Response{}, fmt.Errorf("the answer is for %d stores, not %d", len(r.Providers), len(q.Providers))
	}
	for i, a := range r.Providers {
		if err := a.check(q.Op, q.Providers[i]); err != nil {
			return Response{}, err
		}
	}
	return r, nil
}

func (a Answer) check(op string, p Provider) error {
	refs := (op == Fetch || op == Store) && a.Error == nil
	switch {
	case a.Name != p.Name:
		return errors.New("the answer is for another store")
	case refs && len(a.Results) != len(p.Refs):
		return fmt.Errorf("the answer has %d results, not %d", len(a.Results), len(p.Refs))
	case (op == Probe || op == Find) && a.Error == nil && a.Status == nil:
		return errors.New("the answer says nothing about the store")
	}
	for _, r := range a.Results {
		if op == Fetch && (r.Value == nil) == (r.Error == nil) || op != Fetch && r.Value != nil {
			return errors.New("a result of the answer is not one value or one error")
		}
	}
	return nil
}

// decode reads one JSON document that has nothing else beside it and no key that v
// does not have. The errors of package json quote what they meet, so theirs are not passed on.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) { // which json would replace
		return errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("is not JSON")
		}
		return errors.New("has an unknown key or a value of a wrong type")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("is followed by something else")
	}
	return nil
}
