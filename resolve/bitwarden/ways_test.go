package bitwarden

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkeyzero/kz/internal/tooltest"
	"github.com/getkeyzero/kz/resolve"
)

// refusal is what a program's mode leads to.
type refusal struct {
	class resolve.Class
	hint  string
	calls int
}

func checkRefusals(t *testing.T, program string, refusals map[string]refusal) {
	t.Helper()
	for mode, tt := range refusals {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, program, mode, nil)
			for _, got := range s.fetch(t, "a", "b") {
				if got.Err == nil || resolve.ClassOf(got.Err) != tt.class || got.Secret.Reveal() != "" {
					t.Fatalf("leads to %q, %v, want class %q", got.Secret.Reveal(), got.Err, tt.class)
				}
				if e, ok := got.Err.(*resolve.Error); !ok || e.Hint != tt.hint {
					t.Errorf("hint of %+v, want %q", got.Err, tt.hint)
				}
			}
			if calls := s.checkCalls(t); len(calls) != tt.calls {
				t.Errorf("the program was called %d times, want %d", len(calls), tt.calls)
			}
		})
	}
}

var bwsFiles = map[string]string{
	"projects": `[{"id":"` + proj1 + `","name":"api"},{"id":"` + proj2 + `","name":"web"},{"id":"` + id3 + `","name":"twin"},{"id":"` + id2 + `","name":"twin"}]`,
	"secrets": `[{"id":"` + id1 + `","projectId":"` + proj1 + `","key":"DB","value":"` + canary + `","note":""},
		{"id":"` + id2 + `","projectId":"` + proj2 + `","key":"DB","value":"of web\n"},{"id":"` + id3 + `","projectId":"` + proj2 + `","key":"ONLY","value":"{\"a\":1}"},
		{"id":"` + id3[:35] + `4","projectId":null,"key":"EMPTY","value":""},{"id":"` + id3[:35] + `5","projectId":null,"key":"BIG","value":"[MIB]"}]`,
	"secrets-" + proj1: `[{"id":"` + id1 + `","projectId":"` + proj1 + `","key":"DB","value":"` + canary + `"}]`,
	"secret-" + id1:    `{"id":"` + id1 + `","projectId":"` + proj1 + `","key":"DB","value":"` + canary + `"}`,
	"secret-" + id2:    `{"id":"` + id1 + `","key":"DB","value":"` + canary + `"}`,
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	files := maps.Clone(bwsFiles)
	files["secrets"] = strings.Replace(files["secrets"], "[MIB]", strings.Repeat("long", 1<<18), 1)
	s := newStage(t, "bws", "", files)
	got := s.fetch(t, "api/DB", proj2+"/DB", "ONLY", id1, "DB", "none", "none/DB", "twin/DB", "EMPTY", "api/ONLY", "BIG", "-x", "ONLY")
	want(t, "by project", got[0], canary, "")
	want(t, "by a project's id", got[1], "of web\n", "")
	want(t, "by key", got[2], `{"a":1}`, "")
	want(t, "by id", got[3], canary, "")
	want(t, "of two projects", got[4], "", resolve.Ambiguous)
	want(t, "none", got[5], "", resolve.NotFound)
	want(t, "no project", got[6], "", resolve.NotFound)
	want(t, "two projects", got[7], "", resolve.Ambiguous)
	want(t, "an empty one", got[8], "", resolve.NotFound)
	want(t, "of another project", got[9], "", resolve.NotFound)
	want(t, "1 MiB", got[10], strings.Repeat("long", 1<<18), "")
	want(t, "an option", got[11], "", resolve.Malformed)
	want(t, "once more", got[12], `{"a":1}`, "")
	s.wantCalls(t, "project list"+jsonArgs, "secret list"+jsonArgs)
}

