package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hurdlab/images"
	"hurdlab/images/debian/extfs"
	"hurdlab/images/debian/overlay"
	"hurdlab/lab/api"
	"hurdlab/lab/labtest"
	"hurdlab/lab/state"
)

// diskImage is an image of labtest whose machines have a disk, which they do not use.
type diskImage struct {
	labtest.Image
	base overlay.Base
}

func (m *diskImage) Machine(ctx context.Context, id images.Identity) (*images.Machine, error) {
	v, err := m.Image.Machine(ctx, id)
	if err != nil {
		return nil, err
	}
	v.Disk, v.Root = filepath.Join(id.Dir, "disk.qcow2"), &images.FileSystem{Offset: m.base.Offset}
	return v, m.base.Create(ctx, v.Disk, []extfs.File{{Path: "/etc/hostname", Mode: 0o644, Data: []byte(id.Name)}})
}

func newDiskImage(t *testing.T) *diskImage {
	t.Helper()
	mke2fs, err := extfs.Tool("mke2fs")
	if err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip(err)
	}
	m := &diskImage{base: overlay.Base{File: filepath.Join(t.TempDir(), "base"), Format: "raw", Offset: 1 << 20}}
	if err := os.WriteFile(m.base.File, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(m.base.File, 9<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext2", "-o", "hurd", "-b", "4096", "-I", "128", "-O", "none,ext_attr,sparse_super",
		"-E", "offset=1048576", m.base.File, "2048").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return m
}

// poke writes into the disk of a node that is off, as its system would.
func poke(t *testing.T, l *Lab, at int64, pattern byte, n int) {
	t.Helper()
	c, err := l.spec.Node("node1")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-io", "-f", "qcow2", "-c", fmt.Sprintf("write -P %#x %d %d", pattern, c.Machine.Root.Offset+at, n), c.Machine.Disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// fullDisk has no disk converted as long as there is the file that it returns.
func fullDisk(t *testing.T) (full string) {
	t.Helper()
	real, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	full = filepath.Join(dir, "full")
	script := fmt.Sprintf(`#!/bin/sh
case "$*" in "convert -f qcow2 -O raw "*)
	[ ! -e '%s' ] || { echo "qemu-img: error while writing at byte 0: No space left on device" >&2; exit 1; } ;;
esac
exec '%s' "$@"
`, full, real)
	if err := os.WriteFile(filepath.Join(dir, "qemu-img"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return full
}

// After a power cut a disk is mended before its machine starts, and that is told.
func TestDiskIsMended(t *testing.T) {
	spec := testSpec(t, 1)
	spec.Image = newDiskImage(t)
	full := fullDisk(t)
	l := testUp(t, spec)
	n := l.Node("node1")
	// off cuts the power in the moment in which the superblock has been given a state.
	off := func(state byte) {
		t.Helper()
		if err := n.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		poke(t, l, 1024+58, state, 1)
	}
	boot := func(boot func(context.Context) error) (told string, err error) {
		t.Helper()
		stop, err := l.Watch(t.Context(), func(e state.Event) {
			if e.Kind == state.KindStep && e.Step != "node1" {
				told += fmt.Sprintln(e.Step, e.Phase, e.Text)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		err = boot(t.Context())
		stop()
		return told, err
	}
	off(1)
	if told, err := boot(n.Boot); err != nil || told != "" {
		t.Errorf("a disk that was unmounted: %q, %v", told, err)
	}

	off(0)
	poke(t, l, 4*4096+128+26, 7, 1) // the links of the root's inode
	told, err := boot(n.Boot)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mend the disk of node1 begun", "was not unmounted", "noted e2fsck: Inode 2 ref count is", "mend the disk of node1 done"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told:\n%s", want, told)
		}
	}
	if b, err := n.Console(); err != nil || !strings.Contains(string(b), "[hurdlab: e2fsck: Inode 2 ref count is") {
		t.Errorf("console %q, %v", b, err)
	}
	if told, err := boot(n.Restart); err != nil || told != "" {
		t.Errorf("it is not mended: %q, %v", told, err)
	}

	off(0)
	poke(t, l, 4096, 0, 32) // the descriptor of the first group
	poke(t, l, 4*4096, 0x5a, 4096)
	poke(t, l, 5*4096, 0x5a, 4096)
	told, err = boot(n.Boot)
	mustAdvise(t, err, "the disk of node1 is damaged", "hurdlab reset --name t node1")
	if !strings.Contains(told, "mend the disk of node1 failed") {
		t.Errorf("it is told that %s", told)
	}
	if s, err := n.Status(t.Context()); err != nil || s.State != api.Dead || !strings.Contains(s.Why, "is damaged") {
		t.Errorf("status %+v, %v", s, err)
	}
	if told, err := boot(n.Reset); err != nil || told != "" {
		t.Errorf("it is reset: %q, %v", told, err)
	}
	// The superblock is gone altogether.
	off(0)
	poke(t, l, 1024, 0, 1024)
	_, err = boot(n.Boot)
	mustAdvise(t, err, "the disk of node1 is damaged: no ext2 file system", "hurdlab reset --name t node1")
	if _, err := boot(n.Reset); err != nil {
		t.Fatal(err)
	}
	// There is no room for a copy of it.
	off(0)
	if err := os.WriteFile(full, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = boot(n.Boot)
	mustAdvise(t, err, "No space left on device", "make room in ")
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if told, err := boot(n.Boot); err != nil || !strings.Contains(told, "done") {
		t.Errorf("with room again: %q, %v", told, err)
	}
	if s, err := n.Status(t.Context()); err != nil || s.State != api.Up {
		t.Errorf("status %+v, %v", s, err)
	}
	if told, err := boot(n.Reset); err != nil || told != "" { // while it is up
		t.Errorf("it is reset: %q, %v", told, err)
	}
}

func TestNoDiskToReset(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	mustAdvise(t, n.Reset(t.Context()), "node1 has no disk", "--image debian")
}
