package process

import (
	"os"
	"strconv"
	"strings"
)

// list returns what is known of all processes, nothing without /proc.
func list() []info {
	entries, _ := os.ReadDir("/proc")
	var all []info
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := look(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// look reads /proc/PID/stat, where the second field, the program's name in
// parentheses, can have any character.
func look(pid int) (info, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return info{}, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 { // as many as there are up to the time of the start
		return info{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return info{ID: ID{pid, fields[19]}, parent: parent, zombie: fields[0] == "Z" || fields[0] == "X"}, err == nil
}
