package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/filelock"
	"github.com/getkeyzero/kz/internal/tomledit"
	"github.com/getkeyzero/kz/project"
)

// change replaces the contents of the configuration at path by what edit makes
// of them, and keeps a consent that held before: the user, by way of kz, is the
// author of the difference. An agent cannot carry consent over.
func (inv *invocation) change(path string, edit func([]byte) ([]byte, error)) error {
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	f, err := config.Read(path)
	if err != nil {
		return err
	}
	held := inv.held(f.Path)
	data, err := inv.edited(f, edit)
	if err != nil || bytes.Equal(data, f.Data) {
		return err
	}
	info, err := os.Lstat(f.Path)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.Path, data, info.Mode().Perm()); err != nil {
		return err
	}
	if held == nil {
		return nil
	}
	return inv.carry(f.Path, data, held)
}

// edited returns what edit makes of a configuration. What was valid before must
// be so afterwards; of the rest it is enough that it can be read.
func (inv *invocation) edited(f config.File, edit func([]byte) ([]byte, error)) ([]byte, error) {
	data, err := edit(f.Data)
	if syntax := (*tomledit.SyntaxError)(nil); errors.As(err, &syntax) {
		return nil, &config.Error{Pos: config.Position{Path: f.Path, Line: syntax.Line}, Msg: "not TOML"}
	}
	if err != nil {
		return nil, err
	}
	f.Data = data
	if _, err := config.Parse(f); err != nil {
		return nil, err
	}
	p, user, err := inv.review(f.Path)
	if err != nil || checkPlans(p) != nil {
		return data, nil
	}
	files := slices.Clone(p.Files)
	files[0].Data = data
	if p, err = project.Recall(user, files); p == nil {
		return nil, err
	}
	return data, checkPlans(p)
}

// held returns the files that the configuration at path consists of, if the
// user has agreed to them as they are: consent by prefix needs no carrying over,
// and does not become another kind by an edit.
func (inv *invocation) held(path string) []config.File {
	user, err := inv.user()
	if err != nil {
		return nil
	}
	user.Prefixes = nil
	p, err := inv.opener(user, nil, "").Open(path)
	if err != nil {
		return nil
	}
	return p.Files
}

// carry records consent to the configuration at path, of which the contents
// must be data and whatever else it consists of as it was in held.
func (inv *invocation) carry(path string, data []byte, held []config.File) error {
	if mark := agentMark(inv.env); mark != "" {
		fmt.Fprintf(inv.stderr, "%s: this edit waits for a human's consent, for %s says that an agent made it\n", program, mark)
		return nil
	}
	p, user, err := inv.review(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(p.Files[0].Data, data) || anyChanged(held, p.Files[1:]) {
		return errors.New("the configuration was changed by somebody else meanwhile; read it, then run: kz allow")
	}
	return inv.trust(user).Allow(p.TrustFiles(), p.Files[0].Shared)
}

// anyChanged reports whether one of files has another content than before.
func anyChanged(before, files []config.File) bool {
	return slices.ContainsFunc(files, func(f config.File) bool {
		i := slices.IndexFunc(before, func(b config.File) bool { return b.Path == f.Path })
		return i >= 0 && (f.Missing != before[i].Missing || !bytes.Equal(f.Data, before[i].Data))
	})
}

// lockDir keeps other kz commands from editing in dir until unlock. Whoever can
// read dir can hold its lock, so a signal ends the wait for it.
func lockDir(dir string) (unlock func(), err error) {
	ctx, stop := untilSignal()
	defer stop()
	unlock, err = filelock.AcquireDir(ctx, dir)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: cannot be locked: %w", dir, err)
	}
	return unlock, err
}

// table returns the TOML table for entries of a kind in an environment.
func table(environment, kind string) []string {
	if environment == "" {
		return []string{kind}
	}
	return []string{environment, kind}
}
