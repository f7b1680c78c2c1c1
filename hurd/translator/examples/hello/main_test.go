package main

import (
	"flag"
	"testing"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach/wire"
)

func TestHello(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	h := newHello()
	set := flag.NewFlagSet("hello", flag.ContinueOnError)
	set.Var(h.contents, "contents", "")
	fs, err := translator.NewFS(translator.Config{Root: h, Name: "hello", Options: set, Ports: k})
	if err != nil {
		t.Fatal(err)
	}
	control, err := fs.Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// What the parent does for a client.
	dotdot := k.NewPort(nil)
	retry, name, file, err := proto.FsysGetroot(ctx, control, proto.Move(dotdot), []int32{5}, []int32{5}, proto.O_READ)
	if err != nil || retry != proto.RetryNormal || name != "" {
		t.Fatalf("getroot: %d %q %v", retry, name, err)
	}
	read := func(want string) {
		t.Helper()
		if b, err := proto.IORead(ctx, file, 0, 1000); string(b) != want || err != nil {
			t.Errorf("read: %q, %v, want %q", b, err, want)
		}
		if st, err := proto.IOStat(ctx, file); st.Size != int64(len(want)) || st.Mode != proto.S_IFREG|0o444|proto.S_IROOT || err != nil {
			t.Errorf("stat: %+v, %v", st, err)
		}
	}
	read("hello, world\n")
	if err := proto.FsysSetOptions(ctx, control, hurd.Argz("--contents=good bye"), 0); err != nil {
		t.Error(err)
	}
	read("good bye")
	if b, err := proto.FileGetFsOptions(ctx, file); string(b) != "hello\x00--contents=good bye\x00" || err != nil {
		t.Errorf("options: %q, %v", b, err)
	}
	if _, err := proto.IOWrite(ctx, file, []byte("x"), 0); proto.Code(err) != proto.EBADF {
		t.Errorf("write: %v", err)
	}
	if _, _, _, err := proto.FsysGetroot(ctx, control, proto.Right{}, []int32{5}, nil, proto.O_WRITE); proto.Code(err) != proto.EACCES {
		t.Errorf("open to write: %v", err)
	}
	if _, _, _, err := proto.DirLookup(ctx, file, "x", proto.O_READ, 0); proto.Code(err) != proto.ENOTDIR {
		t.Errorf("lookup in a file: %v", err)
	}
	if err := proto.FsysGoaway(ctx, control, 0); proto.Code(err) != proto.EBUSY {
		t.Errorf("goaway: %v", err)
	}
	k.Release(file)
	if err := proto.FsysGoaway(ctx, control, 0); err != nil {
		t.Errorf("goaway: %v", err)
	}
	<-fs.Done()
	k.Release(control)
	if left := k.Ports(); len(left) > 0 {
		t.Errorf("ports left: %v", left)
	}
}
