package pager

import (
	"testing"

	"hurdlab/internal/reference"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// pagerMessages are messages of the kernel, as it sends them.
func pagerMessages() (list []*wire.Message) {
	const control, name = 31, 32
	begin := func(id int32) *wire.Message {
		m := wire.New(wire.Layout32, id)
		list = append(list, m)
		return m
	}
	m := begin(mach.IDPagerInit)
	m.PutRight(control, mach.MoveSend)
	m.PutRight(name, mach.MoveSend)
	m.PutWord(PageSize)
	for _, id := range []int32{mach.IDPagerDataRequest, mach.IDPagerDataUnlock} {
		m = begin(id)
		m.PutRight(control, mach.MoveSend)
		m.PutWord(0)
		m.PutWord(PageSize)
		m.PutInt32(int32(mach.ProtRead | mach.ProtWrite))
	}
	m = begin(mach.IDPagerDataReturn)
	m.PutRight(control, mach.MoveSend)
	m.PutWord(0)
	m.PutOOLData(mach.Byte, make([]byte, PageSize))
	m.PutBool(true)
	m.PutBool(false)
	m = begin(mach.IDPagerLockCompleted)
	m.PutRight(control, mach.MoveSend)
	m.PutWord(0)
	m.PutWord(PageSize)
	m = begin(mach.IDPagerSupplyCompleted)
	m.PutRight(control, mach.MoveSend)
	m.PutWord(0)
	m.PutWord(PageSize)
	m.PutInt32(0)
	m.PutWord(0)
	m = begin(mach.IDPagerChangeCompleted)
	m.PutBool(true)
	m.PutInt32(2)
	m = begin(mach.IDPagerCopy)
	m.PutRight(control, mach.MoveSend)
	m.PutWord(0)
	m.PutWord(PageSize)
	m.PutRight(name, mach.MoveReceive)
	m = begin(mach.IDPagerTerminate)
	m.PutRight(control, mach.MoveReceive)
	m.PutRight(name, mach.MoveReceive)
	return list
}

// FuzzHandle: whatever is sent to a memory object, no right is lost.
func FuzzHandle(f *testing.F) {
	mem := reference.Memory{}
	for _, m := range pagerMessages() {
		m.Bind(mem.Bind)
		m.SetDest(1, mach.CopySend)
		f.Add(m.ID(), m.Buffer(0)[24:])
	}
	f.Fuzz(func(t *testing.T, id int32, body []byte) {
		w := newWorld(t, PageSize, nil)
		k := w.kernel(false)
		k.quiet()
		b := make([]byte, 24, 24+len(body)+4)
		b = append(b, body...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		b[3] = 0x80 // complex
		b[4], b[5], b[6] = byte(len(b)), byte(len(b)>>8), byte(len(b)>>16)
		b[20], b[21], b[22], b[23] = byte(id), byte(id>>8), byte(id>>16), byte(id>>24)
		req, err := wire.Parse(wire.Layout32, b, mem)
		if err != nil {
			t.Skip()
		}
		before, had := rightsIn(req), receives(req)
		w.add(before...)
		reply := wire.New(wire.Layout32, id+100)
		if err := k.port.Handle(t.Context(), req, reply); err == nil && id != 45800 && id != 45801 {
			t.Error("an answer")
		}
		w.Release(rightsIn(req)...)
		k.quiet()
		w.o.mu.Lock()
		var left []mach.Port // of clients that have come
		for _, c := range w.o.clients {
			if c.control != k.control {
				left = append(left, c.control)
			}
		}
		w.o.mu.Unlock()
		w.Release(left...)
		w.mu.Lock()
		if n := w.destroyed + receives(req); n != had {
			t.Errorf("%d: of %d receive rights %d are left or destroyed", id, had, n)
		}
		for p, n := range w.rights {
			if n != 0 && p != k.control {
				t.Errorf("%d: %d rights to %v are left", id, n, p)
			}
		}
		w.mu.Unlock()
	})
}

// rightsIn lists the rights that a received message owns.
func rightsIn(m *mach.Message) (list []mach.Port) {
	for it, err := range m.Items() {
		if err != nil {
			break
		}
		if !it.Type.Moves() || it.Type == mach.MoveReceive {
			continue
		}
		if b, err := it.Bytes(); err == nil {
			for i := range it.Ports() {
				if p := it.Port(b, i); p.Valid() {
					list = append(list, p)
				}
			}
		}
	}
	return list
}

// receives counts the receive rights that a received message owns.
func receives(m *mach.Message) (n int) {
	for it, err := range m.Items() {
		if err != nil {
			break
		}
		if b, err := it.Bytes(); err == nil && it.Type == mach.MoveReceive {
			for i := range it.Ports() {
				if it.Port(b, i).Valid() {
					n++
				}
			}
		}
	}
	return n
}
