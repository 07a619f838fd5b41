package aws

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// homed is a setup whose identity is in the files of a home directory of its own, and
// not in the environment. Nobody answers as the metadata service.
func (s *standIn) homed(t *testing.T, files map[string]string, more ...string) resolve.Setup {
	t.Helper()
	home := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(home, ".aws", name), text)
	}
	setup := s.setup()
	setup.Env = append([]string{"HOME=" + home, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1"}, more...)
	return setup
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// identified fetches one secret, and returns how that failed.
func identified(t *testing.T, setup resolve.Setup) *resolve.Error {
	t.Helper()
	e := &resolve.Error{}
	if err := fetch(t, newProvider(t, setup), "a")[0].Err; err != nil && !asError(err, &e) {
		t.Fatalf("an error without a class: %v", err)
	}
	return e
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	files := map[string]string{
		"credentials": "[default]\naws_access_key_id=DEFAULTKEY\naws_secret_access_key=" + secretKey + "\n[work]\naws_access_key_id=WORKKEY\naws_secret_access_key=" + secretKey,
		"config":      "[profile work]\nregion=eu-west-3\n",
	}
	static := []string{"AWS_ACCESS_KEY_ID=ENVKEY", "AWS_SECRET_ACCESS_KEY=" + secretKey}
	for name, c := range map[string]struct {
		profile string
		env     []string
		want    string
	}{
		"nothing":                  {"", nil, "DEFAULTKEY"},
		"setting":                  {"work", nil, "WORKKEY"},
		"variable":                 {"", []string{"AWS_PROFILE=work"}, "WORKKEY"},
		"setting before variable":  {"work", []string{"AWS_PROFILE=default"}, "WORKKEY"},
		"setting before keys":      {"work", static, "WORKKEY"},
		"keys before the files":    {"", static, "ENVKEY"},
		"keys before the variable": {"", append([]string{"AWS_PROFILE=work"}, static...), "ENVKEY"},
	} {
		t.Run(name, func(t *testing.T) {
			setup := s.homed(t, files, c.env...)
			delete(setup.Settings, "region")
			setup.Env = append(setup.Env, "AWS_DEFAULT_REGION=eu-west-1")
			if c.profile != "" {
				setup.Settings["profile"] = c.profile
			}
			s.keys = nil
			if e := identified(t, setup); e.Class != "" {
				t.Fatal(e)
			}
			if !slices.Contains(s.keys, c.want) {
				t.Errorf("signed with %q, want %s", s.keys, c.want)
			}
		})
	}
	t.Run("region of the profile", func(t *testing.T) {
		setup := s.homed(t, files, "AWS_PROFILE=work")
		delete(setup.Settings, "region")
		s.keys = nil
		if e := identified(t, setup); e.Class != "" || !slices.Contains(s.keys, "eu-west-3") {
			t.Errorf("%v; signed for %q", e, s.keys)
		}
	})
}

func TestNotSignedIn(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	static := "aws_access_key_id=K\naws_secret_access_key=" + secretKey + "\n"
	for name, c := range map[string]struct {
		config, profile string
		class           resolve.Class
		hint            string
	}{
		"nothing at all":      {"", "", resolve.NotLoggedIn, "aws configure"},
		"no such profile":     {"[default]\n" + static, "work", resolve.NotLoggedIn, "aws configure --profile work"},
		"SSO never begun":     {"[profile w]\nsso_session=none\nsso_account_id=1\nsso_role_name=r\n[sso-session none]\nsso_region=eu-west-1\nsso_start_url=https://x.invalid\n", "w", resolve.NotLoggedIn, "aws sso login --profile w"},
		"SSO over":            {"[profile w]\nsso_session=over\nsso_account_id=1\nsso_role_name=r\n[sso-session over]\nsso_region=eu-west-1\nsso_start_url=https://x.invalid\n", "w", resolve.Expired, "aws sso login --profile w"},
		"a role of SSO, over": {"[profile w]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=s\n[profile s]\nsso_session=over\nsso_account_id=1\nsso_role_name=r\n[sso-session over]\nsso_region=eu-west-1\nsso_start_url=https://x.invalid\n", "w", resolve.Expired, "aws sso login --profile s"},
		"SSO of old, over":    {"[profile w]\nsso_start_url=https://old.invalid\nsso_region=eu-west-1\nsso_account_id=1\nsso_role_name=r\n", "w", resolve.Expired, "aws sso login --profile w"},
		"a code is asked for": {"[default]\n" + static + "[profile w]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=default\nmfa_serial=arn:aws:iam::1:mfa/u\n", "w", resolve.PromptNeeded, ""},
		"a process fails":     {"[profile w]\ncredential_process=sh -c 'echo " + canary + "; exit 1'\n", "w", resolve.NotLoggedIn, "aws configure --profile w"},
		"a process says bosh": {"[profile w]\ncredential_process=echo '{\"Version\":1,\"x\":\"" + canary + "\"}'\n", "w", resolve.NotLoggedIn, "aws configure --profile w"},
		"a file of no form":   {"[profile w\n" + canary, "w", resolve.NotLoggedIn, "aws configure --profile w"},
		"half of a key":       {"[profile w]\naws_access_key_id=K\n", "w", resolve.NotLoggedIn, "aws configure --profile w"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for session, text := range map[string]string{"over": "2020-01-01T00:00:00Z", "https://old.invalid": "2020-01-01T00:00:00Z"} {
				sum := sha1.Sum([]byte(session))
				writeFile(t, filepath.Join(os.Getenv("HOME"), ".aws/sso/cache", hex.EncodeToString(sum[:])+".json"),
					`{"accessToken":"`+canary+`","expiresAt":"`+text+`"}`)
			}
			setup := s.homed(t, map[string]string{"config": c.config})
			if c.profile != "" {
				setup.Settings["profile"] = c.profile
			}
			e := identified(t, setup)
			if e.Class != c.class || e.Hint != c.hint {
				t.Errorf("%v (%v), hint %q, want %v and %q", e, e.Class, e.Hint, c.class, c.hint)
			}
		})
	}
	t.Cleanup(func() {
		if s.total() != 0 {
			t.Errorf("%v asked without an identity", s.calls)
		}
	})
}

// On a laptop nobody answers where EC2 has its metadata service.
func TestNoMetadata(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStandIn(t)
	setup := s.homed(t, nil)
	setup.Env = append(setup.Env, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://"+l.Addr().String())
	begin := time.Now()
	if e := identified(t, setup); e.Class != resolve.NotLoggedIn {
		t.Errorf("%v", e)
	}
	if took := time.Since(begin); took > 1500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = io.WriteString(w, "token")
		case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
			_, _ = io.WriteString(w, "role")
		default:
			_, _ = io.WriteString(w, `{"Code":"Success","AccessKeyId":"EC2KEY","SecretAccessKey":"`+secretKey+`","Token":"t","Expiration":"2099-01-01T00:00:00Z"}`)
		}
	}))
	defer metadata.Close()
	setup := s.homed(t, nil, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata.URL)
	setup.Env = append(setup.Env, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata.URL)
	if e := identified(t, setup); e.Class != "" || !slices.Contains(s.keys, "EC2KEY") {
		t.Errorf("%v; signed with %q", e, s.keys)
	}
	standing, err := newProvider(t, setup).Probe(context.Background())
	if want := (resolve.Standing{Through: s.URL, As: "arn:aws:iam::123456789012:user/ada", Credential: "metadata service", Asked: true}); err != nil || standing != want {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
	setup.Env = append(setup.Env, "AWS_EC2_METADATA_DISABLED=true")
	if e := identified(t, setup); e.Class != resolve.NotLoggedIn {
		t.Errorf("disabled, and %v", e)
	}
}

