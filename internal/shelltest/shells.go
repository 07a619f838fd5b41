package shelltest

import _ "embed"

var (
	//go:embed start.bash
	startBash string
	//go:embed start.zsh
	startZsh string
	//go:embed start.fish
	startFish string
)

// A shell is how one shell is started and spoken to.
type shell struct {
	start     string                      // start-up script; it reads the file rc beside it
	startFile string                      // name of that script
	args      func(start string) []string // arguments that make the shell read it
	typed     string                      // or else a line that does, FILE being its path

	redirect string // a line, with its output to a file: both as %s
	status   string // prints the last status
}

var shells = map[string]shell{
	"bash": {
		start:     startBash,
		startFile: "start.bash",
		// Not --rcfile: where bash is built with a system-wide file, as in Debian,
		// it reads /etc/bash.bashrc as well.
		args:     func(string) []string { return []string{"--noprofile", "--norc", "-i"} },
		typed:    ". 'FILE'",
		redirect: "{ %s; } >'%s'",
		status:   `\builtin echo "$?"`,
	},
	"zsh": {
		start:     startZsh,
		startFile: ".zshrc",
		args:      func(string) []string { return []string{"-o", "no_global_rcs", "-i"} },
		redirect:  "{ %s; } >'%s'",
		status:    `\builtin \echo "$?"`,
	},
	"fish": {
		start:     startFish,
		startFile: "start.fish",
		args:      func(start string) []string { return []string{"--no-config", "-C", "source '" + start + "'", "-i"} },
		redirect:  "begin; %s; end >'%s'",
		status:    "builtin echo $status",
	},
}
