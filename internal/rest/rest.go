// Package rest asks stores over HTTPS. Nothing of what a store answers, and
// nothing of what it is sent, gets into an error.
package rest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

// MaxAnswer is the most bytes that one answer may have.
const MaxAnswer = 4 << 20

// Options say which server is asked, and how.
type Options struct {
	// Address is https://host[:port][/path]. Plain http is for this machine alone:
	// what a loopback address answers came over no network.
	Address string
	CAFile  string            // of certificates that are trusted besides the system's
	Certs   []tls.Certificate // by which the client shows who it is
	Socket  string            // path of a unix socket, which is asked instead of the host
	// ServerName is whom the server's certificate must be for, if not the host of Address.
	ServerName string
	Most       int // bytes of one answer, MaxAnswer if 0
}

// A Client asks one server.
type Client struct {
	base *url.URL
	http *http.Client
	most int
}

// New returns a Client. An Address that is not fit is an error of class Malformed.
func New(o Options) (*Client, error) {
	base, err := parse(o.Address)
	if err != nil {
		return nil, err
	}
	transport, err := Transport(o)
	if err != nil {
		return nil, err
	}
	return &Client{base, &http.Client{Transport: transport, CheckRedirect: SameOrigin}, cmp.Or(o.Most, MaxAnswer)}, nil
}

func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, resolve.Errorf(resolve.Malformed, "the address is not of the form https://HOST")
	case u.Scheme == "https", u.Scheme == "http" && Loopback(u.Hostname()):
		return u, nil
	}
	return nil, resolve.Errorf(resolve.Malformed, "the address %s is not of https", u.Host)
}

// Origin returns scheme, host and port of an address as browsers write them: in lower
// case, and without the port that the scheme has anyway. It is "" for what is not an
// address of https or http.
func Origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	host, port := strings.ToLower(u.Host), map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
}

// Loopback reports whether a host is this machine, by its number or as localhost.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parallel is how many connections stay open for providers that ask one by one.
const parallel = 8

// Transport returns what New's clients speak through. It asks no proxy for this machine.
func Transport(o Options) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: o.Certs, ServerName: o.ServerName}
	t.MaxResponseHeaderBytes = 256 << 10
	t.MaxIdleConnsPerHost = parallel
	if o.CAFile != "" {
		pool, err := roots(o.CAFile)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if o.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", o.Socket)
		}
	}
	return t, nil
}

func roots(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, resolve.Errorf(resolve.Malformed, "%s: %s", file, why(err))
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, resolve.Errorf(resolve.Malformed, "%s has no certificate", file)
	}
	return pool, nil
}

var errRedirect = errors.New("redirected to another origin")

// SameOrigin is a CheckRedirect that stays with the scheme, host and port that were
// asked: what a request carries is for them alone.
func SameOrigin(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host || len(via) > 5 {
		return errRedirect
	}
	return nil
}

// A Call is one request.
type Call struct {
	Method string     // GET if empty
	Path   string     // appended to the address, escaped already; begins with a slash
	Query  url.Values // may be nil
	Header map[string]string
	Body   any // sent as JSON; nil for none
	// Again says that the call may be repeated though it is not a GET: it asks, and
	// changes nothing.
	Again bool
}

// An Answer is what the server said, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a call and returns the answer. One that is throttled or meets a failing
// server is sent again, as often as the deadline allows but three times at most. An
// error is of class Timeout, Unreachable or Malformed.
func (c *Client) Do(ctx context.Context, call Call) (Answer, error) {
	for try := 0; ; try++ {
		a, err := c.send(ctx, call)
		if err != nil || !a.passing() || !call.repeatable() || try == 2 || !pause(ctx, a.wait(try)) {
			return a, err
		}
	}
}

func (c Call) repeatable() bool {
	return c.Again || c.Method == "" || c.Method == http.MethodGet
}

// passing reports whether the same call might have another answer soon.
func (a Answer) passing() bool { return a.Status == http.StatusTooManyRequests || a.Status >= 500 }

// longest is the most that is waited before another try; a store that asks for more
// has given its answer.
const longest = time.Minute

// wait returns how long to wait before another try: what the server asks for, or
// twice as long each time, and by chance a little more, so that not all come back at once.
func (a Answer) wait(try int) time.Duration {
	wait := 100 * time.Millisecond << try
	after := a.Header.Get("Retry-After")
	if s, err := strconv.ParseUint(after, 10, 64); err == nil {
		wait = time.Duration(min(s, 3600)) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		wait = min(max(wait, time.Until(at)), time.Hour)
	}
	return wait + rand.N(wait/2+50*time.Millisecond)
}

