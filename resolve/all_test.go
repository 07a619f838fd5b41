package resolve

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A stand-in is a provider in one function.
type standIn func(ctx context.Context, refs []Ref) []Result

func (f standIn) Fetch(ctx context.Context, refs []Ref) []Result { return f(ctx, refs) }

// echo gives for each reference its own text.
func echo(_ context.Context, refs []Ref) []Result {
	var results []Result
	for _, r := range refs {
		results = append(results, Result{Secret: NewSecret("value of " + r.Path)})
	}
	return results
}

func field(provider string, ref Ref, field string) Request {
	return Request{Provider: provider, Ref: ref, Field: field}
}

func request(provider, path string) Request { return Request{Provider: provider, Ref: Ref{Path: path}} }

// show is what results are, secrets revealed.
func show(results []Result) string {
	var list []string
	for _, r := range results {
		if r.Err != nil {
			list = append(list, fmt.Sprintf("%s: %v", ClassOf(r.Err), r.Err))
			if r.Secret.Reveal() != "" {
				list = append(list, "AND A SECRET")
			}
			continue
		}
		list = append(list, r.Secret.Reveal())
	}
	return strings.Join(list, ", ")
}

func checkAll(t *testing.T, ctx context.Context, providers map[string]Provider, requests []Request, want ...string) {
	t.Helper()
	got := All(ctx, providers, requests)
	if show(got) != strings.Join(want, ", ") || len(got) != len(requests) {
		t.Errorf("All(%v) = %s, want %s", requests, show(got), strings.Join(want, ", "))
	}
}

func TestAllKeepsTheOrder(t *testing.T) {
	asked := map[string][]Ref{}
	var mu sync.Mutex
	provider := func(name string) Provider {
		return standIn(func(ctx context.Context, refs []Ref) []Result {
			mu.Lock()
			defer mu.Unlock()
			asked[name] = append(asked[name], refs...)
			return echo(ctx, refs)
		})
	}
	providers := map[string]Provider{"x": provider("x"), "y": provider("y"), "unused": provider("unused")}
	a, b := Ref{Path: "a"}, Ref{Path: "b"}
	elsewhere := Ref{Path: "a", Dir: "/elsewhere"}
	checkAll(t, t.Context(), providers,
		[]Request{field("y", b, ""), field("x", b, ""), field("x", a, ""), field("y", b, ""), field("x", elsewhere, ""), field("x", b, "")},
		"value of b", "value of b", "value of a", "value of b", "value of a", "value of b")
	if got := asked["x"]; !slices.Equal(got, []Ref{b, a, elsewhere}) {
		t.Errorf("x was asked for %v, want each once", got)
	}
	if got := asked["y"]; !slices.Equal(got, []Ref{b}) {
		t.Errorf("y was asked for %v, want b once", got)
	}
	if len(asked["unused"]) > 0 {
		t.Errorf("a provider that nobody named was asked for %v", asked["unused"])
	}
}

func TestAllOfNothing(t *testing.T) {
	checkAll(t, t.Context(), nil, nil)
	checkAll(t, t.Context(), map[string]Provider{"x": standIn(nil)}, []Request{})
}

func TestAllOfThousands(t *testing.T) {
	providers := map[string]Provider{}
	var requests []Request
	for i := range 5000 {
		name := fmt.Sprint(i % 7)
		providers[name] = standIn(echo)
		requests = append(requests, request(name, fmt.Sprint(i%3000)))
	}
	for i, r := range All(t.Context(), providers, requests) {
		if want := fmt.Sprintf("value of %d", i%3000); r.Err != nil || r.Secret.Reveal() != want {
			t.Fatalf("result %d is %s, want %q", i, show([]Result{r}), want)
		}
	}
}

func TestAllAppliesFields(t *testing.T) {
	provider := standIn(func(_ context.Context, refs []Ref) []Result {
		if len(refs) != 1 {
			t.Errorf("asked for %v, want one", refs)
		}
		return []Result{{Secret: NewSecret(`{"user": "app", "db": {"url": "postgres"}}`)}}
	})
	ref := Ref{Path: "json"}
	checkAll(t, t.Context(), map[string]Provider{"x": provider},
		[]Request{field("x", ref, "user"), field("x", ref, "/db/url"), field("x", ref, "none"), field("x", ref, "")},
		"app", "postgres", `not_found: field "none": not in the value`, `{"user": "app", "db": {"url": "postgres"}}`)
}

