package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// What furnish puts into the node, and where.
const (
	insideName = "/tmp/stdtest-inside"
	insideRoot = "/tmp/go"
)

// furnish sends the node the program that runs tests there, and the source
// tree that they look at.
func (t *tester) furnish(ctx context.Context) error {
	tmp, err := os.MkdirTemp("", "stdtest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "inside")
	if _, err := t.output(ctx, "build", "-ldflags=-s -w", "-o", bin, "hurdlab/patches/go/stdtest/inside"); err != nil {
		return err
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	err = t.inNode(ctx, bytes.NewReader(data), "sh", "-c", "cat > "+insideName+" && chmod 755 "+insideName)
	if err != nil {
		return err
	}
	goroot, err := t.output(ctx, "env", "GOROOT")
	if err != nil {
		return err
	}
	goroot = strings.TrimSpace(goroot)
	// Test binaries also know the tree by the name that it has here.
	if err := t.inNode(ctx, nil, insideName, "link", insideRoot, goroot); err != nil {
		return err
	}
	// What is sent last is there if all is: it takes minutes.
	if t.inNode(ctx, nil, "cat", insideRoot+"/VERSION") == nil {
		return nil
	}
	tree := compressed(func(w io.Writer) error { return archive(w, goroot) })
	defer tree.Close()
	return t.inNode(ctx, tree, insideName, "unpack", insideRoot)
}

// compressed returns what write writes, compressed: nodes receive slowly. To
// close it ends write.
func compressed(write func(io.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		err := write(z)
		w.CloseWithError(errors.Join(err, z.Close()))
	}()
	return r
}

// inNode runs a command in the node.
func (t *tester) inNode(ctx context.Context, stdin io.Reader, args ...string) error {
	argv := slices.Concat(t.node, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// archive writes what tests of the library look at: sources, test data and
// time zones, but not the tools.
func archive(w io.Writer, goroot string) error {
	tw := tar.NewWriter(w)
	for _, dir := range []string{"src", "lib/time", "go.env", "VERSION"} {
		err := filepath.WalkDir(filepath.Join(goroot, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(goroot, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			if d.IsDir() && rel == "src/cmd" {
				return fs.SkipDir
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			h, err := tar.FileInfoHeader(info, "")
			if err != nil {
				return err
			}
			h.Name = rel
			if err := tw.WriteHeader(h); err != nil || d.IsDir() {
				return err
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			_, err = io.Copy(tw, f)
			return errors.Join(err, f.Close())
		})
		if err != nil {
			return err
		}
	}
	return tw.Close()
}
