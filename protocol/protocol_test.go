package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/resolve"
)

const canary = "KZCANARY52b9"

func request(op string, names ...string) Request {
	q := Request{Protocol: Version, Op: op, Deadline: 1000}
	for _, name := range names {
		p := Provider{Name: name, Type: "t", Refs: []Ref{{Ref: "a", Dir: "/d"}, {Ref: "b"}}}
		if op == Store {
			p.Refs, p.Value = p.Refs[:1], NewValue(resolve.NewSecret(canary))
		}
		q.Providers = append(q.Providers, p)
	}
	return q
}

// What one side writes the other side reads, whatever the value.
func TestRoundTrip(t *testing.T) {
	for _, op := range []string{Fetch, Store, Probe, List, Find} {
		data, err := json.Marshal(request(op, "x", "y"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadRequest(strings.NewReader(string(data)))
		if again, _ := json.Marshal(got); err != nil || string(again) != string(data) {
			t.Errorf("%s: read %s, %v, want %s", op, again, err, data)
		}
	}
	for _, text := range []string{"", "plain", "two\nlines", "\x00", "\xff\xfe", "a\xffb", "\u2028<&>", `"\`, strings.Repeat("é", 1<<16), "\ufffd"} {
		data, err := json.Marshal(NewValue(resolve.NewSecret(text)))
		if err != nil {
			t.Fatal(err)
		}
		var v Value
		if err := decode(data, &v); err != nil {
			t.Fatal(err)
		}
		if s, err := v.Secret(); err != nil || s.Reveal() != text {
			t.Errorf("%.20q became %.20q, %v", text, s.Reveal(), err)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, err := range []error{
		resolve.Errorf(resolve.NotFound, "no such item"), &resolve.Error{Class: resolve.Locked}, resolve.Hinted(resolve.Expired, "aws sso login", "session over"),
		errors.New("of no class"), context.DeadlineExceeded,
	} {
		got := NewError(err).Err()
		if resolve.ClassOf(got) != resolve.ClassOf(err) {
			t.Errorf("%v came back as %v of class %q", err, got, resolve.ClassOf(got))
		}
		var want, have *resolve.Error
		if errors.As(err, &want) && errors.As(got, &have) && (have.Hint != want.Hint || have.Error() != want.Error()) {
			t.Errorf("%v came back as %v", want, have)
		}
	}
	if NewError(nil) != nil || (*Error)(nil).Err() != nil {
		t.Error("no error became one")
	}
	if got := NewError(context.DeadlineExceeded).Err(); got.Error() != "no answer in time" {
		t.Errorf("the end of time reads %q", got)
	}
	if got := (&Error{Class: "made_up"}).Err(); resolve.ClassOf(got) != "" || got.Error() == "" {
		t.Errorf("a class that does not exist became %q, %q", resolve.ClassOf(got), got)
	}
}

func TestRequestsRefused(t *testing.T) {
	good, _ := json.Marshal(request(Fetch, "x"))
	for what, text := range map[string]string{
		"nothing":                  "",
		"half":                     string(good[:len(good)/2]),
		"two":                      string(good) + string(good),
		"something behind":         string(good) + " x",
		"not JSON":                 canary,
		"not UTF-8":                strings.Replace(string(good), `"x"`, "\"\xff\"", 1),
		"an unknown key":           strings.Replace(string(good), `"op"`, `"opp"`, 1),
		"another protocol":         strings.Replace(string(good), Version, "kz.provider/2", 1),
		"an unknown operation":     strings.Replace(string(good), `"fetch"`, `"delete"`, 1),
		"no deadline":              strings.Replace(string(good), `1000`, `0`, 1),
		"a value with fetch":       strings.Replace(string(good), `"refs"`, `"value":{"text":"`+canary+`"},"refs"`, 1),
		"no value with store":      strings.Replace(string(good), `"fetch"`, `"store"`, 1),
		"more than there may be":   strings.Repeat(" ", MaxRequest) + string(good),
		"a text for a number":      strings.Replace(string(good), `1000`, `"`+canary+`"`, 1),
		"a list for an object":     "[]",
		"a value of a wrong shape": strings.Replace(string(good), `"refs"`, `"value":"`+canary+`","refs"`, 1),
	} {
		_, err := ReadRequest(strings.NewReader(text))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want an error without what was read", what, err)
		}
	}
}

func TestResponsesRefused(t *testing.T) {
	q := request(Fetch, "x", "y")
	value := `{"value":{"text":"` + canary + `"}}`
	two := `{"name":"x","results":[` + value + `,` + value + `]},{"name":"y","error":{"class":"locked"}}`
	good := `{"protocol":"` + Version + `","providers":[` + two + `]}`
	if _, err := ParseResponse([]byte(good), q); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the response", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for what, text := range map[string]string{
		"nothing":               "",
		"half":                  good[:len(good)/2],
		"chatter before":        "signed in\n" + good,
		"something behind":      good + "\n{}",
		"not UTF-8":             replace(canary, "\xff"),
		"an unknown key":        replace(`"name"`, `"nam"`),
		"another protocol":      replace(Version, "kz.provider/9"),
		"one store too few":     replace(`,{"name":"y","error":{"class":"locked"}}`, ""),
		"another store":         replace(`"name":"x"`, `"name":"z"`),
		"stores exchanged":      strings.NewReplacer(`"x"`, `"y"`, `"y"`, `"x"`).Replace(good),
		"one result too few":    replace(value+","+value, value),
		"one result too many":   replace(value+","+value, value+","+value+","+value),
		"value and error":       replace(value, `{"value":{"text":"`+canary+`"},"error":{"class":"locked"}}`),
		"neither":               replace(value, `{}`),
		"a bare text":           replace(value, `{"value":"`+canary+`"}`),
		"results of no answers": replace(`"results"`, `"items"`),
		"larger than allowed":   good + strings.Repeat(" ", MaxResponse),
	} {
		_, err := ParseResponse([]byte(text), q)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want an error without the value", what, err)
		}
	}
	probe := `{"protocol":"` + Version + `","providers":[{"name":"x"},{"name":"y","status":{}}]}`
	if _, err := ParseResponse([]byte(probe), request(Probe, "x", "y")); err == nil {
		t.Error("a probe without a status is accepted")
	}
	stored := `{"protocol":"` + Version + `","providers":[{"name":"x","results":[{}]}]}`
	if _, err := ParseResponse([]byte(stored), request(Store, "x")); err != nil {
		t.Errorf("what was stored: %v", err)
	}
}

func TestValuesRefused(t *testing.T) {
	text, bad := "a", canary+"!"
	for what, v := range map[string]*Value{"nothing": {}, "both": {Text: &text, Base64: &text}, "not base64": {Base64: &bad}} {
		if _, err := v.Secret(); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want an error without the value", what, err)
		}
	}
}

// Whatever comes, it is read or refused, and what is read has the shape that was asked for.
func FuzzParseResponse(f *testing.F) {
	f.Add([]byte(`{"protocol":"kz.provider/1","providers":[{"name":"x","results":[{"value":{"text":"v"}},{"error":{"class":"locked"}}]}]}`))
	f.Add([]byte(`{"protocol":"kz.provider/1","providers":[{"name":"x","error":{}}]}`))
	f.Add([]byte("[]"))
	q := request(Fetch, "x")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseResponse(data, q)
		if err != nil {
			return
		}
		if len(r.Providers) != 1 || r.Providers[0].Error == nil && len(r.Providers[0].Results) != 2 {
			t.Errorf("%q was read as %v", data, r)
		}
		for _, res := range r.Providers[0].Results {
			if r.Providers[0].Error == nil && (res.Value == nil) == (res.Error == nil) {
				t.Errorf("%q has a result that is not one thing", data)
			}
		}
	})
}
