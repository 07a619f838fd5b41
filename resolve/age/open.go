//go:build unix

package age

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/internal/tree"
	"github.com/getkeyzero/kz/resolve"
)

// A file is what became of one that was to be decrypted.
type file struct {
	data  []byte // as it was read
	plain []byte
	err   error
	waits bool // for an identity that may ask
}

func (r *ring) openQuietly(ctx context.Context, src projectfile.File) (f file) {
	if f.err = ctx.Err(); f.err != nil {
		return f
	}
	if f.data, f.err = src.Read(); f.err != nil {
		return f
	}
	f.plain, f.err = decrypt(f.data, append(slices.Clone(r.quiet), nobody{})...)
	none, isNone := errors.AsType[*age.NoIdentityMatchError](f.err)
	switch {
	case isNone && slices.Contains(none.StanzaTypes, "scrypt"):
		f.err = resolve.Errorf(resolve.PromptNeeded, "%v: encrypted with a passphrase, which kz does not ask for", src)
	case isNone && len(r.asking) > 0:
		f.waits = true
	case isNone:
		f.err = r.refusal(src.String())
	case f.err != nil:
		f.err = damaged(src)
	}
	return f
}

// openAsking tries the identities that may ask, one after the other: what one fails of
// counts only if no other opens the file.
func (r *ring) openAsking(ctx context.Context, src projectfile.File, f file) file {
	end, err := ask.Turn(ctx)
	if err != nil {
		f.err = err
		return f
	}
	defer end()
	var refused error
	for _, id := range r.asking {
		one := &tried{ctx: ctx, asking: id}
		f.plain, f.err = decrypt(f.data, one)
		switch {
		case f.err == nil:
			return f
		case ctx.Err() != nil:
			f.err = ctx.Err()
			return f
		case one.err == nil:
			f.err = damaged(src)
			return f
		case !errors.Is(one.err, age.ErrIncorrectIdentity) && refused == nil:
			refused = one.err
		}
	}
	if f.err = refused; refused == nil {
		f.err = r.refusal(src.String())
	}
	return f
}

// A tried identity keeps its error, which age wraps in others that may be of the file.
type tried struct {
	asking
	ctx context.Context
	err error
}

func (t *tried) Unwrap(stanzas []*age.Stanza) (key []byte, err error) {
	key, t.err = t.unwrap(t.ctx, stanzas)
	return key, t.err
}

// nobody opens nothing. With it, age reads a header even if there is no other identity.
type nobody struct{}

func (nobody) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }

// refusal says why no identity opens a file. There being identities, the store knows the
// user and refuses, which is Denied; with none at all there is nobody it could know.
func (r *ring) refusal(name string) error {
	switch {
	case len(r.problems) > 0:
		return r.problems[0]
	case len(r.quiet)+len(r.asking) == 0:
		return resolve.Hinted(resolve.NotLoggedIn, r.make, "there is no age identity on this machine")
	}
	// Without a hint: whoever can open the file has to encrypt it for this machine too.
	return resolve.Errorf(resolve.Denied, "%s: none of the identities opens it", name)
}

func damaged(src projectfile.File) error {
	return resolve.Errorf(resolve.Malformed, "%v: not a file of age's, or damaged", src)
}

func decrypt(data []byte, ids ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(unarmored(data), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func unarmored(data []byte) io.Reader {
	if armored(data) {
		return armor.NewReader(bufio.NewReader(bytes.NewReader(data)))
	}
	return bytes.NewReader(data)
}

func armored(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte(armor.Header))
}

// find returns the text less one newline at its end, or the value of a key in it.
func (f *file) find(src projectfile.File, key string) (resolve.Secret, error) {
	switch {
	case f.err != nil:
		return resolve.Secret{}, f.err
	case key == "":
		return resolve.NewSecret(strings.TrimSuffix(string(f.plain), "\n")), nil
	case isObject(f.plain):
		return findJSON(src, f.plain, key)
	}
	entries, err := dotenv.Parse(f.plain, nil)
	if err != nil {
		return resolve.Secret{}, unreadable(src, err)
	}
	for _, e := range slices.Backward(entries) {
		if e.Name == key {
			return resolve.NewSecret(e.Value), nil
		}
	}
	return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "%v: no variable %q", src, key)
}

func unreadable(src projectfile.File, err error) error {
	if syntax, ok := errors.AsType[*dotenv.SyntaxError](err); ok {
		return resolve.Errorf(resolve.Malformed, "%v: line %d of the text: %s", src, syntax.Line, syntax.Msg)
	}
	return resolve.Errorf(resolve.Malformed, "%v: the text has more than 1 MiB", src)
}

// isObject reports whether a text is to be read as JSON. No line of a .env file begins so.
func isObject(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

func findJSON(src projectfile.File, text []byte, key string) (resolve.Secret, error) {
	var value any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&value) != nil || !json.Valid(text) { // Decode leaves what follows
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "%v: the text is not JSON", src)
	}
	keys := []string{key}
	if strings.HasPrefix(key, "/") {
		keys = tree.Pointer(key)
	}
	found, ok := tree.Find(value, keys)
	if !ok {
		return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "%v: no key %q", src, key)
	}
	text2, err := tree.Text(found)
	if err != nil {
		return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "%v: key %q: %v", src, key, err)
	}
	return resolve.NewSecret(text2), nil
}
