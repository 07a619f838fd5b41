package process

import (
	"os"
	"syscall"
)

// An ID names a process, and no other that gets its number later.
type ID struct {
	pid   int
	start string // "" where the system does not tell
}

// info is what the system says of a process.
type info struct {
	ID
	parent int
	zombie bool
}

// Tree returns a child of this process and all of its descendants, each after
// its parent. Of a number that is no child's, or not any more, it returns nothing.
func Tree(pid int) []ID {
	all := list()
	if len(all) == 0 {
		return []ID{{pid: pid}}
	}
	var tree []ID
	for _, p := range all {
		if p.pid == pid && p.parent == os.Getpid() {
			tree = append(tree, p.ID)
		}
	}
	for i := 0; i < len(tree); i++ {
		for _, p := range all {
			if p.parent == tree[i].pid {
				tree = append(tree, p.ID)
			}
		}
	}
	return tree
}

// Running reports whether the process has not ended, be it that nobody has
// asked for its status yet.
func (id ID) Running() bool {
	if id.start == "" {
		return Alive(id.pid)
	}
	p, ok := look(id.pid)
	return ok && p.ID == id && !p.zombie
}

// Signal sends s to the process if it is still that one.
func (id ID) Signal(s syscall.Signal) {
	if id.Running() {
		_ = syscall.Kill(id.pid, s)
	}
}
