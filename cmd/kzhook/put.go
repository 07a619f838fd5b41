package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/vaultfile"
)

func newPut(inv *invocation) *cobra.Command {
	var environment string
	var missing bool
	cmd := &cobra.Command{
		Use:   "put [NAME...]",
		Short: "store the value of a secret, typed without echo or from stdin",
		Example: `  kz put DATABASE_URL              asks for the value
  pbpaste | kz put DATABASE_URL    takes it from stdin, less one newline at the end
  kz put --missing                 asks for all that have none`,
		RunE: func(cmd *cobra.Command, list []string) error {
			o, err := inv.open(environment)
			if err != nil {
				return err
			}
			return inv.put(cmd.Context(), o, list, missing)
		},
	}
	cmd.Flags().StringVar(&environment, "env", "", "the environment to use")
	cmd.Flags().BoolVar(&missing, "missing", false, "all secrets that have no value yet")
	cmd.ValidArgsFunction = inv.completeNames
	return inv.passphraseFlag(cmd)
}

func (inv *invocation) put(ctx context.Context, o opened, names []string, missing bool) error {
	providers, err := inv.providers(o.Project, o.memory.outer)
	if err != nil {
		return err
	}
	defer closeStores(providers)
	if missing {
		more, err := missingFrom(ctx, o, providers)
		if err != nil {
			return err
		}
		names = append(names, more...)
	} else if len(names) == 0 {
		return usageError("put: which secret? NAME, or --missing")
	}
	if len(names) > 1 && !term.IsTerminal(int(inv.stdin.Fd())) {
		return usageError("put: stdin holds one value; name one secret")
	}
	for _, name := range names {
		if err := inv.putOne(ctx, o, providers, name); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		fmt.Fprintf(inv.stderr, "%s: nothing is missing\n", program)
		return nil
	}
	return inv.reload(ctx, o.Path) // shells load the new value at their next prompt
}

// missingFrom returns the secrets that a store which kz can write to does not have.
func missingFrom(ctx context.Context, o opened, providers map[string]resolve.Provider) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandDeadline)
	defer cancel()
	_, failures := o.Values(ctx, fresh(providers), o.memory.outer, func(e config.Entry) bool {
		_, ok := providers[e.Provider].(resolve.Storer)
		return ok
	})
	var names []string
	for _, f := range failures {
		if resolve.ClassOf(f.Err) != resolve.NotFound {
			return nil, f
		}
		names = append(names, f.Entry.Name)
	}
	return names, nil
}

func (inv *invocation) putOne(ctx context.Context, o opened, providers map[string]resolve.Provider, name string) error {
	e, err := entryOf(o.Project, name)
	if err != nil {
		return err
	}
	if r, ok := providers[e.Provider].(refusing); ok {
		return &project.Failure{Entry: e, Err: r.err}
	}
	store, ok := providers[e.Provider].(resolve.Storer)
	if !ok {
		return &refusal{fmt.Sprintf("%s: %s, which kz only reads", name, from(e)), ""}
	}
	if e.Field != "" {
		return &refusal{fmt.Sprintf("%s: is the field %s of %s, and kz stores whole values only", name, strconv.Quote(e.Field), e.Ref), ""}
	}
	if v, ok := store.(*vaultfile.Provider); ok { // before anybody types in vain
		if err := v.Available(ctx); err != nil {
			return &project.Failure{Entry: e, Err: err, Type: o.Provider(e.Provider).Type}
		}
	}
	value, err := inv.readValue(ctx, name)
	if err != nil {
		return err
	}
	err = resolve.CheckValue(value)
	if err == nil {
		err = store.Store(ctx, resolve.Ref{Path: e.Ref, Dir: e.Dir}, value)
	}
	if err != nil {
		return &project.Failure{Entry: e, Err: err, Type: o.Provider(e.Provider).Type}
	}
	fmt.Fprintf(inv.stderr, "%s: stored %s in %s\n", program, name, e.Provider)
	return nil
}

