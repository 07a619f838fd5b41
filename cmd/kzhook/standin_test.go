package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/getkeyzero/kz/fetch"
	"github.com/getkeyzero/kz/resolve"
)

// standInFetch stands for kz-fetch where kz is what is tested: it speaks the protocol
// by the real code, and its stores are files below the home directory.
func standInFetch() {
	kind := func(present string) fetch.Kind {
		return fetch.Kind{
			New:     func(s resolve.Setup) (resolve.Provider, error) { return filed{s}, nil },
			Present: func(resolve.Setup) string { return present },
		}
	}
	os.Exit(fetch.Main(fetch.Kinds{"gcp": kind("~/.config/gcloud"), "doppler": kind(""), "aws": {
		New: func(resolve.Setup) (resolve.Provider, error) {
			return nil, resolve.Hinted(resolve.Expired, "aws sso login --profile dev", "the session of profile dev is over")
		},
		Present: func(resolve.Setup) string { return "~/.aws/config" },
	}}))
}

// A filed store has each secret in a file of that name in ~/store.
type filed struct{ resolve.Setup }

func (f filed) path(ref string) string {
	return filepath.Join(f.Home(), "store", url.PathEscape(ref))
}

func (f filed) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	if log, err := os.OpenFile(filepath.Join(f.Home(), "asked"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		_, _ = log.WriteString("once\n")
		_ = log.Close()
	}
	return resolve.Each(ctx, refs, 4, func(ctx context.Context, r resolve.Ref) (resolve.Secret, error) {
		switch r.Path {
		case "settings":
			return resolve.NewSecret(f.Settings["project"] + " at " + f.Settings["address"]), nil
		case "touch":
			f.Tell("touch the key")
			time.Sleep(time.Second)
		}
		data, err := os.ReadFile(f.path(r.Path))
		if errors.Is(err, fs.ErrNotExist) {
			return resolve.Secret{}, &resolve.Error{Class: resolve.NotFound}
		}
		return resolve.NewSecret(string(data)), err
	})
}

func (f filed) Store(_ context.Context, r resolve.Ref, s resolve.Secret) error {
	if err := os.MkdirAll(filepath.Dir(f.path(r.Path)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(f.path(r.Path), []byte(s.Reveal()), 0o600)
}

func (f filed) Probe(context.Context) (resolve.Standing, error) {
	return resolve.Standing{Through: "files", As: "ada", Credential: "file ~/token", Plain: true, Asked: true}, nil
}

func (f filed) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(f.Home(), "store"))
	var refs []string
	for _, e := range entries {
		if ref, err := url.PathUnescape(e.Name()); err == nil && !strings.HasPrefix(ref, ".") {
			refs = append(refs, ref)
		}
	}
	return refs, err
}
