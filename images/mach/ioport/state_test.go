package ioport_test

import (
	"context"
	"testing"
	"time"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

type object struct {
	state  ioport.State
	number uint64
}

func (o *object) Serve(c *ioport.Client) []any { return []any{&client{c, &o.state, o}} }
func (o *object) Release()                     {}

type client struct {
	*ioport.Client
	*ioport.State
	object *object
}

func (c *client) IOGetOpenmodes(context.Context) (int32, error) {
	return c.Openmodes(proto.O_READ), nil
}

func (c *client) IOIdentity(context.Context) (mach.Port, mach.Port, int64, error) {
	return c.Identity(c.State, c.object.number)
}

func (c *client) IOSelectTimeout(ctx context.Context, t proto.Timespec, want int32) (int32, error) {
	return ioport.SelectUntil(ctx, t, want, func(ctx context.Context, _ int32) (int32, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
}

func TestState(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	h := &ioport.Host{Export: k}
	open := func(number uint64) mach.Port {
		t.Helper()
		p, err := h.Open(&object{number: number}, translator.Root())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	a, b := open(5), open(6)
	again, err := proto.IODuplicate(ctx, a)
	ok(err)
	modes := func(p mach.Port, want int32) {
		t.Helper()
		if bits, err := proto.IOGetOpenmodes(ctx, p); bits != want || err != nil {
			t.Errorf("modes %#x, %v; want %#x", bits, err, want)
		}
	}
	// What is set at one port is so at all.
	modes(again, proto.O_READ)
	ok(proto.IOSetSomeOpenmodes(ctx, a, proto.O_NONBLOCK))
	modes(again, proto.O_READ|proto.O_NONBLOCK)
	ok(proto.IOSetSomeOpenmodes(ctx, a, proto.O_APPEND))
	ok(proto.IOClearSomeOpenmodes(ctx, a, proto.O_APPEND))
	modes(again, proto.O_READ|proto.O_NONBLOCK)
	ok(proto.IOClearSomeOpenmodes(ctx, again, proto.O_NONBLOCK))
	modes(a, proto.O_READ)
	ok(proto.IOSetAllOpenmodes(ctx, a, proto.O_NONBLOCK))
	ok(proto.IOSetAllOpenmodes(ctx, a, 0))
	modes(a, proto.O_READ)
	ok(proto.IOModOwner(ctx, a, -7))
	if who, err := proto.IOGetOwner(ctx, again); who != -7 || err != nil {
		t.Errorf("owner %d, %v", who, err)
	}
	// The identity of two ports is the same if they are of one object.
	var rights []mach.Port
	identity := func(p mach.Port) (mach.Port, mach.Port, int64) {
		t.Helper()
		id, fsid, number, err := proto.IOIdentity(ctx, p)
		ok(err)
		rights = append(rights, id, fsid)
		return id, fsid, number
	}
	id, fsid, number := identity(a)
	id2, fsid2, number2 := identity(again)
	id3, fsid3, number3 := identity(b)
	if !id.Valid() || !fsid.Valid() || number != 5 || id2 != id || fsid2 != fsid || number2 != 5 {
		t.Errorf("one object: %v %v %d, %v %v %d", id, fsid, number, id2, fsid2, number2)
	}
	if id3 == id || fsid3 != fsid || number3 != 6 {
		t.Errorf("another object: %v %v %d", id3, fsid3, number3)
	}
	if got, err := proto.IOSelectTimeout(ctx, a, proto.Timespec{Sec: time.Now().Unix()}, proto.SelectRead); got != 0 || err != nil {
		t.Errorf("a select that is late: %d, %v", got, err)
	}
	k.Release(rights...)
	k.Release(a, b, again)
	for end := time.Now().Add(5 * time.Second); len(k.Ports()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v are left", k.Ports())
		}
	}
}
