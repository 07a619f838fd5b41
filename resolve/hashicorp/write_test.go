package hashicorp

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// onPost answers a GET as before, and another request by answer.
func (s *standIn) onPost(path string, answer http.HandlerFunc) {
	get := s.answers[path]
	s.answers[path] = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			get(w, r)
			return
		}
		answer(w, r)
	}
}

func TestStoreAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers map[string]http.HandlerFunc
		post    http.HandlerFunc
		want    string
		posts   int
	}{
		"written":          {nil, text(200, `{"data":{"version":2}}`), "", 1},
		"denied":           {nil, text(403, canary), "denied: access denied", 1},
		"token died":       {map[string]http.HandlerFunc{selfPath: text(403, canary)}, text(403, canary), "expired: the token is expired or revoked (unset VAULT_TOKEN && vault login)", 1},
		"throttled":        {nil, text(429, canary), "throttled: too many requests", 1},
		"failing, once":    {nil, text(500, canary), "unreachable: the store answered with status 500", 1},
		"sealed":           {nil, text(503, `{"errors":["Vault is sealed"]}`), "locked: the server is sealed (vault operator unseal)", 1},
		"never taken":      {nil, text(400, canary), "malformed: the server does not take the value", 1},
		"hanging":          {nil, hang, "timeout: context deadline exceeded", 1},
		"not readable":     {map[string]http.HandlerFunc{readPath: text(403, canary)}, text(200, ""), "denied: access denied", 0},
		"what is there":    {map[string]http.HandlerFunc{readPath: text(200, canary)}, text(200, ""), "malformed: the store's answer is not of its form", 0},
		"the mount denied": {map[string]http.HandlerFunc{mountPath: text(403, canary)}, text(200, ""), `denied: "secret/app" is in no mount that this token may use`, 0},
		"always another version": {map[string]http.HandlerFunc{readPath: counting()}, text(400, canary),
			"malformed: the server does not take the value", tries},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, test.answers)
			var posts int
			var sent []byte
			s.onPost(readPath, func(w http.ResponseWriter, r *http.Request) {
				data, _ := io.ReadAll(r.Body)
				s.mu.Lock()
				posts, sent = posts+1, data
				s.mu.Unlock()
				test.post(w, r)
			})
			deadline := 20 * time.Second
			if name == "hanging" {
				deadline = 2 * time.Second
			}
			start := time.Now()
			err := provider(t, s.setup(t)).Store(within(t, deadline), resolve.Ref{Path: "secret/app#user"}, resolve.NewSecret("hunter2-new"))
			if got := line(t, err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if d := time.Since(start); d > deadline+time.Second {
				t.Errorf("Store took %v", d)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if posts != test.posts {
				t.Errorf("written %d times, want %d", posts, test.posts)
			}
			if want := `{"data":{"user":"hunter2-new","value":"` + canary + `"},"options":{"cas":1}}`; name == "written" && string(sent) != want {
				t.Errorf("sent %s, want %s", sent, want)
			}
			if all := strings.Join(s.asked, "\n"); strings.Contains(all, "hunter2") {
				t.Errorf("an address shows a secret: %s", all)
			}
		})
	}
}

// counting answers with a higher version each time.
func counting() http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		text(200, strings.Replace(app(`{"a":"b"}`), `"version":1`, fmt.Sprintf(`"version":%d`, n.Add(1)), 1))(w, r)
	}
}

const mountsPath = "/v1/sys/internal/ui/mounts"

// A list ends, however deep or broad the store is, and has names only that Fetch takes.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	mounts := text(200, `{"data":{"secret":{
		"secret/":{"type":"kv","options":{"version":"2"}},"sys/":{"type":"system"},"cubbyhole/":{"type":"cubbyhole"},"../x/":{"type":"kv"}}}}`)
	deep := newStandIn(t, map[string]http.HandlerFunc{mountsPath: mounts})
	deep.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/secret/metadata/") {
			deep.mu.Lock()
			deep.asked = append(deep.asked, r.URL.Path)
			deep.mu.Unlock()
			text(200, `{"data":{"keys":["a/","b/","leaf"]}}`)(w, r)
			return
		}
		deep.ServeHTTP(w, r)
	})
	got, err := provider(t, deep.setup(t)).List(t.Context())
	if err != nil || len(got) != mostFolders {
		t.Errorf("of an endless store List has %d names, %v, want %d", len(got), err, mostFolders)
	}
	if n := len(deep.requests()); n != mostFolders+1 {
		t.Errorf("%d requests, want %d", n, mostFolders+1)
	}

	var keys []string
	for i := range 3 * mostNames {
		keys = append(keys, fmt.Sprintf(`"n%d"`, i))
	}
	broad := newStandIn(t, map[string]http.HandlerFunc{mountsPath: mounts, "/v1/secret/metadata/": text(200, `{"data":{"keys":[`+strings.Join(keys, ",")+`]}}`)})
	if got, err := provider(t, broad.setup(t)).List(t.Context()); err != nil || len(got) != mostNames {
		t.Errorf("of a broad store List has %d names, %v, want %d", len(got), err, mostNames)
	}

	odd := newStandIn(t, map[string]http.HandlerFunc{mountsPath: mounts, "/v1/secret/metadata/": text(200,
		`{"data":{"keys":["good","..","../","a#b","a?version=1","a\nb","\u001b[31m","","/","é"]}}`)})
	got, err = provider(t, odd.setup(t)).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "names", got, []string{"secret/good", "secret/é"})
}

func TestListFails(t *testing.T) {
	t.Parallel()
	mounts := text(200, `{"data":{"secret":{"secret/":{"type":"kv","options":{"version":"2"}}}}}`)
	tests := map[string]struct {
		mounts, folder http.HandlerFunc
		want           string
	}{
		"no mounts":       {text(403, canary), nil, "denied: access denied"},
		"no JSON":         {text(200, canary), nil, "malformed: the store's answer is not of its form"},
		"a folder denied": {mounts, text(403, canary), ""},
		"a folder broken": {mounts, text(200, canary), "malformed: the store's answer is not of its form"},
		"a folder hangs":  {mounts, hang, "timeout: context deadline exceeded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, map[string]http.HandlerFunc{mountsPath: test.mounts, "/v1/secret/metadata/": test.folder})
			deadline := 20 * time.Second
			if name == "a folder hangs" {
				deadline = time.Second
			}
			got, err := provider(t, s.setup(t)).List(within(t, deadline))
			if line(t, err) != test.want || len(got) != 0 {
				t.Errorf("got %q, %q, want %q", got, line(t, err), test.want)
			}
		})
	}
}
