//go:build !linux

package keychain

import (
	"context"

	"github.com/zalando/go-keyring"

	"github.com/getkeyzero/kz/resolve"
)

// On macOS go-keyring's reading trims white space, and gives hexadecimal digits
// for text beyond ASCII, unless go-keyring itself stored the value.
func (p *Provider) fetch(ctx context.Context, items []item) []resolve.Result {
	return fetchEach(ctx, items, keyring.Get)
}

func (p *Provider) store(ctx context.Context, it item, text string) error { return set(ctx, it, text) }

func (p *Provider) delete(ctx context.Context, it item) error {
	_, err := within(ctx, func() (struct{}, error) { return struct{}{}, keyring.Delete(it.service, it.account) })
	return classify(err)
}

// available asks for an item that nobody has: to be told so is an answer.
func (p *Provider) available(ctx context.Context) error {
	_, err := within(ctx, func() (string, error) { return keyring.Get(defaultService, "is anybody there") })
	err = classify(err)
	if resolve.ClassOf(err) == resolve.NotFound {
		return nil
	}
	return err
}
