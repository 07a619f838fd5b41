package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/clock"
	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/seal/holder"
	"github.com/getkeyzero/kz/trust"
)

// A statusReport is what kz status --json prints. It never holds a value.
type statusReport struct {
	Schema      string        `json:"schema"`
	State       string        `json:"state"` // none, blocked, denied, allowed, locked, loaded, partial or error
	Dir         string        `json:"dir"`
	Config      string        `json:"config,omitempty"`
	Digest      string        `json:"digest,omitempty"` // what kz allow --digest takes
	Environment string        `json:"environment,omitempty"`
	Entries     []statusEntry `json:"entries"`
	Watch       []string      `json:"watch"`
	ExpiresIn   *int          `json:"expires_in"` // seconds until values are asked for anew; null if that is never
	Keys        statusKeys    `json:"keys"`
	Stores      []statusStore `json:"stores,omitempty"` // with --probe
	Problems    []string      `json:"problems,omitempty"`
}

// statusKeys say who keeps the keys of what kz seals, and from whom.
type statusKeys struct {
	Name    string `json:"holder"`
	Against string `json:"against"`
}

// statusStore says whether a store can be used. No secret is asked of it for that.
type statusStore struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Usable bool   `json:"usable"`
	State  string `json:"state"`
	Hint   string `json:"hint,omitempty"`
}

type statusEntry struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"` // env or secret
	Provider string `json:"provider,omitempty"`
	Ref      string `json:"ref,omitempty"`
	State    string `json:"state"`  // loaded, changed, missing, run-only or not-loaded
	Source   string `json:"source"` // file:line
	// Dangerous says that the user's own configuration allows a name that
	// projects may not set otherwise.
	Dangerous bool `json:"dangerous,omitempty"`
}

func newStatus(inv *invocation) *cobra.Command {
	var asJSON, probe bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "where things stand in this directory",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := inv.status(cmd.Context())
			if probe {
				r.Stores = inv.statusStores(cmd.Context())
			}
			if asJSON {
				return printJSON(inv, r)
			}
			return inv.printStatus(r)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&probe, "probe", false, "ask the project's stores whether they can be used; no secret is fetched")
	return cmd
}

// statusStores asks the stores of a project that is allowed.
func (inv *invocation) statusStores(ctx context.Context) []statusStore {
	o, err := inv.open("")
	if err != nil {
		return nil
	}
	providers, err := inv.providers(o.Project, o.memory.outer)
	if err != nil {
		return nil
	}
	defer closeStores(providers)
	var list []statusStore
	names := slices.Sorted(maps.Keys(providers)) // the order of the findings
	for i, f := range inv.examineStores(ctx, o.Project, providers) {
		list = append(list, statusStore{names[i], o.Provider(names[i]).Type, !f.wrong, f.state, f.hint})
	}
	return list
}

func (inv *invocation) status(ctx context.Context) statusReport {
	r := statusReport{Schema: "kz.status/1", State: "none", Dir: inv.dir, Entries: []statusEntry{}, Watch: []string{}}
	r.Keys = statusKeys(inv.holder(ctx).About())
	path, err := inv.nearest(nil)
	if err != nil {
		return r
	}
	user, err := inv.user()
	if err != nil {
		return r.failed(inv, err)
	}
	m, err := inv.remember()
	if err != nil {
		r.Problems = append(r.Problems, inv.message(err))
	}
	p, err := inv.opener(user, m.outer, "").Open(path)
	r.Config, r.Digest, r.Environment, r.State = path, p.Digest, p.Environment, loadState(p, m)
	for _, f := range p.Watch {
		r.Watch = append(r.Watch, f.Path)
	}
	var blocked *trust.BlockedError
	switch {
	case errors.As(err, &blocked):
		r.State = "blocked"
		if blocked.Reason == trust.IsDenied {
			r.State = "denied"
		}
		// The digest to agree to covers inherited files, which only a look inside finds.
		if shown, _, err := inv.review(path); err == nil {
			p, r.Digest = shown, shown.Digest
		}
		r.Problems = append(r.Problems, inv.message(err))
	case err != nil:
		return r.failed(inv, err)
	}
	if r.State == "allowed" && inv.needsUnlocking(ctx, p) {
		r.State = "locked"
		r.Problems = append(r.Problems, "the vault is locked; run: "+inv.unlockLine())
	}
	r.entries(p, m)
	if left, ends := m.state.Left(clock.Now); ends && r.State != "allowed" {
		seconds := int(left / time.Second)
		r.ExpiresIn = &seconds
	}
	return r
}

