package bitwarden

import (
	"context"
	"net/http"
	"os"
	"syscall"

	"github.com/getkeyzero/kz/internal/ask"
	"github.com/getkeyzero/kz/internal/rest"
	"github.com/getkeyzero/kz/resolve"
)

// serve asks a bw serve that listens on a unix socket. It knows no password: whoever
// can connect may read.
type serve struct {
	socket string
	client *rest.Client
}

func newServe(socket string) (serve, error) {
	client, err := rest.New(rest.Options{Address: "http://localhost", Socket: socket, Most: 32 << 20})
	return serve{socket, client}, err
}

// call sends a request and reads what is in the answer's data into v.
func (s serve) call(ctx context.Context, call rest.Call, v any) error {
	if err := s.owned(); err != nil {
		return err
	}
	answer, err := s.client.Do(ctx, call)
	if err != nil {
		return err
	}
	a := struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		Data    any    `json:"data"`
	}{Data: v}
	err = answer.JSON(&a)
	class := classify([]byte(a.Message))
	switch {
	case answer.Err() == nil && a.Success:
		return err
	case err == nil && class != "":
		return ask.Hint(&resolve.Error{Class: class}, mend)
	case answer.Err() != nil:
		return answer.Err()
	case err != nil:
		return err
	}
	return resolve.Errorf(resolve.Malformed, "bw serve did not do it and does not say why")
}

// owned returns an error unless it is the user who listens: to another the value
// that Store sends would be given.
func (s serve) owned() error {
	info, err := os.Stat(s.socket)
	switch {
	case err != nil:
		return resolve.Errorf(resolve.Unreachable, "nothing listens at %s", s.socket)
	case info.Mode()&os.ModeSocket == 0:
		return resolve.Errorf(resolve.Unreachable, "%s is no socket", s.socket)
	case int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid():
		return resolve.Errorf(resolve.Denied, "the socket %s belongs to another user", s.socket)
	}
	return nil
}

func (s serve) check(ref string) error { return checkItem(ref) }

func (s serve) items(ctx context.Context, v any) error {
	list := struct {
		Data any `json:"data"`
	}{v}
	return s.call(ctx, rest.Call{Path: "/list/object/items"}, &list)
}

func (s serve) fetch(ctx context.Context, refs []string) []resolve.Result {
	var items []item
	if err := s.items(ctx, &items); err != nil {
		return resolve.Fail(len(refs), err)
	}
	return pick(items, refs)
}

func (s serve) store(ctx context.Context, ref string, secret resolve.Secret) error {
	var documents []map[string]any
	if err := s.items(ctx, &documents); err != nil {
		return err
	}
	document, id, err := changed(documents, ref, secret)
	if err != nil {
		return err
	}
	call := rest.Call{Method: http.MethodPost, Path: "/object/item", Body: document}
	if id != "" {
		call.Method, call.Path = http.MethodPut, call.Path+"/"+id
	}
	return s.call(ctx, call, &map[string]any{})
}

func (s serve) probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: s.socket, Credential: "bw serve"}
	var template struct {
		Template status `json:"template"`
	}
	if err := s.call(ctx, rest.Call{Path: "/status"}, &template); err != nil {
		return standing, err
	}
	standing.As = template.Template.Email
	err := template.Template.err()
	standing.Asked = err == nil
	return standing, err
}

func (s serve) list(ctx context.Context) ([]string, error) {
	var items []item
	if err := s.items(ctx, &items); err != nil {
		return nil, err
	}
	return names(items), nil
}
