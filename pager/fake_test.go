package pager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A world is an object and the kernels that use it, each of which does what a kernel
// does: it has pages, asks for them, forgets them. What a kernel says is taken in
// order, by a goroutine.
type world struct {
	t      testing.TB
	pager  *Pager
	o      *Object
	store  *memStore
	memory *countedMemory
	ports  *portstest.Kernel

	mu        sync.Mutex
	rights    map[mach.Port]int
	destroyed int // receive rights
	kernels   map[mach.Port]*fakeKernel
	waiting   sync.WaitGroup
	memAt     map[uint64][]byte // of messages
	lastMem   uint64
	bad       map[uint64]bool // memory that cannot be had
}

// countedMemory is Go's, and knows how much is in use.
type countedMemory struct {
	mu   sync.Mutex
	used int
	fail bool
}

func (m *countedMemory) Alloc(n int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail {
		return nil, mach.KernResourceShortage
	}
	m.used += n
	return make([]byte, n), nil
}

func (m *countedMemory) Free(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used -= len(b); m.used < 0 {
		panic("memory freed twice")
	}
}

// A memStore is a file in memory.
type memStore struct {
	mu       sync.Mutex
	b        []byte
	room     int // pages that can be reserved; < 0: any number
	reserved map[int64]bool
	busy     map[int64]bool
	hang     chan struct{} // if not nil, asking waits until it is closed
}

func (s *memStore) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.b))
}

func (s *memStore) ReadAt(b []byte, off int64) (int, error) {
	if s.hang != nil {
		<-s.hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(b, s.b[min(off, int64(len(s.b))):]), nil
}

func (s *memStore) WriteBack(b []byte, off int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.b[min(off, int64(len(s.b))):], b)
	return nil
}

func (s *memStore) Reserve(off int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room >= 0 && !s.reserved[off] && len(s.reserved) >= s.room {
		return proto.ENOSPC
	}
	s.reserved[off] = true
	return nil
}

func (s *memStore) write(b []byte, off int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if grow := off + int64(len(b)) - int64(len(s.b)); grow > 0 {
		s.b = append(s.b, make([]byte, grow)...)
	}
	copy(s.b[off:], b)
}

func (s *memStore) setSize(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b[:min(n, int64(len(s.b)))], make([]byte, max(n-int64(len(s.b)), 0))...)
}

// newWorld makes an object of size bytes. change may change how it is made.
func newWorld(t testing.TB, size int64, change func(*Config, *ObjectConfig)) *world {
	w := &world{
		t: t, memory: new(countedMemory), ports: portstest.New(t, wire.Layout32), store: &memStore{room: -1, reserved: map[int64]bool{}},
		rights: map[mach.Port]int{}, kernels: map[mach.Port]*fakeKernel{}, memAt: map[uint64][]byte{}, bad: map[uint64]bool{},
	}
	w.store.setSize(size)
	c := Config{Ports: w.ports, Kernel: w, Memory: w.memory}
	oc := ObjectConfig{Store: w.store, Quick: true, Reserve: true, Hold: 1}
	if change != nil {
		change(&c, &oc)
	}
	w.pager = New(c)
	w.o = w.pager.NewObject(oc)
	return w
}

// A fakeKernel is a kernel, as the object's user.
type fakeKernel struct {
	w        *world
	port     *objectPort
	right    mach.Port
	readOnly bool

	mu      sync.Mutex
	changed *sync.Cond
	control mach.Port
	last    mach.Port
	pages   map[int64]*fakePage
	asked   map[int64]bool
	failed  map[int64]bool
	events  []any
	pending int
	stop    bool
	ended   bool // by memory_object_destroy

	supplied int
	locks    int
	deaf     bool          // it does not answer locks
	full     chan struct{} // its queue is full until that is closed
	flushed  func()
}

type fakePage struct {
	data   []byte
	dirty  bool
	locked bool // against writing
}

// kernel adds a kernel that maps the object.
func (w *world) kernel(readOnly bool) *fakeKernel {
	right, err := w.o.Right(readOnly)
	if err != nil {
		w.t.Fatal(err)
	}
	i := 0
	if readOnly {
		i = 1
	}
	k := &fakeKernel{
		w: w, port: w.o.ports[i], right: right, readOnly: readOnly, last: mach.Port(1000 * (len(w.kernels) + 1)),
		pages: map[int64]*fakePage{}, asked: map[int64]bool{}, failed: map[int64]bool{},
	}
	k.changed = sync.NewCond(&k.mu)
	k.init()
	w.waiting.Go(k.run)
	return k
}

// init has it begin to use the object, with a control port of that time.
func (k *fakeKernel) init() {
	k.w.mu.Lock()
	k.last++
	k.control = k.last
	k.w.kernels[k.control] = k
	k.w.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = false
	k.w.add(k.control, k.control+500)
	k.send(mach.PagerInit{Control: k.control, Name: k.control + 500, PageSize: PageSize})
}

