package rootfs

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hurdlab/hurd/proto"
	"hurdlab/images/mach/memfs"
	"hurdlab/mach"
)

// A fakeKernel does with a memory object what the kernel does: it has pages,
// asks for them, forgets them. Its messages are handled by a goroutine in
// order.
type fakeKernel struct {
	o *object

	mu       sync.Mutex
	changed  *sync.Cond
	pages    map[int64]*fakePage
	asked    map[int64]bool
	failed   map[int64]bool
	events   []any
	pending  int // events that are handled
	control  mach.Port
	rights   map[mach.Port]int
	locks    int
	supplied int
	cached   bool
	stop     bool
	flushed  func() // called, with mu held, when pages have been flushed
}

type fakePage struct {
	data   []byte
	dirty  bool
	locked bool // against writing
}

func newFakeKernel(t testing.TB, s store) *fakeKernel {
	k := &fakeKernel{pages: map[int64]*fakePage{}, asked: map[int64]bool{}, failed: map[int64]bool{}, rights: map[mach.Port]int{}, control: 7}
	k.changed = sync.NewCond(&k.mu)
	if s == nil {
		return k
	}
	k.o = newObject(k, s)
	k.o.setPort(100)
	var wg sync.WaitGroup
	wg.Go(k.run)
	t.Cleanup(func() {
		k.mu.Lock()
		k.stop = true
		k.changed.Broadcast()
		k.mu.Unlock()
		wg.Wait()
	})
	return k
}

func (k *fakeKernel) run() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		for len(k.events) == 0 && !k.stop {
			k.changed.Wait()
		}
		if k.stop {
			return
		}
		e := k.events[0]
		k.events = k.events[1:]
		k.pending++
		k.mu.Unlock()
		k.o.handle(e)
		k.mu.Lock()
		k.pending--
		k.changed.Broadcast()
	}
}

// send queues a message to the object. mu is held.
func (k *fakeKernel) send(e any) {
	switch e.(type) {
	case mach.PagerDataRequest, mach.PagerDataUnlock, mach.PagerDataReturn, mach.PagerLockCompleted:
		k.rights[k.control]++
	}
	k.events = append(k.events, e)
	k.changed.Broadcast()
}

// quiet waits until all messages are handled.
func (k *fakeKernel) quiet() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.events) > 0 || k.pending > 0 {
		k.changed.Wait()
	}
}

func (k *fakeKernel) mapObject() {
	k.mu.Lock()
	k.rights[k.control]++
	k.rights[8]++
	k.send(mach.PagerInit{Control: k.control, Name: 8, PageSize: pageSize})
	k.mu.Unlock()
	k.quiet()
}

// unmap ends the use of the object.
func (k *fakeKernel) unmap() {
	k.mu.Lock()
	for p := range k.pages {
		k.evictLocked(p)
	}
	k.send(mach.PagerTerminate{Control: k.control, Name: 8})
	k.mu.Unlock()
	k.quiet()
}

func (k *fakeKernel) evictLocked(p int64) {
	g := k.pages[p]
	if g == nil {
		return
	}
	delete(k.pages, p)
	if g.dirty {
		k.send(mach.PagerDataReturn{Control: k.control, Offset: uintptr(p * pageSize), Data: g.data, Dirty: true})
	}
}

func (k *fakeKernel) evict(p int64) {
	k.mu.Lock()
	k.evictLocked(p)
	k.mu.Unlock()
}