func TestSecretsAreAskedForTogether(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		project string
		refs    []string
		calls   []string
	}{
		"one id":             {"", []string{id1}, []string{"secret get " + id1 + jsonArgs}},
		"one id twice":       {"", []string{id1, id1}, []string{"secret get " + id1 + jsonArgs}},
		"two ids":            {"api", []string{id1, id2}, []string{"secret list" + jsonArgs}},
		"one key":            {"", []string{"ONLY"}, []string{"secret list" + jsonArgs}},
		"a setting":          {proj1, []string{"DB"}, []string{"secret list " + proj1 + jsonArgs}},
		"a setting's name":   {"api", []string{"DB"}, []string{"project list" + jsonArgs, "secret list " + proj1 + jsonArgs}},
		"one project, twice": {"api", []string{"DB", proj1 + "/DB"}, []string{"project list" + jsonArgs, "secret list " + proj1 + jsonArgs}},
		"two projects":       {"", []string{proj1 + "/DB", proj2 + "/DB"}, []string{"secret list" + jsonArgs}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, "bws", "", bwsFiles, "project", tt.project)
			for i, got := range s.fetch(t, tt.refs...) {
				if got.Err != nil {
					t.Errorf("%s leads to %v", tt.refs[i], got.Err)
				}
			}
			s.wantCalls(t, tt.calls...)
		})
	}
	want(t, "an answer for another", newStage(t, "bws", "", bwsFiles).fetch(t, id2)[0], "", resolve.Malformed)
	want(t, "no such id", newStage(t, "bws", "", bwsFiles).fetch(t, id3)[0], "", resolve.NotFound)
}

func TestSecretsRefuse(t *testing.T) {
	t.Parallel()
	checkRefusals(t, "bws", map[string]refusal{
		"signed out": {resolve.NotLoggedIn, tokenHint, 1}, "revoked": {resolve.NotLoggedIn, tokenHint, 1}, "expired": {resolve.Expired, tokenHint, 1},
		"denied": {resolve.Denied, "", 1}, "throttled": {resolve.Throttled, "", 3}, "broken": {resolve.Unreachable, "", 1},
		"unreachable": {resolve.Unreachable, "", 1}, "unknown": {"", "", 1},
	})
}

// A value would be an argument of bws.
func TestNotWritten(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bws", "rbw"} {
		s := newStage(t, program, "", bwsFiles)
		err := s.Store(context.Background(), resolve.Ref{Path: "DB"}, resolve.NewSecret(canary))
		checkError(t, err)
		if resolve.ClassOf(err) != resolve.Denied {
			t.Errorf("%s: Store leads to %v", program, err)
		}
		s.wantCalls(t)
	}
}

func TestSecretsProbeAndList(t *testing.T) {
	t.Parallel()
	s := newStage(t, "bws", "", bwsFiles)
	got, err := s.Probe(context.Background())
	if err != nil || got.Credential != "environment BWS_ACCESS_TOKEN" || !got.Plain || !got.Asked || !strings.HasSuffix(got.Through, "/bws") {
		t.Errorf("Probe leads to %+v, %v", got, err)
	}
	list, err := s.List(context.Background())
	want := []string{id1, id2, "BIG", "EMPTY", "ONLY"}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("List leads to %q, %v; want %q", list, err, want)
	}
	s.wantCalls(t, "project list"+jsonArgs, "secret list"+jsonArgs)
	if got, err := newStage(t, "bws", "revoked", nil).Probe(context.Background()); resolve.ClassOf(err) != resolve.NotLoggedIn || got.Asked {
		t.Errorf("a revoked token leads to %v", err)
	}
}

var bwItems = `[{"object":"item","id":"` + id1 + `","name":"db","type":1,"notes":"n\n","unknown":{"x":[1]},"organizationId":null,
 "login":{"username":"me","password":"` + canary + `","totp":"seed","uris":[{"match":null,"uri":"https://a"},{"uri":"https://b"}]},
 "fields":[{"name":"token","value":"t","type":1},{"name":"twice","value":"1"},{"name":"twice","value":"2"},{"name":"void","value":null}]},
 {"id":"` + id2 + `","name":"twin","type":1,"login":{"password":"1"}},{"id":"` + id3 + `","name":"twin","type":1,"login":{"password":"2"}},
 {"id":"` + id3[:35] + `4","name":"note","type":2,"notes":"` + "[MIB]" + `","login":null,"fields":null}]`

// items are bwItems with a note of 1 MiB.
func items() string { return strings.Replace(bwItems, "[MIB]", strings.Repeat("long", 1<<18), 1) }

var itemTests = []struct {
	ref, value string
	class      resolve.Class
}{
	{"db", canary, ""}, {"db#password", canary, ""}, {"db#username", "me", ""}, {"db#notes", "n\n", ""}, {"db#uri", "https://a", ""},
	{"db#token", "t", ""}, {id1, canary, ""}, {strings.ToUpper(id1) + "#token", "t", ""}, {id3, "2", ""}, {"note#notes", strings.Repeat("long", 1<<18), ""},
	{"db#twice", "", resolve.Ambiguous}, {"db#void", "", resolve.NotFound}, {"db#none", "", resolve.NotFound}, {"note", "", resolve.NotFound},
	{"twin", "", resolve.Ambiguous}, {"none", "", resolve.NotFound}, {"DB", "", resolve.NotFound}, {"d", "", resolve.NotFound},
	{"99999999-9999-4999-8999-999999999999", "", resolve.NotFound}, {"db#totp", "", resolve.Malformed},
}

