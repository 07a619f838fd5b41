package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestSealAndOpen(t *testing.T) {
	key := NewKey()
	for what, text := range map[string]string{
		"nothing":      "",
		"a text":       "hunter2",
		"any bytes":    "\x00\xff\n",
		"a megabyte":   strings.Repeat("x", 1<<20),
		"a sealed one": string(key.Seal("cache", "here", []byte("x"))),
	} {
		t.Run(what, func(t *testing.T) {
			sealed := key.Seal("cache", "here", []byte(text))
			if got := len(sealed) - len(text); got != Overhead {
				t.Errorf("Seal adds %d bytes, want %d", got, Overhead)
			}
			got, err := key.Open("cache", "here", sealed)
			if err != nil || string(got) != text {
				t.Errorf("Open(Seal(%.20q)) = %.20q, %v", text, got, err)
			}
			if again := key.Seal("cache", "here", []byte(text)); bytes.Equal(again, sealed) {
				t.Errorf("Seal gives the same bytes twice: %x", sealed)
			}
		})
	}
}

// Nothing of what is sealed is the same twice, but for the version.
func TestSealIsRandom(t *testing.T) {
	key := NewKey()
	first := key.Seal("cache", "here", []byte("hunter2"))
	for i := range first {
		same := true
		for range 20 {
			same = same && key.Seal("cache", "here", []byte("hunter2"))[i] == first[i]
		}
		if same != (i == 0) {
			t.Errorf("byte %d of what is sealed is always the same: %v", i, same)
		}
	}
}

func TestOpenElsewhere(t *testing.T) {
	key := NewKey()
	sealed := key.Seal("cache", "here", []byte("hunter2"))
	for what, test := range map[string]struct {
		key            Key
		purpose, place string
	}{
		"for another purpose":             {key, "session", "here"},
		"at another place":                {key, "cache", "there"},
		"at no place":                     {key, "cache", ""},
		"under another key":               {NewKey(), "cache", "here"},
		"with the place in the purpose":   {key, "cachehere", ""},
		"with the purpose in the place":   {key, "", "cachehere"},
		"cut at another place":            {key, "cach", "ehere"},
		"with a NUL between":              {key, "cache\x00here", ""},
		"with what stands between them":   {key, "cache4:here", ""},
		"in the letters of another case":  {key, "Cache", "here"},
		"with the two exchanged":          {key, "here", "cache"},
		"with a letter more at the place": {key, "cache", "here\x00"},
	} {
		t.Run(what, func(t *testing.T) {
			if got, err := test.key.Open(test.purpose, test.place, sealed); err != ErrOpen || got != nil {
				t.Errorf("Open(%q, %q) = %q, %v, want ErrOpen", test.purpose, test.place, got, err)
			}
		})
	}
}

// Purpose and place are two texts, wherever they are cut.
func TestPurposeAndPlaceAreApart(t *testing.T) {
	key := NewKey()
	const text = "a\x001:1:b0:2:"
	for i := range len(text) + 1 {
		sealed := key.Seal(text[:i], text[i:], nil)
		for j := range len(text) + 1 {
			if _, err := key.Open(text[:j], text[j:], sealed); (err == nil) != (i == j) {
				t.Errorf("what was sealed for %q at %q opens for %q at %q: %v", text[:i], text[i:], text[:j], text[j:], err)
			}
		}
	}
}

func TestOpenChanged(t *testing.T) {
	key := NewKey()
	sealed := key.Seal("cache", "here", []byte("hunter2"))
	refuse := func(what string, changed []byte) {
		t.Helper()
		if got, err := key.Open("cache", "here", changed); err != ErrOpen || got != nil {
			t.Errorf("Open with %s = %q, %v, want ErrOpen", what, got, err)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			changed := slices.Clone(sealed)
			changed[i] ^= 1 << bit
			refuse(fmt.Sprintf("bit %d of byte %d flipped", bit, i), changed)
		}
	}
	for n := range sealed {
		refuse(fmt.Sprintf("the first %d bytes", n), sealed[:n])
	}
	refuse("a byte more", append(slices.Clone(sealed), 0))
	refuse("a byte before", append([]byte{version}, sealed...))
	refuse("nothing", nil)
}