// access gives fn a page as a mapping sees it, in one step; false is an
// exception.
func (k *fakeKernel) access(p int64, write bool, fn func(b []byte)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	access := mach.ProtRead
	if write {
		access = mach.ProtWrite
	}
	asked, failed := k.asked, k.failed
	unlocking := false
	for {
		g := k.pages[p]
		switch {
		case g == nil && failed[p]:
			delete(failed, p)
			return false
		case g == nil && !asked[p]:
			asked[p] = true
			unlocking = false
			k.send(mach.PagerDataRequest{Control: k.control, Offset: uintptr(p * pageSize), Length: pageSize, Access: access})
		case g != nil && write && g.locked && !unlocking:
			unlocking = true
			k.send(mach.PagerDataUnlock{Control: k.control, Offset: uintptr(p * pageSize), Length: pageSize, Access: mach.ProtWrite})
		case g != nil && (!write || !g.locked):
			fn(g.data)
			g.dirty = g.dirty || write
			return true
		default:
			k.changed.Wait()
			if g != nil && k.pages[p] == nil {
				unlocking = false
			}
			if unlocking && k.pages[p] != nil && k.pages[p] != g {
				unlocking = false
			}
		}
	}
}

func (k *fakeKernel) Ready(mach.Port) error { return nil }

func (k *fakeKernel) Supply(_ mach.Port, off int64, n int, lock mach.Prot, fill func([]byte) error) error {
	b := make([]byte, n)
	if err := fill(b); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for at := 0; at < n; at += pageSize {
		p := off/pageSize + int64(at/pageSize)
		delete(k.asked, p)
		if k.pages[p] == nil {
			k.supplied++
			k.pages[p] = &fakePage{data: b[at : at+pageSize : at+pageSize], locked: lock&mach.ProtWrite != 0}
		}
	}
	k.changed.Broadcast()
	return nil
}

func (k *fakeKernel) Zero(c mach.Port, off int64, n int) error {
	return k.Supply(c, off, n, mach.ProtNone, func([]byte) error { return nil })
}

func (k *fakeKernel) Error(_ mach.Port, off int64, n int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.asked, off/pageSize)
	k.failed[off/pageSize] = true
	k.changed.Broadcast()
	return nil
}

func (k *fakeKernel) Lock(_ mach.Port, off int64, n int, ret mach.Return, flush bool, lock mach.Prot, reply mach.Port) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.locks++
	for p := off / pageSize; p < (off+int64(n))/pageSize; p++ {
		g := k.pages[p]
		if g == nil {
			continue
		}
		if g.dirty && ret != mach.ReturnNone {
			k.send(mach.PagerDataReturn{Control: k.control, Offset: uintptr(p * pageSize), Data: bytes.Clone(g.data), Dirty: true, Kept: !flush})
			g.dirty = false
		}
		g.locked = lock&mach.ProtWrite != 0
		if flush {
			delete(k.pages, p)
		}
	}
	if flush && k.flushed != nil {
		k.flushed()
	}
	if reply != mach.Null {
		k.send(mach.PagerLockCompleted{Control: k.control, Offset: uintptr(off), Length: uintptr(n)})
	}
	k.changed.Broadcast()
	return nil
}

func (k *fakeKernel) Forget(mach.Port) error { k.cached = false; return nil }

func (k *fakeKernel) ReadOnly(p mach.Port) (mach.Port, error) { return p + 1000, nil }

func (k *fakeKernel) Copy(p mach.Port) error { return nil }

func (k *fakeKernel) Release(ports ...mach.Port) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range ports {
		if k.rights[p]--; k.rights[p] < 0 {
			panic("a right released twice")
		}
	}
}

func (k *fakeKernel) Destroy(...mach.Port) {}

