package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
)

// starter is what a new configuration says, but for the store. It loads nothing.
const starter = `# Which secrets this project needs, and where they are. It holds references,
# never values, so commit it. See: kz help

[env]
# plain values
# LOG_LEVEL = "debug"

[secrets]
# DATABASE_URL = "%s://myapp-db-url"
# API_KEY = { provider = "env", ref = "MY_API_KEY", required = false }
`

func newInit(inv *invocation) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "begin a configuration in this directory",
		Example: `  kz init
  kz init --from .env      and move the values of a .env file to a store`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			store := inv.defaultStore(cmd.Context())
			path, err := inv.init(store, from)
			if err == nil && from == "" {
				fmt.Fprintln(inv.stderr, printable.Text(offerLine(inv.usable(cmd.Context()))))
			}
			if err != nil || from == "" {
				return err
			}
			return inv.importFile(cmd.Context(), path, from, store, false)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "a .env file whose values go to the keychain, or the vault where there is none")
	return cmd
}

func (inv *invocation) init(store, from string) (string, error) {
	dir, err := filepath.EvalSymlinks(inv.dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, config.Name)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return "", &refusal{fmt.Sprintf("%s is there already", inv.near(path)), program + " edit"}
	}
	if from != "" {
		if _, err := inv.readDotenv(from); err != nil {
			return "", err
		}
	}
	text := fmt.Appendf(nil, starter, store)
	if err := atomicfile.Write(path, text, 0o644); err != nil {
		return "", err
	}
	fmt.Fprintf(inv.stderr, "%s: wrote %s\n", program, printable.Text(inv.near(path)))
	// Who writes a file at a terminal knows what is in it.
	if inv.terminal() && alone(path) {
		return path, inv.carry(path, text, nil)
	}
	return path, nil
}

// alone reports whether nobody else has a say in a new configuration: in a
// directory that everybody can write, or beside a local file that was there
// before, consent stays a step of its own.
func alone(path string) bool {
	f, err := config.Read(path)
	if err != nil || f.Shared {
		return false
	}
	local, err := config.ReadBeside(f)
	return err == nil && local.Missing
}
