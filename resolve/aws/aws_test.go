package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

var (
	_ resolve.Provider = (*Provider)(nil)
	_ resolve.Storer   = (*Provider)(nil)
	_ resolve.Prober   = (*Provider)(nil)
	_ resolve.Lister   = (*Provider)(nil)
)

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

func asError(err error, e **resolve.Error) bool { return errors.As(err, e) }

func TestFetch(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	version := "a1b2c3d4-1111-2222-3333-444455556666"
	s.secrets = map[string]string{"prod/db": `{"user":"ada","pass":{"now":"p w"},"n":1.50}`, "token": canary}
	s.versions = map[string]string{"token?AWSPREVIOUS": "old", "token?" + version: "pinned", "token?blue": "labelled"}
	s.binary = map[string][]byte{"key": {0, 0xff, 1}}
	s.parameters = map[string]string{"/app/url": "https://x", "flag": "on", "flag:3": "third", "flag:live": "label", "/app/json": `{"a":["x"]}`}
	cases := []struct{ ref, want string }{
		{"sm://token", canary},
		{"token", canary},
		{"sm://token?stage=AWSCURRENT", canary},
		{"sm://token?AWSPREVIOUS", "old"},
		{"sm://token?stage=blue", "labelled"},
		{"sm://token?version=" + version, "pinned"},
		{"sm://token?" + version, "pinned"},
		{"sm://token?stage=none", "<not_found>"},
		{"sm://prod/db#user", "ada"},
		{"sm://prod/db#/pass/now", "p w"},
		{"sm://prod/db#pass", `{"now":"p w"}`},
		{"sm://prod/db#n", "1.50"},
		{"sm://prod/db#none", "<not_found>"},
		{"sm://prod/db?stage=AWSCURRENT#user", "ada"},
		{"sm://token#user", "<malformed>"},
		{"sm://key", "\x00\xff\x01"},
		{"sm://absent", "<not_found>"},
		{arnOf("token"), canary},
		{strings.TrimSuffix(arnOf("token"), "-AbCdEf"), canary},
		{arnOf("prod/db") + "#user", "ada"},
		{"ssm:///app/url", "https://x"},
		{"ssm://app/url", "https://x"},
		{"ssm://flag", "on"},
		{"ssm://flag:3", "third"},
		{"ssm://flag?version=3", "third"},
		{"ssm://flag?label=live", "label"},
		{"ssm://flag?version=9", "<not_found>"},
		{"ssm:///app/json#/a/0", "x"},
		{"ssm:///absent", "<not_found>"},
		{"arn:aws:ssm:eu-central-1:" + account + ":parameter/app/url", "https://x"},
	}
	var refs, want []string
	for _, c := range cases {
		refs, want = append(refs, c.ref), append(want, c.want)
	}
	wants(t, fetch(t, s.provider(t), refs...), want...)
	// One alone is asked for in another way, and the answers are the same.
	for _, c := range []struct{ ref, want string }{
		{"sm://token", canary}, {"sm://key", "\x00\xff\x01"}, {"sm://absent", "<not_found>"}, {arnOf("prod/db") + "#user", "ada"},
	} {
		wants(t, fetch(t, s.provider(t), c.ref), c.want)
	}
}

// A hundred secrets are five requests at once.
func TestBatches(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	var refs, want []string
	for i := range 100 {
		name := fmt.Sprintf("n%02d", i)
		s.secrets[name] = "s" + name
		refs, want = append(refs, "sm://"+name), append(want, "s"+name)
	}
	const delay = 400 * time.Millisecond
	s.intercept = func(http.ResponseWriter, *http.Request, string, int) bool { time.Sleep(delay); return false }
	begin := time.Now()
	wants(t, fetch(t, s.provider(t), refs...), want...)
	if took := time.Since(begin); took > 3*delay {
		t.Errorf("five requests of %v took %v", delay, took)
	}
	if n := s.count("BatchGetSecretValue"); n != 5 || s.total() != 5 {
		t.Errorf("%v, want 5 batches", s.calls)
	}
}

// A hundred parameters are ten.
func TestParameterBatches(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	var refs, want []string
	for i := range 100 {
		name := fmt.Sprintf("/n/%02d", i)
		s.parameters[name] = `{"k":"p` + name + `"}`
		refs, want = append(refs, "ssm://"+name+"#k", "ssm://"+name), append(want, "p"+name, s.parameters[name])
	}
	wants(t, fetch(t, s.provider(t), refs...), want...)
	if n := s.count("GetParameters"); n != 10 || s.total() != 10 {
		t.Errorf("%v, want 10 batches", s.calls)
	}
}

