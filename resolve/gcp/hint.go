package gcp

import (
	"errors"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/resolve"
)

// mend gives err the hint that signs in. What a variable names goes before what the
// login leaves.
func (p *Provider) mend(err error) error {
	e, ok := errors.AsType[*resolve.Error](err)
	if !ok || e.Hint != login && (e.Hint != "" || ask.SignIn(login)[e.Class] == "") {
		return err
	}
	hint := ask.Without(p.setup, login, "GOOGLE_APPLICATION_CREDENTIALS")
	return &resolve.Error{Class: e.Class, Cause: e.Cause, Hint: hint}
}
