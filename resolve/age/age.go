//go:build unix

// Package age reads secrets from files of the project that are encrypted with age.
//
// A reference is FILE for all of its text, or FILE#KEY for a variable if the text is a
// .env file, for a key or a JSON pointer if it is a JSON object. A file is decrypted once
// however many references it serves, and keys that need nobody are tried first, so
// that a touch or a PIN is asked for once a file and only where it must be.
package age

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"

	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

// A Provider decrypts with the identities of the user.
type Provider struct {
	setup    resolve.Setup
	programs *tool.Runner
	files    []string // that may hold identities
	named    bool     // by the user, so that each of them should
	telling  sync.Mutex
}

// New returns the Provider of the setup. It reads no identity yet.
func New(s resolve.Setup) (*Provider, error) {
	programs, err := tool.New(tool.Options{Env: s.Env, Avoid: s.Avoid})
	if err != nil {
		return nil, err
	}
	p := &Provider{setup: s, programs: programs, files: append(keyFiles(s), sshKeys(s)...)}
	if list := s.Settings["identities"]; list != "" {
		p.files, p.named = strings.Split(list, "\n"), true
	}
	return p, nil
}

// keyFiles are where age keys lie by convention; age itself has no such place.
func keyFiles(s resolve.Setup) []string {
	config := s.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = filepath.Join(s.Home(), ".config")
	}
	return []string{config + "/age/keys.txt", config + "/sops/age/keys.txt"}
}

// sshKeys are those that ssh has under its usual names.
func sshKeys(s resolve.Setup) []string {
	ssh := filepath.Join(s.Home(), ".ssh")
	return []string{ssh + "/id_ed25519", ssh + "/id_rsa"}
}

// Present names the file with age identities, if there is one. SSH keys can decrypt too,
// but that there are some says nothing.
func Present(s resolve.Setup) string {
	s.Settings = map[string]string{"identities": s.Setting("identities")}
	if s.Settings["identities"] == "" {
		s.Settings["identities"] = strings.Join(keyFiles(s), "\n")
	}
	p, err := New(s)
	if err != nil {
		return ""
	}
	for _, file := range p.files {
		if _, err := readIdentities(file); err == nil {
			return p.setup.Short(file)
		}
	}
	return ""
}

// Fetch implements [resolve.Provider]. First come the files that a key on disk opens; then
// the others one by one, for they may ask a human.
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	sources, keys := make([]projectfile.File, len(refs)), make([]string, len(refs))
	var asked []projectfile.File
	files := map[projectfile.File]*file{}
	for i, ref := range refs {
		if sources[i], keys[i], results[i].Err = projectfile.Parse(ref); results[i].Err == nil && files[sources[i]] == nil {
			files[sources[i]] = &file{}
			asked = append(asked, sources[i])
		}
	}
	if len(asked) > 0 {
		ring := p.ring()
		for _, src := range asked {
			*files[src] = ring.openQuietly(ctx, src)
		}
		for _, src := range asked {
			if f := files[src]; f.waits {
				*f = ring.openAsking(ctx, src, *f)
			}
		}
	}
	for i, src := range sources {
		if results[i].Err == nil {
			results[i].Secret, results[i].Err = files[src].find(src, keys[i])
		}
	}
	return results
}

// Probe implements [resolve.Prober]. It reads the identities, and runs no plug-in.
func (p *Provider) Probe(context.Context) (resolve.Standing, error) {
	ring := p.ring()
	standing := resolve.Standing{Through: "age within kz-fetch", Credential: strings.Join(ring.from, ", "), Plain: len(ring.quiet) > 0}
	for _, id := range ring.quiet {
		switch id := id.(type) {
		case *age.X25519Identity:
			standing.As = id.Recipient().String()
		case *age.HybridIdentity:
			standing.As = "a post-quantum key"
		}
		break
	}
	if len(ring.quiet)+len(ring.asking) == 0 {
		return standing, ring.refusal("")
	}
	return standing, nil
}

// tell may be called by several goroutines.
func (p *Provider) tell(text string) {
	if p.setup.Tell != nil {
		p.telling.Lock()
		defer p.telling.Unlock()
		p.setup.Tell(text)
	}
}
