package aws

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

// moto is somebody else's reading of AWS's API, and so a check of the stand-in's.
func moto(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what is on PATH may be a script that starts it
	if err := cmd.Start(); err != nil {
		t.Skipf("moto_server cannot be started: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	address := "http://127.0.0.1:" + port
	for range 200 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = c.Close()
			return address
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Skip("moto_server does not answer within ten seconds")
	return ""
}

func TestMoto(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server")
	}
	p := newProvider(t, resolve.Setup{
		Settings: map[string]string{"address": moto(t), "region": "eu-central-1"},
		Env:      []string{"AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=" + secretKey},
	})
	ctx := context.Background()
	values := map[string]string{"sm://prod/db": `{"user":"ada"}`, "sm://bytes": "\xff\x00", "ssm:///app/url": canary, "ssm://flag": "on"}
	for ref, value := range values {
		for _, v := range []string{"before", value} {
			if err := p.Store(ctx, resolve.Ref{Path: ref}, resolve.NewSecret(v)); err != nil {
				t.Fatalf("%s: %v", ref, err)
			}
		}
		wants(t, fetch(t, p, ref), value)
	}
	wants(t, fetch(t, p, "sm://prod/db#user", "sm://bytes", "sm://prod/db?AWSPREVIOUS", "sm://absent", "ssm:///app/url", "ssm://flag", "ssm://flag:1", "ssm://absent"),
		"ada", "\xff\x00", "before", "<not_found>", canary, "on", "before", "<not_found>")
	var refs, want []string
	for i := range 45 {
		ref := fmt.Sprintf("sm://many/%d", i)
		if err := p.Store(ctx, resolve.Ref{Path: ref}, resolve.NewSecret(ref)); err != nil {
			t.Fatal(err)
		}
		refs, want = append(refs, ref), append(want, ref)
	}
	wants(t, fetch(t, p, refs...), want...)
	if names, err := p.List(ctx); err != nil || len(names) != 49 {
		t.Errorf("List gives %q, %v", names, err)
	}
	if standing, err := p.Probe(ctx); err != nil || standing.As == "" {
		t.Errorf("Probe gives %+v, %v", standing, err)
	}
}
