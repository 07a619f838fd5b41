package aws

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

func store(t *testing.T, p *Provider, ref, value string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.Store(ctx, resolve.Ref{Path: ref}, resolve.NewSecret(value))
	check(t, err)
	return err
}

func TestStore(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"old": "before", "arn": "before"}
	p := s.provider(t)
	values := map[string]string{
		"sm://old": canary, "sm://new/one": canary + "\n", "sm://bytes": "\xff\x00", arnOf("arn"): "by ARN", "ssm:///app/x": canary, "ssm://flag": "1",
	}
	for ref, value := range values {
		if err := store(t, p, ref, value); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		wants(t, fetch(t, p, ref), value)
	}
	if s.count("CreateSecret") != 2 || s.count("PutParameter") != 2 {
		t.Errorf("%v", s.calls)
	}
}

func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := s.provider(t)
	for ref, value := range map[string]string{
		"sm://a#key": canary, "sm://a?AWSPREVIOUS": canary, "ssm://a:3": canary, "ssm://a": "\xff" + canary, "sm://a": "",
		"arn:aws:ssm:eu-central-1:123456789012:parameter/x": canary, "sm://a b": canary,
	} {
		if err := store(t, p, ref, value); resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if s.total() != 0 {
		t.Errorf("%v asked", s.calls)
	}
	if err := store(t, p, arnOf("absent"), canary); resolve.ClassOf(err) != resolve.NotFound {
		t.Errorf("an ARN that is not there: %v", err)
	}
	for _, action := range []string{"PutSecretValue", "PutParameter"} {
		s.deny[action] = true
	}
	for _, ref := range []string{"sm://a", "ssm://a"} {
		if err := store(t, p, ref, canary); resolve.ClassOf(err) != resolve.Denied {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if s.count("CreateSecret") != 0 {
		t.Error("what may not be written is created")
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	standing, err := s.provider(t).Probe(context.Background())
	want := resolve.Standing{Through: s.URL, As: "arn:aws:iam::123456789012:user/ada", Credential: "environment AWS_ACCESS_KEY_ID", Plain: true, Asked: true}
	if err != nil || standing != want {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
	if s.total() != 1 {
		t.Errorf("%v asked", s.calls)
	}
	setup := s.homed(t, map[string]string{"credentials": "[default]\naws_access_key_id=K\naws_secret_access_key=" + secretKey})
	standing, err = newProvider(t, setup).Probe(context.Background())
	if err != nil || !strings.HasSuffix(standing.Credential, "/.aws/credentials") || !standing.Plain {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
	s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(403)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>` + canary + `</Message></Error></ErrorResponse>`))
		return true
	}
	_, err = newProvider(t, setup).Probe(context.Background())
	check(t, err)
	if resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("an unknown key: %v", err)
	}
	_, err = newProvider(t, s.homed(t, nil)).Probe(context.Background())
	if resolve.ClassOf(err) != resolve.NotLoggedIn {
		t.Errorf("nothing: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"b": canary, "a/x": canary, "odd name": canary}
	s.parameters = map[string]string{"/p/q": canary, "flag": canary}
	p := s.provider(t)
	got, err := p.List(context.Background())
	if want := []string{"sm://a/x", "sm://b", "ssm:///p/q", "ssm://flag"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("List gives %q, %v", got, err)
	}
	wants(t, fetch(t, p, got...), canary, canary, canary, canary)
	s.deny["DescribeParameters"] = true
	got, err = p.List(context.Background())
	if want := []string{"sm://a/x", "sm://b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("without parameters List gives %q, %v", got, err)
	}
	s.deny["ListSecrets"] = true
	if got, err = p.List(context.Background()); resolve.ClassOf(err) != resolve.Denied || got != nil {
		t.Errorf("without both List gives %q, %v", got, err)
	}
}

// A store that says forever that there is more is not asked forever.
func TestListEnds(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.intercept = func(w http.ResponseWriter, _ *http.Request, action string, n int) bool {
		_, _ = w.Write([]byte(`{"NextToken":"` + strings.Repeat("x", n) + `","SecretList":[{"Name":"a"}],"Parameters":[{"Name":"a"}]}`))
		return true
	}
	got, err := s.provider(t).List(context.Background())
	if err != nil || s.count("ListSecrets") != mostPages || s.count("DescribeParameters") != mostPages {
		t.Errorf("%d names, %v, %v", len(got), err, s.calls)
	}
}
