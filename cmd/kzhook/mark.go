package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/getkeyzero/kz/internal/atomicfile"
)

// A mark is a note about one configuration that every shell reads: that loading
// it was interrupted, so that the next prompt does not begin the same wait
// again, or that it is to be loaded afresh. It holds no secret.
type mark string

const (
	interrupted = "interrupted "
	timedOut    = "timeout "
)

// interruptedAt returns the mark for having given up on a plan. shell is the
// process number of the shell that asked for it and was told, or 0.
func interruptedAt(digest, environment string, shell int) mark {
	return mark(interrupted + digest + " " + environment + " " + strconv.Itoa(shell))
}

// timedOutAt returns the mark for a plan that took too long in a shell.
func timedOutAt(digest, environment string, shell int) mark {
	return mark(timedOut + digest + " " + environment + " " + strconv.Itoa(shell))
}

// interruptedBy returns the shell of the mark if that is about the plan.
func (m mark) interruptedBy(digest, environment string) (shell int, ok bool) {
	number, ok := strings.CutPrefix(string(m), interrupted+digest+" "+environment+" ")
	shell, err := strconv.Atoi(number)
	return shell, ok && err == nil
}

// freshMark returns a mark that differs from all others.
func freshMark() mark { return mark("reload " + rand.Text()) }

// reload returns what a session remembers of the mark: a value of its own for
// each reload, and none for a load that was given up.
func (m mark) reload() string {
	if strings.HasPrefix(string(m), interrupted) || strings.HasPrefix(string(m), timedOut) {
		return ""
	}
	return string(m)
}

func (inv *invocation) markPath(config string) string {
	sum := sha256.Sum256([]byte(config))
	return filepath.Join(inv.places.marks, hex.EncodeToString(sum[:16]))
}

// firstTime reports whether nobody has asked for that name before.
func (inv *invocation) firstTime(name string) bool {
	if atomicfile.MkdirPrivate(inv.places.marks) != nil {
		return false
	}
	f, err := os.OpenFile(filepath.Join(inv.places.marks, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func (inv *invocation) readMark(config string) mark {
	data, err := os.ReadFile(inv.markPath(config))
	if err != nil {
		return ""
	}
	return mark(data)
}

func (inv *invocation) writeMark(config string, m mark) error {
	if err := atomicfile.MkdirPrivate(inv.places.marks); err != nil {
		return err
	}
	return atomicfile.Write(inv.markPath(config), []byte(m), 0o600)
}
