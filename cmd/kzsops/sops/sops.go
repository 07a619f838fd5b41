//go:build unix

// Package sops reads secrets from files of the project that are encrypted with SOPS.
//
// A reference is FILE for the whole text, FILE#a.b.0 for what its keys lead to, or a JSON
// pointer as FILE#/a/b/0. A file is decrypted once however many references it serves.
//
// The library takes its keys as the program sops does, from the environment and the home
// of this process: it knows no other way. Kz chooses what of the user's is in there.
package sops

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/logging"
	"go.yaml.in/yaml/v3"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/internal/tree"
	"github.com/getkeyzero/kz/resolve"
	setup "github.com/getkeyzero/kz/resolve/sops"
)

// A Provider decrypts with the keys that SOPS finds.
type Provider struct{ setup resolve.Setup }

// silence stops what the library logs, which may name keys and files.
var silence = sync.OnceFunc(func() {
	for _, l := range logging.Loggers {
		l.SetOutput(io.Discard)
	}
})

// New returns the Provider of the setup.
func New(s resolve.Setup) (*Provider, error) {
	silence()
	return &Provider{s}, nil
}

// Fetch implements [resolve.Provider]. Files are decrypted one after the other: each may
// ask for a touch.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	files := map[projectfile.File]opened{}
	for i, ref := range refs {
		src, key, err := projectfile.Parse(ref)
		if err != nil {
			results[i].Err = err
			continue
		}
		f, seen := files[src]
		if !seen {
			f = p.open(ctx, src)
			files[src] = f
		}
		results[i].Secret, results[i].Err = f.find(src, key)
	}
	return results
}

// Probe implements [resolve.Prober].
func (p *Provider) Probe(context.Context) (resolve.Standing, error) {
	where, plain := setup.Credential(p.setup)
	return resolve.Standing{Through: "sops within kz-fetch-sops", Credential: where, Plain: plain}, nil
}

// An opened file has its documents, of which only YAML has more than one, and its whole text.
type opened struct {
	documents []any
	text      string
	err       error
}

// open decrypts a file. It returns when ctx is done: the library knows none, so that what
// hangs in it is left behind until the process ends.
func (p *Provider) open(ctx context.Context, src projectfile.File) opened {
	if err := ctx.Err(); err != nil {
		return opened{err: err}
	}
	data, err := src.Read()
	if err != nil {
		return opened{err: err}
	}
	done := make(chan opened, 1)
	go func() {
		defer func() {
			if recover() != nil { // in a library that reads a file of the project
				done <- opened{err: unreadable(src)}
			}
		}()
		done <- p.decrypt(src, data)
	}()
	select {
	case f := <-done:
		return f
	case <-ctx.Done():
		return opened{err: ctx.Err()}
	}
}

// aliased reports whether a document has a reference to a part of itself. The library
// follows those of all but the first, and some bytes of them take all memory there is.
func aliased(data []byte) bool {
	documents := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if documents.Decode(&n) != nil {
			return false // the end, or what the library cannot read either
		}
		if hasAlias(&n) {
			return true
		}
	}
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

func unreadable(src projectfile.File) error {
	return resolve.Errorf(resolve.Malformed, "%v: SOPS cannot read it", src)
}

func (p *Provider) decrypt(src projectfile.File, data []byte) opened {
	format := formats.FormatForPath(src.Name)
	if format == formats.Yaml && aliased(data) {
		return opened{err: resolve.Errorf(resolve.Malformed, "%v: has aliases, which SOPS does not write", src)}
	}
	store := common.StoreForFormat(format, config.NewStoresConfig())
	encrypted, err := store.LoadEncryptedFile(data)
	switch {
	case errors.Is(err, sops.MetadataNotFound):
		return opened{err: resolve.Errorf(resolve.Malformed, "%v: is not encrypted with SOPS", src)}
	case err != nil:
		return opened{err: unreadable(src)}
	}
	if err := p.decryptTree(src, &encrypted); err != nil {
		return opened{err: err}
	}
	text, err := store.EmitPlainFile(encrypted.Branches)
	if err != nil {
		return opened{err: unreadable(src)}
	}
	f := opened{text: strings.TrimSuffix(string(text), "\n")}
	for _, branch := range encrypted.Branches {
		f.documents = append(f.documents, value(branch))
	}
	return f
}

