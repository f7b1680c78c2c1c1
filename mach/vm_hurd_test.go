package mach_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"unsafe"

	"hurdlab/mach"
)

// memoryAt returns memory that the kernel mapped into this task.
func memoryAt(addr uintptr, n int) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n)
}

func TestMemory(t *testing.T) {
	self := mach.TaskSelf()
	leaks(t, func() {
		const n = 4 * mach.PageSize
		addr := must(mach.VMAllocate(self, n))(t)
		mem := memoryAt(addr, n)
		for i := range mem {
			mem[i] = byte(i)
		}
		if b := must(mach.VMRead(self, addr+5, 1000))(t); !bytes.Equal(b, mem[5:1005]) {
			t.Error("vm_read read something else")
		}
		check(t, mach.VMCopy(self, addr, mach.PageSize, addr+2*mach.PageSize))
		if !bytes.Equal(mem[:mach.PageSize], mem[2*mach.PageSize:3*mach.PageSize]) {
			t.Error("vm_copy copied something else")
		}
		check(t, mach.VMProtect(self, addr, mach.PageSize, false, mach.ProtRead))
		check(t, mach.VMInherit(self, addr, mach.PageSize, mach.InheritNone))
		g := must(mach.VMRegion(self, addr))(t)
		if g.Addr != addr || g.Size != mach.PageSize || g.Prot != mach.ProtRead || g.Inherit != mach.InheritNone || g.Shared {
			t.Errorf("region %+v", g)
		}
		if g.Object.Valid() {
			check(t, mach.Deallocate(g.Object))
		}
		wantCode(t, mach.VMWrite(self, addr, mem[:mach.PageSize]), mach.KernProtectionFailure)
		wantCode(t, mach.VMAllocateAt(self, addr, mach.PageSize), mach.KernNoSpace)
		check(t, mach.VMDeallocate(self, addr, n))
		_, err := mach.VMRead(self, addr, 1)
		wantCode(t, err, mach.KernInvalidAddress)

		s := must(mach.VMStats(self))(t)
		if s.PageSize != mach.PageSize || s.Free == 0 || s.Faults == 0 {
			t.Errorf("implausible: %+v", s)
		}

		// A child that has this task's memory, by inheritance.
		addr = must(mach.VMAllocate(self, mach.PageSize))(t)
		memoryAt(addr, 5)[0] = 42
		task := must(mach.TaskCreate(self, true))(t)
		memoryAt(addr, 5)[0] = 43
		if b := must(mach.VMRead(task, addr, 1))(t); b[0] != 42 {
			t.Errorf("the child has %d", b[0])
		}
		endTask(t, task)
		check(t, mach.VMDeallocate(self, addr, mach.PageSize))
	})
}

func TestContiguous(t *testing.T) {
	privileged(t)
	self := mach.TaskSelf()
	const n = 5 * mach.PageSize
	addr, phys, err := mach.VMAllocateContiguous(mach.HostPriv(), self, n, 0, 1<<32, 0)
	check(t, err)
	pages := must(mach.VMPagesPhys(mach.HostPriv(), self, addr, n))(t)
	if len(pages) != 5 {
		t.Fatalf("pages %x", pages)
	}
	for i, p := range pages {
		if p != phys+uint64(i)*mach.PageSize {
			t.Errorf("page %d is at %#x, the first at %#x", i, p, phys)
		}
	}
	memoryAt(addr, n)[n-1] = 1
	check(t, mach.VMDeallocate(self, addr, n))
}

// A pager serves a memory object.
type pager struct {
	t        *testing.T
	r        *mach.Receiver
	data     []byte // the object's
	mu       sync.Mutex
	control  mach.Port
	requests int
	returned []uintptr
	events   chan any // what is not a request
}

