package goport

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

//go:embed all:_src diffs
var embedded embed.FS

// patches are the changes that make the port: a file system with "_src" and
// "diffs". It is a parameter only for the tests.
type patches struct{ fs.FS }

func builtIn() patches { return patches{embedded} }

// key identifies the tool chain that these patches make of the release on
// this host. Any change to a patch, or a new name, gives another key.
func (p patches) key() (string, error) {
	h := sha256.New()
	err := p.walk(func(name string, data []byte) error {
		fmt.Fprintf(h, "%q %d\n", name, len(data))
		h.Write(data)
		return nil
	})
	return fmt.Sprintf("%s-%x-%s", Release, h.Sum(nil)[:6], host()), err
}

// version is what the patched tools call themselves. The go command takes
// two compilers of the same version for the same one when it looks for
// results in the build cache, so the version names the changes to the tools.
// (Changes to the library need not be in it: they change their package.)
func (p patches) version() (string, error) {
	h := sha256.New()
	err := p.eachDiff(func(diff string, f *gitdiff.File) error {
		if strings.HasPrefix(f.NewName, "src/cmd/") {
			fmt.Fprintln(h, f)
		}
		return nil
	})
	return fmt.Sprintf("%s-hurd.%x", Release, h.Sum(nil)[:4]), err
}

// walk calls f for each file of the patches.
func (p patches) walk(f func(name string, data []byte) error) error {
	return fs.WalkDir(p, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(p, name)
		if err != nil {
			return err
		}
		return f(name, data)
	})
}

// apply makes the changes in the GOROOT root: the diffs first, then the new
// files. Strictly: a diff applies at the very line it names or not at all,
// and a new file must not exist.
func (p patches) apply(root string) error {
	if err := p.eachDiff(func(diff string, f *gitdiff.File) error { return applyFile(root, diff, f) }); err != nil {
		return err
	}
	return p.walk(func(name string, data []byte) error {
		rel, ok := strings.CutPrefix(name, "_src/")
		if !ok {
			return nil
		}
		dst := filepath.Join(root, "src", filepath.FromSlash(rel))
		if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
			return err
		}
		w, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("patches/go/%s: %s has this file already: it must become a diff or another name", name, Release)
		}
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return errors.Join(err, w.Close())
	})
}

// eachDiff calls f for each file that a diff changes.
func (p patches) eachDiff(f func(diff string, file *gitdiff.File) error) error {
	return p.walk(func(name string, data []byte) error {
		if !strings.HasPrefix(name, "diffs/") {
			return nil
		}
		// The parser skips what it takes for a preamble, so a damaged
		// header would drop a change in silence.
		if !bytes.HasPrefix(data, []byte("--- a/")) {
			return fmt.Errorf("patches/go/%s: does not begin with a file header", name)
		}
		files, _, err := gitdiff.Parse(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("patches/go/%s: not a valid diff: %w", name, err)
		}
		if n := countHeaders(data); n != len(files) {
			return fmt.Errorf("patches/go/%s: %d file headers but %d files that can be read", name, n, len(files))
		}
		for _, file := range files {
			// Without git's own header the parser leaves the prefix b/, and
			// gives both names as this one if they are of the same length.
			within := file.OldName == file.NewName && !file.IsBinary
			file.NewName, _ = strings.CutPrefix(file.NewName, "b/")
			if !within || !strings.HasPrefix(file.NewName, "src/") || !fs.ValidPath(file.NewName) {
				return fmt.Errorf("patches/go/%s: %s: only a change within a file of src can be applied", name, file.NewName)
			}
			if err := f(name, file); err != nil {
				return err
			}
		}
		return nil
	})
}

func countHeaders(diff []byte) int {
	return bytes.Count(append([]byte("\n"), diff...), []byte("\n--- a/"))
}

// applyFile applies the changes f of a diff below root.
func applyFile(root, diff string, f *gitdiff.File) error {
	name := filepath.Join(root, filepath.FromSlash(f.NewName))
	src, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("patches/go/%s: %s does not have the file: %w", diff, Release, err)
	}
	var dst bytes.Buffer
	if err := gitdiff.Apply(&dst, bytes.NewReader(src), f); err != nil {
		where := ""
		if a := (*gitdiff.ApplyError)(nil); errors.As(err, &a) && 0 < a.Fragment && a.Fragment <= len(f.TextFragments) {
			where = ", hunk " + strings.TrimSpace(f.TextFragments[a.Fragment-1].Header())
		}
		return fmt.Errorf("patches/go/%s: %s%s does not fit %s: %w", diff, f.NewName, where, Release, err)
	}
	return os.WriteFile(name, dst.Bytes(), 0o644)
}

// setVersion makes the tools in root report version.
func setVersion(root, version string) error {
	for _, file := range []string{"VERSION", "src/internal/buildcfg/zbootstrap.go"} {
		name := filepath.Join(root, filepath.FromSlash(file))
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		lines := strings.Split(string(data), "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return l == Release || l == "const version = `"+Release+"`" })
		if i < 0 {
			return fmt.Errorf("%s does not name the version %s where it is expected", name, Release)
		}
		lines[i] = strings.Replace(lines[i], Release, version, 1)
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			return err
		}
	}
	return nil
}