func checkItems(t *testing.T, fetch func(*testing.T, ...string) []resolve.Result) {
	t.Helper()
	var refs []string
	for _, tt := range itemTests {
		refs = append(refs, tt.ref)
	}
	for i, got := range fetch(t, refs...) {
		want(t, itemTests[i].ref, got, itemTests[i].value, itemTests[i].class)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	s := newStage(t, "bw", "", map[string]string{"items": items()})
	checkItems(t, s.fetch)
	s.wantCalls(t, listCall)
}

func TestPasswordsRefuse(t *testing.T) {
	t.Parallel()
	checkRefusals(t, "bw", map[string]refusal{
		"signed out": {resolve.NotLoggedIn, "bw login", 1}, "locked": {resolve.Locked, unlockedHint, 1}, "throttled": {resolve.Throttled, "", 3},
		"unreachable": {resolve.Unreachable, "", 1}, "unknown": {"", "", 1}, "expired": {resolve.Expired, unlockedHint, 1},
		"denied": {resolve.Denied, "", 1}, "broken": {resolve.Unreachable, "", 1},
		// On stdout, and with a status that says success.
		"prints Session key is invalid.": {resolve.Expired, unlockedHint, 1},
		"prints Vault is locked.":        {resolve.Locked, unlockedHint, 1},
		"prints You are not logged in.":  {resolve.NotLoggedIn, "bw login", 1},
		`prints ["Vault is locked."]`:    {resolve.Malformed, "", 1},
	})
}

func TestPasswordsStore(t *testing.T) {
	t.Parallel()
	const value = canary + "\n\"x\""
	for ref, tt := range map[string]struct{ call, now string }{
		"db":                 {"edit item " + id1, `login.password`},
		"db#username":        {"edit item " + id1, `login.username`},
		"db#notes":           {"edit item " + id1, `notes`},
		"db#token":           {"edit item " + id1, `fields.token`},
		"db#new":             {"edit item " + id1, `fields.new`},
		"note#token":         {"edit item " + id3[:35] + "4", `fields.token`},
		id2:                  {"edit item " + id2, `login.password`},
		"fresh":              {"create item", `login.password`},
		"fresh#secret token": {"create item", `fields.secret token`},
	} {
		t.Run(ref, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, "bw", "", map[string]string{"items": bwItems})
			if err := s.Store(context.Background(), resolve.Ref{Path: ref}, resolve.NewSecret(value)); err != nil {
				t.Fatal(err)
			}
			s.wantCalls(t, listCall, tt.call+" --nointeraction --raw")
			checkWritten(t, text(s.dir, "written"), tt.now, value)
		})
	}
}

// checkWritten checks that the item has the value at the place, and still what it had.
func checkWritten(t *testing.T, written, place, value string) {
	t.Helper()
	var now struct {
		ID, Name, Notes string
		Type            int
		Login           map[string]any
		Fields          []field
		Unknown         map[string][]int
	}
	if err := json.Unmarshal([]byte(written), &now); err != nil {
		t.Fatalf("written is %q: %v", written, err)
	}
	flat := map[string]any{"notes": now.Notes}
	for k, v := range now.Login {
		flat["login."+k] = v
	}
	for _, f := range now.Fields {
		flat["fields."+f.Name] = f.Value
	}
	if flat[place] != value || now.Name == "" || now.Type == 0 {
		t.Errorf("written is %.300s, without the value at %s", written, place)
	}
	if now.ID != id1 {
		return
	}
	for at, was := range map[string]any{"login.username": "me", "login.password": canary, "login.totp": "seed", "notes": "n\n", "fields.token": "t"} {
		if at != place && flat[at] != was {
			t.Errorf("%s was %q, is %q", at, was, flat[at])
		}
	}
	if fmt.Sprint(now.Unknown) != "map[x:[1]]" {
		t.Errorf("what kz does not know is %v", now.Unknown)
	}
}

var storeFailures = map[string]resolve.Class{
	"twin": resolve.Ambiguous, "db#twice": resolve.Ambiguous, "db#uri": resolve.Malformed, "note": resolve.Malformed, "db#totp": resolve.Malformed,
	"99999999-9999-4999-8999-999999999999": resolve.NotFound,
}

