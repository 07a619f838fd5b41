package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
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

// lockDir keeps other kz commands from editing in dir until unlock.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("%s: cannot be locked: %w", dir, err)
	}
	return func() { _ = d.Close() }, nil
}

// table returns the TOML table for entries of a kind in an environment.
func table(environment, kind string) []string {
	if environment == "" {
		return []string{kind}
	}
	return []string{environment, kind}
}

func newAdd(inv *invocation) *cobra.Command {
	var environment string
	cmd := &cobra.Command{
		Use:   "add NAME [URI]",
		Short: "add a secret to the configuration, or change where it comes from",
		Example: `  kz add DATABASE_URL                    in the keychain
  kz add API_KEY op://dev/app/key        in 1Password
  kz add API_KEY op://prod/app/key --env production`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(_ *cobra.Command, list []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			name := list[0]
			uri := "keychain://" + inv.newRef(path, environment, name)
			if len(list) == 2 {
				uri = list[1]
			}
			if err := checkAddition(name, uri); err != nil {
				return err
			}
			value, err := tomledit.String(uri)
			if err != nil {
				return usageError("add: " + err.Error())
			}
			err = inv.change(path, func(data []byte) ([]byte, error) {
				return setValue(data, table(environment, "secrets"), name, value)
			})
			if err == nil && len(list) == 1 {
				fmt.Fprintf(inv.stderr, "%s: added %s as %s; %s put %s stores its value\n", program, name, uri, program, name)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&environment, "env", "", "the environment that it is for")
	return cmd
}

// setValue sets a key to a value, be it even that the key is now a table of its own.
func setValue(data []byte, table []string, name, value string) ([]byte, error) {
	edited, err := tomledit.Set(data, table, name, value)
	if !errors.Is(err, tomledit.ErrTable) {
		return edited, err
	}
	if edited, _, err = tomledit.Remove(data, table, name); err != nil {
		return nil, err
	}
	return tomledit.Set(edited, table, name, value)
}

func checkAddition(name, uri string) error {
	if !config.ValidName(name) {
		return usageError(fmt.Sprintf("add: %q cannot be the name of a variable", name))
	}
	if scheme, rest, ok := strings.Cut(uri, "://"); !ok || scheme == "" || rest == "" {
		return usageError(fmt.Sprintf("add: %q is not a URI such as keychain://name", uri))
	}
	return nil
}

// newRef returns the keychain account for a new secret: readable, and its own
// for each environment and name of a project's directory.
func (inv *invocation) newRef(path, environment, name string) string {
	parts := []string{filepath.Base(filepath.Dir(path))}
	if environment != "" {
		parts = append(parts, environment)
	}
	ref := strings.ToLower(strings.Join(append(parts, strings.ReplaceAll(name, "_", "-")), "-"))
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, ref)
}

func newRemove(inv *invocation) *cobra.Command {
	var environment string
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "remove a variable from the configuration; its store keeps the value",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, list []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			return inv.change(path, func(data []byte) ([]byte, error) {
				for _, kind := range []string{"secrets", "env"} {
					edited, found, err := tomledit.Remove(data, table(environment, kind), list[0])
					if found || err != nil {
						return edited, err
					}
				}
				return nil, &notFound{fmt.Sprintf("%s: not in %s", list[0], config.Name), ""}
			})
		},
	}
	cmd.Flags().StringVar(&environment, "env", "", "the environment that it is removed from")
	cmd.ValidArgsFunction = inv.completeNames
	return cmd
}

func newEdit(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "edit",
		Short: "open the configuration in $VISUAL or $EDITOR, and check what comes back",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := inv.nearest(nil)
			if err != nil {
				return err
			}
			if !inv.terminal() {
				return &refusal{"edit needs a terminal", ""}
			}
			return inv.edit(cmd, path)
		},
	}
}

// edit works on a copy, so that what does not parse never takes the file's
// place; it is kept for the next attempt. The copy lies with kz's own files:
// beside the configuration, the project could put one there first.
func (inv *invocation) edit(cmd *cobra.Command, path string) error {
	f, err := config.Read(path)
	if err != nil {
		return err
	}
	// A draft belongs to the contents that it began with.
	sum := sha256.Sum256(f.Data)
	draft := inv.markPath(f.Path) + "-" + hex.EncodeToString(sum[:8]) + ".toml"
	if err := atomicfile.MkdirPrivate(inv.places.marks); err != nil {
		return err
	}
	if _, err := os.Lstat(draft); errors.Is(err, fs.ErrNotExist) {
		if err := atomicfile.Write(draft, f.Data, 0o600); err != nil {
			return err
		}
	}
	if err := inv.runEditor(cmd, draft); err != nil {
		return err
	}
	data, err := os.ReadFile(draft)
	if err != nil {
		return err
	}
	err = inv.change(path, func(now []byte) ([]byte, error) {
		if !bytes.Equal(now, f.Data) {
			return nil, fmt.Errorf("%s was changed by somebody else meanwhile; your edit is in %s", f.Path, draft)
		}
		return data, nil
	})
	if err != nil {
		fmt.Fprintf(inv.stderr, "%s: your edit is kept; %s edit goes on with it\n", program, program)
		return err
	}
	return os.Remove(draft)
}

func (inv *invocation) runEditor(cmd *cobra.Command, file string) error {
	editor := inv.env["VISUAL"]
	if editor == "" {
		editor = inv.env["EDITOR"]
	}
	if editor == "" {
		editor = "vi"
	}
	// The variables may hold a command with arguments: a shell reads them, as git has it.
	run := exec.CommandContext(cmd.Context(), "/bin/sh", "-c", editor+` "$1"`, "sh", file)
	run.Stdin, run.Stdout, run.Stderr = inv.stdin, inv.stdout, inv.stderr
	if err := run.Run(); err != nil {
		return fmt.Errorf("editor %s: %w", printable.Text(editor), err)
	}
	return nil
}