// Texts with equal parts have equal sums, and no others, wherever they are cut.
func TestSum(t *testing.T) {
	key := NewKey()
	sums := map[string]string{}
	const text = "ab1:2:"
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			for _, parts := range [][]string{{text[i:j], text[j:]}, {text[i:j] + text[j:]}, {text[i:j], "", text[j:]}} {
				name := fmt.Sprintf("%q %q", text[:i], parts)
				sum := string(key.Sum(text[:i], parts...))
				if other, ok := sums[sum]; ok && other != name {
					t.Errorf("Sum(%s) is also that of %s", name, other)
				}
				sums[sum] = name
				if again := string(key.Sum(text[:i], parts...)); again != sum {
					t.Errorf("Sum(%s) is not always the same", name)
				}
			}
		}
	}
	for _, other := range [][]string{{"a", "b"}, {"b", "a"}, {"a", "c"}, {"c", "b"}} {
		for _, one := range [][]string{{"a", "b"}, {"b", "a"}, {"a", "c"}, {"c", "b"}} {
			if same := bytes.Equal(key.Sum(one[0], one[1]), key.Sum(other[0], other[1])); same != slices.Equal(one, other) {
				t.Errorf("Sum(%q) and Sum(%q) are the same: %v", one, other, same)
			}
		}
	}
	if bytes.Equal(key.Sum("a"), NewKey().Sum("a")) {
		t.Error("two keys give one sum")
	}
}

func TestKeyFrom(t *testing.T) {
	for n := range 70 {
		_, err := KeyFrom(make([]byte, n))
		if (err == nil) != (n == KeySize) {
			t.Errorf("KeyFrom of %d bytes = %v", n, err)
		}
	}
	data := []byte(strings.Repeat("k", KeySize))
	key, _ := KeyFrom(data)
	sum := key.Sum("a")
	data[0] = 'x'
	if !bytes.Equal(key.Sum("a"), sum) {
		t.Error("the key changes with the bytes that it was made from")
	}
}

// Whatever holds a key and however it is printed, its bytes do not show.
func TestKeyDoesNotPrint(t *testing.T) {
	key, err := KeyFrom([]byte(strings.Repeat("k", KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	type memory struct {
		name string
		key  Key
		list []Key
	}
	m := memory{"m", key, []Key{key}}
	var b strings.Builder
	for _, v := range []any{key, &key, m, &m, []Key{key}, map[string]Key{"a": key}, struct{ K Key }{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		data, err := json.Marshal(v)
		fmt.Fprintf(&b, "%s %v\n", data, err)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "k", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "k", v)
	}
	for _, form := range []string{"kkk", "6b6b6b", "6B6B6B", "107 107", "0x6b, 0x6b", "a2tr"} {
		if strings.Contains(b.String(), form) {
			t.Errorf("the key shows as %q in:\n%s", form, b.String())
		}
	}
	if got := fmt.Sprint(key); got != "[key]" {
		t.Errorf("a key prints as %q, want [key]", got)
	}
}

func TestErrOpenSaysNothing(t *testing.T) {
	_, err := NewKey().Open("cache", "/home/ada/secret", []byte("hunter2"))
	if !errors.Is(err, ErrOpen) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ada") {
		t.Errorf("Open of a text that is not sealed = %v", err)
	}
}

// Texts that are sealed alike are told apart by everything that Open wants.
func TestSealAlike(t *testing.T) {
	key := NewKey()
	sealed := key.SealAlike("purpose", "place", []byte("text"))
	if !bytes.Equal(sealed, key.SealAlike("purpose", "place", []byte("text"))) {
		t.Error("equal texts are not sealed alike")
	}
	if text, err := key.Open("purpose", "place", sealed); err != nil || string(text) != "text" {
		t.Errorf("Open = %q, %v", text, err)
	}
	nonce := func(sealed []byte) string { return string(sealed[1:25]) }
	for what, other := range map[string][]byte{
		"another text":    key.SealAlike("purpose", "place", []byte("texu")),
		"another place":   key.SealAlike("purpose", "placf", []byte("text")),
		"another purpose": key.SealAlike("purposf", "place", []byte("text")),
		"another cut":     key.SealAlike("purpos", "eplace", []byte("text")),
		"another key":     NewKey().SealAlike("purpose", "place", []byte("text")),
	} {
		if nonce(other) == nonce(sealed) {
			t.Errorf("%s has the same nonce", what)
		}
	}
}
