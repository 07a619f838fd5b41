// Package pass asks the password stores of pass and gopass, by their programs.
//
// A reference is PATH for the first line of an entry, PATH#2 for its second, PATH#user
// for the rest of the line "user: …". An entry is decrypted once however many of its
// lines are asked for; and the first entry alone, so that a gpg-agent that is locked asks
// for its passphrase once and not once an entry.
package pass

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/getkeyzero/kz/internal/printable"
	"github.com/getkeyzero/kz/internal/tool"
	"github.com/getkeyzero/kz/resolve"
)

const parallel = 4 // entries decrypted at once; gpg-agent works on them one by one anyway

// A dialect is what differs between the two programs.
type dialect struct {
	program string
	options string // variable with options for gpg
	show    []string
	insert  []string
}

var (
	pass = dialect{"pass", "PASSWORD_STORE_GPG_OPTS", []string{"show", "--"}, []string{"insert", "-m", "-f", "--"}}
	// cat alone gives an entry byte by byte, and never the list of a folder or what is
	// spelt alike. It reads if stdin is no pipe or file, and writes what comes from one.
	gopass = dialect{"gopass", "GOPASS_GPG_OPTS", []string{"cat", "--"}, []string{"--yes", "cat", "--"}}
)

// A Provider runs the program of a store.
type Provider struct {
	*tool.Runner
	dialect
	program string // name or path
	store   string // directory; "" if gopass alone knows it
	setting string // the directory again if a setting names it
}

// New returns the Provider of the store of pass.
func New(s resolve.Setup) (*Provider, error) {
	p, err := newProvider(s, pass)
	if err == nil {
		p.store = directory(s)
	}
	return p, err
}

// NewGopass returns the Provider of the stores of gopass.
func NewGopass(s resolve.Setup) (*Provider, error) { return newProvider(s, gopass) }

func newProvider(s resolve.Setup, d dialect) (*Provider, error) {
	setting := s.Settings["store"]
	runner, err := tool.New(tool.Options{Env: environ(s, d, setting), Avoid: s.Avoid})
	if err != nil {
		return nil, err
	}
	program := d.program
	if path := s.Settings["program"]; path != "" {
		program = path
	}
	return &Provider{Runner: runner, dialect: d, program: program, setting: setting}, nil
}

// environ has gpg say on stderr, in words that no language changes, why it fails: what pass
// lets it say otherwise is the same for a locked agent and a missing key.
func environ(s resolve.Setup, d dialect, store string) []string {
	options := s.Setting("", d.options, pass.options)
	env := append(slices.Clone(s.Env), d.options+"="+strings.TrimSpace(options+" --status-fd 2"))
	if store != "" {
		env = append(env, "PASSWORD_STORE_DIR="+store)
	}
	return env
}

func directory(s resolve.Setup) string {
	if dir := s.Setting("store", "PASSWORD_STORE_DIR"); dir != "" {
		return dir
	}
	return filepath.Join(s.Home(), ".password-store")
}

// Surroundings returns a digest of what the answers depend on besides the references.
func (p *Provider) Surroundings() string { return p.Runner.Surroundings(p.program, p.setting) }

// Present names the store of pass, if there is one.
func Present(s resolve.Setup) string {
	dir := directory(s)
	if _, err := os.Stat(filepath.Join(dir, ".gpg-id")); err != nil {
		return ""
	}
	return dir
}

// PresentGopass names the program of gopass, if it has been set up. Other programs are called
// gopass too, so that the program alone says nothing.
func PresentGopass(s resolve.Setup) string {
	config := s.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(s.Home(), ".config")
	}
	if _, err := os.Stat(filepath.Join(config, "gopass", "config")); err != nil {
		return ""
	}
	p, err := NewGopass(s)
	if err != nil {
		return ""
	}
	program, err := p.Find(p.program)
	if err != nil {
		return ""
	}
	return "gopass at " + program.Path
}

// Fetch implements [resolve.Provider].
func (p *Provider) Fetch(ctx context.Context, refs []resolve.Ref) []resolve.Result {
	results := make([]resolve.Result, len(refs))
	parsed := make([]reference, len(refs))
	var paths []string
	for i, ref := range refs {
		if parsed[i], results[i].Err = parse(ref.Path); results[i].Err == nil && !slices.Contains(paths, parsed[i].path) {
			paths = append(paths, parsed[i].path)
		}
	}
	entries := p.entries(ctx, paths)
	for i, r := range parsed {
		if results[i].Err != nil {
			continue
		}
		if e := entries[r.path]; e.Err != nil {
			results[i].Err = e.Err
		} else {
			results[i] = find(e.Secret, r)
		}
	}
	return results
}

// entries returns each entry whole. They are asked for one by one until one could be
// decrypted: what asks a human by then would ask again for all others.
func (p *Provider) entries(ctx context.Context, paths []string) map[string]resolve.Result {
	entries := map[string]resolve.Result{}
	for open := false; len(paths) > 0 && !open; paths = paths[1:] {
		text, err := p.show(ctx, paths[0])
		entries[paths[0]] = resolve.Result{Secret: text, Err: err}
		open = err == nil
		if hopeless(err) {
			for _, path := range paths[1:] {
				entries[path] = resolve.Result{Err: err}
			}
			return entries
		}
	}
	refs := make([]resolve.Ref, len(paths))
	for i, path := range paths {
		refs[i].Path = path
	}
	rest := resolve.Each(ctx, refs, parallel, func(ctx context.Context, ref resolve.Ref) (resolve.Secret, error) {
		return p.show(ctx, ref.Path)
	})
	for i, path := range paths {
		entries[path] = rest[i]
	}
	return entries
}

