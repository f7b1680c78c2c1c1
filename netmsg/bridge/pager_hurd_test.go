package bridge

import (
	"bytes"
	"context"
	"testing"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/pager"
)

// A memoryObject takes what kernels say to it, in order.
type memoryObject struct {
	many bool // it says that it can have several kernels
	got  chan any
}

// detached is pager_detach.
type detached struct{ Control mach.Port }

type objectInfo struct {
	proto.UnimplementedPager
	o *memoryObject
}

func (i objectInfo) PagerInfo(context.Context) ([]byte, error) { return []byte("clients 0\n"), nil }

func (i objectInfo) PagerDetach(_ context.Context, control mach.Port) error {
	i.o.got <- detached{control}
	return nil
}

func (o *memoryObject) Handle(ctx context.Context, req, reply *mach.Message) error {
	if !toPager(req.ID()) {
		if !o.many {
			return mach.MigBadID
		}
		return proto.Handler(objectInfo{o: o}).Handle(ctx, req, reply)
	}
	e, err := mach.TakePager(req)
	if r, ok := e.(mach.PagerDataReturn); ok {
		r.Data = bytes.Clone(r.Data)
		e = r
	}
	if err != nil || e == nil {
		o.got <- err
		return mach.MigBadArguments
	}
	o.got <- e
	return mach.NoReply
}

// next waits for what a kernel says next.
func next[T any](t *testing.T, o *memoryObject) (x T) {
	t.Helper()
	select {
	case e := <-o.got:
		x, ok := e.(T)
		if !ok {
			t.Fatalf("%#v, want %T", e, x)
		}
		return x
	case <-time.After(time.Minute):
		t.Fatalf("no %T", x)
	}
	return x
}

// newObject makes a memory object on node a, and returns b's right to it.
func newObject(t *testing.T, p *pair, f *far, many bool) (o *memoryObject, self, proxy mach.Port) {
	t.Helper()
	o = &memoryObject{many: many, got: make(chan any, 16)}
	r, err := mach.NewReceiver()
	check(t, err)
	p.ports = append(p.ports, r)
	go mach.Serve(context.Background(), r, o)
	own, err := r.MakeSend()
	check(t, err)
	f.mu.Lock()
	f.kept = own
	f.mu.Unlock()
	m := mach.NewMessage(idGive)
	check(t, mach.Call(t.Context(), p.door, m))
	proxy = m.TakeSend()
	mach.Destroy(m)
	return o, r.Port(), proxy
}

// A kernel says to a memory object on another node what a kernel says.
type kernel struct {
	t             *testing.T
	object        mach.Port
	control, name *mach.Receiver
}

func newKernel(t *testing.T, object mach.Port) *kernel {
	t.Helper()
	k := &kernel{t: t, object: object}
	var err error
	k.control, err = mach.NewReceiver()
	check(t, err)
	k.name, err = mach.NewReceiver()
	check(t, err)
	m := mach.NewMessage(mach.IDPagerInit)
	m.PutRight(k.control.Port(), mach.MakeSend)
	m.PutRight(k.name.Port(), mach.MakeSend)
	m.PutWord(mach.PageSize)
	k.send(object, m)
	return k
}

func (k *kernel) send(to mach.Port, m *mach.Message) {
	k.t.Helper()
	check(k.t, mach.Send(k.t.Context(), to, mach.CopySend, m))
}

// told waits for what the kernel is told.
func (k *kernel) told(id int32) *mach.Message {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	m := mach.NewMessage(0)
	check(k.t, k.control.Receive(ctx, m))
	if m.ID() != id {
		k.t.Fatalf("the kernel is told %d, want %d", m.ID(), id)
	}
	return m
}

// page is memory_object_data_return of a page, or another message about it.
func (k *kernel) page(id int32, data []byte) {
	k.t.Helper()
	m := mach.NewMessage(id)
	m.PutRight(k.control.Port(), mach.MakeSend)
	m.PutWord(mach.PageSize)
	switch id {
	case mach.IDPagerDataReturn:
		m.PutOOLData(mach.Byte, data)
		m.PutBool(true)
		m.PutBool(false)
	case mach.IDPagerDataRequest:
		m.PutWord(mach.PageSize)
		m.PutInt32(int32(mach.ProtRead))
	case mach.IDPagerLockCompleted:
		m.PutWord(mach.PageSize)
	}
	k.send(k.object, m)
}