func (p *pager) serve() {
	m := mach.NewMessage(0)
	for p.r.Receive(p.t.Context(), m) == nil {
		event, err := mach.TakePager(m)
		if err != nil || event == nil {
			p.t.Errorf("message %d: %v", m.ID(), err)
		}
		// Each message brings a reference to the control port.
		drop := func(c mach.Port) {
			if c != p.control {
				p.t.Errorf("control port %v, before %v", c, p.control)
			}
			check(p.t, mach.Deallocate(c))
		}
		p.mu.Lock()
		switch e := event.(type) {
		case mach.PagerInit:
			p.control = e.Control
			check(p.t, mach.Deallocate(e.Name))
			check(p.t, mach.MemoryObjectReady(e.Control, false, mach.CopyNone))
		case mach.PagerDataRequest:
			drop(e.Control)
			p.requests++
			switch {
			case e.Offset == 5*mach.PageSize:
				check(p.t, mach.MemoryObjectDataUnavailable(e.Control, e.Offset, e.Length))
			case e.Offset == 6*mach.PageSize:
				check(p.t, mach.MemoryObjectDataError(e.Control, e.Offset, e.Length, mach.KernFailure))
			case e.Offset == 7*mach.PageSize:
				// A page of its own, given away.
				addr := must(mach.VMAllocate(mach.TaskSelf(), mach.PageSize))(p.t)
				copy(memoryAt(addr, mach.PageSize), p.data[e.Offset:])
				check(p.t, mach.MemoryObjectDataSupplyMemory(e.Control, e.Offset, addr, mach.PageSize, mach.ProtNone, false, mach.Null))
			default:
				check(p.t, mach.MemoryObjectDataSupply(e.Control, e.Offset, p.data[e.Offset:e.Offset+e.Length], mach.ProtNone, false, mach.Null))
			}
		case mach.PagerDataReturn:
			drop(e.Control)
			copy(p.data[e.Offset:], e.Data)
			for off := uintptr(0); off < uintptr(len(e.Data)); off += mach.PageSize {
				p.returned = append(p.returned, e.Offset+off)
			}
		case mach.PagerLockCompleted:
			drop(e.Control)
			p.events <- e
		case mach.PagerTerminate:
			check(p.t, mach.DestroyReceive(e.Control))
			check(p.t, mach.DestroyReceive(e.Name))
			p.events <- e
		default:
			p.events <- e
		}
		p.mu.Unlock()
		mach.Destroy(m)
	}
}

