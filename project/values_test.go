package project

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/environ"
	"github.com/getkeyzero/kz/resolve"
)

// A shelf is a store that remembers what it was asked for.
type shelf struct {
	values map[string]string
	errs   map[string]error
	asked  []string
}

func (s *shelf) Fetch(_ context.Context, refs []resolve.Ref) []resolve.Result {
	var results []resolve.Result
	for _, r := range refs {
		s.asked = append(s.asked, r.Path)
		value, ok := s.values[r.Path]
		switch {
		case s.errs[r.Path] != nil:
			results = append(results, resolve.Result{Err: s.errs[r.Path]})
		case !ok:
			results = append(results, resolve.Result{Err: resolve.Errorf(resolve.NotFound, "")})
		default:
			results = append(results, resolve.Result{Secret: resolve.NewSecret(value)})
		}
	}
	return results
}

func all(config.Entry) bool { return true }

// from asks providers.
func from(providers map[string]resolve.Provider) Fetch {
	return func(ctx context.Context, requests []resolve.Request) []resolve.Result {
		return resolve.All(ctx, providers, requests)
	}
}

// resolved opens a configuration of this text, below a consent to everything, and
// returns what its entries come to: values and failures, each sorted by name.
func resolved(t *testing.T, text string, s *shelf, outer environ.Env, want func(config.Entry) bool) (values, failures []string) {
	t.Helper()
	b := newBench(t)
	b.Trust.Prefixes = []string{b.home}
	p, err := b.Open(b.write("work/.keyzero.toml", text))
	if err != nil {
		t.Fatal(err)
	}
	got, failed := p.Values(t.Context(), from(map[string]resolve.Provider{"keychain": s}), outer, want)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		values = append(values, name+"="+got[name].Secret.Reveal())
	}
	for _, f := range failed {
		failures = append(failures, f.Error())
		if strings.Contains(fmt.Sprintf("%v %+v", f, f.Err), "KZCANARY") {
			t.Errorf("the failure %v shows a value", f)
		}
	}
	return values, failures
}

const secrets = `
[secrets]
A = "keychain://a"
B = "keychain://b"
`

