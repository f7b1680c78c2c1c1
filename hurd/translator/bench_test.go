package translator_test

import (
	"context"
	"testing"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A bare exporter does nothing but remember the last object, so that what is
// measured is the library.
type bare struct {
	handler mach.Handler
	gone    func()
}

func (b *bare) Export(h mach.Handler, o ports.Options) (ports.Port, error) {
	b.handler, b.gone = h, o.Gone
	return b, nil
}
func (b *bare) Lookup(mach.Port) (mach.Handler, bool) { return b.handler, true }
func (b *bare) Release(...mach.Port)                  {}
func (b *bare) Name() mach.Port                       { return 7 }
func (b *bare) Right() (mach.Port, error)             { return 7, nil }
func (b *bare) Used() bool                            { return true }
func (b *bare) Close()                                {}

// request makes a message as it is received.
func request(b *testing.B, id int32, put func(m *mach.Message)) *mach.Message {
	m := wire.New(wire.Layout32, id)
	put(m)
	m.SetDest(7, mach.CopySend)
	buf := m.Buffer(0)
	buf[4], buf[5] = byte(len(buf)), byte(len(buf)>>8)
	r, err := wire.Parse(wire.Layout32, buf, nil)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func BenchmarkFile(b *testing.B) {
	x := new(bare)
	t := newTree()
	d := t.add(t.root, "usr", proto.S_IFDIR|0o755, 0, 0)
	d = t.add(d, "share", proto.S_IFDIR|0o755, 0, 0)
	t.add(d, "file", proto.S_IFREG|0o644, 0, 0).data = make([]byte, 1000)
	fs, err := translator.NewFS(translator.Config{Root: t.root, Ports: x})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if _, err := fs.Root(ctx, translator.Root(), 0, mach.Null); err != nil {
		b.Fatal(err)
	}
	root := x.handler
	reply := wire.New(wire.Layout32, 0)
	run := func(h mach.Handler, req *mach.Message) {
		req.Rewind()
		reply.Reset(wire.Layout32, req.ID()+100)
		reply.PutInt32(0)
		if err := h.Handle(ctx, req, reply); err != nil {
			b.Fatal(err)
		}
	}
	lookup := request(b, 20018, func(m *mach.Message) { m.PutString("usr/share/file", 1024); m.PutInt32(proto.O_READ); m.PutInt32(0) })
	read := request(b, 21001, func(m *mach.Message) { m.PutInt64(-1); m.PutWord(4096) })
	stat := request(b, 21013, func(m *mach.Message) {})
	b.Run("lookup+close", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(root, lookup)
			x.gone()
		}
	})
	run(root, lookup)
	file := x.handler
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(file, read)
		}
	})
	b.Run("stat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(file, stat)
		}
	})
}