// pause waits, unless the deadline leaves no time for a try after that.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); d > longest || ok && time.Until(deadline) < d+100*time.Millisecond {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (c *Client) send(ctx context.Context, call Call) (Answer, error) {
	request, err := c.request(ctx, call)
	if err != nil {
		return Answer{}, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, Failure(ctx, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(c.most)+1))
	switch {
	case ctx.Err() != nil: // a server that notices may end its answer before its time
		return Answer{}, ctx.Err()
	case err != nil:
		return Answer{}, Failure(ctx, err)
	case len(body) > c.most:
		return Answer{}, tooLong(c.most)
	}
	return Answer{response.StatusCode, response.Header, body}, nil
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	var body io.Reader
	if call.Body != nil {
		data, err := json.Marshal(call.Body)
		if err != nil {
			return nil, errors.New("the request cannot be encoded")
		}
		body = bytes.NewReader(data)
	}
	if call.Path != "" && call.Path[0] != '/' { // which would go on with the host's name
		return nil, resolve.Errorf(resolve.Malformed, "the reference does not fit into a request")
	}
	address := strings.TrimSuffix(c.base.String(), "/") + call.Path
	if call.Query != nil {
		address += "?" + call.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.Method, address, body)
	if err != nil {
		return nil, resolve.Errorf(resolve.Malformed, "the reference does not fit into a request")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "kz")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range call.Header {
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, resolve.Errorf(resolve.Malformed, "the %s header has control characters", name)
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

var errNotUTF8 = resolve.Errorf(resolve.Malformed, "the store's answer is not UTF-8")

func tooLong(most int) error {
	return resolve.Errorf(resolve.Malformed, "the store's answer has more than %d bytes", most)
}

// JSON reads the answer's body, one document in UTF-8, into v.
func (a Answer) JSON(v any) error {
	if !utf8.Valid(a.Body) { // which json would replace
		return errNotUTF8
	}
	if err := json.Unmarshal(a.Body, v); err != nil { // which has parts of it
		return resolve.Errorf(resolve.Malformed, "the store's answer is not of its form")
	}
	return nil
}

// Class returns the class that a status stands for where the store has no words of
// its own, "" for success.
func Class(status int) resolve.Class {
	switch {
	case status >= 200 && status < 300:
		return ""
	case status == http.StatusUnauthorized:
		return resolve.NotLoggedIn
	case status == http.StatusForbidden:
		return resolve.Denied
	case status == http.StatusNotFound:
		return resolve.NotFound
	case status == http.StatusTooManyRequests:
		return resolve.Throttled
	case status >= 500:
		return resolve.Unreachable
	}
	return resolve.Malformed
}

// Err returns nil for success, else an error of the status's class and number.
func (a Answer) Err() error {
	class := Class(a.Status)
	switch class {
	case "":
		return nil
	case resolve.Unreachable, resolve.Malformed:
		return resolve.Errorf(class, "the store answered with status %d", a.Status)
	}
	return &resolve.Error{Class: class}
}

// Failure returns the error for a request that got no answer, in words of kz's own:
// those of package net may hold addresses with what was sent.
func Failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		dns       *net.DNSError
		verify    *tls.CertificateVerificationError
		timeout   net.Error
		plaintext tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, errRedirect):
		return resolve.Errorf(resolve.Unreachable, "the store sends elsewhere, which kz does not follow")
	case errors.As(err, &verify):
		return resolve.Errorf(resolve.Unreachable, "the store's certificate is not trusted: %s", reason(verify.Err))
	case errors.As(err, &plaintext), errors.Is(err, http.ErrSchemeMismatch):
		return resolve.Errorf(resolve.Unreachable, "the store does not speak TLS")
	case errors.As(err, &dns) && dns.IsNotFound:
		return resolve.Errorf(resolve.Unreachable, "%s is not known here", dns.Name)
	case errors.As(err, &timeout) && timeout.Timeout():
		return &resolve.Error{Class: resolve.Timeout}
	}
	return &resolve.Error{Class: resolve.Unreachable}
}

func reason(err error) string {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return fmt.Sprintf("it is not for %s", host.Host)
	case errors.As(err, &authority):
		return "nobody known signed it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it is expired or not yet valid"
	}
	return "it is not valid"
}
