package rest

import (
	"bytes"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/getkeyzero/kz/resolve"
)

// Checked is a transport for the SDKs of stores. It refuses what they would take and
// should not: an address that is not of https, too long an answer, and bytes that are
// not UTF-8, which JSON replaces.
type Checked struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper]. It reads the answer to its end.
func (c Checked) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme != "https" && !Loopback(q.URL.Hostname()) {
		return nil, resolve.Errorf(resolve.Unreachable, "the address %s is not of https", q.URL.Host)
	}
	answer, err := c.RoundTripper.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxAnswer+1))
	_ = answer.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case len(body) > MaxAnswer:
		return nil, tooLong(MaxAnswer)
	case !utf8.Valid(body):
		return nil, errNotUTF8
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}
