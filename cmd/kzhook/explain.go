package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/seal"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/shell"
	"github.com/getkeyzero/kz/trust"
	"github.com/getkeyzero/kz/vault"
)

// Exit statuses are part of the interface: docs/kz.md lists them.
const (
	exitOK          = 0
	exitInternal    = 1
	exitUsage       = 2
	exitConfig      = 3  // a configuration is invalid
	exitBlocked     = 4  // the configuration is not allowed
	exitUnresolved  = 5  // a secret is missing or malformed
	exitStore       = 6  // a store failed or gave no answer in time
	exitRefused     = 7  // refused by policy, or because of who asks
	exitLocked      = 8  // a human has to unlock something
	exitIntegrity   = 10 // what kz keeps is not as kz wrote it
	exitNotFound    = 11 // there is nothing of that name
	exitRun         = 125
	exitCannotRun   = 126
	exitNoProgram   = 127
	exitInterrupted = 130
)

// A usageError is a command line that kz does not understand.
type usageError string

func (e usageError) Error() string { return string(e) }

// A refusal is something that kz will not do for this caller.
type refusal struct{ msg, hint string }

func (e *refusal) Error() string { return e.msg }

// A notFound is a configuration or a variable that does not exist.
type notFound struct{ msg, hint string }

func (e *notFound) Error() string { return e.msg }

// A status ends kz with a status, and nothing more is to be said.
type status int

func (s status) Error() string { return fmt.Sprintf("status %d", int(s)) }

// explain maps an error to the exit status and to a command that the user might
// paste next. It is the one place that knows every kind of error.
func (inv *invocation) explain(err error) (code int, hint string) {
	var (
		usage       usageError
		refused     *refusal
		missing     *notFound
		blocked     *trust.BlockedError
		unsafe      *config.UnsafeError
		invalid     *config.Error
		dangerous   *config.DangerousError
		environment *config.EnvironmentError
		unknown     *shell.UnknownError
		failure     *project.Failure
		end         status
		start       *startFailure
		run         runError
	)
	switch {
	case errors.As(err, &start):
		return start.code, ""
	case errors.Is(err, errTimedOut):
		return exitStore, program + " reload"
	case errors.Is(err, errInterrupted):
		return exitInterrupted, program + " reload"
	case errors.Is(err, context.Canceled):
		return exitInterrupted, ""
	case errors.As(err, &run):
		_, hint = inv.explain(run.error)
		return exitRun, hint
	case errors.As(err, &end):
		return int(end), ""
	case errors.As(err, &usage):
		return exitUsage, program + " help"
	case errors.As(err, &unknown):
		return exitUsage, ""
	case errors.As(err, &refused):
		return exitRefused, refused.hint
	case errors.As(err, &missing):
		return exitNotFound, missing.hint
	case errors.As(err, &blocked):
		return exitBlocked, "" // its line says what to run
	case errors.As(err, &unsafe):
		return exitBlocked, unsafe.Fix
	case errors.As(err, &invalid), errors.As(err, &dangerous):
		return exitConfig, ""
	case errors.As(err, &environment):
		if environment.Source == "KEYZERO_ENV" {
			return exitConfig, "unset KEYZERO_ENV"
		}
		return exitConfig, ""
	case errors.As(err, &failure):
		return failureStatus(failure), inv.adviceFor(failure.Type, failure.Err, []string{failure.Entry.Name})
	case vaultStatus(err) != 0:
		return vaultStatus(err), inv.adviceOnVault(err)
	case resolve.ClassOf(err) != "":
		return classStatus(resolve.ClassOf(err)), ""
	}
	return exitInternal, ""
}

func isOne(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
}

// failureStatus is the exit status for a variable without a value. A store that
// does not say what is wrong has failed; without a store something is missing.
func failureStatus(f *project.Failure) int {
	var refused *refusal
	var missing *notFound
	switch {
	case errors.As(f.Err, &refused):
		return exitRefused
	case errors.As(f.Err, &missing):
		return exitNotFound
	case vaultStatus(f.Err) != 0:
		return vaultStatus(f.Err)
	}
	class := resolve.ClassOf(f.Err)
	if class == "" && f.Entry.Provider == "" {
		return exitUnresolved
	}
	return classStatus(class)
}

func classStatus(class resolve.Class) int {
	switch class {
	case resolve.NotFound, resolve.Malformed, resolve.Ambiguous:
		return exitUnresolved
	case resolve.Locked, resolve.PromptNeeded:
		return exitLocked
	}
	return exitStore
}

// vaultStatus is the exit status for what is wrong with a vault, or 0 if it is
// something else.
func vaultStatus(err error) int {
	switch {
	case isOne(err, vault.ErrNotVault, vault.ErrDamaged, vault.ErrNewer, vault.ErrUnsafe, seal.ErrWeak, seal.ErrCostly):
		return exitIntegrity
	case isOne(err, vault.ErrPassphrase, vault.ErrBusy, holder.ErrNoKey):
		return exitLocked
	case errors.Is(err, vault.ErrNoSlot):
		return exitNotFound
	}
	return 0
}