// TestMemoryObject: a kernel and a pager of two nodes say to each other what they say,
// answers to supplies and locks included, in the order in which it was said; and the pager is told of
// the kernel's end after all that it has returned.
func TestMemoryObject(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	o, self, proxy := newObject(t, p, f, true)
	for range 2 {
		k := newKernel(t, proxy)
		init := next[mach.PagerInit](t, o)
		if init.PageSize != mach.PageSize || init.Control == k.control.Port() {
			t.Errorf("%+v", init)
		}
		check(t, mach.MemoryObjectReady(init.Control, true, mach.CopyDelay))
		mach.Destroy(k.told(2094))
		k.page(mach.IDPagerDataRequest, nil)
		if r := next[mach.PagerDataRequest](t, o); r.Control != init.Control || r.Offset != mach.PageSize {
			t.Errorf("%+v", r)
		}
		data := bytes.Repeat([]byte("page"), mach.PageSize/4)
		memory, err := vmem.Memory{}.Alloc(mach.PageSize)
		check(t, err)
		copy(memory, data)
		_, err = pager.Mach{}.Send(init.Control, pager.MsgSupply{Offset: mach.PageSize, Data: memory, Forbid: mach.ProtWrite, Reply: self})
		check(t, err)
		m := k.told(2093)
		if off := m.TakeWord(); off != mach.PageSize {
			t.Errorf("offset %d", off)
		}
		if got := m.TakeData(-1); !bytes.Equal(got, data) {
			t.Errorf("%d bytes, others", len(got))
		}
		m.TakeInt32()
		m.TakeBool()
		answer := m.TakeSend()
		if answer != proxy {
			t.Errorf("the answer is to go to %v, not to the object, %v", answer, proxy)
		}
		mach.Destroy(m)
		m = mach.NewMessage(mach.IDPagerSupplyCompleted)
		m.PutRight(k.control.Port(), mach.MakeSend)
		m.PutWord(mach.PageSize)
		m.PutWord(mach.PageSize)
		m.PutInt32(0)
		m.PutWord(0)
		k.send(answer, m)
		check(t, mach.Deallocate(answer))
		for i := range 10 {
			data[0] = byte(i)
			k.page(mach.IDPagerDataReturn, data)
			k.page(mach.IDPagerLockCompleted, nil)
		}
		m = mach.NewMessage(mach.IDPagerTerminate)
		m.PutRight(k.control.Release(), mach.MoveReceive)
		m.PutRight(k.name.Release(), mach.MoveReceive)
		k.send(proxy, m)

		rights := []mach.Port{init.Control, init.Control, init.Name}
		rights = append(rights, next[mach.PagerSupplyCompleted](t, o).Control)
		for i := range 10 {
			r := next[mach.PagerDataReturn](t, o)
			if r.Data[0] != byte(i) || !r.Dirty || r.Kept {
				t.Errorf("return %d: %v", i, r.Data[0])
			}
			rights = append(rights, r.Control, next[mach.PagerLockCompleted](t, o).Control)
		}
		d := next[detached](t, o)
		for _, r := range append(rights, d.Control) {
			if r != init.Control && r != init.Name {
				t.Errorf("%v, want %v", r, init.Control)
			}
			check(t, mach.Deallocate(r))
		}
	}
	check(t, mach.Deallocate(proxy))
	p.still(t)
	p.close(t)
}

// TestPagerOfOneKernel: a memory object that has not said that it can have several kernels
// hears nothing of those of other nodes; they are told that it is gone.
func TestPagerOfOneKernel(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	o, _, proxy := newObject(t, p, f, false)
	k := newKernel(t, proxy)
	mach.Destroy(k.told(2092))
	k.page(mach.IDPagerDataRequest, nil)
	k.page(mach.IDPagerDataReturn, make([]byte, mach.PageSize))
	m := mach.NewMessage(mach.IDPagerTerminate)
	m.PutRight(k.control.Release(), mach.MoveReceive)
	m.PutRight(k.name.Release(), mach.MoveReceive)
	k.send(proxy, m)
	check(t, mach.Deallocate(proxy))
	p.still(t)
	select {
	case e := <-o.got:
		t.Errorf("the object is told %#v", e)
	default:
	}
	p.close(t)
}
