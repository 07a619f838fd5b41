// Package project takes a configuration from disk to values: it reads the files
// once, has them checked for consent before they are parsed, merges them into a
// plan, and resolves the plan.
package project

import (
	"path/filepath"
	"slices"

	"github.com/getkeyzero/kz/config"
	"github.com/getkeyzero/kz/trust"
	"github.com/getkeyzero/kz/watch"
)

// An Opener has what opening any project needs.
type Opener struct {
	Home  string
	User  config.User
	Trust trust.Store
	// Select picks one of the environments that the files have.
	Select func(sections []string) (string, error)
}

// A Project is a configuration with what it inherits from.
type Project struct {
	config.Plan
	Digest string
	// Files are the project file, its local file, and in the same way each
	// configuration further up that is inherited from.
	Files []config.File
	// Watch are the files on which all this depends, as they were before they
	// were read.
	Watch []watch.File

	user   config.User
	layers []*config.Layer
}

// Open reads the configuration at path if the user has agreed to it. On error
// the Project is not nil and has the files and watches that were met until then:
// the error is a *trust.BlockedError, or what config says.
func (o Opener) Open(path string) (*Project, error) { return o.open(path, true) }

// Review reads the configuration at path without asking for consent, to show it
// to the user. Nothing of it may be used.
func (o Opener) Review(path string) (*Project, error) { return o.open(path, false) }

func (o Opener) open(path string, consent bool) (*Project, error) {
	p := &Project{}
	layers, err := o.gather(p, path, consent, 0)
	if len(p.Files) > 0 {
		p.Path, p.Dir = p.Files[0].Path, filepath.Dir(p.Files[0].Path)
		p.Digest = trust.Digest(trusted(p.Files))
	}
	if err != nil {
		return p, err
	}
	p.user, p.layers = o.User, layers
	environment, err := o.Select(config.Sections(layers))
	if err != nil {
		return p, err
	}
	p.Plan, err = p.In(environment)
	return p, err
}

// In returns the plan for an environment, which need not be the one selected.
func (p *Project) In(environment string) (config.Plan, error) {
	plan, err := config.Merge(p.user, p.layers, environment)
	plan.Path, plan.Dir = p.Path, p.Dir
	return plan, err
}

// gather reads a project file, its local file and what they inherit from. It
// returns their layers, lowest first, and adds to p's files and watches.
func (o Opener) gather(p *Project, path string, check bool, level int) ([]*config.Layer, error) {
	first := len(p.Files)
	main, err := p.read(path, func() (config.File, error) { return config.Read(path) })
	if err != nil {
		return nil, err
	}
	local := filepath.Join(filepath.Dir(main.Path), config.LocalName)
	if _, err = p.read(local, func() (config.File, error) { return config.ReadBeside(main) }); err != nil {
		return nil, err
	}
	var consent trust.Consent
	if check {
		p.Watch = append(p.Watch, watch.Note(o.Trust.RecordPath(main.Path)))
		if consent, err = o.Trust.Check(trusted(p.Files[first:])); err != nil {
			return nil, err
		}
	}
	layers, err := parse(p.Files[first:])
	if err != nil || !layers[0].Inherit {
		return layers, err
	}
	inherited, err := o.inherit(p, main, check, level)
	if err == nil && check {
		err = consent.Covers(trusted(p.Files[first:]))
	}
	return append(inherited, layers...), err
}

func (o Opener) inherit(p *Project, main config.File, check bool, level int) ([]*config.Layer, error) {
	path, ok := config.FindAbove(filepath.Dir(main.Path), o.Home)
	// One that appears in between would be inherited from instead.
	for dir := filepath.Dir(filepath.Dir(main.Path)); ok && dir != filepath.Dir(path) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		p.Watch = append(p.Watch, watch.Note(filepath.Join(dir, config.Name)))
	}
	if !ok || level >= config.MaxLevels {
		return nil, &config.Error{Pos: config.Position{Path: main.Path}, Key: "inherit", Msg: "there is no " + config.Name + " further up"}
	}
	return o.gather(p, path, check, level+1)
}

// read notes the file before it is read, so that an edit in between shows later.
func (p *Project) read(path string, read func() (config.File, error)) (config.File, error) {
	p.Watch = append(p.Watch, watch.Note(path))
	f, err := read()
	if err == nil {
		p.Files = append(p.Files, f)
	}
	return f, err
}

// parse returns the layers of the first two of files, lowest first.
func parse(files []config.File) ([]*config.Layer, error) {
	var layers []*config.Layer
	for _, f := range files[:2] {
		l, err := config.Parse(f)
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	return layers, nil
}

func trusted(files []config.File) []trust.File {
	list := make([]trust.File, len(files))
	for i, f := range files {
		list[i] = trust.File(f)
	}
	return list
}

// TrustFiles returns the files in the form in which consent is given to them.
func (p *Project) TrustFiles() []trust.File { return trusted(p.Files) }

// Vouches reports whether the user lists the address that the project chose for a store.
func (p *Project) Vouches(store config.Provider) bool { return p.user.Vouches(store) }

// Dirs returns the directories of the project's files.
func (p *Project) Dirs() []string {
	var dirs []string
	for _, f := range p.Files {
		if dir := filepath.Dir(f.Path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Recall returns the project that files were, which were read earlier: a
// project file, its local file and so on, as [Project.Files] has them.
func Recall(user config.User, files []config.File) (*Project, error) {
	p := &Project{Files: files, user: user}
	for i := 0; i+1 < len(files); i += 2 {
		layers, err := parse(files[i : i+2])
		if err != nil {
			return nil, err
		}
		p.layers = append(layers, p.layers...)
	}
	p.Path, p.Dir = files[0].Path, filepath.Dir(files[0].Path)
	plan, err := p.In("")
	p.Plan = plan
	return p, err
}
