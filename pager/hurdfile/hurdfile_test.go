package hurdfile

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
	"hurdlab/pager"
)

// A file is a file of a server, as it was opened.
type servedFile struct {
	proto.UnimplementedIO
	k     *portstest.Kernel
	node  *servedNode
	modes int32
}

// A servedNode is what the file is of.
type servedNode struct {
	id, fsys mach.Port
	mode     uint32

	mu      sync.Mutex
	data    []byte
	most    int   // bytes that are read or written at once, if not 0
	writing error // of all writes
}

func (f *servedFile) IORead(_ context.Context, offset int64, amount uint64) ([]byte, error) {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if f.modes&proto.O_READ == 0 {
		return nil, proto.EBADF
	}
	if f.node.most > 0 {
		amount = min(amount, uint64(f.node.most))
	}
	b := f.node.data[min(int(offset), len(f.node.data)):]
	return bytes.Clone(b[:min(int(amount), len(b))]), nil
}

func (f *servedFile) IOWrite(_ context.Context, data []byte, offset int64) (uint64, error) {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if f.modes&proto.O_WRITE == 0 {
		return 0, proto.EBADF
	}
	if f.node.writing != nil {
		return 0, f.node.writing
	}
	if f.node.most > 0 {
		data = data[:min(len(data), f.node.most)]
	}
	if more := int(offset) + len(data) - len(f.node.data); more > 0 {
		f.node.data = append(f.node.data, make([]byte, more)...)
	}
	return uint64(copy(f.node.data[offset:], data)), nil
}

func (f *servedFile) IOStat(context.Context) (proto.Stat, error) {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	return proto.Stat{Mode: f.node.mode, Size: int64(len(f.node.data))}, nil
}

func (f *servedFile) IOGetOpenmodes(context.Context) (int32, error) { return f.modes, nil }

func (f *servedFile) IODuplicate(context.Context) (mach.Port, error) { return f.open(f.modes) }

func (f *servedFile) IOIdentity(context.Context) (id, fsys mach.Port, number int64, err error) {
	f.k.AddRight(f.node.id)
	f.k.AddRight(f.node.fsys)
	return f.node.id, f.node.fsys, 5, nil
}

func (f *servedFile) open(modes int32) (mach.Port, error) {
	p, err := f.k.Export(proto.Handler(&servedFile{k: f.k, node: f.node, modes: modes}), ports.Options{})
	if err != nil {
		return mach.Null, err
	}
	return p.Right()
}

// serve makes a file of a size.
func serve(k *portstest.Kernel, size int) *servedFile {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i % 251)
	}
	return &servedFile{k: k, node: &servedNode{id: k.NewPort(nil), fsys: k.NewPort(nil), mode: proto.S_IFREG | 0o644, data: data}}
}