// One item is one request, however many references name it, and needs no right to batches.
func TestSameItem(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = `{"x":"1","y":"2"}`
	wants(t, fetch(t, s.provider(t), "sm://a#x", "sm://a#y", "a", "sm://a?AWSCURRENT#x"), "1", "2", s.secrets["a"], "1")
	if n := s.count("GetSecretValue"); n != 1 || s.total() != 1 {
		t.Errorf("%d requests, want 1", s.total())
	}
}

func TestNothingIsAsked(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	bad := []string{
		"", "sm://", "ssm://", "gs://x", "sm://a b", "sm://a\nb", "sm://a\x00", "sm://\xff", "sm://a#", "sm://a#x#y", "sm://a?x?y", "sm://a?",
		"sm://a?version=3", "sm://a?stage=", "sm://a?stage=a&b=c", "sm://a?other=1", "ssm://a?stage=x", "ssm://a:1?version=2", "ssm://a:b:c",
		"sm://" + strings.Repeat("a", 513), "arn:aws:s3:eu-central-1:123456789012:secret:x", "arn:aws:secretsmanager:evil.com/:123456789012:secret:x",
		"arn:evil:secretsmanager:eu-central-1:123456789012:secret:x",
		"ssm://" + arnOf("x"), "arn:aws:ssm:eu-central-1:123456789012:secret:x", "sm://é",
	}
	for i, r := range fetch(t, s.provider(t), bad...) {
		if resolve.ClassOf(r.Err) != resolve.Malformed {
			t.Errorf("%q gives %v", bad[i], r.Err)
		}
	}
	if n := s.total(); n != 0 {
		t.Errorf("%d requests for what is no reference", n)
	}
	if got := s.provider(t).Fetch(context.Background(), nil); len(got) != 0 {
		t.Errorf("no references give %v", got)
	}
}

func TestPartialBatch(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"a": "1", "b": "2", "secret": canary}
	s.deny["secret"] = true
	wants(t, fetch(t, s.provider(t), "a", "absent", "secret", "b"), "1", "<not_found>", "<denied>", "2")
	if s.count("BatchGetSecretValue") != 1 || s.total() != 1 {
		t.Errorf("%v, want one batch", s.calls)
	}
}

// What a batch is throttled for, or fails at, is asked for again, and the rest is not.
func TestPartialBatchThrottled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code  string
		times int
		want  string
		asked []int // how many names, in each request
	}{
		"then answered":      {"ThrottlingException", 1, "1", []int{3, 1}},
		"twice":              {"ThrottlingException", 2, "1", []int{3, 1, 1}},
		"to the end":         {"ThrottlingException", 99, "<throttled>", []int{3, 1, 1}},
		"failing, then ok":   {"InternalServiceError", 1, "1", []int{3, 1}},
		"failing":            {"InternalServiceError", 99, "<unreachable>", []int{3, 1, 1}},
		"refused for good":   {"DecryptionFailure", 99, "<denied>", []int{3}},
		"refused, not found": {"ResourceNotFoundException", 99, "<not_found>", []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.secrets = map[string]string{"a": "1", "b": "2", "c": "3"}
			s.faults = map[string]fault{"a": {c.code, c.times}}
			wants(t, fetch(t, s.provider(t), "a", "b", "c"), c.want, "2", "3")
			if got := s.batches(); !slices.Equal(got, c.asked) || s.total() != len(got) {
				t.Errorf("requests for %v names, want %v", got, c.asked)
			}
		})
	}
}

// Near the deadline nothing is asked for again, and the wait is at most half of what is left.
func TestPause(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]bool{200 * time.Millisecond: false, time.Second: true} {
		ctx, cancel := context.WithTimeout(t.Context(), left)
		begin := time.Now()
		if got := newRetryer(ctx).pause(9); got != want || ctx.Err() != nil {
			t.Errorf("with %v left there is time for another try: %v after %v", left, got, time.Since(begin))
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if newRetryer(ctx).pause(0) {
		t.Error("there is time for another try after the end")
	}
}

// If all is refused when it is asked for again, what was there stays.
func TestPartialBatchThenRefused(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"a": "1", "b": "2"}
	s.faults = map[string]fault{"a": {"ThrottlingException", 1}}
	s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, n int) bool {
		if n > 1 {
			refuse(w, 400, "AccessDeniedException")
		}
		return n > 1
	}
	wants(t, fetch(t, s.provider(t), "a", "b"), "<throttled>", "2")
}

// Where batches are not allowed each secret is asked for alone.
func TestNoBatches(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets = map[string]string{"a": "1", "b": "2"}
	s.deny["BatchGetSecretValue"] = true
	wants(t, fetch(t, s.provider(t), "a", "absent", "b"), "1", "<not_found>", "2")
	if n := s.count("GetSecretValue"); n != 3 {
		t.Errorf("%d single requests, want 3", n)
	}
}

