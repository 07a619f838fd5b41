package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/near"
	"github.com/getkeyzero/kz/internal/printable"
)

// A validateReport is what kz validate --json prints.
type validateReport struct {
	Schema   string    `json:"schema"`
	Valid    bool      `json:"valid"`
	Config   string    `json:"config"`
	Problems []problem `json:"problems"`
}

type problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func newValidate(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate [DIR]",
		Short: "check a configuration in all its environments; contacts no store",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, list []string) error {
			path, err := inv.nearest(list)
			if err != nil {
				return err
			}
			p, _, err := inv.reviewAll(path)
			if asJSON {
				r := validateReport{Schema: "kz.validate/1", Valid: err == nil, Config: path, Problems: problems(err)}
				return errors.Join(printJSON(inv, r), silently(inv, err))
			}
			if err == nil {
				fmt.Fprintf(inv.stdout, "%s: valid, %s\n", printable.Text(inv.near(p.Path)), summary(p.Plan))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// silently returns the status for err without anything more to say.
func silently(inv *invocation, err error) error {
	if err == nil {
		return nil
	}
	code, _ := inv.explain(err)
	return status(code)
}

func problems(err error) []problem {
	list := []problem{}
	for _, e := range flatten(err) {
		p := problem{Message: e.Error()}
		var invalid *config.Error
		var dangerous *config.DangerousError
		switch {
		case errors.As(e, &invalid):
			p = problem{invalid.Pos.Path, invalid.Pos.Line, invalid.Key, invalid.Msg}
		case errors.As(e, &dangerous):
			p = problem{dangerous.Entry.Pos.Path, dangerous.Entry.Pos.Line, dangerous.Entry.Name, e.Error()}
		}
		list = append(list, p)
	}
	return list
}

func summary(p config.Plan) string {
	secrets := 0
	for _, e := range p.Entries {
		if e.Secret {
			secrets++
		}
	}
	text := fmt.Sprintf("%d variables, %d of them secret", len(p.Entries), secrets)
	if len(p.Sections) > 0 {
		text += "; environments: " + strings.Join(p.Sections, ", ")
	}
	return text
}

// didYouMean returns the end of a message about an unknown name.
func didYouMean(name string, known []string) string {
	if n := near.Name(name, known); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}

// completeNames offers the names of the nearest configuration, if it is
// allowed. It asks no store.
func (inv *invocation) completeNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	o, err := inv.open("")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, e := range o.Entries {
		names = append(names, e.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