func newFile(t testing.TB, size int64, max int64) *memfs.Inode {
	f := memfs.New(memfs.Config{MaxBytes: max, MaxInodes: 10})
	n, err := f.Anonymous(memfs.Attr{Mode: proto.S_IFREG})
	if err == nil {
		err = n.SetSize(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ops are what the server does to a file that may be mapped.
type ops struct {
	n *memfs.Inode
	o *object
}

func (f ops) read(b []byte, off int64) (int, error) {
	if err := f.o.sync(context.Background(), off, int64(len(b))); err != nil {
		return 0, err
	}
	k, _ := f.n.ReadAt(b, off)
	return k, nil
}

func (f ops) write(b []byte, off int64) error {
	return f.o.changeWrite(context.Background(), off, int64(len(b)), func() error {
		_, err := f.n.WriteAt(b, off)
		return err
	})
}

func (f ops) setSize(size int64) error {
	return f.o.changeSize(context.Background(), size, func() error { return f.n.SetSize(size) })
}

// TestCoherence does random things to a file by calls and by a mapping, and
// compares with an array of bytes.
func TestCoherence(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const max = 3 * pageSize
		n := newFile(t, int64(rapid.IntRange(0, max).Draw(r, "size")), 1<<20)
		k := newFakeKernel(t, n)
		f := ops{n, k.o}
		model := make([]byte, n.Size())
		mapped := rapid.Bool().Draw(r, "mapped")
		if mapped {
			k.mapObject()
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			at := rapid.IntRange(0, max).Draw(r, "at")
			c := byte(rapid.IntRange(1, 255).Draw(r, "byte"))
			switch op := rapid.SampledFrom([]string{"read", "read", "write", "mread", "mread", "mwrite", "mwrite", "mwrite", "size", "evict", "map"}).Draw(r, "op"); op {
			case "read":
				b := make([]byte, rapid.IntRange(1, 2*pageSize).Draw(r, "n"))
				got, err := f.read(b, int64(at))
				want := model[min(at, len(model)):min(at+len(b), len(model))]
				if err != nil || !bytes.Equal(b[:got], want) {
					r.Fatalf("read at %d: %d bytes %v, want %d", at, got, err, len(want))
				}
			case "write":
				b := bytes.Repeat([]byte{c}, rapid.IntRange(1, 2*pageSize).Draw(r, "n"))
				if err := f.write(b, int64(at)); err != nil {
					r.Fatal(err)
				}
				if grow := at + len(b) - len(model); grow > 0 {
					model = append(model, make([]byte, grow)...)
				}
				copy(model[at:], b)
			case "mread", "mwrite":
				if !mapped {
					continue
				}
				inside := at/pageSize*pageSize < len(model)
				ok := k.access(int64(at/pageSize), op == "mwrite", func(b []byte) {
					if op == "mwrite" {
						b[at%pageSize] = c
						return
					}
					if at < len(model) && b[at%pageSize] != model[at] {
						r.Fatalf("a mapping has %d at %d, want %d", b[at%pageSize], at, model[at])
					}
				})
				if ok != inside {
					r.Fatalf("%s at %d of %d: %v", op, at, len(model), ok)
				}
				if op == "mwrite" && at < len(model) {
					model[at] = c
				}
			case "size":
				if err := f.setSize(int64(at)); err != nil {
					r.Fatal(err)
				}
				model = append(model[:min(at, len(model))], make([]byte, at-min(at, len(model)))...)
			case "evict":
				k.evict(int64(at / pageSize))
			case "map":
				if mapped {
					k.unmap()
				} else {
					k.mapObject()
				}
				mapped = !mapped
			}
		}
		if mapped {
			k.unmap()
		}
		b := make([]byte, len(model)+1)
		got, err := f.read(b, 0)
		if err != nil || !bytes.Equal(b[:got], model) {
			r.Fatal("at the end: contents differ")
		}
		k.quiet()
		for p, c := range k.rights {
			if c != 0 {
				r.Fatalf("%d rights to %v left", c, p)
			}
		}
		if len(k.o.locks) > 0 || len(k.o.waiting) > 0 {
			r.Fatal("something waits")
		}
	})
}

// TestNothingLost writes the bytes of the same pages by calls and by a mapping
// at the same time, while pages are evicted: all must arrive.
func TestNothingLost(t *testing.T) {
	const pages, rounds = 2, 200
	n := newFile(t, pages*pageSize, 1<<20)
	k := newFakeKernel(t, n)
	k.mapObject()
	f := ops{n, k.o}
	want := make([]byte, pages*pageSize)
	// As long as it takes for the two to get in each other's way often.
	busy := func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.locks < rounds
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for i := 0; busy(); i++ {
			at := i * 38 % (pages * pageSize)
			c := byte(i)
			if !k.access(int64(at/pageSize), true, func(b []byte) { b[at%pageSize] = c }) {
				t.Error("an exception")
			}
			want[at] = c
		}
	})
	wg.Go(func() {
		for i := 0; busy(); i++ {
			at := (i*106 + 1) % (pages * pageSize)
			if err := f.write([]byte{byte(i)}, int64(at)); err != nil {
				t.Error(err)
			}
			want[at] = byte(i)
			b := make([]byte, 1)
			if _, err := f.read(b, int64(at)); err != nil || b[0] != byte(i) {
				t.Errorf("read %d, %v, wrote %d", b[0], err, byte(i))
				return
			}
		}
	})
	var evict sync.WaitGroup
	evict.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				k.evict(rand.Int64N(pages))
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	wg.Wait()
	close(done)
	evict.Wait()
	b := make([]byte, len(want))
	if _, err := f.read(b, 0); err != nil || !bytes.Equal(b, want) {
		t.Error("something was lost")
	}
}

