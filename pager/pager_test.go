package pager

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

func yield() { runtime.Gosched() }

// file is what a server does to a file that may be mapped.
type file struct{ *world }

func (f file) read(b []byte, off int64) (n int, err error) {
	err = f.o.Read(context.Background(), off, int64(len(b)), func() error {
		n, err = f.store.ReadAt(b, off)
		return err
	})
	return n, err
}

func (f file) write(b []byte, off int64) error {
	return f.o.Write(context.Background(), off, int64(len(b)), func() error {
		f.store.write(b, off)
		return nil
	})
}

func (f file) resize(size int64) error {
	return f.o.SetSize(context.Background(), size, func() error {
		f.store.setSize(size)
		return nil
	})
}

// TestManyKernels does random things to a file by calls and by mappings of three
// kernels, of which one may only read, and compares with an array of bytes.
func TestManyKernels(t *testing.T) {
	for _, quick := range []bool{true, false} {
		rapid.Check(t, func(r *rapid.T) {
			const most = 3 * PageSize
			w := newWorld(t, int64(rapid.IntRange(0, most).Draw(r, "size")), func(_ *Config, c *ObjectConfig) {
				c.Quick = quick
				c.Cluster = rapid.SampledFrom([]int{1, 4}).Draw(r, "cluster")
			})
			f := file{w}
			model := make([]byte, w.store.Size())
			kernels := []*fakeKernel{w.kernel(false), w.kernel(false), w.kernel(true)}
			for range rapid.IntRange(1, 80).Draw(r, "steps") {
				k := kernels[rapid.IntRange(0, len(kernels)-1).Draw(r, "kernel")]
				at := rapid.IntRange(0, most).Draw(r, "at")
				c := byte(rapid.IntRange(1, 255).Draw(r, "byte"))
				switch op := rapid.SampledFrom([]string{"read", "read", "write", "mread", "mread", "mwrite", "mwrite", "mwrite", "size", "evict", "map", "sync"}).Draw(r, "op"); op {
				case "read":
					b := make([]byte, rapid.IntRange(1, 2*PageSize).Draw(r, "n"))
					got, err := f.read(b, int64(at))
					want := model[min(at, len(model)):min(at+len(b), len(model))]
					if err != nil || !bytes.Equal(b[:got], want) {
						r.Fatalf("read at %d: %d bytes %v, want %d", at, got, err, len(want))
					}
				case "write":
					b := bytes.Repeat([]byte{c}, rapid.IntRange(1, 2*PageSize).Draw(r, "n"))
					if err := f.write(b, int64(at)); err != nil {
						r.Fatal(err)
					}
					if grow := at + len(b) - len(model); grow > 0 {
						model = append(model, make([]byte, grow)...)
					}
					copy(model[at:], b)
				case "mread", "mwrite":
					inside := at/PageSize*PageSize < len(model) && (op == "mread" || !k.readOnly)
					ok := k.access(int64(at/PageSize), op == "mwrite", func(b []byte) {
						if op == "mwrite" {
							b[at%PageSize] = c
							return
						}
						if at < len(model) && b[at%PageSize] != model[at] {
							r.Fatalf("a mapping has %d at %d, want %d", b[at%PageSize], at, model[at])
						}
					})
					if ok != inside {
						r.Fatalf("%s at %d of %d, read only %v: %v", op, at, len(model), k.readOnly, ok)
					}
					if ok && op == "mwrite" && at < len(model) {
						model[at] = c
					}
				case "size":
					if err := f.resize(int64(at)); err != nil {
						r.Fatal(err)
					}
					model = append(model[:min(at, len(model))], make([]byte, at-min(at, len(model)))...)
				case "evict":
					k.evict(int64(at / PageSize))
				case "map":
					k.unmap()
					k.init()
				case "sync":
					if err := w.o.Sync(context.Background(), int64(at), PageSize); err != nil {
						r.Fatal(err)
					}
				}
			}
			for _, k := range kernels {
				k.unmap()
				k.quiet()
			}
			b := make([]byte, len(model)+1)
			got, err := f.read(b, 0)
			if err != nil || !bytes.Equal(b[:got], model) {
				r.Fatal("at the end: contents differ")
			}
			w.end(r, kernels...)
		})
	}
}