func TestPager(t *testing.T) {
	self := mach.TaskSelf()
	const n = 8 * mach.PageSize
	leaks(t, func() {
		backing := must(mach.VMAllocate(self, n))(t)
		p := &pager{t: t, r: receiver(t), data: memoryAt(backing, n), events: make(chan any, 4)}
		for i := range p.data {
			p.data[i] = byte(i/mach.PageSize + 1)
		}
		done := make(chan bool)
		go func() { p.serve(); close(done) }()

		// The memory is another task's, which has no threads. The kernel
		// faults its pages in for vm_read and vm_write, during which this
		// goroutine leaves the pager its processor. It does not do so for
		// this task's own memory while it holds the lock of its map.
		task := newTask(t)
		object := must(p.r.MakeSend())(t)
		addr := must(mach.VMMap(task, mach.Mapping{
			Size: n, Anywhere: true, Object: object,
			Prot: mach.ProtRead | mach.ProtWrite, MaxProt: mach.ProtAll, Inherit: mach.InheritNone,
		}))(t)
		for i := range 8 {
			if i == 6 {
				// vm_read of a page that fails keeps the kernel of 2025 from
				// ever terminating the object: see below.
				continue
			}
			b, err := mach.VMRead(task, addr+uintptr(i)*mach.PageSize+9, 1)
			switch {
			case err != nil:
				t.Errorf("page %d: %v", i, err)
			case i == 5 && b[0] != 0:
				t.Errorf("an unavailable page has %d", b[0])
			case i != 5 && b[0] != byte(i+1):
				t.Errorf("page %d has %d", i, b[0])
			}
		}
		if p.requests != 7 {
			t.Errorf("%d requests for 7 pages", p.requests)
		}

		// Written pages come back, before the lock is said to be complete.
		page := make([]byte, mach.PageSize)
		for _, i := range []int{1, 3} {
			page[0] = 100 + byte(i)
			check(t, mach.VMWrite(task, addr+uintptr(i)*mach.PageSize, page))
		}
		check(t, mach.MemoryObjectLockRequest(p.control, 0, n, mach.ReturnDirty, true, mach.ProtNoChange, p.r.Port()))
		if e, ok := (<-p.events).(mach.PagerLockCompleted); !ok || e.Length != n {
			t.Errorf("got %+v", e)
		}
		p.mu.Lock()
		if p.data[1*mach.PageSize] != 101 || p.data[3*mach.PageSize] != 103 || fmt.Sprint(p.returned) != "[4096 12288]" {
			t.Errorf("returned: %d", p.returned)
		}
		before := p.requests
		p.mu.Unlock()
		// Flushed: asked for again.
		b := must(mach.VMRead(task, addr+3*mach.PageSize, 1))(t)
		if b[0] != 103 || p.requests != before+1 {
			t.Errorf("after the flush: %d, %d requests", b[0], p.requests-before)
		}

		// A page that cannot be had is an exception.
		victim := newTask(t)
		bad := must(mach.VMMap(victim, mach.Mapping{
			Size: mach.PageSize, Anywhere: true, Object: object, Offset: 6 * mach.PageSize,
			Prot: mach.ProtRead, MaxProt: mach.ProtAll, Inherit: mach.InheritNone,
		}))(t)
		exceptions := receiver(t)
		check(t, mach.TaskSetSpecialPort(victim, mach.TaskExceptionPort, exceptions.Port(), mach.MakeSend))
		load := []byte{0x8b, 0x03, 0x0f, 0x0b} // mov (%ebx), %eax; ud2
		startThread(t, victim, load, mach.RegsI386{EBX: uint32(bad)}, nil)
		m := mach.NewMessage(0)
		check(t, exceptions.Receive(t.Context(), m))
		e, err := mach.TakeException(m)
		check(t, err)
		if e.Kind != 1 || mach.KernReturn(e.Code) != mach.KernMemoryError || e.Subcode != bad {
			t.Errorf("exception %+v at %#x", e, bad)
		}
		check(t, mach.Deallocate(e.Thread))
		check(t, mach.Deallocate(e.Task))
		endTask(t, victim)
		mach.Destroy(m)
		check(t, exceptions.Close())

		ready, cache, strategy, err := mach.MemoryObjectGetAttributes(p.control)
		check(t, err)
		if !ready || cache || strategy != mach.CopyNone {
			t.Errorf("attributes %v %v %v", ready, cache, strategy)
		}
		check(t, mach.MemoryObjectChangeAttributes(p.control, true, mach.CopyNone, p.r.Port()))
		if e, ok := (<-p.events).(mach.PagerChangeCompleted); !ok || !e.MayCache {
			t.Errorf("got %+v", e)
		}
		check(t, mach.MemoryObjectChangeAttributes(p.control, false, mach.CopyNone, mach.Null))

		// A window on the object, for others.
		proxy := must(mach.VMRegionCreateProxy(task, addr, mach.ProtRead, mach.PageSize))(t)
		check(t, mach.Deallocate(proxy))
		proxy = must(mach.MemoryObjectCreateProxy(self, mach.ProtRead, object, 0, mach.PageSize))(t)
		check(t, mach.Deallocate(proxy))

		endTask(t, task) // and its mapping
		if _, ok := (<-p.events).(mach.PagerTerminate); !ok {
			t.Error("no termination")
		}
		check(t, mach.Deallocate(p.control)) // a dead name now
		check(t, mach.Deallocate(object))
		check(t, p.r.Close())
		<-done
		check(t, mach.VMDeallocate(self, backing, n))
	})
}
