package hashicorp

import (
	"context"
	"fmt"
	"time"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
)

// Probe implements [resolve.Prober]. It signs in and asks the server about the token.
func (p *Provider) Probe(ctx context.Context) (resolve.Standing, error) {
	standing := resolve.Standing{Through: p.shown()}
	l, err := p.login()
	if err != nil {
		return standing, err
	}
	standing.Credential, standing.Plain = l.from, l.plain
	s, err := p.connect()
	if err != nil {
		return standing, err
	}
	if err := s.mend(s.signIn(ctx, l)); err != nil {
		return standing, err
	}
	who := s.lookup(ctx)
	if who.err == nil {
		standing.As, standing.Asked = who.String(), true
	}
	return standing, who.err
}

// String returns who the token is, and how long.
func (s *self) String() string {
	name := printable.Text(s.Data.Name[:min(len(s.Data.Name), 128)])
	if s.Data.TTL <= 0 { // root's
		return name
	}
	return fmt.Sprintf("%s, for another %v", name, time.Duration(s.Data.TTL)*time.Second)
}
