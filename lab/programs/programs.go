// Package programs builds programs from source for the nodes of a lab, and puts them
// there: what suites and benchmarks begin with.
package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"

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
	return run(tc.Command(ctx, append([]string{verb, "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}, args...)...))
}

// BuildHost builds a main package for this host: the reference that a node is
// compared with. It returns the program's path.
func BuildHost(ctx context.Context, dir, pkg string) (string, error) {
	file := filepath.Join(dir, path.Base(pkg))
	return file, run(exec.CommandContext(ctx, "go", "build", "-o", file, pkg))
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}