// TestNothingLost writes the bytes of the same pages by calls and by the mappings of two
// kernels at the same time, while pages are evicted: all must arrive.
func TestNothingLost(t *testing.T) {
	const pages, rounds = 2, 300
	w := newWorld(t, pages*PageSize, nil)
	f := file{w}
	a, b := w.kernel(false), w.kernel(false)
	want := make([]byte, pages*PageSize)
	var wg sync.WaitGroup
	for i, k := range []*fakeKernel{a, b} {
		wg.Go(func() {
			for n := range rounds {
				at := (n*38 + i) % (pages * PageSize)
				at -= (at - i) % 3 // each has bytes of its own
				if !k.access(int64(at/PageSize), true, func(b []byte) { b[at%PageSize] = byte(n) }) {
					t.Error("an exception")
				}
				want[at] = byte(n)
			}
		})
	}
	wg.Go(func() {
		for n := range rounds {
			at := (n*106 + 2) % (pages * PageSize)
			at -= (at - 2) % 3
			if err := f.write([]byte{byte(n)}, int64(at)); err != nil {
				t.Error(err)
			}
			want[at] = byte(n)
			b := make([]byte, 1)
			if _, err := f.read(b, int64(at)); err != nil || b[0] != byte(n) {
				t.Errorf("read %d, %v, wrote %d", b[0], err, byte(n))
				return
			}
		}
	})
	done := make(chan struct{})
	var evict sync.WaitGroup
	evict.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				a.evict(rand.Int64N(pages))
				b.evict(rand.Int64N(pages))
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	wg.Wait()
	close(done)
	evict.Wait()
	got := make([]byte, len(want))
	if _, err := f.read(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Error("something was lost")
	}
	w.end(t, a, b)
}

// TestEachPageOnce: however many read a file, a page goes to each kernel once.
func TestEachPageOnce(t *testing.T) {
	const pages = 100
	w := newWorld(t, pages*PageSize, nil)
	var kernels []*fakeKernel
	var wg sync.WaitGroup
	for range 4 {
		k := w.kernel(true)
		kernels = append(kernels, k)
		for range 4 {
			wg.Go(func() {
				for p := range int64(pages) {
					if !k.access(p, false, func([]byte) {}) {
						t.Error("an exception")
					}
				}
			})
		}
	}
	wg.Wait()
	s := w.o.Stats()
	if s.Supplied != 4*pages || s.Most != pages || s.Clients != 4 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(s.String(), "\nsupplied 400\nmost 100\n") {
		t.Error(s)
	}
	w.end(t, kernels...)
}

func TestMappedWithoutRoom(t *testing.T) {
	w := newWorld(t, 4*PageSize, nil)
	w.store.room = 2
	k := w.kernel(false)
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
	w.end(t, k)
}