func TestPasswordsStoreFails(t *testing.T) {
	t.Parallel()
	for ref, class := range storeFailures {
		s := newStage(t, "bw", "", map[string]string{"items": bwItems})
		err := s.Store(context.Background(), resolve.Ref{Path: ref}, resolve.NewSecret(canary))
		checkError(t, err)
		if resolve.ClassOf(err) != class || text(s.dir, "written") != "" {
			t.Errorf("%s leads to %v", ref, err)
		}
	}
	s := newStage(t, "bw", "locked", nil)
	if err := s.Store(context.Background(), resolve.Ref{Path: "a"}, resolve.NewSecret(canary)); resolve.ClassOf(err) != resolve.Locked {
		t.Errorf("a locked vault leads to %v", err)
	}
	s.checkCalls(t)
}

func TestPasswordsProbeAndList(t *testing.T) {
	t.Parallel()
	for status, class := range map[string]resolve.Class{"unlocked": "", "locked": resolve.Locked, "unauthenticated": resolve.NotLoggedIn, "odd": resolve.Malformed} {
		s := newStage(t, "bw", "", map[string]string{"status": `{"status":"` + status + `","userEmail":"me@example.com"}`})
		got, err := s.Probe(context.Background())
		if resolve.ClassOf(err) != class || got.As != "me@example.com" || got.Credential != "environment BW_SESSION" || !got.Plain || got.Asked != (err == nil) {
			t.Errorf("%s leads to %+v, %v", status, got, err)
		}
		s.wantCalls(t, "status --nointeraction --raw")
	}
	s := newStage(t, "bw", "", map[string]string{"items": bwItems})
	list, err := s.List(context.Background())
	if want := []string{id2, id3, "db"}; err != nil || !slices.Equal(list, want) {
		t.Errorf("List leads to %q, %v; want %q", list, err, want)
	}
}

func rbwFiles(items string) map[string]string {
	files := map[string]string{"list": id1 + "\tdb\n" + id2 + "\ttwin\n" + id3 + "\ttwin\n"}
	var all []map[string]any
	if err := json.Unmarshal([]byte(items), &all); err != nil {
		panic(err)
	}
	for _, it := range all {
		it["data"] = it["login"] // as rbw calls it
		delete(it, "login")
		data, _ := json.Marshal(it)
		for _, name := range []any{it["id"], it["name"], strings.ToUpper(it["id"].(string))} {
			if name != "twin" {
				files["item-"+name.(string)] = string(data)
			}
		}
		if it["name"] == "db" {
			files["item-d"] = string(data) // rbw takes a part for the whole
		}
	}
	return files
}

func TestAgent(t *testing.T) {
	t.Parallel()
	s := newStage(t, "rbw", "", rbwFiles(items()))
	checkItems(t, s.fetch)
	var names []string
	for _, call := range s.checkCalls(t) {
		name, ok := strings.CutPrefix(call, "get --raw -- ")
		if !ok || slices.Contains(names, name) {
			t.Errorf("rbw was called %q", call)
		}
		names = append(names, name)
	}
	if len(names) != 9 {
		t.Errorf("rbw was asked for %q", names)
	}
}

func TestAgentRefuses(t *testing.T) {
	t.Parallel()
	checkRefusals(t, "rbw", map[string]refusal{
		"signed out": {resolve.NotLoggedIn, "rbw login", 1}, "locked": {resolve.Locked, "rbw unlock", 1}, "cancelled": {resolve.PromptNeeded, "rbw unlock", 1},
		"expired": {resolve.Expired, "rbw login", 1}, "denied": {resolve.Denied, "", 2}, "broken": {resolve.Unreachable, "", 2}, // each item by itself
	})
	t.Run("throttled", func(t *testing.T) {
		t.Parallel()
		want(t, "throttled", newStage(t, "rbw", "throttled", nil).fetch(t, "a")[0], "", resolve.Throttled)
	})
}

// A name that rbw repeats says nothing of its agent.
func TestNamesSayNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, "rbw", "", rbwFiles(bwItems))
	got := s.fetch(t, "session key is invalid", "db")
	want(t, "an odd name", got[0], "", resolve.NotFound)
	want(t, "a plain one", got[1], canary, "")
}

