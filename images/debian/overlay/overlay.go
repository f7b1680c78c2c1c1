// Package overlay makes disks of nodes: a qcow2 file that has what a node's disk
// differs in from the base image, which all nodes share and nobody writes to.
//
// debugfs cannot write to qcow2 files. So a disk is changed in a copy of its file
// system's metadata (package extfs), and the blocks that are then others than
// before are written into the overlay. It takes qemu-img and qemu-io.
package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hurdlab/images/debian/extfs"
)

// A Base is an image that overlays are made over.
type Base struct {
	// File is a disk image, and Format its format as qemu-img calls it: "raw".
	File, Format string
	// Offset is where the file system is that is changed, in bytes; it is in
	// File, which therefore is raw.
	Offset int64
}

// Prepared is the name of the snapshot that each disk has of itself as it was made.
const Prepared = "hurdlab-prepared"

// Create makes a disk over the base with a file system that has these files.
func (b *Base) Create(ctx context.Context, file string, files []extfs.File) (err error) {
	if b.Format != "raw" {
		return fmt.Errorf("%s: an image of format %s cannot be prepared; convert it: qemu-img convert -O raw", b.File, b.Format)
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	before, after := filepath.Join(dir, "before"), filepath.Join(dir, "after")
	base := &extfs.FS{File: b.File, Offset: b.Offset}
	if err := base.Metadata(ctx, before); err != nil {
		return err
	}
	if err := copySparse(before, after); err != nil {
		return err
	}
	fs := &extfs.FS{File: after, Contents: base}
	if _, err := fs.Apply(ctx, files); err != nil {
		return err
	}
	if err := fs.Check(ctx); err != nil {
		return fmt.Errorf("after %s was prepared: %w", b.File, err)
	}
	tmp := filepath.Join(dir, "disk")
	absolute, err := filepath.Abs(b.File)
	if err != nil {
		return err
	}
	if _, err := run(ctx, nil, "qemu-img", "create", "-q", "-f", "qcow2", "-F", b.Format, "-b", absolute, tmp); err != nil {
		return err
	}
	runs, err := differences(before, after)
	if err != nil {
		return err
	}
	if err := write(ctx, tmp, b.Offset, after, runs, dir); err != nil {
		return err
	}
	if _, err := run(ctx, nil, "qemu-img", "snapshot", "-c", Prepared, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// unit is what differences are looked for in, in bytes: no file system has
// larger blocks, and all blocks of one are parts of it.
const unit = 4096

// write puts parts of a file into an overlay, each so far behind where it is in the file.
// It makes files in dir.
func write(ctx context.Context, overlay string, behind int64, file string, runs []part, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var script bytes.Buffer
	for i, r := range runs {
		part := filepath.Join(dir, fmt.Sprint("part", i))
		if err := copyPart(part, io.NewSectionReader(f, r.start, r.size)); err != nil {
			return err
		}
		fmt.Fprintf(&script, "write -q -s %s %d %d\n", part, behind+r.start, r.size)
	}
	if script.Len() == 0 {
		return nil
	}
	script.WriteString("quit\n")
	out, err := run(ctx, &script, "qemu-io", "-f", "qcow2", "-t", "unsafe", overlay)
	if err != nil {
		return err
	}
	// It goes on after a failure, and prompts; what it says of one ends in its
	// reason.
	for l := range strings.Lines(out) {
		if l = strings.TrimSpace(strings.ReplaceAll(l, "qemu-io> ", "")); l != "" {
			return fmt.Errorf("write to %s: %s", overlay, l)
		}
	}
	return nil
}

func copyPart(file string, r io.Reader) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// part is a part of a file, in bytes.
type part struct{ start, size int64 }

// maxPart bounds what is written at once.
const maxPart = 8 << 20

// extend adds a unit, which is behind all others.
func extend(runs []part, at, size int64) []part {
	if k := len(runs) - 1; k >= 0 && runs[k].start+runs[k].size == at && runs[k].size < maxPart {
		runs[k].size += size
		return runs
	}
	return append(runs, part{at, size})
}

// differences are where two files of the same size differ.
func differences(before, after string) (runs []part, err error) {
	a, err := os.Open(before)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := os.Open(after)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	st, err := b.Stat()
	if err != nil {
		return nil, err
	}
	size := st.Size()
	x, y := make([]byte, unit), make([]byte, unit)
	compare := func(at int64) error {
		n := min(unit, size-at)
		clear(x)
		if _, err := a.ReadAt(x[:n], at); err != nil && err != io.EOF {
			return err
		}
		if _, err := b.ReadAt(y[:n], at); err != nil && err != io.EOF {
			return err
		}
		if bytes.Equal(x[:n], y[:n]) {
			return nil
		}
		runs = extend(runs, at, n)
		return nil
	}
	// What is a hole in both is the same. after has been a copy of before, so
	// it has data wherever that has.
	return runs, eachData(b, size, func(start, end int64) error {
		for at := start &^ (unit - 1); at < end; at += unit {
			if err := compare(at); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachData calls do with the parts of a file that are no holes.
func eachData(f *os.File, size int64, do func(start, end int64) error) error {
	last := int64(-1) // parts may meet within a unit
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		start = max(start&^(unit-1), last)
		last = min((end+unit-1)&^(unit-1), size)
		if err := do(start, last); err != nil {
			return err
		}
		at = max(end, last)
	}
	return nil
}

// copySparse copies a file with its holes.
func copySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = eachData(src, st.Size(), func(start, end int64) error {
		_, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, end-start))
		return err
	})
	return errors.Join(err, dst.Truncate(st.Size()), dst.Close())
}

// A ToolError says that a program of QEMU is not installed.
type ToolError struct{ Name string }

func (e *ToolError) Error() string {
	return fmt.Sprintf("this host has no %s, which disks are made with", e.Name)
}

// Advice is what the user can do.
func (e *ToolError) Advice() string { return "install the package qemu-utils" }

// run runs a program and returns what it says.
func run(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	if _, err := exec.LookPath(name); err != nil {
		return "", &ToolError{name}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
