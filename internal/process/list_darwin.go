package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func list() []info {
	processes, _ := unix.SysctlKinfoProcSlice("kern.proc.all")
	var all []info
	for i := range processes {
		all = append(all, described(&processes[i]))
	}
	return all
}

func look(pid int) (info, bool) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(p.Proc.P_pid) != pid {
		return info{}, false
	}
	return described(p), true
}

func described(p *unix.KinfoProc) info {
	const zombie = 5 // SZOMB
	start := fmt.Sprint(p.Proc.P_starttime.Sec, ".", p.Proc.P_starttime.Usec)
	return info{ID: ID{int(p.Proc.P_pid), start}, parent: int(p.Eproc.Ppid), zombie: p.Proc.P_stat == zombie}
}
