package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/getkeyzero/kz/resolve"
)

// passphraseFile names a file with the vault's passphrase, for machines without a
// human: CI and containers.
const passphraseFile = "KEYZERO_VAULT_PASSPHRASE_FILE"

// Flags for descriptors that passphrases are read from.
const (
	passphraseFD    = "passphrase-fd"
	newPassphraseFD = "new-passphrase-fd"
)

// A passphrase is one that came with the command. It is read once: what a
// descriptor or a pipe gave it does not give again.
type passphrase struct {
	fd     string // of the flag
	read   bool
	secret resolve.Secret
	err    error
}

// passphraseFlag lets a command take the vault's passphrase from a descriptor.
func (inv *invocation) passphraseFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&inv.passphrase.fd, passphraseFD, "", "read the vault's passphrase from this descriptor")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return inv.readDescriptors(cmd.Context()) }
	return cmd
}

// passphraseFlags lets it take a second one as well.
func (inv *invocation) passphraseFlags(cmd *cobra.Command, what string) *cobra.Command {
	cmd.Flags().StringVar(&inv.newPassphrase.fd, newPassphraseFD, "", "read "+what+" from this descriptor")
	return inv.passphraseFlag(cmd)
}

// readDescriptors reads the passphrases before the command does anything, and
// closes the descriptors, so that no program that kz starts inherits one.
func (inv *invocation) readDescriptors(ctx context.Context) error {
	if fd := inv.passphrase.fd; fd != "" && fd == inv.newPassphrase.fd {
		return usageError("--" + passphraseFD + " and --" + newPassphraseFD + " want descriptors of their own")
	}
	for _, from := range []struct {
		p    *passphrase
		flag string
	}{{&inv.passphrase, passphraseFD}, {&inv.newPassphrase, newPassphraseFD}} {
		if from.p.fd == "" {
			continue
		}
		f, err := inv.inherited(from.flag, from.p.fd)
		if err != nil {
			return err
		}
		from.p.read = true
		from.p.secret, from.p.err = unlessDone(ctx, func() (resolve.Secret, error) {
			if f != inv.stdin {
				defer f.Close()
			}
			return readPassphrase(f)
		})
		if from.p.err != nil {
			return from.p.err
		}
	}
	return nil
}

// inherited returns the file of a descriptor that kz was given.
func (inv *invocation) inherited(flag, number string) (*os.File, error) {
	fd, err := strconv.Atoi(number)
	switch {
	case err != nil || fd < 0:
		return nil, usageError("--" + flag + ": not the number of a descriptor")
	case fd == 0:
		return inv.stdin, nil
	case fd <= 2:
		return nil, usageError(fmt.Sprintf("--%s: descriptor %d is for what kz writes", flag, fd))
	}
	// Descriptors that are closed on exec cannot have come by one: they are kz's own.
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil, usageError(fmt.Sprintf("--%s: descriptor %d was not given", flag, fd))
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "--"+flag), nil
}

// givenPassphrase returns the passphrase that came with the command, or that is in
// the file that the environment names, and which of them. from is empty if there is none.
func (inv *invocation) givenPassphrase(ctx context.Context) (secret resolve.Secret, from string, err error) {
	if inv.passphrase.fd != "" {
		return inv.passphrase.secret, "--" + passphraseFD, inv.passphrase.err
	}
	path := inv.env[passphraseFile]
	if path == "" {
		return secret, "", nil
	}
	inv.reading.Lock()
	defer inv.reading.Unlock()
	if p := &inv.passphrase; !p.read {
		p.read = true
		p.secret, p.err = unlessDone(ctx, func() (resolve.Secret, error) { return readPassphraseFile(path) })
		if p.err != nil {
			p.err = fmt.Errorf("%s: %w", passphraseFile, p.err)
		}
	}
	return inv.passphrase.secret, passphraseFile, inv.passphrase.err
}

