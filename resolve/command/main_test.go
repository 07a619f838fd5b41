package command

import (
	"os"
	"syscall"
	"testing"
)

// The programs that the tests write are not to be ones that others may write to.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}
