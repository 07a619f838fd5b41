//go:build unix

// Package systemd reads the credentials that systemd hands to a service: the files in
// $CREDENTIALS_DIRECTORY, decrypted by systemd before the service starts.
//
// A reference is the name of a credential. Symbolic links out of the directory are not
// followed, and a file that another user could have written is refused.
package systemd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

const variable = "CREDENTIALS_DIRECTORY"

// A Provider reads the credentials in a directory.
type Provider struct{ dir string }

// New returns the Provider of the service that kz runs in.
func New(s resolve.Setup) (*Provider, error) { return &Provider{s.Getenv(variable)}, nil }

// Present names the directory with the credentials, if there is one.
func Present(s resolve.Setup) string {
	if (&Provider{s.Getenv(variable)}).check() != nil {
		return ""
	}
	return s.Getenv(variable)
}

// Fetch implements [resolve.Provider]. A value is what the file holds less one newline at its end.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	if err := p.check(); err != nil {
		return resolve.Fail(len(refs), err)
	}
	return resolve.Each(ctx, refs, 1, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		if !isName(ref.Path) {
			return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "%q is not the name of a credential", ref.Path)
		}
		if err := ctx.Err(); err != nil {
			return resolve.Secret{}, err
		}
		return p.read(ref.Path)
	})
}

func (p *Provider) read(name string) (resolve.Secret, error) {
	data, err := projectfile.File{Dir: p.dir, Name: name}.Read()
	if resolve.ClassOf(err) == resolve.NotFound {
		err = resolve.Errorf(resolve.NotFound, "the service has no credential %q", name)
	}
	if err != nil {
		return resolve.Secret{}, err
	}
	return resolve.NewSecret(strings.TrimSuffix(string(data), "\n")), nil
}

// check returns nil if there is a directory that nobody but the user and root can write.
// What it says has no hint: credentials are given by the unit's file, and no command that
// could be pasted here starts a service anew.
func (p *Provider) check() error {
	if !filepath.IsAbs(p.dir) {
		return resolve.Errorf(resolve.NotLoggedIn, "%s is not set: this is not a service to which systemd gave credentials", variable)
	}
	info, err := os.Stat(p.dir)
	switch {
	case err != nil || !info.IsDir():
		return resolve.Errorf(resolve.NotLoggedIn, "%s: no such directory", printable.Text(p.dir))
	case !projectfile.OnlyOurs(info):
		return resolve.Errorf(resolve.Denied, "%s: other users can write it", printable.Text(p.dir))
	}
	return nil
}

// isName accepts what systemd does: one name of a file, without control characters.
func isName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 &&
		!strings.ContainsRune(name, '/') && printable.Text(name) == name
}

// Probe implements [resolve.Prober]. What systemd decrypted lies in memory and not on a disk,
// for the service to read as it is.
func (p *Provider) Probe(context.Context) (resolve.Standing, error) {
	if err := p.check(); err != nil {
		return resolve.Standing{}, err
	}
	return resolve.Standing{Through: p.dir, Credential: "none: systemd has decrypted them"}, nil
}

// List implements [resolve.Lister].
func (p *Provider) List(context.Context) ([]string, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, resolve.Errorf(resolve.Denied, "%s: permission denied", printable.Text(p.dir))
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && isName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}
