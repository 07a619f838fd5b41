package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/trust"
)

func newAllow(inv *invocation) *cobra.Command {
	var digest string
	var shared bool
	cmd := &cobra.Command{
		Use:   "allow [DIR]",
		Short: "show what a configuration asks for, and agree to it",
		Example: `  kz allow                          shows the plan and asks
  kz allow --digest sha256:…        agrees to exactly these bytes, without asking`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			return inv.allow(cmd.Context(), list, digest, shared)
		},
	}
	cmd.Flags().StringVar(&digest, "digest", "", "agree only if the files have this digest (see kz status)")
	cmd.Flags().BoolVar(&shared, "shared-dir", false, "agree although everybody can write the directory")
	return cmd
}

func (inv *invocation) allow(ctx context.Context, list []string, digest string, shared bool) error {
	if mark := agentMark(inv.env); mark != "" {
		return &refusal{fmt.Sprintf("consent is a human's to give, and %s says that an agent is asking", mark), ""}
	}
	path, err := inv.nearest(list)
	if err != nil {
		return err
	}
	p, user, err := inv.reviewAll(path)
	if err != nil {
		return err
	}
	store := inv.trust(user)
	if err := checkInherited(store, p); err != nil {
		return err
	}
	files := p.TrustFiles()
	if files[0].Shared && !shared {
		return &trust.BlockedError{Path: p.Path, Reason: trust.IsShared}
	}
	record, err := store.Lookup(p.Path)
	if err != nil {
		return err
	}
	switch {
	case record != nil && record.Decision == trust.Allowed && record.Digest == p.Digest && record.Shared == shared:
		fmt.Fprintf(inv.stderr, "%s: %s is allowed already\n", program, printable.Text(inv.near(p.Path)))
	case digest != "" && digest != p.Digest:
		return &refusal{"the files have another digest: they are not what you agreed to", program + " status"}
	case digest == "" && !inv.terminal():
		return &refusal{"consent needs a terminal, or the digest of what was read", program + " status"}
	case digest == "":
		if err := inv.ask(ctx, p, record); err != nil {
			return err
		}
	}
	if m := inv.readMark(p.Path); m != "" && m.reload() == "" {
		if err := inv.writeMark(p.Path, freshMark()); err != nil {
			return err
		}
	}
	return store.Allow(files, shared)
}

// reviewAll is review with all that is wrong in any environment.
func (inv *invocation) reviewAll(path string) (*project.Project, config.User, error) {
	p, user, err := inv.review(path)
	if p == nil {
		return nil, user, err
	}
	if all := checkPlans(p); all != nil {
		err = all
	}
	return p, user, err
}

// checkPlans returns what is wrong with the plan of any environment.
func checkPlans(p *project.Project) error {
	var errs []error
	seen := map[string]bool{}
	for _, environment := range append([]string{""}, p.Sections...) {
		_, err := p.In(environment)
		for _, e := range flatten(err) {
			if !seen[e.Error()] {
				errs = append(errs, e)
			}
			seen[e.Error()] = true
		}
	}
	return errors.Join(errs...)
}

// checkInherited returns an error unless each configuration that p inherits
// from is allowed on its own.
func checkInherited(store trust.Store, p *project.Project) error {
	files := p.TrustFiles()
	for i := 2; i < len(files); i += 2 {
		c, err := store.Check(files[i : i+2])
		if err == nil {
			err = c.Covers(files[i:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask shows the plan and returns nil if the user agrees.
func (inv *invocation) ask(ctx context.Context, p *project.Project, record *trust.Record) error {
	fmt.Fprint(inv.stderr, planText(p, inv.earlier(p, record)))
	fmt.Fprint(inv.stderr, "allow this? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(inv.stdin).ReadString('\n')
		if err != nil {
			fmt.Fprintln(inv.stderr)
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(inv.stderr)
		return ctx.Err()
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
	}
	return &refusal{"not allowed", ""}
}

// earlier returns the project as it was when it was last allowed, or nil.
func (inv *invocation) earlier(p *project.Project, record *trust.Record) *project.Project {
	if record == nil || len(record.Files) == 0 {
		return nil
	}
	user, err := inv.user()
	if err != nil {
		return nil
	}
	var files []config.File
	for _, f := range record.Files {
		files = append(files, config.File{Path: f.Path, Data: []byte(f.Text), Missing: f.Missing})
	}
	old, err := project.Recall(user, files)
	if err != nil {
		return nil
	}
	return old
}