// An agent that is locked on the way is not asked by all the others.
func TestAgentForgets(t *testing.T) {
	t.Parallel()
	s := newStage(t, "rbw", "", rbwFiles(bwItems))
	refs := []string{"db", "forgotten"}
	for i := range 20 {
		refs = append(refs, fmt.Sprint("none", i))
	}
	got := s.fetch(t, refs...)
	want(t, "the first", got[0], canary, "")
	want(t, "the last", got[len(got)-1], "", resolve.Locked)
	if calls := s.checkCalls(t); len(calls) > 12 {
		t.Errorf("rbw was called %d times", len(calls))
	}
}

func TestAgentProbeAndList(t *testing.T) {
	t.Parallel()
	for mode, class := range map[string]resolve.Class{"": "", "is locked": resolve.Locked, "signed out": resolve.NotLoggedIn} {
		s := newStage(t, "rbw", mode, nil)
		got, err := s.Probe(context.Background())
		if resolve.ClassOf(err) != class || got.Credential != "rbw agent" || got.Plain || got.Asked != (err == nil) {
			t.Errorf("%q leads to %+v, %v", mode, got, err)
		}
		s.wantCalls(t, "unlocked")
	}
	s := newStage(t, "rbw", "", rbwFiles(bwItems))
	list, err := s.List(context.Background())
	if want := []string{id2, id3, "db"}; err != nil || !slices.Equal(list, want) {
		t.Errorf("List leads to %q, %v; want %q", list, err, want)
	}
	if _, err := newStage(t, "rbw", "chatters", rbwFiles(bwItems)).List(context.Background()); resolve.ClassOf(err) != resolve.Malformed {
		t.Errorf("chatter leads to %v", err)
	}
}

// What somebody in an organization calls like the id of another item is not that item.
func TestAnIDIsNoName(t *testing.T) {
	const id = "00000000-0000-0000-0000-000000000001"
	other := strings.Repeat("1", 8) + id[8:]
	if i, err := choose([]item{{ID: other, Name: id}}, id); resolve.ClassOf(err) != resolve.NotFound {
		t.Errorf("an item that is called so: %d, %v", i, err)
	}
	if i, err := choose([]item{{ID: other, Name: id}, {ID: id, Name: "x"}}, id); err != nil || i != 1 {
		t.Errorf("the item itself: %d, %v", i, err)
	}
	s := newStage(t, "bws", "", map[string]string{"secrets": `[{"id":"` + other + `","key":"` + id + `","value":"` + canary + `"}]`})
	got := s.fetch(t, id, other)
	if resolve.ClassOf(got[0].Err) != resolve.NotFound || got[1].Secret.Reveal() != canary {
		t.Errorf("through bws: %v, and the secret itself %q, %v", got[0].Err, got[1].Secret.Reveal(), got[1].Err)
	}
}

// What a human can mend has a command for it, by the program; denied has none.
func TestHints(t *testing.T) {
	t.Parallel()
	for program, hints := range map[string]map[resolve.Class]string{
		"bw":  mend,
		"rbw": unlock,
		"bws": token, // which is never locked
	} {
		for _, class := range []resolve.Class{resolve.NotLoggedIn, resolve.Locked, resolve.Expired, resolve.Denied} {
			exempt := class == resolve.Denied || program == "bws" && class == resolve.Locked
			if (hints[class] == "") != exempt {
				t.Errorf("%s, %s: %q", program, class, hints[class])
			}
		}
	}
	p, err := New(resolve.Setup{Settings: map[string]string{"through": "bws", "program": tooltest.Program(t, "bws")}, Env: []string{"HOME=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Probe(context.Background())
	if e, ok := err.(*resolve.Error); !ok || e.Hint != tokenHint {
		t.Errorf("without a token: %#v", err)
	}
}

// A NUL in a value is the value's: whether it can be a variable is not for a store to say.
func TestNUL(t *testing.T) {
	t.Parallel()
	const value, item = "a\x00b", `{"id":"` + id1 + `","name":"nul","type":1,"login":{"password":"a\u0000b"}}`
	served := newServer(t)
	served.items = "[" + item + "]"
	for program, fetch := range map[string]func(*testing.T, ...string) []resolve.Result{
		"bw":    newStage(t, "bw", "", map[string]string{"items": "[" + item + "]"}).fetch,
		"rbw":   newStage(t, "rbw", "", rbwFiles("["+item+"]")).fetch,
		"bws":   newStage(t, "bws", "", map[string]string{"secrets": `[{"id":"` + id1 + `","key":"nul","value":"a\u0000b"}]`}).fetch,
		"serve": served.fetch,
	} {
		want(t, program, fetch(t, "nul")[0], value, "")
	}
}