// adviceOnVault returns the command that mends what vaultStatus knows.
func (inv *invocation) adviceOnVault(err error) string {
	switch {
	case isOne(err, vault.ErrPassphrase, vault.ErrBusy, vault.ErrNewer):
		return ""
	case errors.Is(err, holder.ErrNoKey):
		return inv.unlockLine()
	case errors.Is(err, vault.ErrNoSlot):
		return program + " vault status"
	}
	var file *vault.Error
	if !errors.As(err, &file) {
		return ""
	}
	path, before := file.Path, file.Path+vault.Backup
	if errors.Is(err, vault.ErrUnsafe) {
		info, err := os.Lstat(path)
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
			return ""
		}
		return "chmod 600 " + shellWord(path)
	}
	if _, err := vault.Open(before); err != nil {
		return ""
	}
	return "cp " + shellWord(before) + " " + shellWord(path)
}

// givePassphrase is what to do about a locked vault where nothing keeps keys.
const givePassphrase = "export " + passphraseFile + "=FILE"

// keepsNothing reports whether h is [holder.None], for whatever reason.
func keepsNothing(h holder.Holder) bool {
	return strings.HasPrefix(h.About().Name, holder.None().About().Name)
}

// unlockLine returns the command by which a locked vault opens here.
func (inv *invocation) unlockLine() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if keepsNothing(inv.holder(ctx)) {
		return givePassphrase
	}
	return program + " vault unlock"
}

// adviceFor returns the command that mends what a store of the type says of the
// secrets of these names, if there is one.
func (inv *invocation) adviceFor(typ string, err error, names []string) string {
	var refused *refusal
	var missing *notFound
	var store *resolve.Error
	class := resolve.ClassOf(err)
	switch {
	case errors.As(err, &refused):
		return refused.hint
	case errors.As(err, &missing):
		return missing.hint
	case vaultStatus(err) != 0:
		return inv.adviceOnVault(err)
	case errors.As(err, &store) && store.Hint != "":
		return store.Hint
	case class == resolve.NotFound && errors.Is(err, fs.ErrNotExist) && typ == "vault":
		return program + " vault init"
	case class == resolve.NotFound && takesValues(typ) && len(names) > 0:
		return program + " put " + strings.Join(names, " ")
	case class == resolve.Timeout, class == resolve.Throttled, class == resolve.Unreachable && typ != "keychain":
		return program + " reload"
	}
	return ""
}

// message returns the words for an error, without control characters.
func (inv *invocation) message(err error) string {
	var blocked *trust.BlockedError
	if errors.As(err, &blocked) {
		return inv.blockedMessage(blocked)
	}
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	if path, ok := err.(*fs.PathError); ok {
		return fmt.Sprintf("%s: %v", printable.Text(path.Path), path.Err)
	}
	return printable.Text(err.Error())
}

func (inv *invocation) blockedMessage(blocked *trust.BlockedError) string {
	next := "read it, then run: kz allow"
	switch blocked.Reason {
	case trust.IsDenied:
		next = "to lift that, run: kz allow"
	case trust.IsShared:
		next = "if that is meant, run: kz allow --shared-dir"
	}
	// Without a directory kz allow is about the nearest configuration.
	if nearest, ok := config.Find(inv.dir, inv.places.home); !ok || !sameDir(nearest, blocked.Path) {
		next += " " + shellWord(filepath.Dir(blocked.Path))
	}
	return fmt.Sprintf("%s %s; %s", printable.Text(inv.near(blocked.Path)), blocked.Reason, next)
}

// near shortens a path for the screen: relative in the current directory.
func (inv *invocation) near(path string) string {
	if sameDir(filepath.Join(inv.dir, "x"), path) {
		return "./" + filepath.Base(path)
	}
	return path
}

func sameDir(a, b string) bool {
	real, err := config.RealDir(filepath.Dir(a))
	return err == nil && real == filepath.Dir(b)
}

// shellWord quotes a path so that a line of advice can be pasted.
func shellWord(path string) string {
	if strings.IndexFunc(path, func(r rune) bool {
		return !(r == '/' || r == '.' || r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(printable.Text(path), "'", `'\''`) + "'"
}

func hintLine(hint string) string {
	if hint == "" {
		return ""
	}
	return program + ": hint: " + printable.Text(hint)
}

// lines returns what to say about err: for each error that was joined a line, and
// each advice once. Of more than most errors (0: no limit) it says how many there are.
func (inv *invocation) lines(err error, most int) []string {
	var lines, hints []string
	errs := flatten(err)
	for i, e := range errs {
		if most > 0 && i == most {
			lines = append(lines, fmt.Sprintf("%s: and %d more", program, len(errs)-most))
			hints = appendNew(hints, hintLine(program+" validate"))
			break
		}
		_, hint := inv.explain(e)
		lines = append(lines, program+": "+inv.message(e))
		hints = appendNew(hints, hintLine(hint))
	}
	return append(lines, hints...)
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !strings.Contains(err.Error(), "\n") { // fmt.Errorf with several %w is one message
		return []error{err}
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, flatten(e)...)
	}
	return errs
}

// report says what is wrong and returns the exit status.
func (inv *invocation) report(err error) int {
	if err == nil {
		return exitOK
	}
	code, _ := inv.explain(err)
	var end status
	if errors.As(err, &end) || errors.Is(err, errNoted) || inv.unread(err) {
		return code
	}
	for _, line := range inv.lines(err, 0) {
		fmt.Fprintln(inv.stderr, line)
	}
	return code
}

// unread reports whether err says that the reader of stdout has left, as head
// does when it has enough: nobody waits for words about that.
func (inv *invocation) unread(err error) bool {
	var path *fs.PathError
	out, ok := inv.stdout.(*os.File)
	return ok && errors.Is(err, syscall.EPIPE) && errors.As(err, &path) && path.Path == out.Name()
}
