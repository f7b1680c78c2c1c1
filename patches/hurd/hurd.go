// Package hurdpatches has the patches to the Hurd: a libpager for several kernels, and
// what makes rpctrace able to trace file systems.
//
// The series says what is done to a source tree, a step a line:
//
//	patch FILE      FILE of this directory, by patch -p1
//	copy SRC DST    new/SRC of this directory becomes DST of the tree
//	remove PATH     PATH of the tree
//
// Files that are replaced are removed and copied, so that this repository has nothing of
// the text of those that were there.
//
// # Place in the house
//
// It imports nothing. hurdlab patch (lab/rebuild) applies the series on a node; package
// coretest below tests the new libpager's core on the host.
package hurdpatches

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// FS has the series, the patches, and the new files in new/.
//
//go:embed series *.patch new
var FS embed.FS

// An Op is what a step does.
type Op uint8

const (
	Patch Op = iota
	Copy
	Remove
)

func (o Op) String() string { return [...]string{"patch", "copy", "remove"}[o] }

// A Step is a line of the series. Paths have slashes and do not lead out of where they
// are in.
type Step struct {
	Op  Op
	Src string // in FS: a patch, or a new file; not of Remove
	Dst string // in the tree; not of Patch
}

func (s Step) String() string {
	return strings.TrimSpace(s.Op.String() + " " + strings.TrimSpace(strings.TrimPrefix(s.Src, "new/")+" "+s.Dst))
}

// Series returns the steps.
func Series() ([]Step, error) {
	f, err := FS.Open("series")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	steps, err := Parse(f)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if s.Op == Remove {
			continue
		}
		if _, err := fs.Stat(FS, s.Src); err != nil {
			return nil, fmt.Errorf("series: %v: %w", s, err)
		}
	}
	return steps, nil
}

// Parse reads a series.
func Parse(r io.Reader) (steps []Step, err error) {
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		line, _, _ := strings.Cut(in.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var s Step
		switch {
		case f[0] == "patch" && len(f) == 2:
			s = Step{Op: Patch, Src: f[1]}
		case f[0] == "copy" && len(f) == 3:
			s = Step{Op: Copy, Src: "new/" + f[1], Dst: f[2]}
		case f[0] == "remove" && len(f) == 2:
			s = Step{Op: Remove, Dst: f[1]}
		default:
			return nil, fmt.Errorf("series, line %d: what is %q?", n, strings.TrimSpace(line))
		}
		for _, p := range []string{s.Src, s.Dst} {
			if p != "" && !fs.ValidPath(p) || p == "." {
				return nil, fmt.Errorf("series, line %d: %q is no path", n, p)
			}
		}
		steps = append(steps, s)
	}
	return steps, in.Err()
}

// An Error is a step that could not be done.
type Error struct {
	Step Step
	Why  string // for a patch, its words: which hunk of which file, and where
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Step, e.Why) }

// Apply does the series to the Hurd's source tree in dir, by the host's patch(1). If a
// step cannot be done the error is an *Error; the steps before it have been done, of
// the step itself nothing.
func Apply(ctx context.Context, dir string) error {
	steps, err := Series()
	if err != nil {
		return err
	}
	return apply(ctx, FS, steps, dir)
}

func apply(ctx context.Context, from fs.FS, steps []Step, dir string) error {
	for _, s := range steps {
		dst := filepath.Join(dir, filepath.FromSlash(s.Dst))
		var err error
		switch s.Op {
		case Remove:
			err = os.Remove(dst)
		case Copy:
			err = copyFile(from, s.Src, dst)
		case Patch:
			err = patch(ctx, from, s.Src, dir)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			return &Error{s, err.Error()}
		}
	}
	return nil
}

func copyFile(from fs.FS, src, dst string) error {
	b, err := fs.ReadFile(from, src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func patch(ctx context.Context, from fs.FS, src, dir string) error {
	b, err := fs.ReadFile(from, src)
	if err != nil {
		return err
	}
	for _, dry := range []bool{true, false} { // all of it, or nothing
		args := []string{"-p1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-"}
		if dry {
			args = append(args, "--dry-run")
		}
		cmd := exec.CommandContext(ctx, "patch", args...)
		cmd.Dir = dir
		cmd.Stdin = bytes.NewReader(b)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