// The role of the settings is taken on with whatever identity there is.
func TestRole(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	setup := s.setup()
	setup.Settings["role_arn"] = "arn:aws:iam::123456789012:role/reader"
	if e := identified(t, setup); e.Class != "" || !slices.Contains(s.keys, "ROLEKEY") || s.count("AssumeRole") != 1 {
		t.Errorf("%v; %v, signed with %q", e, s.calls, s.keys)
	}
	if !strings.Contains(s.seen[0], "role%2Freader") {
		t.Errorf("AssumeRole is asked for by %q", s.seen[0])
	}
	s.deny["AssumeRole"] = true
	if e := identified(t, setup); e.Class != resolve.Denied {
		t.Errorf("refused, and %v", e)
	}
	delete(setup.Settings, "region")
	if e := identified(t, setup); e.Class != resolve.Malformed || !strings.Contains(e.Cause, "region") {
		t.Errorf("without a region %v", e)
	}
}

// SSO is asked by the SDK at its own place: the token of its session is not for the address.
func TestSSO(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	tokens := make(chan string, 9)
	sso := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("X-Amz-Sso_bearer_token")
		fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"SSOKEY","secretAccessKey":"%s","sessionToken":"t","expiration":4070908800000}}`, secretKey)
	}))
	defer sso.Close()
	sum := sha1.Sum([]byte("good"))
	writeFile(t, filepath.Join(os.Getenv("HOME"), ".aws/sso/cache", hex.EncodeToString(sum[:])+".json"), `{"accessToken":"`+canary+`","expiresAt":"2099-01-01T00:00:00Z"}`)
	setup := s.homed(t, map[string]string{"config": "[profile w]\nsso_session=good\nsso_account_id=1\nsso_role_name=r\nservices=s\n[sso-session good]\nsso_region=eu-west-1\nsso_start_url=https://x.invalid\n[services s]\nsso =\n  endpoint_url = " + sso.URL + "\n"})
	setup.Settings["profile"] = "w"
	if e := identified(t, setup); e.Class != "" || !slices.Contains(s.keys, "SSOKEY") || len(tokens) != 1 || <-tokens != canary {
		t.Errorf("%v; signed with %q", e, s.keys)
	}
	standing, err := newProvider(t, setup).Probe(context.Background())
	if err != nil || standing.Credential != "file ~/.aws/sso/cache" || !standing.Plain {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	setup := s.homed(t, map[string]string{"config": "[default]\ncredential_process=echo '{\"Version\":1,\"AccessKeyId\":\"PROCESSKEY\",\"SecretAccessKey\":\"" + secretKey + "\"}'\n"})
	if e := identified(t, setup); e.Class != "" || !slices.Contains(s.keys, "PROCESSKEY") {
		t.Errorf("%v; signed with %q", e, s.keys)
	}
	slow := s.homed(t, map[string]string{"config": "[default]\ncredential_process=sleep 5\n"})
	const limit = 300 * time.Millisecond
	within(t, limit, func() { wants(t, fetchWithin(t, newProvider(t, slow), limit, "a"), "<timeout>") })
}

// What the SDK has no option for comes from the environment of the process.
func TestWebIdentity(t *testing.T) {
	s := newStandIn(t)
	s.secrets["a"] = "1"
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, canary)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
	setup := s.homed(t, nil, "AWS_WEB_IDENTITY_TOKEN_FILE="+file)
	if e := identified(t, setup); e.Class != "" || !slices.Contains(s.keys, "ROLEKEY") || s.count("AssumeRoleWithWebIdentity") != 1 {
		t.Errorf("%v; %v, signed with %q", e, s.calls, s.keys)
	}
	standing, err := newProvider(t, setup).Probe(context.Background())
	if err != nil || standing.Credential != "environment AWS_WEB_IDENTITY_TOKEN_FILE" {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
	s.deny["AssumeRoleWithWebIdentity"] = true
	if e := identified(t, setup); e.Class != resolve.Denied {
		t.Errorf("refused, and %v", e)
	}
}

func TestContainer(t *testing.T) {
	s := newStandIn(t)
	s.secrets["a"] = "1"
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":"ECSKEY","SecretAccessKey":"%s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}`, secretKey)
	}))
	defer agent.Close()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL)
	if e := identified(t, s.homed(t, nil)); e.Class != "" || !slices.Contains(s.keys, "ECSKEY") {
		t.Errorf("%v; signed with %q", e, s.keys)
	}
}

