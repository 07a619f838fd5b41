package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/project"
)

// nearest returns the configuration of the directory, or of the one that a
// command was given, which may also name the file itself.
func (inv *invocation) nearest(list []string) (string, error) {
	dir := inv.dir
	if len(list) > 0 {
		dir = list[0]
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(inv.dir, dir)
		}
		info, err := os.Stat(dir)
		_, missing := os.Lstat(dir)
		switch {
		case filepath.Base(dir) == config.Name && missing == nil:
			dir = filepath.Dir(dir)
		case err != nil || !info.IsDir():
			return "", &notFound{fmt.Sprintf("%s: no such directory", dir), ""}
		}
	}
	path, ok := config.Find(filepath.Clean(dir), inv.places.home)
	if !ok {
		return "", &notFound{fmt.Sprintf("there is no %s in %s or above it", config.Name, dir), program + " init"}
	}
	return path, nil
}

// opened is the allowed project of the directory, with what it is opened in.
type opened struct {
	*project.Project
	user   config.User
	memory memory
}

// open opens the project of the directory in the environment chosen, "" for
// what variables say.
func (inv *invocation) open(environment string) (opened, error) {
	var o opened
	path, err := inv.nearest(nil)
	if err != nil {
		return o, err
	}
	if o.user, err = inv.user(); err != nil {
		return o, err
	}
	// What cannot be read of earlier loads does not matter to a fresh one.
	o.memory, _ = inv.remember()
	o.Project, err = inv.opener(o.user, o.memory.outer, environment).Open(path)
	return o, err
}

// review reads the configuration at path whether or not it is allowed, in no
// environment, to show it.
func (inv *invocation) review(path string) (*project.Project, config.User, error) {
	user, err := inv.user()
	if err != nil {
		return nil, user, err
	}
	opener := inv.opener(user, nil, "")
	p, err := opener.Review(path)
	return p, user, err
}

// entry returns the entry of that name.
func entryOf(p *project.Project, name string) (config.Entry, error) {
	var names []string
	for _, e := range p.Entries {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return config.Entry{}, &notFound{fmt.Sprintf("%s: not in %s%s", name, inFile(p), didYouMean(name, names)), ""}
}

func inFile(p *project.Project) string { return filepath.Base(p.Path) }
