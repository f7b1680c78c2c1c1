// Inside is the part of stdtest that runs in a node.
//
//	inside unpack DIR < TAR.gz
//	inside link DIR NAME
//	inside test GOROOT PACKAGE [ARGUMENT...] < BINARY.gz
//
// Unpack makes the files of an archive below DIR. Link makes NAME another name of
// DIR. Test runs a test binary as
// "go test" does, in the directory of its package below GOROOT.
package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(125)
	}
	os.Exit(status)
}

func run(args []string) (int, error) {
	switch {
	case len(args) == 2 && args[0] == "unpack":
		return 0, unpack(args[1], os.Stdin)
	case len(args) == 3 && args[0] == "link":
		return 0, link(args[1], args[2])
	case len(args) >= 3 && args[0] == "test":
		return test(args[1], args[2], args[3:])
	}
	return 0, errors.New("usage: inside unpack DIR, inside link DIR NAME, or inside test GOROOT PACKAGE [ARGUMENT...]")
}

func unpack(dir string, r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("%s is not a name below %s", h.Name, dir)
		}
		name := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(name, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := write(name, tr, os.FileMode(h.Mode&0o777)); err != nil {
			return err
		}
	}
}

func link(dir, name string) error {
	if old, err := os.Readlink(name); err == nil && old == dir {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.Symlink(dir, name)
}

func write(name string, r io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func test(goroot, pkg string, args []string) (status int, err error) {
	// Each run has a directory of its own for its files, which goes with it.
	tmp, err := os.MkdirTemp("", "test")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	bin := filepath.Join(tmp, filepath.Base(pkg)+".test")
	z, err := gzip.NewReader(os.Stdin)
	if err != nil {
		return 0, err
	}
	if err := write(bin, z, 0o755); err != nil {
		return 0, err
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = filepath.Join(goroot, "src", filepath.FromSlash(pkg))
	cmd.Env = append(os.Environ(), "GOROOT="+goroot, "TMPDIR="+tmp, "PWD="+cmd.Dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "inside:", exit)
		return 1, nil
	}
	return 0, err
}
