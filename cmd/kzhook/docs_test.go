package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The page about kz names each command and each flag, and no others.
func TestPageNamesAllCommands(t *testing.T) {
	table, _, _ := strings.Cut(readPage(t, "../../docs/kz.md"), "\n## ")
	var named, have []string
	for _, code := range regexp.MustCompile("`[^`]+`").FindAllString(table, -1) {
		named = append(named, regexp.MustCompile(`kz vault slot [a-z]+|kz (?:trust|cache|vault) [a-z]+|kz [a-z]+|--?[a-z][a-z-]*`).FindAllString(code, -1)...)
	}
	for _, c := range everyCommand((&invocation{}).command().root) {
		have = append(have, c.CommandPath())
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Shorthand != "" {
				have = append(have, "-"+f.Shorthand)
			} else {
				have = append(have, "--"+f.Name)
			}
		})
	}
	for _, name := range have {
		if !slices.Contains(named, name) {
			t.Errorf("docs/kz.md does not name %s", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(have, name) {
			t.Errorf("docs/kz.md names %s, which does not exist", name)
		}
	}
}

// everyCommand returns the commands that do something.
func everyCommand(parent *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, c := range parent.Commands() {
		if c.HasSubCommands() {
			list = append(list, everyCommand(c)...)
		} else {
			list = append(list, c)
		}
	}
	return list
}

// It names each exit status.
func TestPageNamesAllStatuses(t *testing.T) {
	var named []int
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(readPage(t, "../../docs/kz.md"), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, n)
	}
	want := []int{exitOK, exitInternal, exitUsage, exitConfig, exitBlocked, exitUnresolved, exitStore, exitRefused, exitLocked, exitIntegrity, exitNotFound, exitInterrupted}
	if !slices.Equal(named, want) {
		t.Errorf("docs/kz.md has the statuses %v, want %v", named, want)
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
