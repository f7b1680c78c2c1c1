package goport

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Modules of others have files for each operating system, and some lack those
// for the Hurd. What they lack is in _overlay:
//
//	_overlay/MODULE@VERSION/FILE
//
// is FILE of MODULE from VERSION on, until there is a directory for a later
// version; it takes the place of a file of that name. The go command sees
// them through its flag -overlay, so that modules need not change.

//go:embed all:_overlay
var embeddedOverlay embed.FS

// An overlays is a directory of such files.
type overlays struct{ fs.FS }

func builtInOverlays() overlays {
	sub, err := fs.Sub(embeddedOverlay, "_overlay")
	if err != nil {
		panic(err) // it is not a valid path
	}
	return overlays{sub}
}

// variants returns the versions of each module for which there are files.
func (o overlays) variants() (map[string][]string, error) {
	all := map[string][]string{}
	err := fs.WalkDir(o, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		module, version, ok := strings.Cut(name, "@")
		if !ok {
			return nil
		}
		if !semver.IsValid(version) {
			return fmt.Errorf("_overlay/%s: %q is no version", name, version)
		}
		all[module] = append(all[module], version)
		return fs.SkipDir
	})
	return all, err
}

// pick returns the directory with the files for a version of a module, or ""
// if it needs none that there are.
func pick(module, version string, from []string) string {
	best := ""
	for _, v := range from {
		if semver.Compare(v, version) <= 0 && (best == "" || semver.Compare(v, best) > 0) {
			best = v
		}
	}
	if best == "" {
		return ""
	}
	return module + "@" + best
}

// A module is what the go command says of one.
type module struct {
	Path, Version, Dir string
	Replace            *module
}

// replacements returns what -overlay is to replace for these modules: files of
// theirs, by files below root.
func (o overlays) replacements(root string, modules []module) (map[string]string, error) {
	variants, err := o.variants()
	if err != nil {
		return nil, err
	}
	replace := map[string]string{}
	for _, m := range modules {
		version, dir := m.Version, m.Dir
		if m.Replace != nil {
			dir = m.Replace.Dir
			if m.Replace.Version != "" {
				version = m.Replace.Version
			}
		}
		from := pick(m.Path, version, variants[m.Path])
		if dir == "" || from == "" {
			continue
		}
		err := fs.WalkDir(o, from, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel := filepath.FromSlash(strings.TrimPrefix(name, from+"/"))
			replace[filepath.Join(dir, rel)] = filepath.Join(root, filepath.FromSlash(name))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return replace, nil
}

// key identifies these files.
func (o overlays) key() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(o, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(o, name)
		fmt.Fprintf(h, "%q %d\n", name, len(data))
		h.Write(data)
		return err
	})
	return fmt.Sprintf("overlay-%x", h.Sum(nil)[:6]), err
}

// store puts the files into a directory of their own below cache, where they
// are from then on, and returns it.
func (o overlays) store(cache string) (string, error) {
	key, err := o.key()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o777); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, key+"-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	err = errors.Join(os.CopyFS(tmp, o), os.Chmod(tmp, 0o755))
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if _, there := os.Stat(dir); err != nil && there == nil {
		err = nil // another process was faster
	}
	return dir, err
}

// overlayCommands are the commands of go that compile or look at packages.
var overlayCommands = []string{"build", "install", "list", "run", "test", "vet"}

// CommandIn is [Toolchain.Command] in the directory dir, with what the modules
// that are built there lack for the Hurd.
func (t *Toolchain) CommandIn(ctx context.Context, dir string, args ...string) (*exec.Cmd, error) {
	if len(args) > 0 && slices.Contains(overlayCommands, args[0]) {
		file, err := t.overlay(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("cannot complete modules for the Hurd: %w", err)
		}
		if file != "" {
			// First, so that another such flag of the user's prevails.
			args = slices.Insert(slices.Clone(args), 1, "-overlay="+file)
		}
	}
	cmd := t.Command(ctx, args...)
	cmd.Dir = dir
	return cmd, nil
}

// overlay returns the file for -overlay in the directory dir, or "" if nothing
// is to be replaced there.
func (t *Toolchain) overlay(ctx context.Context, dir string) (string, error) {
	o := builtInOverlays()
	variants, err := o.variants()
	if err != nil {
		return "", err
	}
	var paths []string
	for p := range variants {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	modules, err := t.modules(ctx, dir, paths)
	if err != nil {
		return "", err
	}
	cache := filepath.Join(filepath.Dir(filepath.Clean(t.Dir)), "overlays")
	root, err := o.store(cache)
	if err != nil {
		return "", err
	}
	replace, err := o.replacements(root, modules)
	if err != nil || len(replace) == 0 {
		return "", err
	}
	data, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, fmt.Sprintf("%x.json", sha256.Sum256(data)))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	tmp, err := os.CreateTemp(cache, path.Base(file)+"-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return "", err
	}
	return file, os.Rename(tmp.Name(), file)
}

// modules asks which versions of some modules are used by the main module in
// the directory dir. Those that are, are downloaded.
func (t *Toolchain) modules(ctx context.Context, dir string, paths []string) ([]module, error) {
	list := func() (all []module, err error) {
		cmd := t.Command(ctx, append([]string{"list", "-m", "-e", "-json=Path,Version,Dir,Replace"}, paths...)...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			// There is no module here, or it cannot be read: the go
			// command itself will say so.
			return nil, ctx.Err()
		}
		for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
			var m module
			if err := dec.Decode(&m); err != nil {
				return nil, fmt.Errorf("go list -m: output not understood: %w", err)
			}
			if m.Version != "" {
				all = append(all, m)
			}
		}
		return all, nil
	}
	all, err := list()
	if err != nil {
		return nil, err
	}
	download := []string{"mod", "download"}
	for _, m := range all {
		if m.Dir == "" && (m.Replace == nil || m.Replace.Dir == "") {
			download = append(download, m.Path)
		}
	}
	if len(download) == 2 {
		return all, nil
	}
	cmd := t.Command(ctx, download...)
	cmd.Dir = dir
	if cmd.Run() != nil {
		return all, ctx.Err() // and here
	}
	return list()
}
