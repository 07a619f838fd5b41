//go:build unix

package age

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
)

const maxIdentities = 1 << 20 // bytes of a file with identities

// A ring has the identities of the user.
type ring struct {
	quiet    []age.Identity // that ask nobody
	asking   []asking       // that may ask a human, or run a plug-in that does
	from     []string       // where they are from, for the user
	problems []error        // with other files
	make     string         // a command that makes the first of the identities
}

// ring reads the files with identities. What is wrong with one counts only if the
// others do not open what is to be opened.
func (p *Provider) ring() *ring {
	r := &ring{make: p.make(p.files[0])}
	for _, path := range p.files {
		data, err := readIdentities(path)
		if err != nil {
			if p.named || !errors.Is(err, fs.ErrNotExist) {
				hint := ""
				if errors.Is(err, fs.ErrNotExist) {
					hint = p.make(path)
				}
				r.problems = append(r.problems, resolve.Hinted(resolve.NotLoggedIn, hint, "%s: %s", printable.Text(p.setup.Short(path)), cause(err)))
			}
			continue
		}
		had := len(r.quiet) + len(r.asking)
		r.add(p, path, data)
		if len(r.quiet)+len(r.asking) > had {
			r.from = append(r.from, "file "+printable.Text(p.setup.Short(path)))
		}
	}
	return r
}

// make returns the command that makes an identity and leaves it at a path, if the path
// can be pasted. It overwrites none.
func (p *Provider) make(path string) string {
	dir, shown := filepath.Dir(path), p.setup.Short(path)
	if !ask.Plain(shown) {
		return ""
	}
	hint := "age-keygen -o " + shown
	if _, err := os.Stat(dir); err != nil {
		hint = "mkdir -p " + p.setup.Short(dir) + " && " + hint
	}
	return hint
}

func (r *ring) problem(class resolve.Class, file, text string) {
	r.problems = append(r.problems, resolve.Errorf(class, "%s: %s", printable.Text(file), text))
}

func readIdentities(path string) ([]byte, error) {
	// Without O_NONBLOCK the opening of a FIFO waits for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxIdentities+1))
	if len(data) > maxIdentities {
		return nil, errors.New("more than 1 MiB")
	}
	return data, err
}

// cause strips the path, which the error that is made of it names already.
func cause(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return err.Error()
}

// add takes the identities of one file. No error quotes a line.
func (r *ring) add(p *Provider, path string, data []byte) {
	switch text := bytes.TrimSpace(data); {
	case bytes.HasPrefix(text, []byte("age-encryption.org/")), bytes.HasPrefix(text, []byte("-----BEGIN AGE ENCRYPTED")):
		r.problem(resolve.PromptNeeded, p.setup.Short(path), "the identities are encrypted with a passphrase, which kz does not ask for")
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		r.addSSH(p, path, data)
	default:
		r.addLines(p, path, string(text))
	}
}

func (r *ring) addLines(p *Provider, path, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "AGE-PLUGIN-") {
			if id, err := p.plugged(line); err != nil {
				r.problems = append(r.problems, err)
			} else {
				r.asking = append(r.asking, id)
			}
			continue
		}
		ids, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			r.problem(resolve.Malformed, p.setup.Short(path), "has a line that is not an identity")
			continue
		}
		r.quiet = append(r.quiet, ids...)
	}
}

var errPassphrase = errors.New("a passphrase is needed")

// addSSH takes a private key as ssh-keygen makes it. Of those that lie where ssh has them,
// the ones that cannot decrypt are none of age's business.
func (r *ring) addSSH(p *Provider, path string, data []byte) {
	id, err := agessh.ParseIdentity(data)
	locked, isLocked := errors.AsType[*ssh.PassphraseMissingError](err)
	switch {
	case err == nil:
		r.quiet = append(r.quiet, id)
		return
	case isLocked && locked.PublicKey != nil:
		id, err = agessh.NewEncryptedSSHIdentity(locked.PublicKey, data, func() ([]byte, error) { return nil, errPassphrase })
		if err == nil { // it comes first: it asks only if it fits, and costs nothing
			name := printable.Text(p.setup.Short(path))
			needs := resolve.Errorf(resolve.PromptNeeded, "%s needs its passphrase, which kz does not ask for", name)
			r.asking = append([]asking{{identity: id, refusal: func(error) error { return needs }}}, r.asking...)
			return
		}
	}
	if p.named {
		r.problem(resolve.Malformed, p.setup.Short(path), "not a private key that age can use")
	}
}

// An asking identity may need a human.
type asking struct {
	identity age.Identity
	refusal  func(error) error // what its error means
	ready    func() error      // nil if it can be tried; may be nil itself
}

// unwrap returns what the identity makes of the stanzas, or an error that wraps
// age.ErrIncorrectIdentity or has a class. It returns when ctx is done: age runs plug-ins
// without one, so that what hangs is left behind, and gets the end of its input when
// kz-fetch ends.
func (a asking) unwrap(ctx context.Context, stanzas []*age.Stanza) ([]byte, error) {
	if a.ready != nil {
		if err := a.ready(); err != nil {
			return nil, err
		}
	}
	var key []byte
	err := within(ctx, func() (err error) { key, err = a.identity.Unwrap(stanzas); return err })
	switch {
	case err == nil:
		return key, nil
	case errors.Is(err, age.ErrIncorrectIdentity), ctx.Err() != nil:
		return nil, err
	}
	return nil, a.refusal(err)
}

// within returns what do returns, or the error of ctx if that is done first. What do
// writes is to be read only if it returned.
func within(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if recover() != nil { // it must not cost other stores their values
				done <- errors.New("age crashed")
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// notFound returns the name of a plug-in that age could not start.
func notFound(err error) bool {
	_, ok := errors.AsType[*plugin.NotFoundError](err)
	return ok
}
