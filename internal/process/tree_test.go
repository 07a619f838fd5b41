package process

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTree(t *testing.T) {
	cmd := exec.Command("sh", "-c", "(sleep 30; true) & sleep 30 & echo ready; wait; wait")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	var tree []ID
	for end := time.Now().Add(10 * time.Second); len(tree) != 4 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		tree = Tree(cmd.Process.Pid)
	}
	if len(tree) != 4 || tree[0].pid != cmd.Process.Pid {
		t.Fatalf("the shell, its two children and one of theirs are %v", tree)
	}
	for _, id := range tree {
		if other := (ID{id.pid, id.start + "1"}); !id.Running() || other.Running() {
			t.Errorf("%v: running %v, and with another start %v", id, id.Running(), other.Running())
		}
		id.Signal(syscall.SIGKILL)
	}
	for end := time.Now().Add(10 * time.Second); tree[0].Running() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if tree[0].Running() {
		t.Error("a process that has ended counts as running until it is waited for")
	}
	_ = cmd.Wait()
	if got := Tree(cmd.Process.Pid); len(got) > 0 {
		t.Errorf("after its end the tree is %v", got)
	}
	if got := Tree(os.Getppid()); len(got) > 0 {
		t.Errorf("of a process that is no child the tree is %v", got)
	}
}

// The name of a program can look like what follows it.
func TestTreeOfStrangeName(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/a) Z 1 (b"
	data, err := os.ReadFile(sleep)
	if err == nil {
		err = os.WriteFile(path, data, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "30")
	cmd.Args[0] = "sleep"
	if err := cmd.Start(); err != nil {
		t.Skip(strings.TrimSpace(err.Error()))
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if tree := Tree(cmd.Process.Pid); len(tree) != 1 || !tree[0].Running() {
		t.Errorf("the tree is %v", tree)
	}
}