func TestValues(t *testing.T) {
	locked := resolve.Errorf(resolve.Locked, "")
	for what, test := range map[string]struct {
		text             string
		values, failures []string
	}{
		"plain values":                    {"[env]\nX = \"1\"\nY = \"\"\n", []string{"X=1", "Y="}, nil},
		"numbers and booleans":            {"[env]\nX = 8080\nY = true\n", []string{"X=8080", "Y=true"}, nil},
		"secrets":                         {secrets, []string{"A=va", "B=vb"}, nil},
		"of the plan before the outside":  {secrets + "[env]\nX = \"${A}-${HOME}\"\nHOME2 = \"${HOME}\"\n", []string{"A=va", "B=vb", "HOME2=/home/ada", "X=va-/home/ada"}, nil},
		"a template over secrets":         {secrets + "C = { template = \"postgres://${A}:${B}@db/${NAME}\" }\n[env]\nNAME = \"app\"\n", []string{"A=va", "B=vb", "C=postgres://va:vb@db/app", "NAME=app"}, nil},
		"a template over templates":       {secrets + "C = { template = \"<${A}>\" }\nD = { template = \"<${C}${C}>\" }\n", []string{"A=va", "B=vb", "C=<va>", "D=<<va><va>>"}, nil},
		"a value is not expanded again":   {"[env]\nX = \"${OUTER}\"\n", []string{"X=${A} $(id) `id`"}, nil},
		"itself means the value outside":  {"[env]\nOUT = \"/mine:${OUT}\"\n", []string{"OUT=/mine:/outer"}, nil},
		"itself, in another's text":       {"[env]\nOUT = \"/mine:${OUT}\"\nX = \"${OUT}\"\n", []string{"OUT=/mine:/outer", "X=/mine:/outer"}, nil},
		"itself, which is nowhere":        {"[env]\nNOWHERE = \"${NOWHERE}:x\"\n", nil, []string{"NOWHERE: ${NOWHERE} is not set"}},
		"what is nowhere":                 {"[env]\nX = \"${NOWHERE}\"\n", nil, []string{"X: ${NOWHERE} is not set"}},
		"an outer value that is empty":    {"[env]\nX = \"<${EMPTY}>\"\n", []string{"X=<>"}, nil},
		"what the store does not have":    {"[secrets]\nN = \"keychain://none\"\n", nil, []string{"N: keychain: not found"}},
		"the name of what is missing":     {"[secrets]\nN = \"keychain://none\"\nA = \"keychain://a\"\n[env]\nX = \"${A}${N}\"\n", []string{"A=va"}, []string{"N: keychain: not found", "X: needs N, which has no value"}},
		"missing over two steps":          {"[secrets]\nN = \"keychain://none\"\n[env]\nX = \"${N}\"\nY = \"${X}\"\n", nil, []string{"N: keychain: not found", "X: needs N, which has no value", "Y: needs X, which has no value"}},
		"a default":                       {"[secrets]\nN = { ref = \"keychain://none\", default = \"d ${A}\" }\n", []string{"N=d ${A}"}, nil},
		"an empty default":                {"[secrets]\nN = { ref = \"keychain://none\", default = \"\" }\n", []string{"N="}, nil},
		"a default that is not needed":    {"[secrets]\nA = { ref = \"keychain://a\", default = \"d\" }\n", []string{"A=va"}, nil},
		"a default is only for not found": {"[secrets]\nL = { ref = \"keychain://locked\", default = \"d\" }\n", nil, []string{"L: keychain: locked"}},
		"a default in a template":         {"[secrets]\nN = { ref = \"keychain://none\", default = \"d\" }\nX = { template = \"<${N}>\" }\n", []string{"N=d", "X=<d>"}, nil},
		"a default for a field":           {"[secrets]\nJ = { ref = \"keychain://json\", field = \"none\", default = \"d\" }\n", []string{"J=d"}, nil},
		"no default for what is no JSON":  {"[secrets]\nA = { ref = \"keychain://a\", field = \"x\", default = \"d\" }\n", nil, []string{`A: keychain: field "x": the value is not JSON`}},
		"a field":                         {"[secrets]\nJ = { ref = \"keychain://json\", field = \"user\" }\n", []string{"J=app"}, nil},
		"an optional one":                 {"[secrets]\nN = { ref = \"keychain://none\", required = false }\nA = \"keychain://a\"\n", []string{"A=va"}, []string{"N: keychain: not found"}},
		"a value of odd bytes":            {"[secrets]\nO = \"keychain://odd\"\nX = { template = \"<${O}>\" }\n", []string{"O=\xff\n\r\n", "X=<\xff\n\r\n>"}, nil},
		"a template that is too long":     {"[secrets]\nL = \"keychain://long\"\nX = { template = \"${L}${L}\" }\nY = { template = \"${X}\" }\n", []string{"L=" + long}, []string{"X: the value has 80000 bytes, more than 65536", "Y: needs X, which has no value"}},
		"a value that is too long":        {"[secrets]\nH = { ref = \"keychain://huge\", required = false }\nA = \"keychain://a\"\n", []string{"A=va"}, []string{"H: keychain: the value has 700000 bytes, more than 65536"}},
		"a NUL":                           {"[secrets]\nZ = \"keychain://nul\"\n", nil, []string{"Z: keychain: the value has a NUL byte, which no environment can hold"}},
	} {
		t.Run(what, func(t *testing.T) {
			s := &shelf{
				values: map[string]string{"a": "va", "b": "vb", "odd": "\xff\n\r\n", "json": `{"user": "app"}`, "nul": "KZCANARY\x00",
					"long": long, "huge": strings.Repeat("KZCANARY ", 700_000/9+1)[:700_000]},
				errs: map[string]error{"locked": locked},
			}
			outer := environ.Env{"HOME": "/home/ada", "OUT": "/outer", "EMPTY": "", "OUTER": "${A} $(id) `id`", "A": "outer", "LINENO": "7"}
			values, failures := resolved(t, test.text, s, outer, all)
			if !slices.Equal(values, test.values) || !slices.Equal(failures, test.failures) {
				t.Errorf("Values = %.300q, %q, want %.300q, %q", values, failures, test.values, test.failures)
			}
		})
	}
}

var long = strings.Repeat("x", 40_000)

