package rest

import "net/http"

// Patient is a transport for the clients of others that get tokens. It sends again what
// is throttled or meets a failing server, as [Client.Do] does. All that goes through it
// may be repeated: it asks, and changes nothing.
type Patient struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper]. A body that cannot be had again is sent once.
func (p Patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for try := 0; ; try++ {
		response, err := p.RoundTripper.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		a := Answer{Status: response.StatusCode, Header: response.Header}
		if !a.passing() || r.Body != nil && r.GetBody == nil || try == 2 || !pause(r.Context(), a.wait(try)) {
			return response, nil
		}
		_ = response.Body.Close()
		r = r.Clone(r.Context())
		if r.GetBody == nil {
			continue
		}
		if r.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
}
