package door

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A fileSystem has one directory, with what look-ups can lead to.
type fileSystem struct {
	proto.UnimplementedFsys
	k      *portstest.Kernel
	opened []string // the users for whom the root was opened
}

func (f *fileSystem) FsysGetroot(_ context.Context, dotdot mach.Port, uids, gids []int32, _ int32) (int32, string, mach.Port, error) {
	f.opened = append(f.opened, strings.Trim(fmt.Sprint(uids), "[]"))
	d := &directory{f: f, dotdot: dotdot}
	right, err := ports.ExportRight(f.k, proto.Handler(d), ports.Options{Gone: func() { f.k.Release(d.dotdot) }})
	return proto.RetryNormal, "", right, err
}

// A directory is the root as it was opened.
type directory struct {
	proto.UnimplementedFS
	f      *fileSystem
	dotdot mach.Port
}

func (d *directory) FileGetcontrol(context.Context) (mach.Port, error) {
	return ports.ExportRight(d.f.k, proto.Handler(d.f), ports.Options{})
}

func (d *directory) file(mode uint32) (mach.Port, error) {
	return ports.ExportRight(d.f.k, proto.Handler(&file{mode: mode}), ports.Options{})
}

func (d *directory) DirLookup(_ context.Context, name string, _, _ int32) (retry int32, rest string, result mach.Port, err error) {
	switch name {
	case "prog":
		result, err = d.file(proto.S_IFREG | 0o755)
		return proto.RetryNormal, "", result, err
	case "dir":
		result, err = d.file(proto.S_IFDIR | 0o755)
		return proto.RetryNormal, "", result, err
	case "../x":
		d.f.k.AddRight(d.dotdot)
		return proto.RetryReauth, "x", d.dotdot, nil
	case "link":
		return proto.RetryMagical, "/x", mach.Null, nil
	case "mount/x":
		result, err = d.file(proto.S_IFDIR | 0o755)
		return proto.RetryReauth, "x", result, err
	}
	return 0, "", mach.Null, proto.ENOENT
}

type file struct {
	proto.UnimplementedIO
	mode uint32
}

func (f *file) IOStat(context.Context) (proto.Stat, error) {
	return proto.Stat{Mode: f.mode, Ino: 7}, nil
}

// TestLookupWithoutDotdot: what the look-up of a program cannot do without a way up is EAGAIN,
// and the root is opened once for each user.
func TestLookupWithoutDotdot(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	f := &fileSystem{k: k}
	root, err := ports.ExportRight(k, proto.Handler(&directory{f: f}), ports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := ParsePolicy(strings.NewReader("export / / node2\nuser node2 0 0\nuser node2 5 1005\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := &Door{Peer: "node2", Policy: func() *Policy { return policy }, Self: &hurd.Process{Root: root}, Nowhere: func() (mach.Port, error) {
		return ports.ExportRight(k, ports.Identity(), ports.Options{})
	}}
	door, err := ports.ExportRight(k, proto.Handler(d), ports.Options{Gone: func() { d.Close(ctx) }})
	if err != nil {
		t.Fatal(err)
	}
	up, err := ports.ExportRight(k, ports.Identity(), ports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		retry int32 // 0: EAGAIN without a way up
		rest  string
		with  int32 // with one
	}{
		{"prog", proto.RetryNormal, "", proto.RetryNormal},
		{"dir", 0, "", proto.RetryNormal},
		{"../x", 0, "", proto.RetryReauth},
		{"link", proto.RetryMagical, "/x", proto.RetryMagical},
		{"mount/x", 0, "", proto.RetryReauth},
	} {
		info, retry, rest, result, err := proto.DoorLookup(ctx, door, []byte("/"), proto.Right{}, []int32{0}, nil, []byte(c.name), proto.O_EXEC, 0)
		if c.retry == 0 {
			if !errors.Is(err, proto.EAGAIN) {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if err != nil || retry != c.retry || string(rest) != c.rest || result.Valid() != (info.Ino == 7) {
			t.Errorf("%s: retry %d, rest %q, %v, %+v: %v", c.name, retry, rest, result, info, err)
		}
		k.Release(result)
		_, retry, _, result, err = proto.DoorLookup(ctx, door, []byte("/"), proto.Copy(up), []int32{0}, nil, []byte(c.name), proto.O_EXEC, 0)
		if err != nil || retry != c.with || c.name == "../x" && result != up {
			t.Errorf("%s, with a way up: retry %d, %v: %v", c.name, retry, result, err)
		}
		k.Release(result)
	}
	if _, _, _, _, err := proto.DoorLookup(ctx, door, []byte("/"), proto.Right{}, []int32{0}, nil, []byte("none"), proto.O_EXEC, 0); !errors.Is(err, proto.ENOENT) {
		t.Error(err)
	}
	below := len(f.opened)
	if below != 6 { // once for all without a way up
		t.Errorf("the root was opened for %q", f.opened)
	}
	// Another user, and one that the policy makes nobody.
	for _, uid := range []int32{5, 6} {
		_, _, _, result, err := proto.DoorLookup(ctx, door, []byte("/"), proto.Right{}, []int32{uid}, nil, []byte("prog"), proto.O_EXEC, 0)
		if err != nil {
			t.Error(err)
		}
		k.Release(result)
	}
	if got := f.opened[below:]; len(got) != 2 || got[0] != "1005" || got[1] != "" {
		t.Errorf("the root was opened for %q", got)
	}
	// What the policy says counts at once.
	policy = &Policy{}
	if _, _, _, _, err := proto.DoorLookup(ctx, door, []byte("/"), proto.Right{}, []int32{0}, nil, []byte("prog"), proto.O_EXEC, 0); !errors.Is(err, proto.ENOENT) {
		t.Error(err)
	}
	k.Release(door, up, root)
	if left := k.Ports(); len(left) != 0 {
		t.Errorf("ports left: %v", left)
	}
}