// What is not wanted is not fetched, unless what is wanted needs it.
func TestValuesFetchesWhatIsNeeded(t *testing.T) {
	const text = `
[secrets]
A = "keychain://a"
B = { ref = "keychain://b", hook = false }
C = { ref = "keychain://c", hook = false }
D = { template = "${B}" }
E = { template = "${C}", hook = false }
F = "keychain://a"
[env]
G = "${D} ${A} ${HOME}"
`
	inHook := func(e config.Entry) bool { return !e.RunOnly }
	only := func(names ...string) func(config.Entry) bool {
		return func(e config.Entry) bool { return slices.Contains(names, e.Name) }
	}
	for what, test := range map[string]struct {
		want          func(config.Entry) bool
		asked, values []string
	}{
		"everything":             {all, []string{"a", "b", "c"}, []string{"A=va", "B=vb", "C=vc", "D=vb", "E=vc", "F=va", "G=vb va /home/ada"}},
		"what is for a hook":     {inHook, []string{"a", "b"}, []string{"A=va", "D=vb", "F=va", "G=vb va /home/ada"}},
		"one secret":             {only("C"), []string{"c"}, []string{"C=vc"}},
		"one that needs another": {only("E"), []string{"c"}, []string{"E=vc"}},
		"one that needs many":    {only("G"), []string{"a", "b"}, []string{"G=vb va /home/ada"}},
		"nothing":                {only(), nil, nil},
	} {
		t.Run(what, func(t *testing.T) {
			s := &shelf{values: map[string]string{"a": "va", "b": "vb", "c": "vc"}}
			values, failures := resolved(t, text, s, environ.Env{"HOME": "/home/ada"}, test.want)
			slices.Sort(s.asked)
			if !slices.Equal(values, test.values) || failures != nil || !slices.Equal(s.asked, test.asked) {
				t.Errorf("Values = %q, %q after asking for %q; want %q after %q", values, failures, s.asked, test.values, test.asked)
			}
		})
	}
}

// All values together have a limit. What goes beyond it fails, and no more than that.
func TestValuesInAll(t *testing.T) {
	var text strings.Builder
	text.WriteString("[secrets]\n")
	s := &shelf{values: map[string]string{"k": strings.Repeat("x", 60<<10), "small": strings.Repeat("s", 32<<10), "tiny": "t"}}
	for i := range 10 {
		fmt.Fprintf(&text, "K%d = { ref = \"keychain://k\", required = false }\n", i)
	}
	text.WriteString("S = \"keychain://small\"\nT = \"keychain://tiny\"\n")
	values, failures := resolved(t, text.String(), s, nil, all)
	var names []string
	for _, v := range values {
		names = append(names, v[:2])
	}
	// 8 times 60 KiB and 32 KiB are 512 KiB.
	if want := []string{"K0", "K1", "K2", "K3", "K4", "K5", "K6", "K7", "S="}; !slices.Equal(names, want) {
		t.Errorf("within the limit are %q, want %q", names, want)
	}
	want := []string{}
	for _, name := range []string{"K8", "K9", "T"} {
		want = append(want, name+": keychain: with this one all values have more than 512 KiB")
	}
	if !slices.Equal(failures, want) {
		t.Errorf("beyond the limit: %q, want %q", failures, want)
	}
}

