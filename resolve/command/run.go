package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/getkeyzero/kz/resolve"
)

const (
	maxOutput = 1 << 20
	maxTail   = 64 << 10 // of what the program writes to stderr

	// patience is how long a program may take to terminate when asked to, and how long
	// its output may stay open after its end.
	patience = 200 * time.Millisecond
)

// run runs the program once and returns what it printed.
func (p *Provider) run(ctx context.Context, program string, args, env []string) (resolve.Secret, error) {
	if err := ended(ctx, p.closing); err != nil {
		return resolve.Secret{}, err
	}
	c, err := start(program, args, env)
	if err != nil {
		return resolve.Secret{}, resolve.Errorf(resolve.NoTool, "program %q: %v", program, cause(err))
	}
	err = c.await(ctx, p.closing)
	state := c.end()
	switch {
	case err != nil:
		return resolve.Secret{}, err
	case len(c.stdout.data) > maxOutput:
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the program printed more than %d bytes", maxOutput)
	case state == nil:
		return resolve.Secret{}, errors.New("the program cannot be ended")
	case !state.Success():
		return resolve.Secret{}, failure(state, c.stderr.data)
	}
	text := trimNewline(c.stdout.data)
	if len(text) == 0 {
		return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the program printed nothing")
	}
	return resolve.NewSecret(string(text)), nil
}

func ended(ctx context.Context, closing <-chan struct{}) error {
	select {
	case <-closing:
		return context.Canceled
	default:
		return ctx.Err()
	}
}

func trimNewline(text []byte) []byte {
	if line, ok := bytes.CutSuffix(text, []byte("\n")); ok {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return text
}

// A child is a running program with the process group that it leads.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the program has ended, before it is reaped
	stdout *stream
	stderr *stream
}

func start(program string, args, env []string) (*child, error) {
	stdout, out, err := newStream()
	if err != nil {
		return nil, err
	}
	stderr, errs, err := newStream()
	if err != nil {
		_, _ = stdout.pipe.Close(), out.Close()
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: program, Args: args, Env: env, Dir: "/", Stdout: out, Stderr: errs,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	err = cmd.Start()
	_, _ = out.Close(), errs.Close()
	if err != nil {
		_, _ = stdout.pipe.Close(), stderr.pipe.Close()
		return nil, err
	}
	c := &child{cmd, make(chan struct{}), stdout, stderr}
	go func() {
		awaitExit(cmd.Process.Pid)
		close(c.exited)
	}()
	go stdout.read(readHead)
	go stderr.read(readTail)
	return c, nil
}

// await returns when the program has ended and its output with it, or was cut short.
func (c *child) await(ctx context.Context, closing <-chan struct{}) error {
	output := c.stdout.done
	var late <-chan time.Time
	for exited := c.exited; ; {
		select {
		case <-ctx.Done():
			c.terminate(closing)
			return ctx.Err()
		case <-closing:
			return context.Canceled
		case <-output:
			if exited == nil || len(c.stdout.data) > maxOutput {
				return nil
			}
			output = nil // closed, and the program goes on
		case <-exited:
			if output == nil {
				return nil
			}
			exited, late = nil, time.After(patience)
		case <-late: // something that the program left behind has it still
			return nil
		}
	}
}

// terminate asks the group to end and gives the program some time to do it.
func (c *child) terminate(closing <-chan struct{}) {
	c.signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-closing:
	case <-time.After(patience):
	}
}

// end kills what is left of the group, reaps the program and closes its output.
// It returns nil if the program does not end even so, as one that waits for a dead disk.
func (c *child) end() *os.ProcessState {
	// The program may have ended but is not reaped, so that its number, which
	// is the group's, cannot have been given to others.
	c.signal(syscall.SIGKILL)
	reaped := make(chan struct{})
	go func() {
		<-c.exited
		_ = c.cmd.Wait()
		close(reaped)
	}()
	var state *os.ProcessState
	late := time.After(patience)
	select {
	case <-reaped:
		state = c.cmd.ProcessState
	case <-late:
	}
	if state != nil && !state.Success() {
		select {
		case <-c.stderr.done: // all of it, to tell why
		case <-late:
		}
	}
	c.stdout.close()
	c.stderr.close()
	return state
}

func (c *child) signal(s syscall.Signal) { _ = syscall.Kill(-c.cmd.Process.Pid, s) }

// A stream is what a program writes to one descriptor.
type stream struct {
	pipe *os.File
	done chan struct{} // closed when nothing more will be added to data
	data []byte        // to be read after done
}

func newStream() (*stream, *os.File, error) {
	r, w, err := os.Pipe()
	return &stream{pipe: r, done: make(chan struct{})}, w, err
}

func (s *stream) read(how func(io.Reader) []byte) {
	s.data = how(s.pipe)
	close(s.done)
}

// close ends the reading, whoever still has the other end.
func (s *stream) close() {
	_ = s.pipe.Close()
	<-s.done
}

func readHead(r io.Reader) []byte {
	data, _ := io.ReadAll(io.LimitReader(r, maxOutput+1))
	return data
}

func readTail(r io.Reader) []byte {
	var tail []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		tail = append(tail, buf[:n]...)
		if len(tail) > 2*maxTail {
			tail = append(tail[:0], tail[len(tail)-maxTail:]...)
		}
		if err != nil {
			return tail[max(0, len(tail)-maxTail):]
		}
	}
}

// failure returns the error of a program that did not succeed, without what it wrote.
func failure(state *os.ProcessState, stderr []byte) error {
	if class := classify(stderr); class != "" {
		return &resolve.Error{Class: class}
	}
	return resolve.Errorf("", "the program ended with %v", state) // of no class, and yet an answer, which others need not ask for again
}