// decryptTree decrypts all values and checks that nobody changed any: what package decrypt
// of the library does, with errors that can be told apart.
func (p *Provider) decryptTree(src projectfile.File, t *sops.Tree) error {
	kinds, err := p.choose(src, t)
	if err != nil {
		return err
	}
	key, err := t.Metadata.GetDataKey()
	if err != nil {
		return refused(src, kinds, err)
	}
	changed := resolve.Errorf(resolve.Malformed, "%v: was changed after it was encrypted", src)
	cipher := aes.NewCipher()
	mac, err := t.Decrypt(key, cipher)
	if err != nil {
		return changed
	}
	original, err := cipher.Decrypt(t.Metadata.MessageAuthenticationCode, key, t.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || original != mac {
		return changed
	}
	return nil
}

// refused says why no key opens the file. The library's account of it may be of any form,
// and serves only to find the class.
func refused(src projectfile.File, kinds []string, err error) error {
	text := err.Error()
	if user, ok := err.(interface{ UserError() string }); ok {
		text += user.UserError()
	}
	class := tool.Classify([]byte(text))
	switch {
	case gpgLocked(text):
		class = resolve.Locked
	case class == "" || class == resolve.NotFound:
		class = resolve.Denied
	}
	return resolve.Hinted(class, hint(class, src, kinds), "%v: no key of this machine opens it (it is for %s)", src, strings.Join(kinds, ", "))
}

// gpgLocked reports whether gpg has a key that fits and could not use it: of one that it
// does not have it writes the end alone. The library breaks gpg's lines, and says nothing
// of gpg's status; in other languages than English this is Denied.
func gpgLocked(text string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == '|' || unicode.IsSpace(r) })
	return strings.Contains(strings.Join(words, " "), "gpg: public key decryption failed: ")
}

// hint returns what lets one in: with a key that is not the file's, that whoever can open
// it encrypts it anew for the keys that .sops.yaml has by now.
func hint(class resolve.Class, src projectfile.File, kinds []string) string {
	path := src.Path()
	switch {
	case class == resolve.Denied && ask.Plain(path):
		return "sops updatekeys " + path
	case class == resolve.Locked && ask.Plain(path): // its program asks at the terminal
		return "sops decrypt " + path + " >/dev/null"
	case class == resolve.NotLoggedIn, class == resolve.Expired:
		return logins[kinds[0]]
	}
	return ""
}

// logins are by the kind of the first key.
var logins = map[string]string{
	"kms": "aws sso login", "gcp_kms": "gcloud auth application-default login", "azure_kv": "az login", "hc_vault": "vault login",
}

// find returns the whole text, or the value that the keys lead to.
func (f opened) find(src projectfile.File, path string) (resolve.Secret, error) {
	switch {
	case f.err != nil:
		return resolve.Secret{}, f.err
	case path == "":
		return resolve.NewSecret(f.text), nil
	}
	keys := strings.Split(path, ".")
	if strings.HasPrefix(path, "/") {
		keys = tree.Pointer(path)
	}
	var found []any
	for _, d := range f.documents {
		if v, ok := tree.Find(d, keys); ok {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "%v: no key %q", src, path)
	case 1:
	default:
		return resolve.Secret{}, resolve.Errorf(resolve.Ambiguous, "%v: %d of its documents have the key %q", src, len(found), path)
	}
	text, err := tree.Text(found[0])
	if err != nil {
		return resolve.Secret{}, resolve.Errorf(resolve.NotFound, "%v: key %q: %v", src, path, err)
	}
	return resolve.NewSecret(text), nil
}

// kindsOf returns the kinds of keys that t is encrypted for.
func kindsOf(t *sops.Tree) []string {
	var kinds []string
	for _, group := range t.Metadata.KeyGroups {
		for _, key := range group {
			if kind := key.TypeToIdentifier(); !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}