// TestFaultWhileChanging: a page that is asked for between its flush and the
// change has what was changed.
func TestFaultWhileChanging(t *testing.T) {
	n := newFile(t, pageSize, 1<<20)
	k := newFakeKernel(t, n)
	k.mapObject()
	k.access(0, true, func(b []byte) { b[1] = 1 })
	k.mu.Lock()
	k.flushed = func() {
		k.asked[0] = true
		k.send(mach.PagerDataRequest{Control: k.control, Length: pageSize, Access: mach.ProtWrite})
	}
	k.mu.Unlock()
	if err := (ops{n, k.o}).write([]byte{2}, 0); err != nil {
		t.Error(err)
	}
	k.access(0, false, func(b []byte) {
		if b[0] != 2 || b[1] != 1 {
			t.Errorf("the page has %v", b[:2])
		}
	})
}

func TestMappedWithoutRoom(t *testing.T) {
	n := newFile(t, 4*pageSize, 2*pageSize)
	k := newFakeKernel(t, n)
	k.mapObject()
	set := func(b []byte) { b[0] = 1 }
	read := func(p int64) bool { return k.access(p, false, func([]byte) {}) }
	if !read(3) || !k.access(0, true, set) || !k.access(1, true, set) {
		t.Error("there is room for two pages, and for reading")
	}
	if k.access(2, true, set) {
		t.Error("wrote a page that there is no room for")
	}
	if k.access(3, true, set) {
		t.Error("wrote a page that was read and that there is no room for")
	}
	if !read(3) || !k.access(1, true, set) {
		t.Error("afterwards")
	}
}

func TestCluster(t *testing.T) {
	n := newFile(t, 40*pageSize, 1<<20)
	k := newFakeKernel(t, n)
	k.mapObject()
	k.access(20, false, func([]byte) {})
	if k.supplied != cluster || !k.o.supplied.has(16) || !k.o.supplied.has(31) {
		t.Errorf("%d pages supplied", k.supplied)
	}
	k.access(39, false, func([]byte) {})
	if k.supplied != cluster+8 {
		t.Errorf("%d pages supplied at the end of the file", k.supplied)
	}
	// Reading what is only mapped for reading asks the kernel nothing.
	if _, err := (ops{n, k.o}).read(make([]byte, 40*pageSize), 0); err != nil || k.locks != 0 {
		t.Errorf("%v, %d lock requests", err, k.locks)
	}
}

