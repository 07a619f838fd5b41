package tool

import (
	"context"
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

func (r *Runner) run(ctx context.Context, p Program, call Call) (Outcome, error) {
	if err := ended(ctx, r.closing); err != nil {
		return Outcome{}, err
	}
	c, err := start(p, call)
	if err != nil {
		return Outcome{}, resolve.Errorf(resolve.NoTool, "program %q: %v", p.Path, cause(err))
	}
	err = c.await(ctx, r.closing)
	state := c.end()
	switch {
	case err != nil:
		return Outcome{}, err
	case len(c.stdout.data) > call.Most:
		return Outcome{}, resolve.Errorf(resolve.Malformed, "the program printed more than %d bytes", call.Most)
	case state == nil:
		return Outcome{}, errImmortal
	}
	return Outcome{c.stdout.data, c.stderr.data, state}, nil
}

func ended(ctx context.Context, closing <-chan struct{}) error {
	select {
	case <-closing:
		return context.Canceled
	default:
		return ctx.Err()
	}
}

// A child is a running program with the process group that it leads.
type child struct {
	cmd    *exec.Cmd
	most   int
	exited chan struct{} // closed when the program has ended, before it is reaped
	stdout *stream
	stderr *stream
	events *stream  // nil if nobody listens
	stdin  *os.File // our end; nil if the program gets nothing
}

// start starts a program. What it inherits is closed here in any case, so that only
// the program and what it starts have it.
func start(p Program, call Call) (*child, error) {
	c := &child{most: call.Most, exited: make(chan struct{})}
	cmd := &exec.Cmd{
		Path: p.Path, Args: append([]string{p.Path}, call.Args...), Env: append(append([]string{}, call.Env...), p.env...), Dir: "/", // not nil, which exec would take for the environment of this process
		SysProcAttr: attributes(call.Alone),
	}
	theirs, err := c.connect(cmd, call)
	if err == nil {
		err = cmd.Start()
	}
	for _, f := range theirs {
		_ = f.Close()
	}
	if err != nil {
		c.disconnect()
		return nil, err
	}
	c.cmd = cmd
	go func() {
		awaitExit(cmd.Process.Pid)
		close(c.exited)
	}()
	c.converse(call)
	return c, nil
}

// connect gives the program its descriptors, and returns the ends of pipes that are its own.
func (c *child) connect(cmd *exec.Cmd, call Call) (theirs []*os.File, err error) {
	writer := func(s **stream) *os.File {
		if err != nil {
			return nil
		}
		var w *os.File
		if *s, w, err = newStream(); err == nil {
			theirs = append(theirs, w)
		}
		return w
	}
	if out := writer(&c.stdout); err == nil {
		cmd.Stdout = out
	}
	if out := writer(&c.stderr); err == nil {
		cmd.Stderr = out
	}
	if call.Events != nil {
		if out := writer(&c.events); err == nil {
			cmd.ExtraFiles = []*os.File{out}
		}
	}
	if call.Stdin != nil && err == nil {
		var in *os.File
		if in, c.stdin, err = os.Pipe(); err == nil {
			theirs, cmd.Stdin = append(theirs, in), in
		}
	}
	return theirs, err
}

func (c *child) disconnect() {
	for _, s := range []*stream{c.stdout, c.stderr, c.events} {
		if s != nil {
			_ = s.pipe.Close()
		}
	}
	if c.stdin != nil {
		_ = c.stdin.Close()
	}
}

func (c *child) converse(call Call) {
	go c.stdout.read(func(r io.Reader) []byte { return readHead(r, c.most) })
	go c.stderr.read(readTail)
	if c.events != nil {
		go c.events.read(func(io.Reader) []byte { call.Events(c.events.pipe); return nil })
	}
	if c.stdin != nil {
		go func() {
			_, _ = c.stdin.Write(call.Stdin) // who does not read it to the end has enough
			_ = c.stdin.Close()
		}()
	}
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
			if exited == nil || len(c.stdout.data) > c.most {
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
	if c.stdin != nil {
		_ = c.stdin.Close()
	}
	for _, s := range []*stream{c.stdout, c.stderr, c.events} {
		if s != nil {
			s.close()
		}
	}
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

func readHead(r io.Reader, most int) []byte {
	data, _ := io.ReadAll(io.LimitReader(r, int64(most)+1))
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