func from(e config.Entry) string {
	switch {
	case e.Provider != "":
		return "comes from " + e.Provider
	case e.Secret:
		return "is composed of others"
	}
	return "is a plain value"
}

// maxTyped is the most that is read from stdin: a value, a line's end of two
// bytes, and one byte more, by which a longer text shows.
const maxTyped = resolve.MaxValue + 3

// readValue reads a value from stdin: from a terminal without echo, else all of
// it, less one newline at the end. Nothing at all is no value.
func (inv *invocation) readValue(ctx context.Context, name string) (resolve.Secret, error) {
	if term.IsTerminal(int(inv.stdin.Fd())) {
		defer fmt.Fprintln(inv.stderr)
		text, err := readHidden(ctx, inv.stdin, func() { fmt.Fprintf(inv.stderr, "value for %s: ", name) })
		if err == nil && text == "" {
			err = &refusal{name + ": nothing was typed", ""}
		}
		return resolve.NewSecret(text), err
	}
	data, err := io.ReadAll(io.LimitReader(inv.stdin, maxTyped))
	if err == nil {
		err = ctx.Err() // what was interrupted may have ended too early
	}
	if err == nil && len(data) == 0 {
		err = &refusal{name + ": stdin is empty", ""}
	}
	text := string(data)
	if line, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(line, "\r")
	}
	return resolve.NewSecret(text), err
}

func newGet(inv *invocation) *cobra.Command {
	var environment string
	var bare bool
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "print the value of one variable",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			o, err := inv.open(environment)
			if err != nil {
				return err
			}
			if _, err := entryOf(o.Project, list[0]); err != nil {
				return err
			}
			for i := range o.Entries { // what is asked for by name is not optional
				o.Entries[i].Optional = o.Entries[i].Optional && o.Entries[i].Name != list[0]
			}
			values, err := inv.values(cmd.Context(), o, (*invocation).refreshed, func(e config.Entry) bool { return e.Name == list[0] })
			if err != nil {
				return err
			}
			text := values[list[0]].Secret.Reveal()
			if out, ok := inv.stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
				text = printable.Lines(text) // who set the value is not to command the terminal
			}
			if !bare {
				text += "\n"
			}
			_, err = io.WriteString(inv.stdout, text)
			return err
		},
	}
	cmd.Flags().StringVar(&environment, "env", "", "the environment to use")
	cmd.Flags().BoolVarP(&bare, "no-newline", "n", false, "print nothing after the value")
	cmd.ValidArgsFunction = inv.completeNames
	return inv.passphraseFlag(cmd)
}

// values resolves what a command needs. What is optional and missing is said
// and left out; anything else that is missing is an error about which all is said.
func (inv *invocation) values(ctx context.Context, o opened, how fetching, want func(config.Entry) bool) (map[string]resolve.Result, error) {
	stop := inv.progress(o.Project)
	values, failures, err := inv.resolve(ctx, o, how, want)
	stop()
	if err != nil {
		return nil, err
	}
	for _, line := range append(staleLines(o.Project, values), inv.failureLines(failures)...) {
		fmt.Fprintln(inv.stderr, line)
	}
	for _, f := range failures {
		if !f.Entry.Optional {
			return nil, status(failureStatus(f))
		}
	}
	return values, nil
}

// resolve asks the stores for what is wanted, and says nothing. It is an error
// if that is interrupted.
func (inv *invocation) resolve(ctx context.Context, o opened, how fetching, want func(config.Entry) bool) (map[string]resolve.Result, []*project.Failure, error) {
	providers, err := inv.providers(o.Project, o.memory.outer)
	if err != nil {
		return nil, nil, err
	}
	defer closeStores(providers)
	ctx, cancel := context.WithTimeout(ctx, commandDeadline)
	defer cancel()
	values, failures := o.Values(ctx, how(inv, o.Project, providers), o.memory.outer, want)
	if err := context.Cause(ctx); errors.Is(err, context.Canceled) {
		return nil, nil, err
	}
	return values, failures, nil
}