// TestForged: messages that are no client's change nothing.
func TestForged(t *testing.T) {
	w := newWorld(t, PageSize, nil)
	k, reader := w.kernel(false), w.kernel(true)
	k.access(0, true, func(b []byte) { b[0] = 1 })
	forged := mach.Port(66)
	data := func() uint64 { return w.message(bytes.Repeat([]byte{9}, PageSize)) }
	w.mu.Lock()
	w.rights[forged] = 100
	w.mu.Unlock()
	for _, e := range []any{
		dataReturn{control: forged, addr: data(), n: PageSize, dirty: true},
		mach.PagerDataRequest{Control: forged, Length: PageSize},
		mach.PagerDataUnlock{Control: forged, Length: PageSize, Access: mach.ProtWrite},
		mach.PagerLockCompleted{Control: forged, Length: PageSize},
		mach.PagerTerminate{Control: forged, Name: forged},
		mach.PagerSupplyCompleted{Control: forged},
		mach.PagerCopy{Control: forged, New: forged},
		mach.PagerInit{Control: forged, Name: forged, PageSize: 8192},
		mach.PagerChangeCompleted{},
	} {
		w.o.handle(k.port, e)
	}
	k.mu.Lock()
	for _, e := range []any{
		// From the kernel's control port, but nonsense.
		mach.PagerDataRequest{Control: k.control, Offset: 1, Length: PageSize},
		mach.PagerDataRequest{Control: k.control, Offset: PageSize, Length: 5 * PageSize},
		mach.PagerDataRequest{Control: k.control, Length: 1 << 31},
		dataReturn{control: k.control, addr: w.message(make([]byte, 10)), n: 10, dirty: true},
		dataReturn{control: k.control, offset: 1 << 31, addr: data(), n: PageSize, dirty: true},
	} {
		k.send(e)
	}
	k.mu.Unlock()
	// Its messages, by the port for reading only.
	reader.mu.Lock()
	reader.send(dataReturn{control: k.control, addr: data(), n: PageSize, dirty: true})
	reader.send(dataReturn{control: reader.control, addr: data(), n: PageSize, dirty: true})
	reader.mu.Unlock()
	k.quiet()
	reader.quiet()
	b := make([]byte, 1)
	if _, err := (file{w}).read(b, 0); err != nil || b[0] != 1 {
		t.Errorf("%v %v", b, err)
	}
	w.mu.Lock()
	if w.rights[forged] != 100-8 {
		t.Errorf("%d rights of 8 were given back", 100-w.rights[forged])
	}
	delete(w.rights, forged)
	w.mu.Unlock()
	w.end(t, k, reader)
}

// TestSilentKernel: one that does not answer a recall is cut off, and others go on.
func TestSilentKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, PageSize, func(c *Config, _ *ObjectConfig) { c.Answer = 3 * time.Second })
		deaf, k := w.kernel(false), w.kernel(false)
		deaf.access(0, true, func(b []byte) { b[0] = 1 })
		deaf.mu.Lock()
		deaf.deaf = true
		deaf.mu.Unlock()
		start := time.Now()
		if !k.access(0, true, func(b []byte) { b[1] = 2 }) {
			t.Error("an exception")
		}
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("after %v", d)
		}
		if s := w.o.Stats(); s.Cut != 1 || s.Clients != 1 || !deaf.ended {
			t.Errorf("%+v, told %v", s, deaf.ended)
		}
		w.end(t, deaf, k)
	})
}

// TestFullQueue: a kernel that takes no messages holds up no other, gets all of them in
// order if it does within the time, and is cut off if not.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*PageSize, func(c *Config, o *ObjectConfig) { c.Answer = 3 * time.Second; o.Cluster = 1 })
		slow, k := w.kernel(false), w.kernel(false)
		slow.quiet()
		full := make(chan struct{})
		slow.mu.Lock()
		slow.full = full
		slow.mu.Unlock()
		got := make(chan bool)
		go func() { got <- slow.access(0, false, func([]byte) {}) }()
		if !k.access(1, true, func(b []byte) { b[0] = 1 }) {
			t.Error("another page")
		}
		time.Sleep(time.Second)
		slow.mu.Lock()
		slow.full = nil
		slow.mu.Unlock()
		close(full)
		if !<-got {
			t.Error("an exception")
		}
		full = make(chan struct{})
		slow.mu.Lock()
		slow.full = full
		slow.mu.Unlock()
		go func() { got <- slow.access(2, false, func([]byte) {}) }()
		time.Sleep(5 * time.Second)
		if s := w.o.Stats(); s.Cut != 1 || s.Clients != 1 || s.Waited == 0 {
			t.Errorf("%+v", s)
		}
		slow.mu.Lock()
		slow.ended = true
		slow.changed.Broadcast()
		slow.mu.Unlock()
		<-got
		close(full)
		w.end(t, slow, k)
	})
}

