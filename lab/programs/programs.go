// Package programs builds programs from source for the nodes of a lab, and puts them
// there: what suites and benchmarks begin with. A program may be a module of its own, so that what
// only it requires is not required of all.
package programs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	machimage "hurdlab/images/mach"
	"hurdlab/lab"
	"hurdlab/lab/state"
	goport "hurdlab/patches/go"
)

// Install builds main packages for the nodes and copies each into /bin of
// every node, or of those named.
func Install(ctx context.Context, l *lab.Lab, pkgs []string, nodes ...string) error {
	dir, err := os.MkdirTemp("", "hurdlab-programs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := Build(ctx, dir, pkgs...); err != nil {
		return err
	}
	for _, n := range l.Nodes() {
		if len(nodes) > 0 && !slices.Contains(nodes, n.Name()) {
			continue
		}
		for _, pkg := range pkgs {
			name := path.Base(pkg)
			if err := n.CopyTo(ctx, filepath.Join(dir, name), "/bin/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Toolchain is Go for the Hurd, which is built if it has to be.
func Toolchain(ctx context.Context) (*goport.Toolchain, error) {
	dirs, err := state.DefaultDirs(os.Getenv)
	if err != nil {
		return nil, err
	}
	return goport.Ensure(ctx, goport.Options{CacheDir: dirs.Cache})
}

// Build builds main packages for the nodes into the directory dir.
func Build(ctx context.Context, dir string, pkgs ...string) error {
	return buildFor(ctx, dir, "build", pkgs)
}

// BuildTests builds the tests of packages for the nodes into the directory
// dir, each as its name with ".test".
func BuildTests(ctx context.Context, dir string, pkgs ...string) error {
	return buildFor(ctx, dir, "test", append([]string{"-c"}, pkgs...))
}

func buildFor(ctx context.Context, dir, verb string, args []string) error {
	tc, err := Toolchain(ctx)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	flags := []string{verb, "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	var here []string // packages of the module of the working directory, and flags
	for _, arg := range args {
		module, err := moduleOf(arg)
		if err != nil {
			return err
		}
		if module == "" {
			here = append(here, arg)
			continue
		}
		cmd, err := tc.CommandIn(ctx, module, append(slices.Clone(flags), arg)...)
		if err != nil {
			return err
		}
		if err := run(cmd); err != nil {
			return err
		}
	}
	if len(here) == 0 {
		return nil
	}
	cmd, err := tc.CommandIn(ctx, "", append(flags, here...)...)
	if err != nil {
		return err
	}
	return run(cmd)
}

// moduleOf is the directory of a package that is a module of its own, with what only it
// requires; or "" for others.
func moduleOf(pkg string) (string, error) {
	rel, ok := strings.CutPrefix(pkg, "hurdlab/")
	if !ok {
		return "", nil
	}
	source, err := machimage.FindSource(".")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(source, filepath.FromSlash(rel))
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return dir, nil
}

// BuildHost builds a main package for this host: the reference that a node is
// compared with. It returns the program's path.
func BuildHost(ctx context.Context, dir, pkg string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, path.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, pkg)
	if cmd.Dir, err = moduleOf(pkg); err != nil {
		return "", err
	}
	return file, run(cmd)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}