// needsUnlocking reports whether a project has secrets in a vault that is locked.
func (inv *invocation) needsUnlocking(ctx context.Context, p *project.Project) bool {
	if !usesVault(p) {
		return false
	}
	v, err := inv.readVault()
	if err != nil {
		return false
	}
	_, err = inv.vaultKey(ctx, v.ID())
	return errors.Is(err, holder.ErrNoKey)
}

func (r statusReport) failed(inv *invocation, err error) statusReport {
	r.State = "error"
	for _, e := range flatten(err) {
		r.Problems = append(r.Problems, inv.message(e))
	}
	return r
}

func loadState(p *project.Project, m memory) string {
	switch {
	case m.state.Config != p.Path || m.state.Environment != p.Environment:
		return "allowed"
	case m.state.Partial || m.state.Digest != p.Digest:
		return "partial"
	}
	return "loaded"
}

func (r *statusReport) entries(p *project.Project, m memory) {
	loaded := map[string]bool{}
	if m.state.Config == p.Path {
		for _, v := range m.state.Vars {
			loaded[v.Name] = true
		}
	}
	for _, e := range p.Entries {
		s := statusEntry{
			Name: e.Name, Kind: "env", Provider: e.Provider, Ref: e.Ref, State: "not-loaded",
			Source: fmt.Sprintf("%s:%d", e.Pos.Path, e.Pos.Line), Dangerous: config.Dangerous(e.Name) != "",
		}
		if e.Secret {
			s.Kind = "secret"
		}
		switch {
		case e.RunOnly:
			s.State = "run-only"
		case loaded[e.Name] && slices.Contains(m.changed, e.Name):
			s.State = "changed"
		case loaded[e.Name]:
			s.State = "loaded"
		case r.State == "partial":
			s.State = "missing"
		}
		r.Entries = append(r.Entries, s)
	}
}

func (inv *invocation) printStatus(r statusReport) error {
	if r.State == "none" {
		_, err := fmt.Fprintf(inv.stdout, "no %s in %s or above it\n", config.Name, printable.Text(inv.dir))
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", printable.Text(r.Config), r.State)
	if r.Environment != "" {
		fmt.Fprintf(&b, " (%s)", r.Environment)
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, e := range r.Entries {
		from := strings.TrimSpace(e.Provider + " " + e.Ref)
		if e.Provider == "" {
			from = e.Kind
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", e.Name, e.State, clip(printable.Text(from)), printable.Text(filepath.Base(e.Source)))
	}
	_ = t.Flush()
	if r.Digest != "" {
		fmt.Fprintln(&b, r.Digest)
	}
	if r.ExpiresIn != nil {
		fmt.Fprintf(&b, "values are asked for anew in %s\n", span(time.Duration(*r.ExpiresIn)*time.Second))
	}
	b.WriteString(keysLine(holder.About{Name: r.Keys.Name, Against: r.Keys.Against}))
	for _, s := range r.Stores {
		fmt.Fprintf(&b, "store %s: %s\n", printable.Text(s.Name), printable.Text(s.State))
		if s.Hint != "" {
			fmt.Fprintf(&b, "  %s\n", printable.Text(s.Hint))
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "problem: %s\n", p)
	}
	_, err := fmt.Fprint(inv.stdout, b.String())
	return err
}
