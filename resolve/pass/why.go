package pass

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

// why returns nil if the program succeeded, else what its messages stand for. Gpg's
// own count first: what it writes about a file may have the words of the others.
func (p *Provider) why(out tool.Outcome, path string) error {
	if out.State.Success() {
		return nil
	}
	status := statuses(out.Stderr)
	switch {
	case status.nodata, status.opened:
		return resolve.Errorf(resolve.Malformed, "the entry is not a file of gpg's, or damaged")
	case status.card:
		return resolve.Hinted(resolve.PromptNeeded, p.unlock(path), "gpg waits for a card or its PIN")
	case status.asked:
		return resolve.Hinted(resolve.Locked, p.unlock(path), "gpg-agent needs the key's passphrase")
	case status.recipient:
		return resolve.Errorf(resolve.Denied, "gpg cannot encrypt for the store's key")
	case status.failed && status.considered: // with a pinentry that could not even start
		return resolve.Hinted(resolve.Locked, p.unlock(path), "gpg-agent needs the key's passphrase")
	case status.failed:
		return resolve.Errorf(resolve.Denied, "gpg has no key that opens the entry")
	case bytes.Contains(out.Stderr, []byte("is not in the password store")):
		return resolve.Errorf(resolve.NotFound, "no entry %q", path)
	case bytes.Contains(out.Stderr, []byte("Error: You must run:")), out.State.ExitCode() == 6 && p.dialect.program == gopass.program:
		return resolve.Hinted(resolve.NotLoggedIn, p.begin(), "the password store is not set up")
	}
	return out.Err()
}

// A status is what gpg said about its work by --status-fd.
type status struct {
	card       bool // a smartcard failed, or is waited for
	asked      bool // a passphrase was needed
	recipient  bool // a key cannot be encrypted for
	nodata     bool // the input is not encrypted
	considered bool // a secret key is there that fits
	opened     bool // it could be used
	failed     bool // decryption failed
}

func statuses(stderr []byte) (s status) {
	for line := range strings.Lines(string(stderr)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "[GNUPG:]" || !strings.HasPrefix(line, "[") {
			continue
		}
		switch words[1] {
		case "CARDCTRL":
			s.card = true
		case "PINENTRY_LAUNCHED", "NEED_PASSPHRASE":
			s.asked = true
		case "ERROR":
			if len(words) > 3 && words[2] == "pkdecrypt_failed" {
				s.asked, s.card = true, s.card || fromCard(words[3])
			}
		case "INV_RECP":
			s.recipient = true
		case "NODATA":
			s.nodata = true
		case "KEY_CONSIDERED":
			s.considered = true
		case "DECRYPTION_KEY":
			s.opened = true
		case "DECRYPTION_FAILED":
			s.failed = true
		}
	}
	return s
}

// fromCard reports whether an error's code, of which the upper byte is its source, is
// of the daemon for smartcards.
func fromCard(code string) bool {
	const scdaemon = 6
	n, err := strconv.ParseUint(code, 10, 32)
	return err == nil && n>>24&0x7f == scdaemon
}
