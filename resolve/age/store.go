//go:build unix

package age

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"

	"github.com/getkeyzero/kz/dotenv"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

// Store implements [resolve.Storer]. The file is encrypted anew for the recipients of the
// settings, for a file does not say for whom it was. With a KEY the other lines of its
// text stay byte for byte as they are, and so it must be one that the user can open.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	src, key, err := projectfile.Parse(ref)
	if err != nil {
		return err
	}
	to, err := p.recipients()
	if err != nil {
		return err
	}
	mode, err := src.CheckPlace()
	if err != nil {
		return err
	}
	old, err := src.Read()
	isNew := resolve.ClassOf(err) == resolve.NotFound
	if err != nil && !isNew {
		return err
	}
	plain := []byte(secret.Reveal() + "\n")
	if key != "" {
		if plain, err = p.edited(ctx, src, isNew, key, secret.Reveal()); err != nil {
			return err
		}
	}
	data, err := encrypt(ctx, plain, isNew || armored(old), to)
	if err != nil {
		return err
	}
	if len(data) > projectfile.MaxSize {
		return resolve.Errorf(resolve.Malformed, "%v: would have more than 1 MiB", src)
	}
	return atomicfile.Write(src.Path(), data, mode)
}

// edited returns the text of a file with another value for a variable.
func (p *Provider) edited(ctx context.Context, src projectfile.File, isNew bool, key, value string) ([]byte, error) {
	var f file
	if !isNew {
		ring := p.ring()
		if f = ring.openQuietly(ctx, src); f.waits {
			f = ring.openAsking(ctx, src, f)
		}
	}
	switch {
	case f.err != nil:
		return nil, f.err
	case isObject(f.plain):
		return nil, resolve.Errorf(resolve.Denied, "%v: kz sets variables of .env files, and this is JSON", src)
	}
	return setVariable(src, f.plain, key, value)
}

// setVariable replaces the lines of the last assignment to the name, or adds some at the end.
func setVariable(src projectfile.File, text []byte, name, value string) ([]byte, error) {
	line, err := dotenv.Format(name, value)
	if err != nil {
		return nil, resolve.Errorf(resolve.Malformed, "%q cannot be written as a variable of a .env file", name)
	}
	entries, err := dotenv.Parse(text, nil)
	if err != nil {
		return nil, unreadable(src, err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 {
		lines[len(lines)-1] = append(slices.Clone(last), '\n')
	}
	from, to := len(lines), len(lines)
	for _, e := range entries {
		if e.Name == name {
			from = e.Line - 1
			to = from + extent(lines[from:])
		}
	}
	next := bytes.Join(slices.Concat(lines[:from], [][]byte{[]byte(line)}, lines[to:]), nil)
	if !holds(next, name, value) {
		return nil, resolve.Errorf(resolve.Malformed, "%v: the variable %q is written in a way that kz cannot change", src, name)
	}
	return next, nil
}

// extent returns how many lines the first assignment takes: as few as can be read.
func extent(lines [][]byte) int {
	for n := 1; n <= len(lines); n++ {
		some := func(string) (string, bool) { return "x", true } // for ${NAME:?}, which wants one
		if entries, err := dotenv.Parse(bytes.Join(lines[:n], nil), some); err == nil && len(entries) == 1 {
			return n
		}
	}
	return len(lines)
}

func holds(text []byte, name, value string) bool {
	entries, err := dotenv.Parse(text, nil)
	got, found := "", false
	for _, e := range entries {
		if e.Name == name {
			got, found = e.Value, true
		}
	}
	return err == nil && found && got == value
}

// recipients returns for whom to encrypt.
func (p *Provider) recipients() ([]age.Recipient, error) {
	list := p.setup.Settings["recipients"]
	if list == "" {
		return nil, resolve.Errorf(resolve.Denied, "the setting recipients does not say for whom to encrypt")
	}
	var all []age.Recipient
	for i, text := range strings.Split(list, "\n") {
		r, err := p.recipient(text)
		if resolve.ClassOf(err) != "" {
			return nil, err
		}
		if err != nil {
			return nil, resolve.Errorf(resolve.Malformed, "recipient %d of the setting is not one", i+1)
		}
		all = append(all, r)
	}
	return all, nil
}

func (p *Provider) recipient(text string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(text, "ssh-"):
		return agessh.ParseRecipient(text)
	case strings.HasPrefix(text, "age1pq1"):
		return age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1") && strings.Count(text, "1") > 1:
		return p.pluggedRecipient(text)
	}
	return age.ParseX25519Recipient(text)
}

func (p *Provider) pluggedRecipient(text string) (age.Recipient, error) {
	ui := p.talk()
	r, err := plugin.NewRecipient(text, &ui.ClientUI)
	switch {
	case err != nil:
		return nil, err
	case !names.MatchString(r.Name()):
		return nil, resolve.Errorf(resolve.Malformed, "a recipient of a plug-in is malformed")
	}
	return r, p.checkPlugin(r.Name())
}

// encrypt returns plain as an age file, armored as text or not. Plug-ins of recipients run
// without ctx, as those of identities do.
func encrypt(ctx context.Context, plain []byte, asText bool, to []age.Recipient) ([]byte, error) {
	var data bytes.Buffer
	err := within(ctx, func() error {
		var out io.WriteCloser = unclosed{&data}
		if asText {
			out = armor.NewWriter(&data)
		}
		w, err := age.Encrypt(out, to...)
		if err != nil {
			return err
		}
		if _, err := w.Write(plain); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		return out.Close()
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, resolve.Errorf(resolve.Malformed, "it cannot be encrypted for these recipients together")
	}
	return data.Bytes(), nil
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }
