package portstest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A file is a server as they all are.
type file struct {
	proto.UnimplementedIO
	x    ports.Exporter
	data []byte
	gone *int
}

func (f *file) IORead(_ context.Context, offset int64, amount uint64) ([]byte, error) {
	return f.data[min(int(offset), len(f.data)):min(int(offset)+int(amount), len(f.data))], nil
}

func (f *file) IODuplicate(context.Context) (mach.Port, error) {
	p, err := f.x.Export(proto.Handler(f), ports.Options{Gone: func() { *f.gone++ }})
	if err != nil {
		return mach.Null, err
	}
	return p.Right()
}

func TestRightsAreCounted(t *testing.T) {
	for _, layout := range []wire.Layout{wire.Layout32, wire.Layout64} {
		k := portstest.New(t, layout)
		ctx := k.Context(t.Context())
		gone := 0
		f := &file{x: k, data: bytes.Repeat([]byte("0123456789"), 1000), gone: &gone}
		p, err := f.IODuplicate(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 10, 5000} {
			b, err := proto.IORead(ctx, p, 5, uint64(n))
			if err != nil || !bytes.Equal(b, f.data[5:5+n]) {
				t.Errorf("%v: read %d: %d bytes, %v", layout, n, len(b), err)
			}
		}
		q, err := proto.IODuplicate(ctx, p)
		if err != nil || k.Rights(q) != 1 {
			t.Fatalf("%v: duplicate: %v, %d rights", layout, err, k.Rights(q))
		}
		// A right in a request that fails is given back.
		if _, err := proto.IOAsync(ctx, p, proto.Copy(q)); !errors.Is(err, proto.EOPNOTSUPP) {
			t.Errorf("%v: %v", layout, err)
		}
		if k.Rights(q) != 1 {
			t.Errorf("%v: %d rights after a request that failed", layout, k.Rights(q))
		}
		proto.Release(ctx, q)
		if gone != 1 || k.Rights(q) != -1 {
			t.Errorf("%v: gone %d times, %d rights", layout, gone, k.Rights(q))
		}
		if _, err := proto.IORead(ctx, q, 0, 1); !errors.Is(err, mach.SendInvalidDest) {
			t.Errorf("%v: read from a port that is gone: %v", layout, err)
		}
		k.Release(p)
		if n := len(k.Ports()); n != 0 {
			t.Errorf("%v: %d ports are left", layout, n)
		}
	}
}
