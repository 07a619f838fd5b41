package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/atomicfile"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/command"
	"github.com/getkeyzero/kz/resolve/keychain"
	"github.com/getkeyzero/kz/resolve/vaultfile"
	"github.com/getkeyzero/kz/seal/holder"
)

func keysLine(about holder.About) string {
	return "keys: " + about.Name + ": " + about.Against + "\n"
}

// A finding is one thing that kz doctor looked at.
type finding struct {
	subject, state string
	hint           string // a command that mends it; none if nothing is wrong
	wrong          bool
}

func newDoctor(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "look at what kz needs here: its places, who keeps its keys, and this project's stores",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return inv.doctor(cmd.Context()) },
	}
}

// doctor prints what it finds, and ends with a status of its own if anything is wrong.
func (inv *invocation) doctor(ctx context.Context) error {
	findings := slices.Concat(inv.examinePlaces(), inv.examineKeys(ctx), inv.examineProject(ctx))
	var b strings.Builder
	wrong := false
	for _, f := range findings {
		sign := "ok   "
		if f.wrong {
			sign, wrong = "wrong", true
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", sign, printable.Text(f.subject), printable.Text(f.state))
		if f.hint != "" {
			fmt.Fprintf(&b, "       %s\n", printable.Text(f.hint))
		}
	}
	b.WriteString("note   any program of yours can read the variables of another in /proc/PID/environ, those that kz sets among them\n")
	if _, err := fmt.Fprint(inv.stdout, b.String()); err != nil {
		return err
	}
	if wrong {
		return status(exitInternal)
	}
	return nil
}

// examinePlaces finds out whether kz can write where it keeps things.
func (inv *invocation) examinePlaces() []finding {
	var list []finding
	for _, p := range []struct{ what, dir string }{
		{"consent", inv.places.trust}, {"state", inv.places.marks}, {"runtime", inv.places.twins},
	} {
		f := finding{subject: p.what, state: p.dir}
		if err := writable(p.dir); err != nil {
			f.state, f.wrong = inv.message(err), true
		}
		list = append(list, f)
	}
	if _, err := inv.user(); err != nil {
		for _, e := range flatten(err) {
			list = append(list, finding{subject: "settings", state: inv.message(e), wrong: true})
		}
	}
	return list
}

func writable(dir string) error {
	if err := atomicfile.MkdirPrivate(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (inv *invocation) examineKeys(ctx context.Context) []finding {
	about := inv.holder(ctx).About()
	keys := finding{subject: "keys", state: about.Name + ": " + about.Against}
	if keepsNothing(inv.holder(ctx)) {
		keys.wrong, keys.hint = true, givePassphrase
	}
	list := []finding{keys}
	v, err := inv.readVault()
	var missing *notFound
	switch {
	case errors.As(err, &missing):
		return list
	case err != nil:
		_, hint := inv.explain(err)
		return append(list, finding{subject: "vault", state: inv.message(err), hint: hint, wrong: true})
	}
	f := finding{subject: "vault"}
	if f.state, err = inv.vaultState(ctx, v); err != nil {
		f.wrong = true
		_, f.hint = inv.explain(err)
	} else if f.state == "locked" {
		f.hint = inv.unlockLine()
	}
	return append(list, f)
}

// examineProject looks at the nearest configuration and at the stores it names.
func (inv *invocation) examineProject(ctx context.Context) []finding {
	path, err := inv.nearest(nil)
	if err != nil {
		return []finding{{subject: "project", state: "no " + config.Name + " in " + inv.dir + " or above it"}}
	}
	o, err := inv.open("")
	if err != nil {
		var list []finding
		for _, e := range flatten(err) {
			_, hint := inv.explain(e)
			list = append(list, finding{subject: "project", state: inv.message(e), hint: hint, wrong: true})
		}
		return list
	}
	list := []finding{{subject: "project", state: path + ": allowed"}}
	providers, err := inv.providers(o.Project, o.memory.outer)
	if err != nil {
		return append(list, finding{subject: "stores", state: inv.message(err), wrong: true})
	}
	defer closeStores(providers)
	return append(list, inv.examineStores(ctx, o.Project, providers)...)
}

// examineStores asks all stores at once whether they are there, and for no secret.
func (inv *invocation) examineStores(ctx context.Context, p *project.Project, providers map[string]resolve.Provider) []finding {
	ctx, cancel := context.WithTimeout(ctx, probeDeadline)
	defer cancel()
	names := slices.Sorted(maps.Keys(providers))
	list := make([]finding, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { list[i] = inv.examineStore(ctx, p.Provider(name), providers[name]) })
	}
	wg.Wait()
	return list
}

// probeDeadline is how long stores have to say whether they can be used.
const probeDeadline = 10 * time.Second

func (inv *invocation) examineStore(ctx context.Context, settings config.Provider, provider resolve.Provider) finding {
	f := finding{subject: "store " + settings.Name}
	if settings.Name != settings.Type {
		f.subject += " (" + settings.Type + ")"
	}
	state, err := probe(ctx, provider)
	f.state = state
	if err != nil {
		f.state, f.wrong = inv.message(err), true
		f.hint = inv.adviceFor(settings.Type, err, nil)
		if state != "" {
			f.state += "; " + state
		}
	}
	return f
}

func probe(ctx context.Context, p resolve.Provider) (state string, err error) {
	switch p := p.(type) {
	case *keychain.Provider:
		return unlocked(p.Available(ctx))
	case *vaultfile.Provider:
		return unlocked(p.Available(ctx))
	case *command.Provider:
		return p.Find()
	case refusing:
		return "", p.err
	case resolve.Prober:
		standing, err := p.Probe(ctx)
		if err != nil { // then nobody is signed in
			standing.As = ""
		}
		if err != nil && standing == (resolve.Standing{}) {
			return "", err
		}
		return standingText(standing), err
	}
	return "read where it is", nil
}

func unlocked(err error) (state string, _ error) {
	if err != nil {
		return "", err
	}
	return "unlocked", nil
}

// standingText says how a store can be used, and how safe what opens it lies.
func standingText(s resolve.Standing) string {
	var parts []string
	if s.Through != "" {
		parts = append(parts, "through "+s.Through)
	}
	switch {
	case s.As != "" && s.Asked:
		parts = append(parts, "signed in as "+s.As)
	case s.As != "":
		parts = append(parts, s.As+", not asked")
	}
	switch {
	case s.Credential != "" && s.Plain:
		parts = append(parts, "its credential lies in plain text: "+s.Credential)
	case s.Credential != "":
		parts = append(parts, "its credential: "+s.Credential)
	}
	if len(parts) == 0 {
		return "can be asked"
	}
	return strings.Join(parts, "; ")
}
