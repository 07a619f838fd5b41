package aws

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// What the tests keep looking for where it must not be.
const (
	canary    = "kz-canary-7d31"
	secretKey = "kz-canary-key-c0de"
)

// The SDK reads the environment of the process for what it has no option for, and it
// must not find the developer's.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			_ = os.Unsetenv(name)
		}
	}
	home, err := os.MkdirTemp("", "kz-aws-")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("HOME", home)
	status := m.Run()
	_ = os.RemoveAll(home)
	os.Exit(status)
}

// A standIn answers for AWS, written from the public API reference: Secrets Manager, the
// Parameter Store and STS at one address.
type standIn struct {
	*httptest.Server
	caFile     string
	secrets    map[string]string // current values by name
	versions   map[string]string // by name?version or name?stage
	binary     map[string][]byte
	parameters map[string]string // by name or name:version
	deny       map[string]bool   // actions and names that are refused
	faults     map[string]fault  // names that batches fail at while they have the others

	// intercept, if not nil, may answer instead: it returns true if it did.
	intercept func(w http.ResponseWriter, r *http.Request, action string, n int) bool

	mu    sync.Mutex
	calls map[string]int
	keys  []string // which access keys signed
	seen  []string // bodies of what was asked
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{
		calls: map[string]int{}, secrets: map[string]string{}, versions: map[string]string{}, binary: map[string][]byte{},
		parameters: map[string]string{}, deny: map[string]bool{},
	}
	s.Server = httptest.NewUnstartedServer(s)
	s.Server.Config.ErrorLog = silent()
	s.StartTLS()
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	s.caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *standIn) count(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[action]
}

func (s *standIn) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		n += c
	}
	return n
}

// batches returns for how many names each request was.
func (s *standIn) batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []int
	for _, body := range s.seen {
		var q request
		_ = json.Unmarshal([]byte(body), &q)
		names = append(names, len(q.SecretIdList))
	}
	return names
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	form, _ := url.ParseQuery(string(body))
	if action == "" {
		action = form.Get("Action")
	}
	s.mu.Lock()
	s.calls[action]++
	n := s.calls[action]
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	s.keys = append(s.keys, strings.SplitN(key, "/", 4)...)
	s.seen = append(s.seen, string(body))
	s.mu.Unlock()
	switch {
	case s.intercept != nil && s.intercept(w, r, action, n):
	case s.deny[action] && form.Get("Action") != "":
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(403)
		fmt.Fprintf(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>%s</Message></Error></ErrorResponse>`, canary)
	case s.deny[action]:
		refuse(w, 400, "AccessDeniedException")
	case form.Get("Action") != "":
		s.sts(w, action)
	default:
		s.json(w, action, body)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":%q,"Message":"%s of user %s is not allowed"}`, code, canary, canary)
}

func (s *standIn) sts(w http.ResponseWriter, action string) {
	w.Header().Set("Content-Type", "text/xml")
	switch action {
	case "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ada</Arn><UserId>U</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	default:
		fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>ROLEKEY</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action, secretKey)
	}
}

// A request has the members of all requests that are answered here.
type request struct {
	SecretId, VersionId, VersionStage, Name, SecretString, Type, Value string
	SecretBinary                                                       []byte
	SecretIdList, Names                                                []string
	Overwrite, WithDecryption                                          bool
}

const account = "123456789012"

func arnOf(name string) string {
	return "arn:aws:secretsmanager:eu-central-1:" + account + ":secret:" + name + "-AbCdEf"
}