func (w *world) add(ports ...mach.Port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range ports {
		w.rights[p]++
	}
}

// end ends the use of the object by all kernels, and checks that nothing is left.
func (w *world) end(t interface{ Errorf(string, ...any) }, list ...*fakeKernel) {
	for _, k := range list {
		k.unmap()
		k.quiet()
	}
	for _, k := range list {
		k.quiet()
		k.mu.Lock()
		k.stop = true
		k.changed.Broadcast()
		k.mu.Unlock()
		w.ports.Release(k.right)
	}
	w.waiting.Wait()
	// What a goroutine is sending, or giving back.
	for range 100_000 {
		if w.clean() {
			break
		}
		yield()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, n := range w.rights {
		if n != 0 {
			t.Errorf("%d rights to %v left", n, p)
		}
	}
	if len(w.memAt) > 0 {
		t.Errorf("memory of %d messages left", len(w.memAt))
	}
	if n := w.memory.used - w.spare(); n != 0 {
		t.Errorf("%d bytes of pages left", n)
	}
	w.o.mu.Lock()
	if len(w.o.clients) != 0 || len(w.o.names) != 0 || len(w.o.waiting) != 0 || !w.o.core.Idle() {
		t.Errorf("left: %d clients, %d names, %d who wait, idle %v", len(w.o.clients), len(w.o.names), len(w.o.waiting), w.o.core.Idle())
	}
	w.o.mu.Unlock()
}

// spare is how much memory is kept.
func (w *world) spare() int {
	s := w.pager.memory.(*spare)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list) * PageSize
}

// clean reports whether nothing is left, of what is given back aside.
func (w *world) clean() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.rights {
		if n != 0 {
			return false
		}
	}
	w.memory.mu.Lock()
	defer w.memory.mu.Unlock()
	return w.memory.used == w.spare()
}

func (k *fakeKernel) run() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		for len(k.events) == 0 && !k.stop {
			k.changed.Wait()
		}
		if len(k.events) == 0 {
			return
		}
		e := k.events[0]
		k.events = k.events[1:]
		k.pending++
		k.mu.Unlock()
		if d, ok := e.(detachBy); ok {
			_ = info{p: k.port}.PagerDetach(context.Background(), d.control)
		} else {
			k.port.o.handle(k.port, e)
		}
		k.mu.Lock()
		k.pending--
		k.changed.Broadcast()
	}
}

// detachBy is pager_detach.
type detachBy struct{ control mach.Port }

// send queues a message to the object. mu is held.
func (k *fakeKernel) send(e any) {
	switch e := e.(type) {
	case mach.PagerDataRequest, mach.PagerDataUnlock, mach.PagerLockCompleted, mach.PagerSupplyCompleted, dataReturn:
		k.w.add(controlOf(e))
	case detachBy:
		k.w.add(e.control)
	}
	k.events = append(k.events, e)
	k.changed.Broadcast()
}

// giveBack is memory_object_data_return of a page. mu is held.
func (k *fakeKernel) giveBack(p int64, data []byte, dirty, kept bool) {
	k.send(dataReturn{control: k.control, offset: uintptr(p * PageSize), addr: k.w.message(data), n: len(data), dirty: dirty, kept: kept})
}

// message makes memory of a message.
func (w *world) message(data []byte) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastMem += 1 << 20
	w.memAt[w.lastMem] = slices.Clone(data)
	return w.lastMem
}

func (w *world) Copy(addr uint64, n int, to Memory) ([]byte, error) {
	w.mu.Lock()
	data, bad := w.memAt[addr], w.bad[addr]
	delete(w.memAt, addr)
	w.mu.Unlock()
	if bad {
		return nil, mach.SendInvalidData
	}
	b, err := to.Alloc(n)
	copy(b, data)
	return b, err
}

func (w *world) Free(addr uint64, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.memAt, addr)
}

func (w *world) Release(ports ...mach.Port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range ports {
		if p.Valid() {
			if w.rights[p]--; w.rights[p] < 0 {
				panic(fmt.Sprintf("a right to %v released twice", p))
			}
		}
	}
}

func (w *world) Destroy(ports ...mach.Port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range ports {
		if p.Valid() {
			w.destroyed++
		}
	}
}

// quiet waits until all of its messages have been taken.
func (k *fakeKernel) quiet() {
	k.mu.Lock()
	for len(k.events) > 0 || k.pending > 0 {
		k.changed.Wait()
	}
	k.mu.Unlock()
	// What waits for memory.
	for {
		k.w.o.mu.Lock()
		busy := false
		for _, c := range k.w.o.clients {
			busy = busy || c.copying || c.sending
		}
		k.w.o.mu.Unlock()
		if !busy {
			return
		}
		yield()
	}
}