func openAs(t *testing.T, f *servedFile, modes int32) mach.Port {
	t.Helper()
	p, err := f.open(modes)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStore reads and writes pages of a file whose server does it in parts.
func TestStore(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	f := serve(k, 10_000)
	want := bytes.Clone(f.node.data)
	s := &store{ctx: ctx, write: openAs(t, f, proto.O_READ|proto.O_WRITE)}
	if err := s.Refresh(ctx); err != nil || s.Size() != 10_000 {
		t.Fatalf("%d bytes, %v", s.Size(), err)
	}
	for _, f.node.most = range []int{0, 1000} {
		b := make([]byte, 3*pager.PageSize)
		if n, err := s.ReadAt(b, 0); err != nil || n != len(b) || !bytes.Equal(b[:10_000], want) || !bytes.Equal(b[10_000:], make([]byte, len(b)-10_000)) {
			t.Errorf("read: %d bytes, %v", n, err)
		}
		page := bytes.Repeat([]byte{byte(f.node.most%7 + 1)}, pager.PageSize)
		copy(want[8192:], page)
		copy(want[:4096], page)
		if err := errors.Join(s.WriteBack(page, 8192), s.WriteBack(page, 0), s.WriteBack(page, 12_288)); err != nil || !bytes.Equal(f.node.data, want) {
			t.Errorf("write: %v, %d bytes", err, len(f.node.data))
		}
	}
	// It has become shorter: the rest of what is read is zero, and the pager learns of it
	// when it asks.
	f.node.data = f.node.data[:5000]
	b := make([]byte, 2*pager.PageSize)
	if n, err := s.ReadAt(b, 0); err != nil || n != len(b) || !bytes.Equal(b[:5000], want[:5000]) || !bytes.Equal(b[5000:], make([]byte, len(b)-5000)) {
		t.Errorf("read what has become shorter: %d bytes, %v", n, err)
	}
	if err := s.Refresh(ctx); err != nil || s.Size() != 5000 {
		t.Errorf("%d bytes, %v", s.Size(), err)
	}
	f.node.writing = proto.ENOSPC
	if err := s.WriteBack(make([]byte, pager.PageSize), 0); !errors.Is(err, proto.ENOSPC) {
		t.Errorf("write without room: %v", err)
	}
	k.Kill(s.write)
	if _, err := s.ReadAt(b, 0); err == nil {
		t.Error("read from a server that is gone")
	}
	if err := (&store{ctx: ctx, read: s.write}).WriteBack(b, 0); !errors.Is(err, proto.EBADF) {
		t.Errorf("write a file that is open for reading: %v", err)
	}
}

// TestFiles: who opens one file gets one memory object, with the rights of how it is
// open; when nobody has it any more, nothing is left.
func TestFiles(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	files := &Files{Pager: pager.New(pager.Config{Ports: k}), Max: 1}
	f := serve(k, 10_000)
	before := len(k.Ports())
	mapped := func(modes int32) (rd, wr mach.Port, err error) {
		p := openAs(t, f, modes)
		defer k.Release(p)
		return files.Map(ctx, p)
	}
	read, none, err := mapped(proto.O_READ)
	if err != nil || none.Valid() {
		t.Fatal(read, none, err)
	}
	if _, err := proto.PagerInfo(ctx, read); err != nil {
		t.Errorf("it is to say that it can have several kernels: %v", err)
	}
	rd, wr, err := mapped(proto.O_READ | proto.O_WRITE)
	if err != nil || rd != wr || rd == read {
		t.Fatal(read, rd, wr, err)
	}
	again, _, err := mapped(proto.O_READ)
	if err != nil || again != read {
		t.Error("the same file is another object", again, read, err)
	}
	if _, _, err := mapped(proto.O_WRITE); !errors.Is(err, proto.EOPNOTSUPP) {
		t.Errorf("open for writing only: %v", err)
	}
	other := serve(k, 1)
	q := openAs(t, other, proto.O_READ)
	if _, _, err := files.Map(ctx, q); !errors.Is(err, proto.ENFILE) {
		t.Errorf("one file too many: %v", err)
	}
	other.node.mode = proto.S_IFCHR
	if _, _, err := files.Map(ctx, q); !errors.Is(err, proto.EOPNOTSUPP) {
		t.Errorf("a device: %v", err)
	}
	k.Release(q, other.node.id, other.node.fsys)

	closed := files.files[identity{f.node.id, f.node.fsys, 5}]
	k.Release(read, rd, wr)
	if closed.closed != nil {
		t.Error("closed while it is in use")
	}
	k.Release(again)
	<-closed.closed
	if n := len(k.Ports()); n != before || len(files.files) != 0 {
		t.Errorf("%d ports, %d before; %d files", n, before, len(files.files))
	}
	// And once more.
	rd, _, err = mapped(proto.O_READ)
	if err != nil {
		t.Fatal(err)
	}
	closed = files.files[identity{f.node.id, f.node.fsys, 5}]
	k.Release(rd)
	<-closed.closed
	if n := len(k.Ports()); n != before {
		t.Errorf("%d ports, %d before", n, before)
	}
}
