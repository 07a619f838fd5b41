package keychain

import (
	"context"
	"os"

	"github.com/godbus/dbus/v5"

	"github.com/getkeyzero/kz/resolve"
)

// fetch is one conversation for all items. go-keyring would take five or six round
// trips for each, and would ask the user to unlock what is locked.
func (p *Provider) fetch(ctx context.Context, items []item) []resolve.Result {
	results, err := p.converse(ctx, items)
	if err != nil {
		return resolve.Fail(len(items), explain(ctx, err))
	}
	return results
}

func (p *Provider) converse(ctx context.Context, items []item) ([]resolve.Result, error) {
	s, err := dial(ctx, p.env)
	if err != nil {
		return nil, err
	}
	defer s.close()
	found, err := s.search(ctx, items)
	if err != nil {
		return nil, err
	}
	values, err := s.secrets(ctx, found)
	if err != nil {
		return nil, err
	}
	results := make([]resolve.Result, len(items))
	for i, m := range found {
		secret, err := s.choose(ctx, m, values)
		if err != nil {
			err = explain(ctx, err)
		}
		results[i] = resolve.Result{Secret: secret, Err: err}
	}
	return results, nil
}

// choose returns the one value that an item's matches stand for.
func (s *service) choose(ctx context.Context, m matches, values map[dbus.ObjectPath]string) (resolve.Secret, error) {
	var candidates []dbus.ObjectPath
	for _, path := range m.unlocked {
		if _, ok := values[path]; ok { // else it was locked since the search
			candidates = append(candidates, path)
		}
	}
	switch {
	case len(m.unlocked)+len(m.locked) == 0:
		return resolve.Secret{}, s.absent(ctx)
	case len(candidates) == 0:
		return resolve.Secret{}, &resolve.Error{Class: resolve.Locked}
	}
	best, err := s.newest(ctx, candidates, values)
	if err != nil {
		return resolve.Secret{}, err
	}
	return resolve.NewSecret(values[best]), nil
}

// absent says why nothing was found. Some services show nothing at all of a locked
// collection, so an item is NotFound only where the collection that would
// hold it is open. One answer serves the whole conversation.
func (s *service) absent(ctx context.Context) error {
	if s.missing == nil {
		s.missing = s.missingBecause(ctx)
	}
	return s.missing
}

func (s *service) missingBecause(ctx context.Context) error {
	path, err := s.defaultCollection(ctx)
	if err != nil {
		return err
	}
	if path == "/" { // there is none
		return &resolve.Error{Class: resolve.NotFound}
	}
	locked, err := s.isLocked(ctx, path)
	switch {
	case err != nil:
		return err
	case locked:
		return &resolve.Error{Class: resolve.Locked}
	}
	return &resolve.Error{Class: resolve.NotFound}
}

// newest returns the item that was modified last. The times are whole seconds.
func (s *service) newest(ctx context.Context, paths []dbus.ObjectPath, values map[dbus.ObjectPath]string) (dbus.ObjectPath, error) {
	if len(paths) == 1 {
		return paths[0], nil
	}
	var best dbus.ObjectPath
	var last uint64
	tied := false
	for i, path := range paths {
		var at uint64
		if err := s.property(ctx, path, itemInterface, "Modified", &at); err != nil {
			return "", err
		}
		switch {
		case i == 0 || at > last:
			best, last, tied = path, at, false
		case at == last:
			tied = tied || values[path] != values[best]
		}
	}
	if tied {
		return "", resolve.Errorf(resolve.Ambiguous, "%d items fit the reference", len(paths))
	}
	return best, nil
}

// store goes through go-keyring, which finds the bus by itself in the environment of
// the process and, finding none, would start the dbus-launch that PATH leads
// to. So the service must have answered here first, and the address is pinned.
func (p *Provider) store(ctx context.Context, it item, text string) error {
	s, err := dial(ctx, p.env)
	if err != nil {
		return explain(ctx, err)
	}
	defer s.close()
	path, err := s.collection(ctx)
	if err != nil {
		return explain(ctx, err)
	}
	if os.Getenv(busVariable) != s.address {
		_ = os.Setenv(busVariable, s.address)
	}
	err = set(ctx, it, text)
	if resolve.ClassOf(err) != resolve.Unreachable {
		return err
	}
	if locked, lockErr := s.isLocked(ctx, path); lockErr == nil && locked {
		return &resolve.Error{Class: resolve.Locked}
	}
	return err
}

// delete does not go through go-keyring, which would remove the first match only.
func (p *Provider) delete(ctx context.Context, it item) error {
	s, err := dial(ctx, p.env)
	if err != nil {
		return explain(ctx, err)
	}
	defer s.close()
	found, err := s.search(ctx, []item{it})
	if err != nil {
		return explain(ctx, err)
	}
	m := found[0]
	if len(m.unlocked)+len(m.locked) == 0 {
		return explain(ctx, s.absent(ctx))
	}
	for _, path := range m.unlocked {
		if err := s.deleteItem(ctx, path); err != nil {
			return explain(ctx, err)
		}
	}
	if len(m.locked) > 0 {
		return &resolve.Error{Class: resolve.Locked}
	}
	return nil
}

func (p *Provider) available(ctx context.Context) error {
	s, err := dial(ctx, p.env)
	if err != nil {
		return explain(ctx, err)
	}
	defer s.close()
	path, err := s.collection(ctx)
	if err != nil {
		return explain(ctx, err)
	}
	locked, err := s.isLocked(ctx, path)
	switch {
	case err != nil:
		return explain(ctx, err)
	case locked:
		return &resolve.Error{Class: resolve.Locked}
	}
	return nil
}
