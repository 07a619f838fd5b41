//go:build unix

package age

import (
	"errors"
	"os/exec"
	"regexp"
	"sync/atomic"

	"filippo.io/age/plugin"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/resolve"
)

// names are what plug-ins may be called. Age's own rule lets more pass, and once let a path.
var names = regexp.MustCompile(`^[a-z0-9][a-z0-9+._-]*$`)

var errNobody = errors.New("there is nobody to ask")

// A talk is what a plug-in says. It may show the user something, and ask nothing.
type talk struct {
	plugin.ClientUI
	asked atomic.Bool
}

func (p *Provider) talk() *talk {
	t := &talk{}
	t.DisplayMessage = func(name, message string) error {
		p.tell("age-plugin-" + name + ": " + printable.Text(message[:min(len(message), 200)]))
		return nil
	}
	t.RequestValue = func(string, string, bool) (string, error) { t.asked.Store(true); return "", errNobody }
	t.Confirm = func(string, string, string, string) (bool, error) { t.asked.Store(true); return false, errNobody }
	t.WaitTimer = func(name string) { p.tell("age-plugin-" + name + " is waiting: touch your key?") }
	return t
}

// plugged returns the identity of a plug-in. The program is looked for when it is needed.
func (p *Provider) plugged(line string) (asking, error) {
	ui := p.talk()
	id, err := plugin.NewIdentity(line, &ui.ClientUI)
	if err != nil || !names.MatchString(id.Name()) {
		return asking{}, resolve.Errorf(resolve.Malformed, "an identity of a plug-in is malformed")
	}
	return asking{id, ui.refusal(id.Name()), func() error { return p.checkPlugin(id.Name()) }}, nil
}

// refusal returns what the error of a plug-in means. Its text may be anything.
func (t *talk) refusal(name string) func(error) error {
	return func(err error) error {
		switch {
		case t.asked.Load():
			return resolve.Errorf(resolve.PromptNeeded, "age-plugin-%s asks for a PIN or a confirmation, which kz does not pass on", name)
		case notFound(err):
			return resolve.Errorf(resolve.NoTool, "age-plugin-%s cannot be started", name)
		}
		return resolve.Errorf(resolve.Denied, "age-plugin-%s could not use its key", name)
	}
}

// checkPlugin returns nil if the program of a plug-in may be run. Age starts it by its name,
// along the PATH of this process: what that leads to must be what kz would take.
func (p *Provider) checkPlugin(name string) error {
	program, err := p.programs.Find("age-plugin-" + name)
	if err != nil {
		return err
	}
	if path, err := exec.LookPath("age-plugin-" + name); err != nil || path != program.Path {
		return resolve.Errorf(resolve.NoTool, "age-plugin-%s: PATH leads to another program than %s", name, program.Path)
	}
	if p.setup.Getenv("AGEDEBUG") != "" { // age would print the file's key
		return resolve.Errorf(resolve.NoTool, "plug-ins are not run while AGEDEBUG is set")
	}
	return nil
}