func (s *standIn) json(w http.ResponseWriter, action string, body []byte) {
	var q request
	_ = json.Unmarshal(body, &q)
	var answer map[string]any
	switch action {
	case "GetSecretValue":
		var code string
		if answer, code = s.secret(q.SecretId, q.VersionId+q.VersionStage); answer == nil {
			refuse(w, 400, code)
			return
		}
	case "BatchGetSecretValue":
		answer = s.batch(q)
	case "GetParameters":
		if answer = s.values(q); answer == nil {
			refuse(w, 400, "AccessDeniedException")
			return
		}
	case "PutSecretValue":
		if answer, _ = s.secret(q.SecretId, ""); answer == nil {
			refuse(w, 400, "ResourceNotFoundException")
			return
		}
		s.put(q.SecretId, q)
	case "CreateSecret":
		s.put(q.Name, q)
	case "PutParameter":
		if q.Type != "SecureString" || !q.Overwrite {
			refuse(w, 400, "ParameterAlreadyExists")
			return
		}
		s.mu.Lock()
		s.parameters[q.Name] = q.Value
		s.mu.Unlock()
	case "ListSecrets", "DescribeParameters":
		answer = s.list(action)
	default:
		refuse(w, 400, "UnknownOperationException")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(answer)
}

func nameOf(id string) string {
	if strings.HasPrefix(id, "arn:") {
		return strings.TrimSuffix(id[strings.LastIndex(id, ":")+1:], "-AbCdEf")
	}
	return id
}

func (s *standIn) put(id string, q request) {
	name := nameOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.SecretBinary != nil {
		s.binary[name] = q.SecretBinary
	} else {
		s.secrets[name] = q.SecretString
	}
}

func (s *standIn) secret(id, version string) (map[string]any, string) {
	name := nameOf(id)
	if s.deny[name] {
		return nil, "AccessDeniedException"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := arnOf(name)
	if strings.HasPrefix(id, "arn:") {
		arn = strings.TrimSuffix(id, "-AbCdEf") + "-AbCdEf"
	}
	answer := map[string]any{"Name": name, "ARN": arn, "VersionId": version}
	text, ok := s.secrets[name]
	if version != "" {
		text, ok = s.versions[name+"?"+version]
	}
	if ok {
		answer["SecretString"] = text
	} else if answer["SecretBinary"], ok = s.binary[name]; !ok {
		return nil, "ResourceNotFoundException"
	}
	return answer, ""
}

// A fault is the code of an entry among the errors of a batch, so many times.
type fault struct {
	code  string
	times int
}

func (s *standIn) batch(q request) map[string]any {
	values, errs := []any{}, []any{}
	for _, id := range q.SecretIdList {
		if f := s.faults[id]; s.count("BatchGetSecretValue") <= f.times {
			errs = append(errs, map[string]string{"SecretId": id, "ErrorCode": f.code, "Message": canary})
		} else if v, code := s.secret(id, ""); v != nil {
			values = append(values, v)
		} else {
			errs = append(errs, map[string]string{"SecretId": id, "ErrorCode": code, "Message": canary})
		}
	}
	slices.Reverse(values) // no order is promised
	return map[string]any{"SecretValues": values, "Errors": errs}
}

func (s *standIn) values(q request) map[string]any {
	found, invalid := []any{}, []string{}
	for _, id := range q.Names {
		name, version, _ := strings.Cut(id[strings.LastIndex(id, "parameter/")+1:], ":")
		arn := "arn:aws:ssm:eu-central-1:" + account + ":parameter/" + strings.TrimPrefix(name, "/")
		if strings.HasPrefix(id, "arn:") {
			name, version, _ = strings.Cut(strings.TrimPrefix(id, "arn:aws:ssm:eu-central-1:"+account+":parameter"), ":")
			arn = "arn:aws:ssm:eu-central-1:" + account + ":parameter" + name
		}
		if s.deny[name] {
			return nil // as AWS refuses all for one
		}
		selected := name
		if version != "" {
			selected += ":" + version
		}
		text, ok := s.parameters[selected]
		if !ok || !q.WithDecryption {
			invalid = append(invalid, id)
			continue
		}
		v := map[string]any{"Name": name, "ARN": arn, "Value": text, "Type": "SecureString"}
		if version != "" {
			v["Selector"] = ":" + version
		}
		found = append(found, v)
	}
	slices.Reverse(found)
	return map[string]any{"Parameters": found, "InvalidParameters": invalid}
}

func (s *standIn) list(action string) map[string]any {
	names := []any{}
	of, key := s.secrets, "SecretList"
	if action == "DescribeParameters" {
		of, key = s.parameters, "Parameters"
	}
	for name := range of {
		names = append(names, map[string]string{"Name": name})
	}
	return map[string]any{key: names}
}

// setup is one in which the stand-in is the store and static keys are the identity.
func (s *standIn) setup(more ...string) resolve.Setup {
	return resolve.Setup{
		Settings: map[string]string{"address": s.URL, "ca_file": s.caFile, "region": "eu-central-1"},
		Env:      append([]string{"HOME=" + filepath.Dir(s.caFile), "AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=" + secretKey}, more...),
	}
}

func (s *standIn) provider(t *testing.T) *Provider {
	t.Helper()
	return newProvider(t, s.setup())
}

func newProvider(t *testing.T, setup resolve.Setup) *Provider {
	t.Helper()
	p, err := New(setup)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fetch(t *testing.T, p *Provider, paths ...string) []resolve.Result {
	t.Helper()
	return fetchWithin(t, p, 10*time.Second, paths...)
}

func fetchWithin(t *testing.T, p *Provider, limit time.Duration, paths ...string) []resolve.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	refs := make([]resolve.Ref, len(paths))
	for i, path := range paths {
		refs[i].Path = path
	}
	results := p.Fetch(ctx, refs)
	if len(results) != len(refs) {
		t.Fatalf("%d results for %d references", len(results), len(refs))
	}
	for _, r := range results {
		check(t, r.Err)
	}
	return results
}

// check looks for what must not be in an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	if e := new(resolve.Error); asError(err, &e) {
		text += e.Hint
	}
	if strings.Contains(text, canary) || strings.Contains(text, secretKey) || strings.ContainsRune(text, '\n') {
		t.Errorf("the error tells too much: %q", text)
	}
}

// wants compares results with texts, of which those in <> are classes.
func wants(t *testing.T, results []resolve.Result, want ...string) {
	t.Helper()
	for i, r := range results {
		got := r.Secret.Reveal()
		if r.Err != nil {
			got = "<" + string(resolve.ClassOf(r.Err)) + ">"
		}
		if got != want[i] {
			t.Errorf("reference %d gives %.80q, want %.80q (%v)", i, got, want[i], r.Err)
		}
	}
}
