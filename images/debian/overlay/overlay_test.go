package overlay

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hurdlab/images/debian/extfs"
)

const offset = 3 * 512 * 2048

func newBase(t *testing.T) *Base {
	t.Helper()
	tool, err := extfs.Tool("mke2fs")
	if err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	for name, n := range map[string]int{"big": 5 << 20, "hostname": 7} {
		if err := os.WriteFile(filepath.Join(root, name), bytes.Repeat([]byte("debian\n"), n/7), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "base.img")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, offset+100<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-q", "-F", "-t", "ext2", "-o", "hurd", "-b", "4096", "-I", "128",
		"-O", "none,ext_attr,sparse_super,large_file", "-E", "offset=3145728", "-d", root, file, "25600").CombinedOutput()
	if err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return &Base{File: file, Format: "raw", Offset: offset}
}

func sum(t *testing.T, file string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

func TestCreate(t *testing.T) {
	b := newBase(t)
	before := sum(t, b.File)
	program := bytes.Repeat([]byte("0123456789abcdef"), 800_001) // more than a part
	files := []extfs.File{
		{Path: "/hostname", Mode: 0o644, Data: []byte("node1\n\n")},
		{Path: "/big", Mode: 0o755, Data: program},
		{Path: "/a/b", Mode: fs.ModeDir | 0o700},
		{Path: "/null", Mode: 0o666, Translator: []string{"/hurd/null"}},
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.qcow2")
	if err := b.Create(t.Context(), disk, files); err != nil {
		t.Fatal(err)
	}
	if sum(t, b.File) != before {
		t.Error("the base was changed")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("it left %v", left)
	}
	flat := filepath.Join(dir, "flat")
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", disk, flat).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := &extfs.FS{File: flat, Offset: offset}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for name, want := range map[string][]byte{"/hostname": files[0].Data, "/big": program} {
		if got, err := f.ReadFile(t.Context(), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	if tr, err := f.Translator(t.Context(), "/null"); err != nil || len(tr) != 1 {
		t.Errorf("/null: %q, %v", tr, err)
	}
	// Over a base that has it all nothing is changed.
	again := filepath.Join(dir, "again.qcow2")
	if err := (&Base{flat, "raw", offset}).Create(t.Context(), again, files); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(again); err != nil || st.Size() > 512<<10 {
		t.Errorf("an overlay without differences: %v, %v", st.Size(), err)
	}
	flat2 := filepath.Join(dir, "flat2")
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", again, flat2).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if sum(t, flat) != sum(t, flat2) {
		t.Error("preparing twice changes something")
	}
}

func TestCreateFails(t *testing.T) {
	b := newBase(t)
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.qcow2")
	if err := b.Create(t.Context(), disk, []extfs.File{{Path: "/x", Data: make([]byte, 200<<20)}}); err == nil {
		// Zeros are holes: they take no space.
		os.Remove(disk)
	}
	if err := b.Create(t.Context(), disk, []extfs.File{{Path: "/x", Data: bytes.Repeat([]byte("x"), 120<<20)}}); err == nil {
		t.Error("more than the disk holds was written")
	}
	if err := (&Base{b.File, "qcow2", 0}).Create(t.Context(), disk, nil); err == nil {
		t.Error("a base that is not raw")
	}
	if err := (&Base{b.File, "raw", 512}).Create(t.Context(), disk, nil); err == nil {
		t.Error("there is no file system there")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}
