package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
)

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
	// A link in its place is no draft, and writing one is refused then.
	if info, err := os.Lstat(draft); err != nil || !info.Mode().IsRegular() {
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
