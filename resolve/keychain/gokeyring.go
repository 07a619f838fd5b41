package keychain

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"github.com/zalando/go-keyring"

	"github.com/getkeyzero/kz/resolve"
)

// parallel is how many calls of one batch go-keyring gets at once. On macOS each
// is a process.
const parallel = 8

// within runs f, which does not heed ctx, and leaves it behind when ctx ends.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	answers := make(chan answer, 1)
	go func() {
		a := answer{err: resolve.Errorf(resolve.Unreachable, "the keychain went away")}
		// go-keyring v0.2.8 panics when the bus goes away while a prompt is open.
		defer func() {
			_ = recover()
			answers <- a
		}()
		a.value, a.err = f()
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// fetchEach is a batch for the systems that have none.
func fetchEach(ctx context.Context, items []item, get func(service, account string) (string, error)) []resolve.Result {
	results := make([]resolve.Result, len(items))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, it := range items {
		wg.Go(func() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				results[i].Err = ctx.Err()
				return
			}
			defer func() { <-slots }()
			text, err := within(ctx, func() (string, error) { return get(it.service, it.account) })
			if err != nil {
				results[i].Err = classify(err)
				return
			}
			results[i].Secret = resolve.NewSecret(text)
		})
	}
	wg.Wait()
	return results
}

func set(ctx context.Context, it item, text string) error {
	if limit := valueLimit(runtime.GOOS, it); limit >= 0 && len(text) > limit {
		return resolve.Errorf(resolve.Malformed, "the value has %d bytes, and this system's keychain takes %d under this reference", len(text), limit)
	}
	_, err := within(ctx, func() (struct{}, error) { return struct{}{}, keyring.Set(it.service, it.account, text) })
	return classify(err)
}

// valueLimit returns how many bytes a value of the item may have on the system, or -1.
func valueLimit(goos string, it item) int {
	switch goos {
	case "darwin":
		// go-keyring hands security one line of at most 4096 bytes, newline and all, and at
		// exactly that size takes a failure for success (go-keyring#153), hence one less.
		// The value goes in base64, behind a prefix.
		const line, rest = 4095, len("add-generic-password -U -s  -a  -w go-keyring-base64:\n")
		return max(0, (line-rest-quotedSize(it.service)-quotedSize(it.account))/4*3)
	case "windows":
		return 2560
	}
	return -1
}

// quotedSize is the most that go-keyring's shell quoting makes of s.
func quotedSize(s string) int { return len(s) + 2 + 4*strings.Count(s, "'") }

// classify gives go-keyring's errors their class. It passes on no text of theirs:
// on macOS that comes from a program.
func classify(err error) error {
	var known *resolve.Error
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, keyring.ErrNotFound):
		return &resolve.Error{Class: resolve.NotFound}
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return resolve.Errorf(resolve.Malformed, "service, account and value together are too big for this system's keychain")
	case errors.Is(err, keyring.ErrUnsupportedPlatform):
		return resolve.Errorf(resolve.Unreachable, "this system has no keychain that is known here")
	case errors.As(err, &exit):
		return securityError(exit.ExitCode())
	}
	return resolve.Errorf(resolve.Unreachable, "the keychain refused")
}

// securityError maps an exit status of macOS's security, which is the last byte
// of the framework's own error number, here in brackets.
func securityError(status int) error {
	switch status {
	case 36: // errSecInteractionNotAllowed (-25308): locked, and nobody to ask
		return &resolve.Error{Class: resolve.Locked}
	case 44: // errSecItemNotFound (-25300)
		return &resolve.Error{Class: resolve.NotFound}
	case 51, 128: // errSecAuthFailed (-25293), userCanceledErr (-128)
		return &resolve.Error{Class: resolve.Denied}
	}
	return resolve.Errorf(resolve.Unreachable, "security: exit status %d", status)
}
