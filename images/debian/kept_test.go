package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hurdlab/images/debian/extfs"
)

func TestStore(t *testing.T) {
	ctx := t.Context()
	s := Store{Dir: filepath.Join(t.TempDir(), "images")}
	if list, err := s.Images(Options{}); err != nil || len(list) != 0 {
		t.Fatalf("%v %v", list, err)
	}
	debugfs, err := extfs.Tool("debugfs")
	if err != nil {
		t.Skip(err)
	}
	write := func(text string) func(context.Context, string) error {
		return func(_ context.Context, file string) error {
			tree := bareTree()
			tree["etc/is"], tree["hurd/netmsg"] = text, "replaced while it ran"
			disk := newDisk(t, tree, debianTable)
			for _, cmd := range []string{"set_inode_field /hurd/netmsg links_count 0", "unlink /hurd/netmsg"} {
				if out, err := exec.Command(debugfs, "-w", "-R", cmd, fmt.Sprintf("%s?offset=%d", disk, start)).CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
			}
			return os.Rename(disk, file)
		}
	}
	put := func(text string, at int64, inUse bool) {
		t.Helper()
		if err := s.Put(ctx, Kept{Name: "debian-patched", Made: time.Unix(at, 0), From: "debian", About: "patched"}, inUse, write(text)); err != nil {
			t.Fatal(err)
		}
	}
	disks := func() (n int) {
		files, err := filepath.Glob(s.Dir + "/*.img")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	put("one", 1, false)
	put("two", 2, true)
	if disks() != 2 {
		t.Error("a disk that is in use is gone")
	}
	put("three", 3, false)
	if disks() != 2 {
		t.Error("a disk that nobody uses is there")
	}
	failed := errors.New("no room")
	if err := s.Put(ctx, Kept{Name: "debian-patched"}, false, func(context.Context, string) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	list, err := s.Images(Options{})
	if err != nil || len(list) != 1 || list[0].Name() != "debian-patched" || list[0].Describe() != "debian, patched on 1970-01-01" {
		t.Fatalf("%v %v", list, err)
	}
	l, err := inspect(ctx, list[0].(*image).file)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := l.read(ctx, "/etc/is"); err != nil || string(b) != "three" {
		t.Errorf("%q %v", b, err)
	}
	if err := l.fs.Check(ctx); err != nil {
		t.Error(err)
	}
	none := func(_ context.Context, file string) error { return os.WriteFile(file, []byte("none"), 0o600) }
	if err := s.Put(ctx, Kept{Name: "debian-patched"}, false, none); err == nil || disks() != 2 {
		t.Errorf("what is no disk is kept: %v, %d disks", err, disks())
	}
	if err := s.Put(ctx, Kept{Name: "../x"}, false, write("")); err == nil {
		t.Error("a name that leads out of the store is taken")
	}
}
