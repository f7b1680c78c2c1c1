package extfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	offset = 1 << 20
	blocks = 6000
)

// newFS makes a file system of the Hurd's in a part of a file, with a tree.
func newFS(t *testing.T, opts ...string) *FS {
	t.Helper()
	tool, err := Tool("mke2fs")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, d := range []string{"etc", "usr/bin", "servers/socket", "root"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string]string{"etc/hostname": "debian\n", "usr/bin/sh": "#!", "servers/socket/2": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, offset+blocks*4096); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-q", "-F", "-t", "ext2", "-o", "hurd", "-b", "4096", "-I", "128",
		"-O", "none,ext_attr,sparse_super,large_file", "-E", "offset=1048576", "-d", root}, opts...)
	if out, err := exec.Command(tool, append(args, file, "6000")...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return &FS{File: file, Offset: offset}
}

func sum(t *testing.T, file string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

func TestSuper(t *testing.T) {
	f := newFS(t)
	disk, err := os.Open(f.File)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	s, err := ReadSuper(disk, offset)
	if err != nil || !s.Hurd || !s.Clean || !s.Attributes || s.BlockSize != 4096 || s.InodeSize != 128 || s.Blocks != blocks {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := ReadSuper(disk, 0); !errors.Is(err, ErrNone) {
		t.Errorf("where there is none: %v", err)
	}
}

func wanted(t *testing.T) []File {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, bytes.Repeat([]byte("program "), 300_000), 0o700); err != nil {
		t.Fatal(err)
	}
	return []File{
		{Path: "/etc/hostname", Mode: 0o644, Data: []byte("node1\n")},
		{Path: "/etc/netmsg", Mode: fs.ModeDir | 0o700},
		{Path: "/etc/netmsg/key", Mode: 0o600, Data: []byte("secret")},
		{Path: "/root/.ssh/authorized_keys", Mode: 0o600, UID: 1000, GID: 1001, Data: []byte("ssh-ed25519 A\n")},
		{Path: "/bin/program", Mode: 0o755 | fs.ModeSetuid, From: program},
		{Path: "/usr/local/bin/netmsg", Mode: fs.ModeSymlink | 0o777, Target: "/bin/program"},
		{Path: "/servers/socket/2", Mode: 0o644, Translator: []string{"/hurd/pfinet", "-i", "/dev/eth0"}},
		{Path: "/n/node2", Mode: fs.ModeDir | 0o755, Translator: []string{"/hurd/netmsg", "node2"}},
		{Path: "/empty", Mode: 0o444},
	}
}

func TestApply(t *testing.T) {
	f, files := newFS(t), wanted(t)
	n, err := f.Apply(t.Context(), files)
	if err != nil || n != len(files) {
		t.Fatalf("%d changes, %v", n, err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range files {
		names = append(names, d.Path)
	}
	infos, err := f.Stat(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range files {
		i := infos[d.Path]
		if i == nil {
			t.Errorf("%s is not there", d.Path)
			continue
		}
		if i.Mode != d.Mode || i.UID != d.UID || i.GID != d.GID || i.Target != d.Target {
			t.Errorf("%s: %+v, want %+v", d.Path, i, d)
		}
		if d.Mode.IsRegular() {
			want := d.Data
			if d.From != "" {
				want, _ = os.ReadFile(d.From)
			}
			if got, err := f.ReadFile(t.Context(), d.Path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v; want %d", d.Path, len(got), err, len(want))
			}
		}
		if got, err := f.Translator(t.Context(), d.Path); err != nil || !reflect.DeepEqual(got, d.Translator) {
			t.Errorf("%s: translator %q, %v; want %q", d.Path, got, err, d.Translator)
		}
	}
	// Through the link on the way.
	if got, err := f.List(t.Context(), "/usr/bin"); err != nil || !reflect.DeepEqual(got, []string{"program", "sh"}) {
		t.Errorf("/usr/bin has %q, %v", got, err)
	}

	before := sum(t, f.File)
	if n, err := f.Apply(t.Context(), files); n != 0 || err != nil || sum(t, f.File) != before {
		t.Errorf("a second time: %d changes, %v, same bits: %v", n, err, sum(t, f.File) == before)
	}
	files[0].Data = []byte("node2\n") // as long as before
	if n, err := f.Apply(t.Context(), files); n != 1 || err != nil {
		t.Errorf("one other: %d changes, %v", n, err)
	}
	if got, _ := f.ReadFile(t.Context(), "/etc/hostname"); string(got) != "node2\n" {
		t.Errorf("hostname is %q", got)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// The same files, made anew or by way of other ones, are the same tree.
func TestApplyIsReproducible(t *testing.T) {
	a, b := newFS(t), newFS(t)
	files := wanted(t)
	// The two have been made at different times.
	if err := os.WriteFile(b.File, must(os.ReadFile(a.File)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*FS{a, b} {
		if _, err := f.Apply(t.Context(), files); err != nil {
			t.Fatal(err)
		}
	}
	if sum(t, a.File) != sum(t, b.File) {
		t.Error("the same changes made different bits")
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// A record in a block of its own is replaced, and its block is free again.
func TestOldTranslator(t *testing.T) {
	f := newFS(t)
	if _, said, err := f.debugfs(t.Context(), true, []string{"write /dev/null /old", "set_inode_field /old translator 3000", "set_inode_field /old blocks 8", "setb 3000"}); err != nil || len(said) > 0 {
		t.Fatal(said, err)
	}
	// setb does not count.
	exec.Command("e2fsck", "-fy", f.name()).Run()
	if err := f.Check(t.Context()); err != nil {
		t.Skip("this e2fsprogs does not know translators' blocks: ", err)
	}
	if i, err := f.Stat(t.Context(), "/old"); err != nil || !i["/old"].Translated {
		t.Fatalf("%+v, %v", i["/old"], err)
	}
	if _, err := f.Apply(t.Context(), []File{{Path: "/old", Mode: 0o644, Translator: []string{"/hurd/new"}}}); err != nil {
		t.Fatal(err)
	}
	if i, err := f.Stat(t.Context(), "/old"); err != nil || i["/old"].Translated {
		t.Errorf("%+v, %v", i["/old"], err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestApplyFails(t *testing.T) {
	f := newFS(t)
	before := sum(t, f.File)
	for name, d := range map[string]File{
		"quoting":        {Path: "/a b", Mode: 0o644},
		"newline":        {Path: "/a\nrm /etc/hostname", Mode: 0o644},
		"relative":       {Path: "etc/x", Mode: 0o644},
		"dots":           {Path: "/etc/../x", Mode: 0o644},
		"directory":      {Path: "/etc", Mode: 0o644},
		"type":           {Path: "/x", Mode: fs.ModeSocket},
		"missing source": {Path: "/x", Mode: 0o644, From: "/nowhere/x"},
	} {
		if n, err := f.Apply(t.Context(), []File{d}); err == nil {
			// debugfs finds out about the source only when it writes.
			t.Errorf("%s: %d changes", name, n)
		}
	}
	if sum(t, f.File) != before {
		t.Error("it was changed")
	}
	big := File{Path: "/big", Mode: 0o644, Data: bytes.Repeat([]byte("x"), blocks*4096)}
	if _, err := f.Apply(t.Context(), []File{big}); err == nil || !strings.Contains(err.Error(), "allocate block") {
		t.Errorf("no space: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Apply(ctx, wanted(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCheckFinds(t *testing.T) {
	f := newFS(t)
	if _, _, err := f.debugfs(t.Context(), true, []string{"set_inode_field /etc/hostname links_count 7"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context()); err == nil {
		t.Error("a wrong count of links was not found")
	}
}

func TestMend(t *testing.T) {
	f := newFS(t)
	// As the Hurd leaves a program that was replaced while it ran.
	if _, said, err := f.debugfs(t.Context(), true, []string{"set_inode_field /usr/bin/sh links_count 0", "unlink /usr/bin/sh"}); err != nil || len(said) > 0 {
		t.Fatal(err, said)
	}
	if err := f.Check(t.Context()); err == nil {
		t.Fatal("a file that is deleted and has its blocks is not found")
	}
	for _, something := range []bool{true, false} {
		mended, err := f.Mend(t.Context())
		if err != nil || (len(mended) > 0) != something {
			t.Fatalf("%q, %v", mended, err)
		}
	}
	// Two files have lost their names, and one its inode, as by a power cut; the first is found again.
	infos, err := f.Stat(t.Context(), "/etc/hostname")
	if err != nil || infos["/etc/hostname"] == nil {
		t.Fatal(err)
	}
	if _, said, err := f.debugfs(t.Context(), true, []string{"mkdir /etc/new", "write /dev/null /etc/new/file", "write /dev/null /etc/gone", "unlink /etc/hostname", "unlink /etc/new", "clri /etc/gone"}); err != nil || len(said) > 0 {
		t.Fatal(err, said)
	}
	mended, err := f.Mend(t.Context())
	if err != nil || !strings.Contains(strings.Join(mended, "\n"), "Unattached inode") || !strings.Contains(strings.Join(mended, "\n"), "Entry 'gone'") {
		t.Fatalf("%q, %v", mended, err)
	}
	if names, err := f.List(t.Context(), "/lost+found"); err != nil || len(names) != 2 {
		t.Errorf("found are %q, %v", names, err)
	}
	if _, _, err := f.debugfs(t.Context(), true, []string{"clri /usr"}); err != nil {
		t.Fatal(err)
	}
	_, err = f.Mend(t.Context())
	var unmended *UnmendedError
	if !errors.As(err, &unmended) || !strings.Contains(err.Error(), "UNEXPECTED INCONSISTENCY") {
		t.Errorf("a directory is gone, and that was mended without a question: %v", err)
	}
}

func TestAbsent(t *testing.T) {
	f := newFS(t)
	mount := File{Path: "/n/old", Mode: fs.ModeDir | 0o755, Translator: []string{"/hurd/netmsg", "old"}}
	if n, err := f.Apply(t.Context(), []File{mount, {Path: "/n/file", Mode: 0o644, Translator: []string{"/hurd/null"}}}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	gone := []File{{Path: "/n/old", Absent: true}, {Path: "/n/file", Absent: true}, {Path: "/n/never", Absent: true}, {Path: "/no/never", Absent: true}}
	for _, want := range []int{2, 0} {
		if n, err := f.Apply(t.Context(), gone); n != want || err != nil {
			t.Errorf("%d files changed, %v; want %d", n, err, want)
		}
	}
	if names, err := f.List(t.Context(), "/n"); len(names) > 0 || err != nil {
		t.Error(names, err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := f.Apply(t.Context(), []File{{Path: "/etc", Absent: true}}); err == nil {
		t.Error("a directory with a file in it was deleted")
	}
}
