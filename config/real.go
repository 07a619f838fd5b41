package config

import (
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// RealDir returns the one path by which consent knows a directory: absolute,
// symbolic links resolved, and each name as its file system has it, for some take
// another case for the same name.
func RealDir(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	return asListed(dir), nil
}

func asListed(dir string) string {
	parent := filepath.Dir(dir)
	if parent == dir {
		return dir
	}
	parent = asListed(parent)
	return filepath.Join(parent, realName(parent, filepath.Base(dir)))
}

// realName returns the name under which a directory lists what name leads to.
// Where another case leads elsewhere or nowhere, which costs one look, it is name.
func realName(dir, name string) string {
	other := swapCase(name)
	if other == name {
		return name
	}
	here, err := os.Lstat(filepath.Join(dir, other))
	if err != nil || !leadsTo(filepath.Join(dir, name), here) {
		return name
	}
	entries, _ := os.ReadDir(dir)
	found := name
	for _, e := range entries {
		switch {
		case e.Name() == name:
			return name
		case strings.EqualFold(e.Name(), name) && leadsTo(filepath.Join(dir, e.Name()), here):
			found = e.Name()
		}
	}
	return found
}

func leadsTo(path string, file os.FileInfo) bool {
	info, err := os.Lstat(path)
	return err == nil && os.SameFile(info, file)
}

func swapCase(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, name)
}
