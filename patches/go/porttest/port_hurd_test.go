package porttest

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

const page = 4096

// TestMemoryGivenBack lets the heap grow and become garbage: the machine must
// have the pages again.
func TestMemoryGivenBack(t *testing.T) {
	debug.FreeOSMemory()
	before := freePages(t)
	const size = 12 << 20
	for round := range 3 {
		var keep [][]byte
		for range size / (100 << 10) {
			b := make([]byte, 100<<10)
			for i := 0; i < len(b); i += page {
				b[i] = 1
			}
			keep = append(keep, b)
		}
		used := before - freePages(t)
		if used < size/page*9/10 {
			t.Fatalf("round %d: a heap of %d pages uses only %d: what is measured?", round, size/page, used)
		}
		runtime.KeepAlive(keep)
		keep = nil
		debug.FreeOSMemory()
		left := before - freePages(t)
		t.Logf("round %d: %d pages used, %d after they were given back", round, used, left)
		if left > size/page/5 {
			t.Errorf("round %d: of %d pages only %d came back", round, used, used-left)
		}
	}
}

// TestMemoryKeptIsLeftAlone gives back most of the heap, in pieces of all
// sizes, and looks whether the rest is what it was.
func TestMemoryKeptIsLeftAlone(t *testing.T) {
	type piece struct {
		seed byte
		data []byte
	}
	fill := func(size int, seed byte) piece {
		p := piece{seed, make([]byte, size)}
		for i := range p.data {
			if p.data[i] != 0 {
				t.Fatalf("new memory has %d in it", p.data[i])
			}
			p.data[i] = seed + byte(i)
		}
		return p
	}
	var kept []piece
	for round := range 6 {
		var all []piece
		for i := range 600 {
			all = append(all, fill(1000+i*37%30000, byte(i)))
		}
		for i, p := range all {
			if i%5 == round%5 {
				kept = append(kept, p)
			}
		}
		clear(all)
		debug.FreeOSMemory()
		for _, p := range kept {
			for i, b := range p.data {
				if b != p.seed+byte(i) {
					t.Fatalf("round %d: byte %d of %d kept is %d, was %d", round, i, len(p.data), b, p.seed+byte(i))
				}
			}
		}
		if round%2 == 1 {
			kept = kept[len(kept)/2:]
		}
	}
}

// TestThreadsLeaveNothing starts and ends threads by the thousand.
func TestThreadsLeaveNothing(t *testing.T) {
	run := func(n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Add(1)
			go func() {
				// A locked thread ends with its goroutine.
				runtime.LockOSThread()
				wg.Done()
			}()
		}
		wg.Wait()
	}
	threads := func() int {
		return arrayLen(call(t, syscall.MachTaskSelf(), idTaskThreads, typeInt), 2)
	}
	settle := func() (int, int) {
		// The last ones are on their way out, through a queue of the
		// runtime's that nobody can look into: wait until there are no
		// fewer than a moment before.
		for n := threads(); ; {
			time.Sleep(20 * time.Millisecond)
			m := threads()
			if m >= n {
				return m, ports(t)
			}
			n = m
		}
	}
	run(100)
	threads0, ports0 := settle()
	debug.FreeOSMemory()
	pages0 := freePages(t)
	for range 20 {
		run(100)
	}
	threads1, ports1 := settle()
	debug.FreeOSMemory()
	t.Logf("threads %d, then %d; ports %d, then %d; pages %d", threads0, threads1, ports0, ports1, pages0-freePages(t))
	// task_threads itself gives a name for each thread the first time.
	if threads1 > threads0+5 {
		t.Errorf("%d threads before, %d after 2000 came and went", threads0, threads1)
	}
	if ports1 > ports0+20 {
		t.Errorf("%d port names before, %d after 2000 threads came and went", ports0, ports1)
	}
	if used := pages0 - freePages(t); used > 600 {
		t.Errorf("2000 threads that came and went keep %d pages", used)
	}
}