// TestForged: messages that are not the kernel's change nothing.
func TestForged(t *testing.T) {
	n := newFile(t, pageSize, 1<<20)
	k := newFakeKernel(t, n)
	k.mapObject()
	k.access(0, true, func(b []byte) { b[0] = 1 })
	forged := mach.Port(66)
	k.mu.Lock()
	k.rights[forged] = 100
	for _, e := range []any{
		mach.PagerInit{Control: forged, Name: forged, PageSize: pageSize},
		mach.PagerDataReturn{Control: forged, Data: make([]byte, pageSize), Dirty: true},
		mach.PagerDataRequest{Control: forged, Length: pageSize},
		mach.PagerDataUnlock{Control: forged, Length: pageSize, Access: mach.ProtWrite},
		mach.PagerLockCompleted{Control: forged, Length: pageSize},
		mach.PagerTerminate{Control: forged, Name: forged},
		mach.PagerSupplyCompleted{Control: forged},
		mach.PagerCopy{Control: forged, New: forged},
		mach.PagerChangeCompleted{},
		// From the kernel's control port, but nonsense.
		mach.PagerDataRequest{Control: k.control, Offset: 1, Length: pageSize},
		mach.PagerDataRequest{Control: k.control, Length: 5 * pageSize},
		mach.PagerDataReturn{Control: k.control, Data: make([]byte, 10), Dirty: true},
	} {
		k.send(e)
	}
	k.mu.Unlock()
	k.quiet()
	b := make([]byte, 1)
	if _, err := (ops{n, k.o}).read(b, 0); err != nil || b[0] != 1 {
		t.Errorf("%v %v", b, err)
	}
	if k.rights[forged] != 100-8 {
		t.Errorf("%d rights of 8 were given back", 100-k.rights[forged])
	}
}

// TestGivenUp: a change whose client gives up leaves nothing behind.
func TestGivenUp(t *testing.T) {
	n := newFile(t, pageSize, 1<<20)
	k := newFakeKernel(t, n)
	k.mapObject()
	k.access(0, true, func(b []byte) { b[0] = 1 })
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(proto.EINTR)
	silent := &silentKernel{k}
	k.o.mu.Lock()
	k.o.kernel = silent
	k.o.mu.Unlock()
	if err := k.o.changeWrite(ctx, 0, 1, func() error { t.Error("called"); return nil }); err != proto.EINTR {
		t.Error(err)
	}
	k.o.mu.Lock()
	k.o.kernel = k
	k.o.writable.add(0)
	k.o.mu.Unlock()
	if err := k.o.sync(ctx, 0, 1); err != proto.EINTR {
		t.Error(err)
	}
	k.quiet()
	if err := (ops{n, k.o}).write([]byte("x"), 0); err != nil {
		t.Error(err)
	}
}

// TestSyncTogether: who reads while what was changed in memory is on its way,
// for another who reads, waits, too.
func TestSyncTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &countKernel{fakeKernel: &fakeKernel{}}
		o := newObject(k, newFile(t, 4*pageSize, 1<<20))
		o.control = 7
		for _, p := range []int64{0, 1, 3} {
			o.writable.add(p)
		}
		done := make(chan int, 3)
		sync := func(id int, page int64) {
			if err := o.sync(t.Context(), page*pageSize, pageSize); err != nil {
				t.Error(err)
			}
			done <- id
		}
		for i, page := range []int64{1, 1, 2} {
			go sync(i, page)
			synctest.Wait()
		}
		if id := <-done; id != 2 {
			t.Errorf("%d did not wait", id)
		}
		select {
		case id := <-done:
			t.Errorf("%d did not wait", id)
		default:
		}
		o.handle(mach.PagerLockCompleted{Control: 7, Offset: pageSize, Length: pageSize})
		if a, b := <-done, <-done; a+b != 1 {
			t.Errorf("%d and %d", a, b)
		}
		if !o.writable.has(0) || !o.writable.has(3) || o.writable.has(1) {
			t.Error("other pages")
		}
	})
}

// A silentKernel does not answer lock requests.
type silentKernel struct{ *fakeKernel }

func (k *silentKernel) Lock(mach.Port, int64, int, mach.Return, bool, mach.Prot, mach.Port) error {
	return nil
}
