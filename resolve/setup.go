package resolve

import (
	"context"
	"strings"
)

// A Setup is what the provider of a store is made from.
type Setup struct {
	// Settings are those of its [providers.NAME] table, as config checked them. A
	// list is one text with a line for each of its elements.
	Settings map[string]string
	// Env is the user's environment as it is without kz, as "NAME=value".
	Env []string
	// Avoid are the directories of projects, in which no program is run.
	Avoid []string
	// Tell, if not nil, shows the user what the store waits for: a touch, a person.
	Tell func(text string)
}

// Getenv returns the variable of the name, "" if there is none. Of several the last counts.
func (s Setup) Getenv(name string) string {
	for i := len(s.Env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(s.Env[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// Setting returns a setting, or else the first of the variables that is not empty.
func (s Setup) Setting(name string, variables ...string) string {
	if value := s.Settings[name]; value != "" {
		return value
	}
	for _, v := range variables {
		if value := s.Getenv(v); value != "" {
			return value
		}
	}
	return ""
}

// Home is the user's home directory.
func (s Setup) Home() string { return s.Getenv("HOME") }

// Short returns a path as people write it, with ~ for the home directory.
func (s Setup) Short(path string) string {
	if below, ok := strings.CutPrefix(path, s.Home()+"/"); ok && s.Home() != "" {
		return "~/" + below
	}
	return path
}

// A Standing says how a store can be used from here, without any of its values.
type Standing struct {
	Through string // by what it is asked: a program's path, an address
	As      string // who one is there, if the store says; may be empty
	// Credential is where the means to sign in are kept: "environment VAULT_TOKEN",
	// "file ~/.vault-token", "keychain", "metadata service".
	Credential string
	// Plain is true if the credential lies there as plain text, for any program
	// of the user's to read.
	Plain bool
	Asked bool // the store itself answered that this is so, and it was not only found
}

// A Prober can say whether its store can be used, and does not fetch a secret for that.
type Prober interface {
	Probe(ctx context.Context) (Standing, error)
}

// A Lister can name the references that its store has. Those that it returns can be
// given to Fetch as they are.
type Lister interface {
	List(ctx context.Context) ([]string, error)
}
