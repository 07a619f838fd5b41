package rest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/internal/projectfile"
	"github.com/getkeyzero/kz/resolve"
)

// maxFile is the most bytes that a file with a credential may have.
const maxFile = 1 << 20

// ReadFile returns what the regular file has. A file that is not there is of class
// NotLoggedIn: it was to hold a means to sign in. An error names the file as shown does.
func ReadFile(path, shown string) ([]byte, error) { return readFile(path, shown, false) }

// ReadOwn is as ReadFile, for a file that decides about a credential and does not hold
// it: one that another user could have written is of class Denied.
func ReadOwn(path, shown string) ([]byte, error) { return readFile(path, shown, true) }

func readFile(path, shown string, own bool) ([]byte, error) {
	// Without O_NONBLOCK the opening of a FIFO waits for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, resolve.Errorf(resolve.NotLoggedIn, "%s: %s", shown, why(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil || !info.Mode().IsRegular():
		return nil, resolve.Errorf(resolve.Malformed, "%s: not a regular file", shown)
	case own && !projectfile.OnlyOurs(info):
		return nil, resolve.Errorf(resolve.Denied, "%s: another user may have written it", shown)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, resolve.Errorf(resolve.Malformed, "%s: cannot be read", shown)
	case len(data) > maxFile:
		return nil, resolve.Errorf(resolve.Malformed, "%s: more than %d bytes", shown, maxFile)
	}
	return data, nil
}

// ReadToken returns the one word that the file has, without the white space around it.
func ReadToken(path, shown string) (string, error) {
	data, err := ReadFile(path, shown)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	switch {
	case token == "":
		return "", resolve.Errorf(resolve.NotLoggedIn, "%s: is empty", shown)
	case !IsToken(token):
		return "", resolve.Errorf(resolve.Malformed, "%s: is not a token", shown)
	}
	return token, nil
}

// IsToken reports whether a text can be a credential in a header: one word of UTF-8.
func IsToken(text string) bool {
	return text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// why is what went wrong with a file, without its path.
func why(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	return "cannot be read"
}

// Shown returns what a store calls someone, in a form that is safe to show.
func Shown(name string) string {
	if r := []rune(name); len(r) > 100 {
		name = string(r[:100])
	}
	return printable.Text(name)
}