// unmap ends its use of the object.
func (k *fakeKernel) unmap() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return
	}
	for p := range k.pages {
		k.evictLocked(p)
	}
	k.ended = true
	if k.control%2 == 0 {
		k.send(mach.PagerTerminate{Control: k.control, Name: k.control + 500})
	} else {
		k.send(detachBy{k.control})
	}
	clear(k.asked)
	clear(k.failed)
}

func (k *fakeKernel) evictLocked(p int64) {
	g := k.pages[p]
	if g == nil {
		return
	}
	delete(k.pages, p)
	if g.dirty {
		k.giveBack(p, g.data, true, false)
	}
}

func (k *fakeKernel) evict(p int64) {
	k.mu.Lock()
	k.evictLocked(p)
	k.mu.Unlock()
}

// access gives fn a page as a mapping sees it, in one step; false is an exception.
func (k *fakeKernel) access(p int64, write bool, fn func(b []byte)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	access := mach.ProtRead
	if write {
		access = mach.ProtWrite
	}
	var unlocking *fakePage
	for {
		g := k.pages[p]
		switch {
		case k.ended:
			return false
		case g == nil && k.failed[p]:
			delete(k.failed, p)
			return false
		case g == nil && !k.asked[p]:
			k.asked[p] = true
			k.send(mach.PagerDataRequest{Control: k.control, Offset: uintptr(p * PageSize), Length: PageSize, Access: access})
		case g != nil && write && g.locked && unlocking != g:
			unlocking = g
			k.send(mach.PagerDataUnlock{Control: k.control, Offset: uintptr(p * PageSize), Length: PageSize, Access: mach.ProtWrite})
		case g != nil && (!write || !g.locked):
			fn(g.data)
			g.dirty = g.dirty || write
			return true
		default:
			k.changed.Wait()
		}
	}
}

// Send does what a kernel does when it is told something.
func (w *world) Send(control mach.Port, m any) (wait func(context.Context) error, err error) {
	w.mu.Lock()
	k := w.kernels[control]
	w.mu.Unlock()
	if k == nil {
		if s, ok := m.(MsgSupply); ok {
			w.memory.Free(s.Data)
		}
		return nil, mach.SendInvalidDest
	}
	k.mu.Lock()
	full := k.full
	k.mu.Unlock()
	if full != nil {
		return func(ctx context.Context) error {
			select {
			case <-full:
				k.mu.Lock()
				defer k.mu.Unlock()
				k.told(control, m)
				return nil
			case <-ctx.Done():
				if s, ok := m.(MsgSupply); ok {
					w.memory.Free(s.Data)
				}
				return context.Cause(ctx)
			}
		}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told(control, m)
	return nil, nil
}

var errNever = errors.New("never")

func (k *fakeKernel) told(control mach.Port, m any) {
	defer k.changed.Broadcast()
	if s, ok := m.(MsgSupply); ok {
		defer k.w.memory.Free(s.Data)
	}
	if control != k.control || k.ended {
		return
	}
	switch m := m.(type) {
	case MsgSupply:
		done := mach.PagerSupplyCompleted{Control: control, Offset: uintptr(m.Offset), Length: uintptr(len(m.Data))}
		for at := 0; at < len(m.Data); at += PageSize {
			p := (m.Offset + int64(at)) / PageSize
			if k.pages[p] != nil && m.Reply.Valid() {
				done.Result, done.ErrorOffset = mach.KernMemoryPresent, uintptr(p*PageSize)
				break
			}
			delete(k.asked, p)
			if k.pages[p] == nil {
				k.supplied++
				k.pages[p] = &fakePage{data: slices.Clone(m.Data[at : at+PageSize]), locked: m.Forbid&mach.ProtWrite != 0}
			}
		}
		if m.Reply.Valid() {
			k.send(done)
		}
	case MsgError:
		for p := m.Offset / PageSize; p < (m.Offset+m.Length)/PageSize; p++ {
			if k.asked[p] {
				delete(k.asked, p)
				k.failed[p] = true
			}
		}
	case MsgDestroy:
		k.ended = true
		clear(k.pages)
	case MsgLock:
		k.locks++
		if k.deaf {
			return
		}
		for p := m.Offset / PageSize; p < (m.Offset+m.Length)/PageSize; p++ {
			g := k.pages[p]
			if g == nil {
				continue
			}
			if g.dirty && m.Return != mach.ReturnNone {
				k.giveBack(p, g.data, true, !m.Flush)
				g.dirty = false
			}
			if m.Forbid&mach.ProtNoChange == 0 {
				g.locked = m.Forbid&mach.ProtWrite != 0
			}
			if m.Flush {
				delete(k.pages, p)
			}
		}
		if m.Flush && k.flushed != nil {
			k.flushed()
		}
		if m.Reply.Valid() {
			k.send(mach.PagerLockCompleted{Control: control, Offset: uintptr(m.Offset), Length: uintptr(m.Length)})
		}
	}
}
