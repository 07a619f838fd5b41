package awsidentity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/getkeyzero/kz/internal/rest/resttest"
	"github.com/getkeyzero/kz/resolve"
)

// environment has what the SDK looks at in the process, and no machine's metadata service.
func environment(t *testing.T, more map[string]string) {
	t.Helper()
	all := map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-key", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none",
		"AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "HOME": t.TempDir(),
	}
	for name, value := range more {
		all[name] = value
	}
	for name, value := range all {
		t.Setenv(name, value)
	}
}

// What is signed is made again here by AWS's public description of version 4.
func TestSignature(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r, err := sign(t.Context(), aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "canary-key", SessionToken: "session"}, "sts.eu-west-1.amazonaws.com", "eu-west-1", now)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	canonical := strings.Join([]string{"POST", "/", "",
		fmt.Sprintf("content-length:%d", len(r.Body)), "content-type:" + r.Header.Get("Content-Type"), "host:" + r.Host,
		"x-amz-date:20260102T030405Z", "x-amz-security-token:session", "",
		"content-length;content-type;host;x-amz-date;x-amz-security-token", sum(r.Body)}, "\n")
	key := []byte("AWS4canary-key")
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	for _, part := range []string{"20260102", "eu-west-1", "sts", "aws4_request"} {
		key = mac(part)
	}
	want := "Signature=" + hex.EncodeToString(mac("AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/eu-west-1/sts/aws4_request\n"+sum(canonical)))
	if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, want) {
		t.Errorf("signed %q, want %q at its end", got, want)
	}
	if r.Method != "POST" || r.Body != "Action=GetCallerIdentity&Version=2011-06-15" || r.Address() != "https://sts.eu-west-1.amazonaws.com/" {
		t.Errorf("the request is %s %s with %q", r.Method, r.Address(), r.Body)
	}
}

func TestWhere(t *testing.T) {
	for region, want := range map[string]string{
		"": "us-east-1", "eu-central-1": "eu-central-1", "us-gov-west-1": "us-gov-west-1",
		"evil.example/": "us-east-1", "EU": "us-east-1", strings.Repeat("a", 21): "us-east-1",
	} {
		environment(t, map[string]string{"AWS_REGION": region})
		r, err := Regional(t.Context())
		if err != nil || r.Host != "sts."+want+".amazonaws.com" || !strings.Contains(r.Header.Get("Authorization"), "/"+want+"/sts/") {
			t.Errorf("for the region %q: %s, %v", region, r.Host, err)
		}
		r, err = Global(t.Context())
		if err != nil || r.Host != "sts.amazonaws.com" || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/sts/") {
			t.Errorf("global, for the region %q: %s, %v", region, r.Host, err)
		}
		if strings.Contains(fmt.Sprint(r), "canary") {
			t.Errorf("the key is in the request: %v", r)
		}
	}
}

func TestNoIdentity(t *testing.T) {
	for name, more := range map[string]map[string]string{
		"nobody":                      {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
		"a profile that is not there": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "canary"},
	} {
		environment(t, more)
		for _, f := range []func(context.Context) (Request, error){Global, Regional} {
			_, err := f(t.Context())
			if resolve.ClassOf(err) != resolve.NotLoggedIn {
				t.Errorf("%s: %v", name, err)
			}
			resttest.Discreet(t, err, "canary")
		}
	}
	environment(t, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Global(ended); err != context.Canceled {
		t.Errorf("after ctx ended: %v", err)
	}
}