// SSM refuses a request that has one name which is not allowed.
func TestParametersDenied(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.parameters = map[string]string{"a": "1", "b": "2", "c": canary}
	s.deny["c"] = true
	wants(t, fetch(t, s.provider(t), "ssm://a", "ssm://c", "ssm://b"), "1", "<denied>", "2")
}

func TestRegions(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	arn := strings.Replace(arnOf("a"), "eu-central-1", "us-west-2", 1)
	without := s.setup()
	delete(without.Settings, "region")
	// The region of an ARN is not that of a name beside it.
	results := fetch(t, newProvider(t, without), "a", arn, "ssm://a")
	wants(t, results, "<malformed>", "1", "<malformed>")
	if !slices.Contains(s.keys, "us-west-2") || !strings.Contains(results[0].Err.Error(), "region") {
		t.Errorf("%v; requests are signed for %q", results[0].Err, s.keys)
	}
	s.keys = nil
	wants(t, fetch(t, s.provider(t), "a", arn), "1", "1")
	if !slices.Contains(s.keys, "us-west-2") || !slices.Contains(s.keys, "eu-central-1") {
		t.Errorf("requests are signed for %q", s.keys)
	}
	without.Env = append(without.Env, "AWS_REGION=ap-south-1")
	s.keys = nil
	wants(t, fetch(t, newProvider(t, without), "a"), "1")
	if !slices.Contains(s.keys, "ap-south-1") {
		t.Errorf("AWS_REGION is not heeded: %q", s.keys)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]resolve.Class{
		"AccessDeniedException": resolve.Denied, "DecryptionFailure": resolve.Denied, "ExpiredTokenException": resolve.Expired,
		"UnrecognizedClientException": resolve.NotLoggedIn, "InvalidSignatureException": resolve.NotLoggedIn,
		"ResourceNotFoundException": resolve.NotFound, "InvalidRequestException": resolve.NotFound,
		"InvalidParameterException": resolve.Malformed, "com.amazonaws.secretsmanager#ValidationException": resolve.Malformed,
		"SomethingElse": resolve.Malformed,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool { refuse(w, 400, code); return true }
			results := fetch(t, s.provider(t), "sm://a", "ssm://a")
			for _, r := range results {
				if got := resolve.ClassOf(r.Err); got != want {
					t.Errorf("%s gives %v (%v), want %v", code, got, r.Err, want)
				}
			}
			if n := s.total(); n != 2 {
				t.Errorf("%d requests, want 2: a refusal is not asked for again", n)
			}
		})
	}
}

func TestThrottled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code       string
		status     int
		times      int
		want       string
		limit      time.Duration
		most, less int
	}{
		"then answered":    {"ThrottlingException", 400, 2, "1", 5 * time.Second, 3, 3},
		"to the end":       {"ThrottlingException", 400, 99, "<throttled>", 5 * time.Second, 3, 3},
		"near the end":     {"ThrottlingException", 400, 99, "<throttled>", 600 * time.Millisecond, 3, 1},
		"failing, then ok": {"InternalServiceError", 500, 1, "1", 5 * time.Second, 2, 2},
		"failing":          {"InternalServiceError", 500, 99, "<unreachable>", 5 * time.Second, 3, 3},
		"unavailable":      {"", 503, 99, "<unreachable>", 5 * time.Second, 3, 3},
	} {
		for _, ref := range []string{"sm://a", "ssm://a"} {
			t.Run(name+" "+ref, func(t *testing.T) {
				t.Parallel()
				s := newStandIn(t)
				s.secrets["a"], s.parameters["a"] = "1", "1"
				s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, n int) bool {
					if n <= c.times {
						refuse(w, c.status, c.code)
					}
					return n <= c.times
				}
				wants(t, fetchWithin(t, s.provider(t), c.limit, ref), c.want)
				if n := s.total(); n > c.most || n < c.less {
					t.Errorf("%d requests, want %d to %d", n, c.less, c.most)
				}
			})
		}
	}
}

// Whatever a server does, Fetch returns at its deadline.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"SecretString":"`+canary)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool { answer(w, r); return true }
			const limit = 400 * time.Millisecond
			within(t, limit, func() {
				wants(t, fetchWithin(t, s.provider(t), limit, "sm://a", "sm://b", "ssm://c"), "<timeout>", "<timeout>", "<timeout>")
			})
			s.CloseClientConnections()
		})
	}
}

// A connection that is accepted and then says nothing, not even TLS.
func TestDumbServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	setup := newStandIn(t).setup()
	setup.Settings["address"] = "https://" + l.Addr().String()
	const limit = 300 * time.Millisecond
	within(t, limit, func() { wants(t, fetchWithin(t, newProvider(t, setup), limit, "a"), "<timeout>") })
}