// hopeless reports whether what failed for one entry fails for all.
func hopeless(err error) bool {
	switch resolve.ClassOf(err) {
	case resolve.Locked, resolve.PromptNeeded, resolve.NoTool, resolve.NotLoggedIn, resolve.Timeout:
		return true
	}
	return errors.Is(err, context.Canceled)
}

// show decrypts one entry.
func (p *Provider) show(ctx context.Context, path string) (resolve.Secret, error) {
	program, err := p.Find(p.program)
	if err == nil {
		err = p.check(path)
	}
	if err != nil {
		return resolve.Secret{}, err
	}
	out, err := p.Run(ctx, program, tool.Call{Args: append(slices.Clone(p.dialect.show), path)})
	if err == nil {
		err = p.why(out, path)
	}
	if err != nil {
		return resolve.Secret{}, err
	}
	return resolve.NewSecret(string(out.Stdout)), nil
}

// check looks for the file of an entry before pass does, which would print the names in a
// folder as if they were a secret. Of gopass the folders are not known, and cat shows none.
func (p *Provider) check(path string) error {
	if p.store == "" {
		return nil
	}
	info, err := os.Stat(filepath.Join(p.store, path+".gpg"))
	switch {
	case err == nil && info.Mode().IsRegular():
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return resolve.Errorf(resolve.Denied, "%q cannot be examined", path)
	case Present(resolve.Setup{Settings: map[string]string{"store": p.store}}) == "":
		return p.uninitialized()
	}
	return resolve.Errorf(resolve.NotFound, "no entry %q", path)
}

func (p *Provider) uninitialized() error {
	return resolve.Hinted(resolve.NotLoggedIn, p.begin(), "%s is not a password store", printable.Text(p.store))
}

// Store implements [resolve.Storer]. Only the line that the reference names is
// replaced or added. The entry reaches the program by its stdin.
func (p *Provider) Store(ctx context.Context, ref resolve.Ref, secret resolve.Secret) error {
	r, err := parse(ref.Path)
	if err != nil {
		return err
	}
	program, err := p.Find(p.program)
	if err != nil {
		return err
	}
	text, err := p.show(ctx, r.path)
	if err != nil && resolve.ClassOf(err) != resolve.NotFound {
		return err
	}
	next, err := replace(text.Reveal(), r, secret.Reveal())
	if err != nil {
		return err
	}
	out, err := p.Run(ctx, program, tool.Call{Args: append(slices.Clone(p.insert), r.path), Stdin: []byte(next)})
	if err != nil {
		return err
	}
	return p.why(out, r.path)
}

// Probe implements [resolve.Prober].
func (p *Provider) Probe(context.Context) (resolve.Standing, error) {
	program, err := p.Find(p.program)
	if err != nil {
		return resolve.Standing{}, err
	}
	standing := resolve.Standing{Through: program.Path, Credential: "gpg-agent"}
	if p.store == "" {
		return standing, nil
	}
	id, err := os.ReadFile(filepath.Join(p.store, ".gpg-id"))
	if err != nil {
		return standing, p.uninitialized()
	}
	line, _, _ := strings.Cut(string(id), "\n")
	standing.As = printable.Text(strings.TrimSpace(line))
	return standing, nil
}

// List implements [resolve.Lister]. Nothing is decrypted.
func (p *Provider) List(ctx context.Context) ([]string, error) {
	var names []string
	var err error
	if p.store == "" {
		names, err = p.ask(ctx)
	} else {
		names, err = p.walk(ctx)
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool {
		r, err := parse(name)
		return err != nil || r.path != name // could not be asked for
	}), err
}

func (p *Provider) ask(ctx context.Context) ([]string, error) {
	program, err := p.Find(p.program)
	if err != nil {
		return nil, err
	}
	out, err := p.Run(ctx, program, tool.Call{Args: []string{"ls", "-f"}})
	if err == nil {
		err = p.why(out, "")
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(out.Stdout), "\n"), "\n"), nil
}

func (p *Provider) walk(ctx context.Context) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(p.store), ".", func(path string, d fs.DirEntry, err error) error {
		name, ok := strings.CutSuffix(path, ".gpg")
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."): // .git, .extensions
			return fs.SkipDir
		case ok && !d.IsDir():
			names = append(names, name)
		}
		return ctx.Err()
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, p.uninitialized()
	}
	return names, err
}

// plain reports whether a path can be pasted into a shell as it is. A regular
// expression would cost every prompt its making.
func plain(path string) bool {
	return path != "" && !strings.ContainsAny(path[:1], ".@+-") && strings.IndexFunc(path, func(r rune) bool {
		return !strings.ContainsRune("._/@+-", r) && !(r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)))
	}) < 0
}

// unlock returns the command by which a human unlocks the agent.
func (p *Provider) unlock(path string) string {
	if !plain(path) {
		return ""
	}
	return p.command(" show " + path + " >/dev/null")
}

// begin returns the command by which a human makes the store.
func (p *Provider) begin() string {
	if p.dialect.program == gopass.program {
		return p.command(" setup")
	}
	return p.command(" init KEY-ID")
}

// command returns what can be pasted to run the program on the store, if that can.
func (p *Provider) command(args string) string {
	if p.setting != "" && !plain(p.setting) || p.program != p.dialect.program {
		return ""
	}
	hint := p.program + args
	if p.setting != "" {
		hint = "PASSWORD_STORE_DIR=" + p.setting + " " + hint
	}
	return hint
}