// TestFaultsEverywhere has several threads fault at the same time.
func TestFaultsEverywhere(t *testing.T) {
	var wg sync.WaitGroup
	fault := func(what string, want string, f func()) {
		defer func() {
			if got := fmt.Sprint(recover()); got != want {
				t.Errorf("%s: panic %q, want %q", what, got, want)
			}
		}()
		f()
	}
	var nilPointer *[10]int
	var nilFunc func()
	zero := 0
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			for range 100 {
				fault("nil", "runtime error: invalid memory address or nil pointer dereference", func() { nilPointer[3]++ })
				fault("nil function", "runtime error: invalid memory address or nil pointer dereference", func() { nilFunc() })
				fault("division", "runtime error: integer divide by zero", func() { zero = 1 / zero })
			}
		}()
	}
	wg.Wait()
}

// TestFaultAddress recovers from writes to where none can be.
func TestFaultAddress(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	try := func(p unsafe.Pointer) (addr uintptr) {
		defer func() {
			if e, ok := recover().(interface{ Addr() uintptr }); ok {
				addr = e.Addr()
			}
		}()
		*(*byte)(p) = 1
		return 0
	}
	text := "text"
	rodata := unsafe.Pointer(unsafe.StringData(text))
	nowhere := unsafe.Add(nil, 0x70000000)
	for what, p := range map[string]unsafe.Pointer{"read-only data": rodata, "unmapped memory": nowhere} {
		if got := try(p); got != uintptr(p) {
			t.Errorf("%s: fault at %#x, want %p", what, got, p)
		}
	}
}

// TestPreemption stops a loop without a call.
func TestPreemption(t *testing.T) {
	stop := make(chan bool)
	var x int
	go func() {
		for x >= 0 {
		}
		close(stop)
	}()
	time.Sleep(time.Millisecond) // let it begin
	done := make(chan bool)
	go func() {
		runtime.GC()
		close(done)
	}()
	<-done
	*(*int)(unsafe.Pointer(&x)) = -1
}

// TestClock compares the clock with the kernel's, over seconds. The kernel counts ticks,
// and misses some when the machine under this one stands still: then its second is too
// long, but never too short, and not each time.
func TestClock(t *testing.T) {
	const tick = 10 * time.Millisecond
	for range 10 {
		start := time.Now()
		k := uptime(t)
		u, n := k, time.Duration(0)
		for u < k+1e9 {
			last := n
			n = time.Since(start)
			if n < last {
				t.Fatalf("time goes back: %v, then %v", last, n)
			}
			u = uptime(t)
		}
		kernel := time.Duration(u - k)
		t.Logf("%v of the kernel are %v", kernel, n)
		switch off := n - kernel; {
		case off.Abs() <= kernel/100+tick:
			return
		case off < 0:
			t.Fatal("the clock is slower than the kernel's")
		}
	}
	t.Error("the clock is faster than the kernel's, in each of 10 seconds")
}

// TestRandom wants different random numbers.
func TestRandom(t *testing.T) {
	var a, b [32]byte
	rand.Read(a[:])
	rand.Read(b[:])
	if a == b || a == [32]byte{} {
		t.Errorf("random numbers %x and %x", a, b)
	}
	t.Logf("%x", a[:8])
}

// open opens a new port for polling.
func open(t *testing.T) (*syscall.MachPoll, uint32) {
	t.Helper()
	port := syscall.MachReplyPort()
	p, kr := syscall.MachPollOpen(port)
	if kr != 0 {
		t.Fatalf("MachPollOpen: %#x", kr)
	}
	t.Cleanup(func() {
		p.Close()
		call(t, syscall.MachTaskSelf(), idPortDestroy, typeName, port)
	})
	return p, port
}

func TestPollManyReceivers(t *testing.T) {
	p, port := open(t)
	const receivers, messages = 20, 5000
	got := make([]int, messages)
	var lock sync.Mutex
	var wg sync.WaitGroup
	for range receivers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var h header
			b := unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h))
			for {
				n, code := p.Recv(b)
				switch {
				case code == 0x10004009:
					return
				case code != 0 || n != 24:
					t.Errorf("Recv: %d bytes, %#x", n, code)
					return
				}
				lock.Lock()
				got[h.id]++
				lock.Unlock()
			}
		}()
	}
	for i := range messages {
		if kr := send(port, uint32(i)); kr != 0 {
			t.Fatalf("send: %#x", kr)
		}
	}
	// Whatever is in the kernel's queue at Close stays there; take it.
	for {
		lock.Lock()
		n := 0
		for _, k := range got {
			n += k
		}
		lock.Unlock()
		if n >= messages {
			break
		}
		runtime.Gosched()
	}
	p.Close()
	wg.Wait()
	for i, n := range got {
		if n != 1 {
			t.Fatalf("message %d came %d times", i, n)
		}
	}
}