// Providers run at once: each of these waits for all others.
func TestAllAsksProvidersAtOnce(t *testing.T) {
	const n = 20
	var barrier sync.WaitGroup
	barrier.Add(n)
	providers := map[string]Provider{}
	var requests []Request
	for i := range n {
		name := fmt.Sprint(i)
		providers[name] = standIn(func(ctx context.Context, refs []Ref) []Result {
			barrier.Done()
			barrier.Wait()
			return echo(ctx, refs)
		})
		requests = append(requests, request(name, "a"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, r := range All(ctx, providers, requests) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// One provider's failure is its own.
func TestAllContainsFailures(t *testing.T) {
	cause := errors.New("the store's own error")
	for what, test := range map[string]struct {
		provider Provider
		want     []string // for the references a and b
	}{
		"a panic":               {standIn(func(context.Context, []Ref) []Result { panic(canary) }), []string{": provider crashed", ": provider crashed"}},
		"a panic with an error": {standIn(func(context.Context, []Ref) []Result { panic(errors.New(canary)) }), []string{": provider crashed", ": provider crashed"}},
		"a panic with nil":      {standIn(func(context.Context, []Ref) []Result { panic(nil) }), []string{": provider crashed", ": provider crashed"}},
		"an index out of range": {standIn(func(_ context.Context, refs []Ref) []Result { return []Result{{}}[len(refs):] }), []string{": provider crashed", ": provider crashed"}},
		"a nil pointer":         {(*broken)(nil), []string{": provider crashed", ": provider crashed"}},
		"no provider":           {nil, []string{"no_tool: no such provider", "no_tool: no such provider"}},
		"no answers":            {standIn(func(context.Context, []Ref) []Result { return nil }), []string{": provider gave 0 answers to 2 references", ": provider gave 0 answers to 2 references"}},
		"too few answers": {standIn(func(_ context.Context, refs []Ref) []Result { return echo(context.TODO(), refs[:1]) }),
			[]string{": provider gave 1 answers to 2 references", ": provider gave 1 answers to 2 references"}},
		"too many answers": {standIn(func(_ context.Context, refs []Ref) []Result { return append(echo(context.TODO(), refs), Result{}) }),
			[]string{": provider gave 3 answers to 2 references", ": provider gave 3 answers to 2 references"}},
		"one of two": {standIn(func(_ context.Context, refs []Ref) []Result {
			return []Result{{Err: Errorf(Locked, "")}, {Secret: NewSecret("b")}}
		}), []string{"locked: locked", "b"}},
		"an error of its own": {standIn(func(_ context.Context, refs []Ref) []Result { return Fail(2, cause) }), []string{": the store's own error", ": the store's own error"}},
		"a secret beside the error": {standIn(func(_ context.Context, refs []Ref) []Result {
			return slices.Repeat([]Result{{Secret: NewSecret(canary), Err: cause}}, 2)
		}), []string{": the store's own error", ": the store's own error"}},
		"a value that is too long": {standIn(func(_ context.Context, refs []Ref) []Result {
			return []Result{{Secret: NewSecret(strings.Repeat("x", MaxValue+1))}, {Secret: NewSecret("b")}}
		}), []string{"malformed: the value has 65537 bytes, more than 65536", "b"}},
		"a value with a NUL": {standIn(func(_ context.Context, refs []Ref) []Result {
			return []Result{{Secret: NewSecret(canary + "\x00")}, {Secret: NewSecret("")}}
		}), []string{"malformed: the value has a NUL byte, which no environment can hold", ""}},
	} {
		t.Run(what, func(t *testing.T) {
			providers := map[string]Provider{"bad": test.provider, "good": standIn(echo)}
			if test.provider == nil {
				delete(providers, "bad")
			}
			checkAll(t, t.Context(), providers, []Request{request("good", "x"), request("bad", "a"), request("bad", "b"), request("good", "y")},
				"value of x", test.want[0], test.want[1], "value of y")
			for _, r := range All(t.Context(), providers, []Request{request("bad", "a"), request("bad", "b")}) {
				checkHidden(t, "the error", fmt.Sprintf("%v %+v %#v", r.Err, r.Err, r.Err))
			}
		})
	}
	if got := All(t.Context(), map[string]Provider{"x": standIn(func(_ context.Context, refs []Ref) []Result { return Fail(1, cause) })}, []Request{request("x", "a")}); got[0].Err != cause {
		t.Errorf("the error of a provider comes as %v", got[0].Err)
	}
}

type broken struct{ results []Result }

func (b *broken) Fetch(context.Context, []Ref) []Result { return b.results }

// The clock of these tests moves only when all wait.
func TestAllWithinTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		deaf := standIn(func(ctx context.Context, refs []Ref) []Result { <-release; return echo(ctx, refs) })
		heeding := standIn(func(ctx context.Context, refs []Ref) []Result { <-ctx.Done(); return Fail(len(refs), ctx.Err()) })
		salvaging := standIn(func(ctx context.Context, refs []Ref) []Result {
			<-ctx.Done()
			time.Sleep(grace / 2)
			return []Result{{Secret: NewSecret("in the grace")}}
		})
		slow := standIn(func(ctx context.Context, refs []Ref) []Result { time.Sleep(2 * time.Second); return echo(ctx, refs) })
		late := standIn(func(ctx context.Context, refs []Ref) []Result { time.Sleep(4 * time.Second); return echo(ctx, refs) })
		providers := map[string]Provider{"deaf": deaf, "heeding": heeding, "salvaging": salvaging, "slow": slow, "quick": standIn(echo), "late": late}
		requests := []Request{request("quick", "a"), request("deaf", "b"), request("heeding", "c"), request("salvaging", "d"),
			request("slow", "e"), request("deaf", "f"), request("late", "g")}

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		got := All(ctx, providers, requests)
		if took, most := time.Since(start), 3*time.Second+2*grace; took < 3*time.Second || took > most {
			t.Errorf("All took %v, want at most %v", took, most)
		}
		want := "value of a, timeout: no answer in time, timeout: no answer in time, in the grace, value of e, timeout: no answer in time, timeout: no answer in time"
		if show(got) != want {
			t.Errorf("All = %s, want %s", show(got), want)
		}
		time.Sleep(5 * time.Second) // what comes too late changes nothing
		if show(got) != want {
			t.Errorf("afterwards the results are %s, want %s", show(got), want)
		}
	})
}

func TestAllCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		providers := map[string]Provider{
			"quick": standIn(echo),
			"deaf":  standIn(func(ctx context.Context, refs []Ref) []Result { <-release; return echo(ctx, refs) }),
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		got := All(ctx, providers, []Request{request("deaf", "a"), request("quick", "b")})
		if took := time.Since(start); took > time.Second+2*grace {
			t.Errorf("All took %v after a cancel at one second", took)
		}
		if got[0].Err != context.Canceled || got[1].Err != nil || got[1].Secret.Reveal() != "value of b" {
			t.Errorf("All = %v, %s, want context.Canceled and the value of b", got[0].Err, show(got[1:]))
		}
	})
}