// A text that names a long value thousands of times must not be built.
func TestValuesDoNotGrow(t *testing.T) {
	text := "[env]\nX = \"" + strings.Repeat("${L}", 15_000) + "\"\n[secrets]\nL = \"keychain://long\"\n"
	s := &shelf{values: map[string]string{"long": long}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	values, failures := resolved(t, text, s, nil, all)
	runtime.ReadMemStats(&after)
	if len(values) != 1 || len(failures) != 1 || !strings.HasPrefix(failures[0], "X: the value has 80000 bytes") {
		t.Errorf("Values = %d values, %q", len(values), failures)
	}
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 64 {
		t.Errorf("Values takes %d MiB for a text of 60 KB", got)
	}
}

// Callers tell from the class what to advise.
func TestFailuresHaveClasses(t *testing.T) {
	b := newBench(t)
	b.Trust.Prefixes = []string{b.home}
	p, err := b.Open(b.write("work/.keyzero.toml", `
[env]
A = "${NOWHERE}"
B = "${E}"
C = "${LONG}"
[secrets]
D = "keychain://locked"
E = "keychain://none"
`))
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{errs: map[string]error{"locked": resolve.Errorf(resolve.Locked, "")}}
	_, failures := p.Values(t.Context(), from(map[string]resolve.Provider{"keychain": s}), environ.Env{"LONG": long + long}, all)
	var got []string
	for _, f := range failures {
		got = append(got, f.Entry.Name+" "+string(resolve.ClassOf(f)))
	}
	if want := []string{"A not_found", "B ", "C malformed", "D locked", "E not_found"}; !slices.Equal(got, want) {
		t.Errorf("the classes are %q, want %q", got, want)
	}
}

func TestFailure(t *testing.T) {
	cause := resolve.Errorf(resolve.Denied, "")
	for want, f := range map[string]*Failure{
		"A: keychain: access denied": {config.Entry{Name: "A", Provider: "keychain"}, cause, "keychain"},
		"A: access denied":           {config.Entry{Name: "A"}, cause, ""},
	} {
		if f.Error() != want || resolve.ClassOf(f) != resolve.Denied {
			t.Errorf("the failure reads %q of class %q, want %q", f.Error(), resolve.ClassOf(f), want)
		}
	}
}

// The context reaches the stores, and what was there in time counts.
func TestValuesHeedTheContext(t *testing.T) {
	b := newBench(t)
	b.Trust.Prefixes = []string{b.home}
	p, err := b.Open(b.write("work/.keyzero.toml", "[secrets]\nA = \"keychain://a\"\nB = \"env://B\"\nC = { template = \"${A}\" }\n[env]\nD = \"d\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	deaf := make(chan struct{})
	defer close(deaf)
	providers := map[string]resolve.Provider{"keychain": waiting(deaf), "env": &shelf{values: map[string]string{"B": "b"}}}
	values, failures := p.Values(ctx, from(providers), nil, all)
	if len(values) < 1 || values["D"].Secret.Reveal() != "d" || len(failures) < 2 || failures[0].Err != context.Canceled {
		t.Errorf("Values = %v, %v, want D, and A cancelled", values, failures)
	}
}

type waiting chan struct{}

func (w waiting) Fetch(_ context.Context, refs []resolve.Ref) []resolve.Result {
	<-w
	return resolve.Fail(len(refs), nil)
}

// A composed value is good for as long as what it is made of, and a request says
// what the answer depends on.
func TestValuesLife(t *testing.T) {
	b := newBench(t)
	b.Trust.Prefixes = []string{b.home}
	hour := time.Hour
	b.User.Providers = map[string]config.Provider{
		"slow": {Name: "slow", Type: "command", Command: []string{"x"}},
		"long": {Name: "long", Type: "command", Command: []string{"x"}, TTL: &hour, Stale: &hour},
	}
	p, err := b.Open(b.write("work/.keyzero.toml", `[env]
P = "plain"
[secrets]
A = "slow://a"
B = { provider = "slow", ref = "b", ttl = "5m", stale = "1m" }
C = { provider = "slow", ref = "c", ttl = "0" }
D = { provider = "long", ref = "d" }
K = "keychain://k"
L = { provider = "keychain", ref = "l", ttl = "2m" }
T = { template = "${A}${D}${K}" }
U = { template = "${B}${T}" }
`))
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]resolve.Request{}
	values, failures := p.Values(t.Context(), func(_ context.Context, requests []resolve.Request) []resolve.Result {
		results := make([]resolve.Result, len(requests))
		for i, r := range requests {
			asked[r.Ref.Path] = r
			results[i] = resolve.Result{Secret: resolve.NewSecret("x"), Left: r.TTL, Stale: r.Ref.Path == "b"}
		}
		return results
	}, nil, all)
	if len(failures) > 0 {
		t.Fatal(failures)
	}
	for name, want := range map[string]time.Duration{
		"P": 0, "A": config.DefaultTTL, "B": 5 * time.Minute, "C": 0, "D": hour, "K": 0, "L": 2 * time.Minute,
		"T": config.DefaultTTL, "U": 5 * time.Minute,
	} {
		if got := values[name]; got.Left != want || got.Stale != (name == "B" || name == "U") {
			t.Errorf("%s is good for %v, stale %v; want %v", name, got.Left, got.Stale, want)
		}
	}
	for ref, kept := range map[string]bool{"a": true, "b": true, "c": false, "d": true, "k": false, "l": false} {
		if r := asked[ref]; (r.Scope != "") != kept || kept && !strings.Contains(r.Scope, p.Digest) {
			t.Errorf("%s may be kept: %q, want %v", ref, r.Scope, kept)
		}
	}
	if asked["d"].Stale != hour || asked["b"].Stale != time.Minute || asked["a"].Stale != 0 {
		t.Errorf("stale: %v, %v, %v", asked["a"].Stale, asked["b"].Stale, asked["d"].Stale)
	}
}