// unlessDone does what may wait for others, for as long as ctx lasts.
func unlessDone[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type answer struct {
		result T
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		result, err := do()
		answers <- answer{result, err}
	}()
	select {
	case a := <-answers:
		return a.result, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func readPassphrase(f io.Reader) (resolve.Secret, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxTyped))
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case err != nil:
		return resolve.Secret{}, err
	case text == "":
		return resolve.Secret{}, &refusal{"the passphrase that was given is empty", ""}
	case len(text) > resolve.MaxValue:
		return resolve.Secret{}, &refusal{"the passphrase that was given is too long", ""}
	}
	return resolve.NewSecret(text), nil
}

// readPassphraseFile reads a file, or a pipe as shells make them for <(…). It
// waits for who writes to the pipe.
func readPassphraseFile(path string) (resolve.Secret, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = checkPrivate(path, info) // before it is opened: a device may act on that
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &notFound{path + ": no such file", ""}
	}
	if err != nil {
		return resolve.Secret{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return resolve.Secret{}, err
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil {
		err = checkPrivate(path, info)
	}
	if err != nil {
		return resolve.Secret{}, err
	}
	return readPassphrase(f)
}

// checkPrivate refuses what anybody but the user, or root, can read or may have
// written. A group may read what root owns, as containers mount it: the user
// could not otherwise.
func checkPrivate(path string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)
	mine := int(st.Uid) == os.Geteuid()
	forbidden := fs.FileMode(0o077)
	if !mine {
		forbidden = 0o037
	}
	unnamed := info.Mode().Type() == fs.ModeNamedPipe && st.Nlink == 0 // of macOS, whose mode means nothing
	switch {
	case info.Mode().Type()&^fs.ModeNamedPipe != 0:
		return &refusal{path + ": neither a file nor a pipe", ""}
	case !mine && st.Uid != 0:
		return &refusal{path + ": it belongs to another user", ""}
	case !unnamed && info.Mode().Perm()&forbidden != 0:
		return &refusal{path + ": other users can read or write it", "chmod 600 " + shellWord(path)}
	}
	return nil
}

// askPassphrase returns the passphrase that was given, or has it typed: twice if
// it is a new one.
func (inv *invocation) askPassphrase(ctx context.Context, what string, twice bool) (resolve.Secret, error) {
	secret, from, err := inv.givenPassphrase(ctx)
	if err != nil || from != "" {
		return secret, err
	}
	return inv.typePassphrase(ctx, what, twice, "--"+passphraseFD+" or "+passphraseFile)
}

// askNewPassphrase does so for the second passphrase of a command.
func (inv *invocation) askNewPassphrase(ctx context.Context, what string, twice bool) (resolve.Secret, error) {
	if inv.newPassphrase.fd != "" {
		return inv.newPassphrase.secret, inv.newPassphrase.err
	}
	return inv.typePassphrase(ctx, what, twice, "--"+newPassphraseFD)
}

// typePassphrase has a passphrase typed. instead is what gives one without a terminal.
func (inv *invocation) typePassphrase(ctx context.Context, what string, twice bool, instead string) (resolve.Secret, error) {
	if !term.IsTerminal(int(inv.stdin.Fd())) {
		return resolve.Secret{}, &refusal{"there is no terminal to type a passphrase at; " + instead + " gives one", ""}
	}
	first, err := inv.typeHidden(ctx, what)
	if err != nil {
		return resolve.Secret{}, err
	}
	if first == "" {
		return resolve.Secret{}, &refusal{"nothing was typed", ""}
	}
	if twice {
		second, err := inv.typeHidden(ctx, "the same again")
		if err != nil {
			return resolve.Secret{}, err
		}
		if second != first {
			return resolve.Secret{}, &refusal{"the two are not the same; nothing was changed", ""}
		}
	}
	return resolve.NewSecret(first), nil
}

func (inv *invocation) typeHidden(ctx context.Context, what string) (string, error) {
	defer fmt.Fprintln(inv.stderr)
	return readHidden(ctx, inv.stdin, func() { fmt.Fprintf(inv.stderr, "%s: ", what) })
}
