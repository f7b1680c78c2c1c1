package overlay

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hurdlab/images/debian/extfs"
)

// newDisk makes a disk over a base.
func newDisk(t *testing.T) (*Disk, *Base) {
	t.Helper()
	b := newBase(t)
	d := &Disk{File: filepath.Join(t.TempDir(), "a,b.qcow2"), Offset: offset}
	if err := b.Create(t.Context(), d.File, []extfs.File{{Path: "/etc/hostname", Mode: 0o644, Data: []byte("node1\n")}}); err != nil {
		t.Fatal(err)
	}
	return d, b
}

// poke writes bytes into a disk, as its machine does.
func poke(t *testing.T, d *Disk, at int64, pattern byte, n int) {
	t.Helper()
	out, err := exec.Command("qemu-io", "-f", "qcow2", "-c", fmt.Sprintf("write -P %#x %d %d", pattern, at, n), d.File).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// flat is the file system as it is on the disk.
func flat(t *testing.T, d *Disk) *extfs.FS {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flat")
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", d.File, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &extfs.FS{File: file, Offset: d.Offset}
}

// cut leaves what a power cut does: the state of a mounted file system, counts that are not
// written until it is unmounted, and an inode that is older than its directory.
func cut(t *testing.T, d *Disk) {
	t.Helper()
	poke(t, d, d.Offset+1024+58, 0, 2)                   // s_state
	poke(t, d, d.Offset+4096+12, 17, 2)                  // bg_free_blocks_count of the first group
	poke(t, d, inode(t, d, "/etc/hostname")+26, 0x07, 1) // i_links_count
}

// inode is where that of a file is on a disk: debugfs says "located at block 4, offset 0x0580".
func inode(t *testing.T, d *Disk, name string) int64 {
	t.Helper()
	f := flat(t, d)
	tool, err := extfs.Tool("debugfs")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(tool, "-R", "imap "+name, fmt.Sprintf("%s?offset=%d", f.File, f.Offset)).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	var block, at int64
	_, where, _ := strings.Cut(string(out), "located at ")
	if _, err := fmt.Sscanf(where, "block %d, offset 0x%x", &block, &at); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return d.Offset + block*4096 + at
}

func TestMend(t *testing.T) {
	d, b := newDisk(t)
	before := sum(t, b.File)
	clean := func(want bool) {
		t.Helper()
		if s, err := d.Super(t.Context()); err != nil || s.Clean != want || !s.Hurd {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	clean(true)
	cut(t, d)
	clean(false)
	if err := flat(t, d).Check(t.Context()); err == nil {
		t.Fatal("the test's disk is not damaged")
	}
	mended, err := d.Mend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(mended, "\n"); !strings.Contains(text, "ref count is 7, should be 1") || strings.Contains(text, d.File) {
		t.Errorf("it says %q", mended)
	}
	clean(true)
	f := flat(t, d)
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := f.ReadFile(t.Context(), "/etc/hostname"); err != nil || string(got) != "node1\n" {
		t.Errorf("%q, %v", got, err)
	}
	if sum(t, b.File) != before {
		t.Error("the base was changed")
	}
	// Nothing is left to do.
	if mended, err := d.Mend(t.Context()); err != nil || len(mended) > 0 {
		t.Errorf("again: %q, %v", mended, err)
	}
	if left, _ := filepath.Glob(filepath.Dir(d.File) + "/.*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	// The snapshot is what the disk was at first.
	if out, err := exec.Command("qemu-img", "snapshot", "-a", Prepared, d.File).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := flat(t, d).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMendFails(t *testing.T) {
	d, _ := newDisk(t)
	cut(t, d)
	poke(t, d, inode(t, d, "/etc"), 0, 128)
	before := sum(t, d.File)
	_, err := d.Mend(t.Context())
	var unmended *extfs.UnmendedError
	if !errors.As(err, &unmended) || !strings.Contains(err.Error(), "UNEXPECTED INCONSISTENCY") {
		t.Errorf("a directory is gone: %v", err)
	}
	if sum(t, d.File) != before {
		t.Error("the disk was changed")
	}
	// No disk, and no file system.
	if _, err := (&Disk{File: d.File + ".not"}).Super(t.Context()); err == nil {
		t.Error("there is no disk")
	}
	if _, err := (&Disk{File: d.File, Offset: 512}).Super(t.Context()); !errors.Is(err, extfs.ErrNone) {
		t.Errorf("there is no file system: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Dir(d.File) + "/.*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}
