// Package hashicorp resolves references to the key-value engines of HashiCorp Vault
// and of OpenBao, which speak alike. A reference is MOUNT/PATH#FIELD?version=N, of
// which FIELD and version may be missing.
//
// It speaks through package rest and not through the client of either: that one keeps
// all of an answer of any length, mends invalid UTF-8 in values without a word, puts
// the server's text into errors and asks the process environment with each request.
package hashicorp

import (
	"context"
	"crypto/tls"
	"net/url"
	"os"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

const parallel = 8 // requests at once

// A Provider asks one server.
type Provider struct{ setup resolve.Setup }

// New returns the Provider of s. It neither connects nor reads a file yet.
func New(s resolve.Setup) (*Provider, error) { return &Provider{s}, nil }

// Present says what of a server is found here, "" if nothing.
func Present(s resolve.Setup) string {
	p := &Provider{s}
	switch address, file := p.shown(), p.tokenFile(); {
	case address != "":
		return address
	case isFile(file):
		return p.setup.Short(file)
	}
	return ""
}

// shown returns the address without a password, which it should not have, in it.
func (p *Provider) shown() string {
	u, err := url.Parse(p.setup.Setting("address", addresses...))
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

var addresses = []string{"VAULT_ADDR", "BAO_ADDR"}

// Fetch implements [resolve.Provider]. It signs in once. All fields of one version of
// one path come by one request, and so are of one time.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	places := make([]place, len(refs))
	var wanted []resolve.Ref // a document each
	at := map[string]int{}
	for i, ref := range refs {
		places[i], results[i].Err = parse(ref.Path)
		key := places[i].document()
		if _, seen := at[key]; results[i].Err == nil && !seen {
			at[key] = len(wanted)
			wanted = append(wanted, resolve.Ref{Path: key})
		}
	}
	documents := p.documents(ctx, wanted)
	for i, pl := range places {
		if results[i].Err == nil {
			results[i] = documents[at[pl.document()]].field(pl)
		}
	}
	return results
}

// documents reads each of wanted.
func (p *Provider) documents(ctx context.Context, wanted []resolve.Ref) []document {
	documents := make([]document, len(wanted))
	if len(wanted) == 0 {
		return documents
	}
	s, err := p.open(ctx)
	if err != nil {
		for i := range documents {
			documents[i].err = err
		}
		return documents
	}
	texts := resolve.Each(ctx, wanted, parallel, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		pl, err := parse(ref.Path)
		if err != nil {
			return resolve.Secret{}, err
		}
		return s.read(ctx, pl)
	})
	for i, text := range texts {
		documents[i] = newDocument(text)
	}
	return documents
}

// open returns a session with the server, signed in.
func (p *Provider) open(ctx context.Context) (*session, error) {
	s, err := p.connect() // who has no address has no credential either, and needs it first
	if err != nil {
		return nil, err
	}
	l, err := p.login()
	if err != nil {
		return nil, err
	}
	return s, s.mend(s.signIn(ctx, l))
}

// connect returns a session without a token. It sends nothing yet.
func (p *Provider) connect() (*session, error) {
	address := p.setup.Setting("address", addresses...)
	if address == "" {
		return nil, resolve.Hinted(resolve.NotLoggedIn, "export VAULT_ADDR=https://HOST:8200", "neither VAULT_ADDR nor the provider's settings have an address")
	}
	o := rest.Options{
		Address: address, CAFile: p.caFile(),
		ServerName: p.setup.Setting("", "VAULT_TLS_SERVER_NAME", "BAO_TLS_SERVER_NAME"),
	}
	if cert, key := p.certFiles(); cert != "" && key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil { // whose text may quote the key's file
			return nil, resolve.Errorf(resolve.NotLoggedIn, "%s and %s are not a certificate and its key", p.setup.Short(cert), p.setup.Short(key))
		}
		o.Certs = []tls.Certificate{pair}
	}
	if o.CAFile != "" && !isFile(o.CAFile) {
		return nil, resolve.Errorf(resolve.Malformed, "no file %s", p.setup.Short(o.CAFile))
	}
	client, err := rest.New(o)
	if err != nil {
		return nil, err
	}
	// The server's agents turn away what lacks the first: a browser cannot send it.
	header := map[string]string{"X-Vault-Request": "true"}
	if namespace := p.setup.Setting("namespace", "VAULT_NAMESPACE", "BAO_NAMESPACE"); namespace != "" {
		header["X-Vault-Namespace"] = namespace
	}
	return &session{client: client, header: header, kv: p.setup.Setting("kv"), hints: p.hints()}, nil
}

func (p *Provider) caFile() string { return p.setup.Setting("ca_file", "VAULT_CACERT", "BAO_CACERT") }

func (p *Provider) certFiles() (cert, key string) {
	return p.setup.Setting("client_cert", "VAULT_CLIENT_CERT", "BAO_CLIENT_CERT"), p.setup.Setting("client_key", "VAULT_CLIENT_KEY", "BAO_CLIENT_KEY")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
