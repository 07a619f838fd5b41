package infisical

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// What `infisical login` leaves is described nowhere; the names here are those of the
// program's public source, github.com/Infisical/cli: who is logged in where stands in a
// file, and the session under the account's address in the system's keyring, or in an
// encrypted file where there is none.
const (
	ownFile  = ".infisical/infisical-config.json"
	shown    = "~/" + ownFile
	ringName = "infisical-cli"
	inFile   = "file"
	login    = "infisical login"
)

// An own is what the file says, of all that it has.
type own struct {
	Email  string `json:"loggedInUserEmail"`
	Domain string `json:"LoggedInUserDomain"` // with /api at its end
	Kept   string `json:"vaultBackendType"`
	// Passphrase is there if the program found no keyring and took to its file.
	Passphrase string `json:"vaultBackendPassphrase"`
}

// readOwn returns what the file says, or nothing if there is none.
func readOwn(home string) (own, error) {
	var o own
	if home == "" {
		return o, nil
	}
	path := filepath.Join(home, ownFile)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	data, err := rest.ReadOwn(path, shown)             // for it says which server gets the session
	if err == nil && json.Unmarshal(data, &o) != nil { // whose error has parts of the file
		err = resolve.Errorf(resolve.Malformed, "%s: is not of its form", shown)
	}
	return o, err
}

var errKeptInFile = resolve.Errorf(resolve.NotLoggedIn, "%s keeps its session in an encrypted file, which is not supported", login)

// loggedIn returns the session of the program's own login, which is for the server that it
// logged in to and for no other. It runs out; kz makes no new one of it, for that would
// end the program's.
func (p *Provider) loggedIn(ctx context.Context) (session, error) {
	o, err := readOwn(p.setup.Home())
	switch {
	case err != nil:
		return session{}, err
	case o.Email == "":
		return session{}, resolve.Hinted(resolve.NotLoggedIn, login, "there is no token and no identity")
	case o.Domain == "":
		o.Domain = defaultAddress
	}
	if rest.Origin(o.Domain) != rest.Origin(p.address) {
		return session{}, resolve.Hinted(resolve.NotLoggedIn, login, "the login in %s is for another server", shown)
	}
	if o.Kept == inFile {
		return session{}, errKeptInFile
	}
	got := p.keyring.Fetch(ctx, []resolve.Ref{{Path: ringName + "/" + o.Email}})[0]
	class := resolve.ClassOf(got.Err)
	switch {
	case o.Passphrase != "" && (class == resolve.NotFound || class == resolve.Unreachable):
		return session{}, errKeptInFile
	case class == resolve.NotFound:
		return session{}, resolve.Hinted(resolve.NotLoggedIn, login, "the keychain does not have the session that %s names", shown)
	case got.Err != nil:
		return session{}, got.Err
	}
	var kept struct {
		Token string `json:"JTWToken"` // as it is spelled there
	}
	if json.Unmarshal([]byte(got.Secret.Reveal()), &kept) != nil || !rest.IsToken(kept.Token) {
		return session{}, resolve.Hinted(resolve.Malformed, login, "what the keychain has is not a session of Infisical's")
	}
	return session{token: kept.Token, as: rest.Shown(o.Email), lies: "keychain", mend: login}, nil
}