func TestPollLargeMessages(t *testing.T) {
	p, port := open(t)
	for _, n := range []int{0, 476, 477, 8000, 8160, 8192, 100000} {
		if kr := sendBytes(port, 7, n); kr != 0 {
			t.Fatalf("send: %#x", kr)
		}
		small := make([]byte, 24)
		size, code := p.Recv(small)
		if code != 0x10004004 || size < n {
			t.Fatalf("%d bytes into a small buffer: %d, %#x", n, size, code)
		}
		b := make([]byte, size)
		if again, code := p.Recv(b); code != 0 || again != size {
			t.Fatalf("%d bytes: %d, %#x", n, again, code)
		}
	}
}

// TestPollBackPressure sends more than anybody receives: the sender must
// wait, and lose nothing.
func TestPollBackPressure(t *testing.T) {
	p, port := open(t)
	const messages = 200
	sent := make(chan uint32, messages)
	go func() {
		for i := range uint32(messages) {
			send(port, i)
			sent <- i
		}
		close(sent)
	}()
	var h header
	b := unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h))
	for i := range uint32(messages) {
		if _, code := p.Recv(b); code != 0 || h.id != i {
			t.Fatalf("message %d: %#x, id %d", i, code, h.id)
		}
		// The queues of kernel and poller hold 16 and a few more.
		if ahead := len(sent) - int(i); ahead > 64 {
			t.Fatalf("the sender is %d messages ahead", ahead)
		}
	}
}

// TestPollOrder has the poller looked at from all sides, as the garbage collector does, while
// messages come: they stay in order.
func TestPollOrder(t *testing.T) {
	p, port := open(t)
	const messages = 2000
	go func() {
		for i := range uint32(messages) {
			send(port, i)
		}
	}()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var h header
	b := unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h))
	for i := range uint32(messages) {
		if _, code := p.Recv(b); code != 0 || h.id != i {
			t.Fatalf("message %d: %#x, id %d", i, code, h.id)
		}
	}
}

func TestPollWakeAndClose(t *testing.T) {
	p, _ := open(t)
	var b [24]byte
	p.Wake()
	if _, code := p.Recv(b[:]); code != 0x10004005 {
		t.Errorf("after Wake: %#x", code)
	}
	codes := make(chan uint32)
	for range 2 {
		go func() {
			_, code := p.Recv(b[:])
			codes <- code
		}()
	}
	p.Wake()
	if code := <-codes; code != 0x10004005 {
		t.Errorf("woken: %#x", code)
	}
	p.Close()
	if code := <-codes; code != 0x10004009 {
		t.Errorf("closed: %#x", code)
	}
	if _, code := p.Recv(b[:]); code != 0x10004009 {
		t.Errorf("after Close: %#x", code)
	}
}

func TestPollLeavesNothing(t *testing.T) {
	cycle := func(n int) {
		var b [24]byte
		for range n {
			port := syscall.MachReplyPort()
			p, kr := syscall.MachPollOpen(port)
			if kr != 0 {
				t.Fatalf("MachPollOpen: %#x", kr)
			}
			go send(port, 1)
			p.Recv(b[:])
			p.Close()
			call(t, syscall.MachTaskSelf(), idPortDestroy, typeName, port)
		}
	}
	cycle(100)
	before := ports(t)
	cycle(2000)
	// A few more threads may have come, which have ports too.
	if after := ports(t); after > before+50 {
		t.Errorf("%d port names before, %d after", before, after)
	}
}

// TestFullQueueKeepsNobody has goroutines stuck in sends, on one processor:
// the others go on.
func TestFullQueueKeepsNobody(t *testing.T) {
	port := syscall.MachReplyPort()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			send(port, uint32(i)) // the queue holds 5
		}()
	}
	for range 10 {
		runtime.Gosched()
	}
	for range 20 {
		var h header
		if kr := syscall.MachMsgBlock(unsafe.Pointer(&h), rcvMsg, 0, uint32(unsafe.Sizeof(h)), port, 0); kr != 0 {
			t.Fatalf("receive: %#x", kr)
		}
	}
	wg.Wait()
	call(t, syscall.MachTaskSelf(), idPortDestroy, typeName, port)
}
