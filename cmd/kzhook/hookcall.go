package main

import (
	"strconv"

	"github.com/getkeyzero/kz/shell"
)

// A hookCall is the command line of hook-env.
type hookCall struct {
	shell *shell.Shell
	said  string
	pid   int
	off   bool
}

func parseHookCall(args []string) (call hookCall, err error) {
	for len(args) > 0 && err == nil {
		flag := args[0]
		args = args[1:]
		if flag == "--off" {
			call.off = true
			continue
		}
		if len(args) == 0 {
			return call, usageError("hook-env: " + flag + " wants a value")
		}
		switch flag {
		case "--shell":
			call.shell, err = shell.Named(args[0])
		case "--said":
			call.said = args[0]
		case "--pid":
			call.pid, err = strconv.Atoi(args[0])
		default:
			err = usageError("hook-env: unknown flag " + strconv.Quote(flag))
		}
		args = args[1:]
	}
	if err == nil && call.shell == nil {
		err = usageError("hook-env: --shell is missing")
	}
	return call, err
}