// An answer that is there at once counts, though the time is over.
func TestAllAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 {
			checkAll(t, ctx, map[string]Provider{"x": standIn(echo)}, []Request{request("x", "a")}, "value of a")
		}
	})
}

// What a late provider waits for is let go of: nothing blocks for good.
func TestAllLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		All(ctx, map[string]Provider{"x": standIn(func(ctx context.Context, refs []Ref) []Result {
			<-ctx.Done()
			return echo(ctx, refs)
		})}, []Request{request("x", "a")})
		cancel()
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("there were %d goroutines and are %d", before, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}

func TestClassOf(t *testing.T) {
	for what, test := range map[string]struct {
		err  error
		want Class
	}{
		"none":                   {nil, ""},
		"of no class":            {errors.New("x"), ""},
		"of a class":             {Errorf(Denied, "x"), Denied},
		"wrapped":                {fmt.Errorf("a: %w", fmt.Errorf("b: %w", Errorf(Locked, "x"))), Locked},
		"joined":                 {errors.Join(errors.New("x"), Errorf(Expired, "x")), Expired},
		"a deadline":             {context.DeadlineExceeded, Timeout},
		"a deadline, wrapped":    {fmt.Errorf("a: %w", context.DeadlineExceeded), Timeout},
		"a cancel":               {context.Canceled, ""},
		"a class and a deadline": {fmt.Errorf("%w %w", Errorf(Locked, ""), context.DeadlineExceeded), Locked},
	} {
		t.Run(what, func(t *testing.T) {
			if got := ClassOf(test.err); got != test.want {
				t.Errorf("ClassOf(%v) = %q, want %q", test.err, got, test.want)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	for _, class := range []Class{NotFound, NotLoggedIn, Locked, Expired, Denied, Ambiguous, Throttled, NoTool, PromptNeeded, Timeout, Unreachable, Malformed} {
		if got := (&Error{Class: class}).Error(); got == "" {
			t.Errorf("the class %s has no words", class)
		}
		if got := Errorf(class, "no %s", "key").Error(); got != "no key" {
			t.Errorf("Errorf(%s) = %q, want the cause alone", class, got)
		}
	}
	if len(classWords) != 12 {
		t.Errorf("there are words for %d classes, of which this test knows 12", len(classWords))
	}
}

func TestCheckValue(t *testing.T) {
	for what, test := range map[string]struct {
		text string
		want Class
	}{
		"empty":             {"", ""},
		"as long as can be": {strings.Repeat("x", MaxValue), ""},
		"a byte longer":     {strings.Repeat("x", MaxValue+1), Malformed},
		"a NUL":             {"a\x00b", Malformed},
		"any other byte":    {"\x01\x7f\xff\n", ""},
	} {
		t.Run(what, func(t *testing.T) {
			if err := CheckValue(NewSecret(test.text)); ClassOf(err) != test.want || (err == nil) != (test.want == "") {
				t.Errorf("CheckValue(%.20q) = %v, want %q", test.text, err, test.want)
			}
		})
	}
}
