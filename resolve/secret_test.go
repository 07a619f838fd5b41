package resolve

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/pelletier/go-toml/v2"
)

const canary = "KZCANARY hunter2"

// forms are the ways in which a printer could spell the canary.
func forms() []string {
	spaced := strings.Trim(fmt.Sprint([]byte("KZCANARY")), "[]")
	return []string{"KZCANARY", "hunter2", hex.EncodeToString([]byte("KZCANARY")), strings.ToUpper(hex.EncodeToString([]byte("KZCANARY"))),
		spaced, strings.ReplaceAll(spaced, " ", ", "), "0x4b, 0x5a", "S1pDQU5BUl"}
}

func checkHidden(t *testing.T, what, text string) {
	t.Helper()
	for _, form := range forms() {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", what, text)
			return
		}
	}
}

type holder struct {
	Name   string
	Public Secret
	hidden Secret
	deep   *inner
	list   []Secret
	table  map[string]Secret
	any    any
	result Result
}

type inner struct {
	secret  Secret
	pointer *Secret
}

func holders() map[string]any {
	s := NewSecret(canary)
	h := holder{Name: "h", Public: s, hidden: s, deep: &inner{s, &s}, list: []Secret{s}, table: map[string]Secret{"a": s}, any: s, result: Result{Secret: s}}
	return map[string]any{
		"itself": s, "a pointer": &s, "a pointer to a pointer": new(&s), "a struct": h, "a pointer to a struct": &h, "a slice": []Secret{s, s},
		"a slice of pointers": []*Secret{&s}, "an array": [1]Secret{s}, "a map": map[string]Secret{"a": s}, "a map by secret": map[Secret]int{s: 1},
		"a slice of anything": []any{s, &s, h}, "a result": Result{Secret: s}, "results": []Result{{Secret: s}}, "an anonymous struct": struct{ s Secret }{s},
		"an embedded secret": struct{ Secret }{s}, "a request": Request{Provider: "p"}, "an error": fmt.Errorf("x: %v", s), "joined": errors.Join(fmt.Errorf("%+v", h)),
	}
}

// Whatever holds a secret, and however it is printed, it does not show.
func TestSecretUnderEveryVerb(t *testing.T) {
	for what, v := range holders() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%+s", "%#s", "%q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%e", "%g", "%t", "%p", "%w", "%T", "%10v", "%-30s", "%.3s", "%[1]v", "%z", "%!"} {
			checkHidden(t, fmt.Sprintf("%s under %s", what, verb), fmt.Sprintf(verb, v))
			checkHidden(t, fmt.Sprintf("an error of %s under %s", what, verb), fmt.Errorf(verb, v).Error())
		}
		checkHidden(t, what+" in Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10s"} {
		if got := fmt.Sprintf(verb, NewSecret(canary)); got != "[secret]" {
			t.Errorf("%s of a secret is %q, want [secret]", verb, got)
		}
	}
}

func TestSecretInLogs(t *testing.T) {
	for what, v := range holders() {
		var text, data bytes.Buffer
		for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&text, nil)), slog.New(slog.NewJSONHandler(&data, nil))} {
			log.Info("m", "k", v, slog.Group("g", "k", v), "e", fmt.Errorf("%v", v))
			log.With("k", v).WithGroup("h").Info(fmt.Sprint(v))
		}
		checkHidden(t, what+" in a log", text.String())
		checkHidden(t, what+" in a JSON log", data.String())
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "k", NewSecret(canary))
	if !strings.Contains(b.String(), "k=[secret]") {
		t.Errorf("the log has %q, want k=[secret]", b.String())
	}
}

func TestSecretEncoded(t *testing.T) {
	for what, v := range holders() {
		for name, encode := range map[string]func(v any) ([]byte, error){
			"JSON": json.Marshal,
			"TOML": func(v any) ([]byte, error) { return toml.Marshal(v) },
			"gob": func(v any) ([]byte, error) {
				var b bytes.Buffer
				err := gob.NewEncoder(&b).Encode(v)
				return b.Bytes(), err
			},
			"template": func(v any) ([]byte, error) {
				var b bytes.Buffer
				err := template.Must(template.New("").Parse("{{.}} {{printf `%s %q` . .}} {{html .}} {{js .}}")).Execute(&b, v)
				return b.Bytes(), err
			},
		} {
			data, err := encode(v)
			checkHidden(t, what+" in "+name, fmt.Sprintf("%s %v", data, err))
		}
	}
	if got, err := json.Marshal(map[string]Secret{"a": NewSecret(canary)}); string(got) != `{"a":"[secret]"}` {
		t.Errorf("JSON of a secret is %s, %v", got, err)
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(NewSecret(canary)); err == nil {
		t.Error("gob takes a secret")
	}
}

func TestReveal(t *testing.T) {
	for _, text := range []string{"", canary, "\x00\xff", strings.Repeat("x", 1<<20)} {
		if got := NewSecret(text).Reveal(); got != text {
			t.Errorf("NewSecret(%.20q).Reveal() = %.20q", text, got)
		}
	}
	var zero Secret
	if got := zero.Reveal(); got != "" {
		t.Errorf("the zero secret reveals %q", got)
	}
	if got := fmt.Sprint(zero); got != "[secret]" {
		t.Errorf("the zero secret prints as %q", got)
	}
}

// A field that is added to Secret must not be one that fmt prints.
func TestSecretIsOnePointer(t *testing.T) {
	s := reflect.TypeFor[Secret]()
	if s.NumField() != 1 || s.Field(0).Type != reflect.TypeFor[*string]() {
		t.Errorf("Secret has %d fields, the first of type %v; want one pointer to a string", s.NumField(), s.Field(0).Type)
	}
}
