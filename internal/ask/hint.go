package ask

import (
	"errors"
	"strings"

	"github.com/getkeyzero/kz/resolve"
)

// Hint gives an error of one of the classes a hint, and leaves others.
func Hint(err error, hints map[resolve.Class]string) error {
	var e *resolve.Error
	if !errors.As(err, &e) || e.Hint != "" || hints[e.Class] == "" {
		return err
	}
	return &resolve.Error{Class: e.Class, Cause: e.Cause, Hint: hints[e.Class]}
}

// SignIn are the hints for whom a command signs in, with or without a session that ran out.
func SignIn(command string) map[resolve.Class]string {
	return map[resolve.Class]string{resolve.NotLoggedIn: command, resolve.Expired: command}
}

// Without returns the command behind one that unsets those of the variables that have a
// value: what they hold would go before what the command leaves.
func Without(s resolve.Setup, command string, variables ...string) string {
	var set []string
	for _, name := range variables {
		if s.Getenv(name) != "" {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return command
	}
	return "unset " + strings.Join(set, " ") + " && " + command
}

// Plain reports whether a text is one word of a shell as it is, and no option: what a
// hint may have of a setting, of a path or of an address.
func Plain(text string) bool {
	rest := strings.TrimPrefix(text, "~/")
	return rest != "" && rest[0] != '-' && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@+:-") == ""
}