// TestHangingStore: it holds up no other object, nor what needs no store.
func TestHangingStore(t *testing.T) {
	w := newWorld(t, 2*PageSize, func(_ *Config, c *ObjectConfig) { c.Quick = false })
	w.store.hang = make(chan struct{})
	k := w.kernel(false)
	got := make(chan bool)
	go func() { got <- k.access(0, false, func([]byte) {}) }()
	other := &world{t: t, pager: w.pager, ports: w.ports, memory: w.memory, store: &memStore{b: make([]byte, PageSize), room: -1, reserved: map[int64]bool{}}}
	o := w.pager.NewObject(ObjectConfig{Store: other.store})
	if err := o.Read(t.Context(), 0, 10, func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := o.Sync(t.Context(), 0, 10); err != nil {
		t.Error(err)
	}
	close(w.store.hang)
	if !<-got {
		t.Error("an exception")
	}
	w.end(t, k)
}

// TestUnreadableMemory: memory of a message that cannot be had is lost to who sent it.
func TestUnreadableMemory(t *testing.T) {
	w := newWorld(t, PageSize, nil)
	k := w.kernel(false)
	k.access(0, true, func(b []byte) { b[0] = 1 })
	k.mu.Lock()
	k.pages[0].dirty = false
	addr := w.message(make([]byte, PageSize))
	w.mu.Lock()
	w.bad[addr] = true
	w.mu.Unlock()
	k.send(dataReturn{control: k.control, addr: addr, n: PageSize, dirty: true, kept: true})
	k.mu.Unlock()
	k.quiet()
	if s := w.o.Stats(); s.Lost != 1 || s.Returned != 0 {
		t.Errorf("%+v", s)
	}
	w.end(t, k)
}

// TestGivenUp: a change whose client gives up leaves nothing behind.
func TestGivenUp(t *testing.T) {
	w := newWorld(t, PageSize, nil)
	k := w.kernel(false)
	k.access(0, true, func(b []byte) { b[0] = 1 })
	k.mu.Lock()
	k.deaf = true
	k.mu.Unlock()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(proto.EINTR)
	for _, f := range []func() error{
		func() error { return w.o.Write(ctx, 0, 1, func() error { t.Error("called"); return nil }) },
		func() error { return w.o.Read(ctx, 0, 1, func() error { t.Error("called"); return nil }) },
		func() error { return w.o.Sync(ctx, 0, 1) },
	} {
		if err := f(); !errors.Is(err, proto.EINTR) {
			t.Error(err)
		}
	}
	w.end(t, k)
}

// TestWithoutMemory: without memory for a page, who asks gets an exception, and can
// ask again.
func TestWithoutMemory(t *testing.T) {
	w := newWorld(t, PageSize, nil)
	k := w.kernel(false)
	k.quiet()
	w.memory.fail = true
	if k.access(0, false, func([]byte) {}) {
		t.Error("a page out of nothing")
	}
	k.quiet()
	w.memory.fail = false
	if !k.access(0, false, func([]byte) {}) {
		t.Error("an exception")
	}
	w.end(t, k)
}

func TestClose(t *testing.T) {
	w := newWorld(t, PageSize, nil)
	k := w.kernel(false)
	k.access(0, true, func(b []byte) { b[0] = 7 })
	if err := w.o.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if w.store.b[0] != 7 {
		t.Error("what was changed is not in the store")
	}
	for !func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.ended }() {
		yield()
	}
	w.end(t, k)
}

// TestHold: the least minimum hold of a page is over when all have run who wanted to, and no
// timer is waited for.
func TestHold(t *testing.T) {
	var yields atomic.Int32
	w := newWorld(t, PageSize, func(c *Config, o *ObjectConfig) {
		c.Yield = func() { yields.Add(1) }
		c.Answer = 1000 * time.Hour // the clock is put forward by the hold
		o.Hold = time.Hour
	})
	// The one has used the page when the other wants it.
	kernels := []*fakeKernel{w.kernel(false), w.kernel(false)}
	for i, k := range kernels {
		if !k.access(0, true, func(b []byte) { b[0]++ }) {
			t.Fatalf("turn %d failed", i)
		}
	}
	if n := yields.Load(); n == 0 {
		t.Error("nobody waited for the hold to be over")
	}
	w.end(t, kernels...)
}
