package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/project"
	"github.com/getkeyzero/kz/resolve"
	"github.com/getkeyzero/kz/resolve/keychain"
	"github.com/getkeyzero/kz/resolve/pass"
	"github.com/getkeyzero/kz/resolve/remote"
	"github.com/getkeyzero/kz/resolve/systemd"
)

// offerDeadline is how long finding out what there is may take.
const offerDeadline = 2 * time.Second

// usable returns the types of stores that this machine has something for, with a few
// words on what. It asks no store.
func (inv *invocation) usable(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, offerDeadline)
	defer cancel()
	found := map[string]string{"vault": ""}
	if err := keychain.New(inv.env.List()).Available(ctx); err == nil || resolve.ClassOf(err) == resolve.Locked {
		found["keychain"] = ""
	}
	stores := inv.stores(&project.Project{}, inv.env)
	for typ, present := range map[string]func(resolve.Setup) string{"pass": pass.Present, "gopass": pass.PresentGopass, "systemd": systemd.Present} {
		if text := present(stores.setup(config.Provider{})); text != "" {
			found[typ] = text
		}
	}
	for _, helper := range helpers {
		f, err := remote.New(remote.Options{Programs: remote.Beside(inv.self, helper.program), Options: stores.tools()})
		if err != nil {
			continue
		}
		more, _ := f.Find(ctx, helper.types)
		maps.Copy(found, more)
		f.Close()
	}
	return found
}

// offerLine names the stores that can be used here.
func offerLine(found map[string]string) string {
	var words []string
	for _, typ := range slices.Sorted(maps.Keys(found)) {
		word := typ
		if found[typ] != "" {
			word += " (" + found[typ] + ")"
		}
		words = append(words, word)
	}
	return fmt.Sprintf("%s: stores for which this machine has something: %s", program, strings.Join(words, ", "))
}

// newRefFor returns a reference for a new secret as stores of the type have them.
func (inv *invocation) newRefFor(typ, path, environment, name string) string {
	ref := inv.newRef(path, environment, name)
	switch typ {
	case "1password":
		return "Private/" + ref + "/password"
	case "hashicorp":
		return "secret/" + plainWord(filepath.Base(filepath.Dir(path))) + "#" + name
	case "doppler", "infisical":
		return name
	case "age":
		return "secrets.age#" + name
	}
	return ref
}

// completeAddition offers names that have no value yet for the first argument of
// kz add, and for the second the stores, then what a store has.
func (inv *invocation) completeAddition(cmd *cobra.Command, list []string, begun string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(list) != 1 {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), offerDeadline)
	defer cancel()
	scheme, _, ok := strings.Cut(begun, "://")
	if !ok {
		return inv.schemes(ctx), none | cobra.ShellCompDirectiveNoSpace
	}
	return inv.items(ctx, scheme, begun), none
}

// schemes returns the beginnings of URIs for the stores that can be used here.
func (inv *invocation) schemes(ctx context.Context) []string {
	found := inv.usable(ctx)
	if o, err := inv.open(""); err == nil {
		for name := range o.Providers {
			found[name] = ""
		}
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, config.Scheme(name)+"://")
	}
	return list
}

// items returns the URIs of what the store with the scheme has.
func (inv *invocation) items(ctx context.Context, scheme, begun string) []string {
	o, err := inv.open("")
	if err != nil {
		return nil
	}
	name := config.ProviderOf(scheme)
	provider, err := inv.stores(o.Project, o.memory.outer).open(o.Provider(name))
	if err != nil {
		return nil
	}
	defer closeStores(map[string]resolve.Provider{name: provider})
	lister, ok := provider.(resolve.Lister)
	if !ok {
		return nil
	}
	refs, _ := lister.List(ctx)
	var list []string
	for _, ref := range refs {
		if !strings.Contains(ref, "://") {
			ref = scheme + "://" + ref
		}
		if strings.HasPrefix(ref, begun) && printable.Text(ref) == ref {
			list = append(list, ref)
		}
	}
	return list
}