// The variable names certificates that count besides those of ca_file.
func TestBundle(t *testing.T) {
	s := newStandIn(t)
	s.secrets["a"] = "1"
	t.Setenv("AWS_CA_BUNDLE", s.caFile)
	setup := s.setup()
	delete(setup.Settings, "ca_file")
	if e := identified(t, setup); e.Class != "" {
		t.Error(e)
	}
	if e := identified(t, s.setup()); e.Class != "" {
		t.Error(e)
	}
}

// An address of the settings comes before endpoints of the environment, and plain http
// is for this machine alone wherever it comes from.
func TestEndpoints(t *testing.T) {
	s := newStandIn(t)
	s.secrets["a"] = "1"
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://store.invalid")
	if e := identified(t, s.setup()); e.Class != "" {
		t.Error(e)
	}
	setup := s.setup()
	delete(setup.Settings, "address")
	if e := identified(t, setup); e.Class != resolve.Unreachable || !strings.Contains(e.Cause, "not of https") {
		t.Error(e)
	}
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL)
	if e := identified(t, setup); e.Class != "" {
		t.Error(e)
	}
}

func TestCAFile(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	s.secrets["a"] = "1"
	setup := s.setup()
	setup.Settings["ca_file"] = setup.Home() + "/ca.pem"
	if e := identified(t, setup); e.Class != "" {
		t.Error(e)
	}
	setup.Settings["ca_file"] = "/nonexistent"
	if results := fetch(t, newProvider(t, setup), "a"); results[0].Err == nil {
		t.Error("without its file it goes on")
	}
}

func TestPresent(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	setup := resolve.Setup{Env: []string{"HOME=" + home}}
	if got := Present(setup); got != "" {
		t.Errorf("nothing is there, and %q", got)
	}
	writeFile(t, filepath.Join(home, ".aws/credentials"), "")
	if got := Present(setup); got != "~/.aws/credentials" {
		t.Errorf("%q", got)
	}
	setup.Env = append(setup.Env, "AWS_PROFILE=x")
	if got := Present(setup); got != "environment AWS_PROFILE" {
		t.Errorf("%q", got)
	}
}