// within fails if ask goes on for more than 100 ms beyond the limit, three times of three:
// on a machine that others use it may do so once.
func within(t *testing.T, limit time.Duration, ask func()) {
	t.Helper()
	var took time.Duration
	for range 3 {
		begin := time.Now()
		ask()
		if took = time.Since(begin); took <= limit+100*time.Millisecond {
			return
		}
	}
	t.Errorf("took %v of %v", took, limit)
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	megabyte := strings.Repeat("x", 1<<20)
	parameter := func(value string) string { return `{"Parameters":[{"Name":"a","Value":"` + value + `"}]}` }
	other := `{"Name":"other","ARN":"` + arnOf("other") + `","SecretString":"` + canary + `"}`
	for name, c := range map[string]struct{ ref, answer, want string }{
		"a megabyte":             {"a", `{"Name":"a","SecretString":"` + megabyte + `"}`, megabyte},
		"too much":               {"a", `{"Name":"a","SecretString":"` + strings.Repeat(megabyte, 5) + `"}`, "<malformed>"},
		"not UTF-8":              {"a", "{\"Name\":\"a\",\"SecretString\":\"" + canary + "\xff\"}", "<malformed>"},
		"NUL":                    {"a", `{"Name":"a","SecretString":"x\u0000y"}`, "x\x00y"},
		"another name":           {"a", other, "<malformed>"},
		"no value":               {"a", `{"Name":"a"}`, "<malformed>"},
		"no JSON":                {"a", `<html>` + canary, "<malformed>"},
		"nothing":                {"a", ``, "<malformed>"},
		"value of a number":      {"a", `{"Name":"a","SecretString":12}`, "<malformed>"},
		"parameter: a megabyte":  {"ssm://a", parameter(megabyte), megabyte},
		"parameter: too much":    {"ssm://a", parameter(strings.Repeat(megabyte, 5)), "<malformed>"},
		"parameter: not UTF-8":   {"ssm://a", parameter(canary + "\xff"), "<malformed>"},
		"parameter: NUL":         {"ssm://a", parameter(`x\u0000y`), "x\x00y"},
		"parameter: another":     {"ssm://a", strings.Replace(parameter(canary), `"a"`, `"b"`, 1), "<malformed>"},
		"parameter: no value":    {"ssm://a", `{"Parameters":[{"Name":"a"}]}`, "<malformed>"},
		"parameter: no JSON":     {"ssm://a", `<html>` + canary, "<malformed>"},
		"parameter: half of it":  {"ssm://a", strings.TrimSuffix(parameter(canary), "}]}"), "<malformed>"},
		"parameter: null":        {"ssm://a", `null`, "<malformed>"},
		"parameter: of a number": {"ssm://a", `{"Parameters":[{"Name":"a","Value":12}]}`, "<malformed>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
				_, _ = io.WriteString(w, c.answer)
				return true
			}
			wants(t, fetch(t, s.provider(t), c.ref), c.want)
		})
	}
	for name, answer := range map[string]string{
		"another name in a batch": `{"SecretValues":[` + other + `],"Errors":[]}`,
		"an empty batch":          `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
				_, _ = io.WriteString(w, answer)
				return true
			}
			wants(t, fetch(t, s.provider(t), "a", "b", "ssm://a"), "<malformed>", "<malformed>", "<malformed>")
		})
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = canary
	other := s.setup() // httptest's certificate has no such name
	other.Settings["address"] = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	unknown := s.setup()
	delete(unknown.Settings, "ca_file")
	for name, setup := range map[string]resolve.Setup{"wrong name": other, "unknown authority": unknown} {
		results := fetch(t, newProvider(t, setup), "a")
		wants(t, results, "<unreachable>")
		if !strings.Contains(fmt.Sprint(results[0].Err), "certificate") {
			t.Errorf("%s: %v", name, results[0].Err)
		}
	}
	if s.total() != 0 {
		t.Error("the server was asked all the same")
	}
}

// What is signed for one address is not sent to another.
func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		asked := make(chan http.Header, 9)
		elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header }))
		defer elsewhere.Close()
		s := newStandIn(t)
		s.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
			return true
		}
		wants(t, fetch(t, s.provider(t), "a"), "<unreachable>")
		if len(asked) > 0 {
			t.Errorf("%d is followed with %v", status, <-asked)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	setup := s.setup()
	s.Close()
	wants(t, fetch(t, newProvider(t, setup), "a"), "<unreachable>")
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://example.com", "ftp://x", "https://", "https://u:p@x"} {
		if _, err := New(resolve.Setup{Settings: map[string]string{"address": address}}); resolve.ClassOf(err) != resolve.Malformed {
			t.Errorf("New with %q gives %v", address, err)
		}
	}
}
