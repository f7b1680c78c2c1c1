// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/sys"
	"unsafe"
)

// The network poller of Mach is a receive from a port set.
//
// A port of which goroutines want the messages (syscall.MachPoll) is a member
// of the set. The poller takes the messages from the kernel and queues them
// at their ports here, where machPollRecv finds them. A port whose queue here
// is full leaves the set until it is half empty: what is not received then
// stays in the queue of the kernel, so that senders feel it.
//
// netpoll runs without a P: no write barriers, no heap. What it works on is
// allocated outside the heap and found through the tables here.

const (
	// pollSmall and pollLarge are the sizes of the two kinds of buffers.
	// Most messages are small. One that is not even pollLarge gets a buffer
	// of its own.
	pollSmall = 512
	pollLarge = 8192

	// pollFull is the number of messages with which a port leaves the set.
	pollFull = 16

	// pollBatch is the number of messages that netpoll takes at most before
	// what they made runnable may run.
	pollBatch = 64
)

// A pollBuf holds a message.
type pollBuf struct {
	_    sys.NotInHeap
	next *pollBuf
	size uintptr // of the whole buffer
	hdr  machHeader
}

// room is the size of the largest message that b can hold.
func (b *pollBuf) room() uint32 { return uint32(b.size - unsafe.Offsetof(b.hdr)) }

// A pollPort is a receive right that is open for polling.
type pollPort struct {
	_          sys.NotInHeap
	next       *pollPort // in its hash chain, or in the free list
	name       uint32
	count      uint32 // messages in the queue
	users      uint32 // goroutines in machPollRecv
	paused     bool   // not in the set, because the queue is full
	woken      bool   // the next receive returns _MACH_RCV_INTERRUPTED
	closed     bool
	head, tail *pollBuf
	waiters    gQueue // parked in machPollRecv
}

// A machPoll is what package syscall has of a pollPort. It is in the heap;
// port becomes nil when the pollPort is used no more. All under poll.lock.
type machPoll struct {
	port *pollPort
}

var poll struct {
	lock    mutex // all of the below, and the fields of the pollPorts
	set     uint32
	wake    uint32 // a port in the set, for netpollBreak
	small   *pollBuf
	large   *pollBuf
	free    *pollPort
	ports   [256]*pollPort // hash chains by name
	blocked bool           // a thread waits in the kernel, or is to look at what it got
	turn    uint32         // counts the returns from such waits
}

// pollWoken is the param of a goroutine that was not woken by a message.
var pollWoken byte

var netpollWakeSig atomic.Uint32

func netpollinit() {
	kr := syscall_mach_port_allocate(taskSelf, _MACH_PORT_RIGHT_PORT_SET, &poll.set)
	if kr == 0 {
		kr = syscall_mach_port_allocate(taskSelf, _MACH_PORT_RIGHT_RECEIVE, &poll.wake)
	}
	if kr == 0 {
		kr = machMoveMember(poll.wake, poll.set)
	}
	if kr != 0 {
		print("runtime: netpollinit: ", hex(kr), "\n")
		throw("netpollinit: no ports")
	}
}

// Files and sockets are ports too: there are no descriptors to poll.
func netpollIsPollDescriptor(fd uintptr) bool    { return false }
func netpollopen(fd uintptr, pd *pollDesc) int32 { return _ENOSYS }
func netpollclose(fd uintptr) int32              { return 0 }
func netpollarm(pd *pollDesc, mode int)          { throw("netpollarm: unused") }

// netpollBreak makes a blocking netpoll return.
func netpollBreak() {
	// One message in the queue is enough.
	if netpollWakeSig.CompareAndSwap(0, 1) {
		pollSendWake()
	}
}

func pollSendWake() {
	var m machMsg
	m.hdr.bits = _MACH_MSG_TYPE_MAKE_SEND
	m.hdr.size = m.size()
	m.hdr.remote = poll.wake
	mach_msg_trap(unsafe.Pointer(&m), _MACH_SEND_MSG|_MACH_SEND_TIMEOUT, m.hdr.size, 0, 0, 0, 0)
}

// netpoll receives messages and returns the goroutines that have waited for
// them. delay < 0 waits for one, 0 does not wait, > 0 waits that many ns.
// The second result is what to add to netpollWaiters.
func netpoll(delay int64) (gList, int32) {
	var toRun gList
	if poll.set == 0 {
		return toRun, 0
	}
	lock(&poll.lock)
	if delay == 0 && poll.blocked {
		// The thread that waits may have a message in its hands already, which
		// later ones to the same port are not to overtake. It will take those, too.
		unlock(&poll.lock)
		return toRun, 0
	}
	b := pollGetBuf(pollLarge)
	for n := 0; n < pollBatch; n++ {
		opt, ms := uint32(_MACH_RCV_MSG|_MACH_RCV_LARGE|_MACH_RCV_TIMEOUT), uint32(0)
		wait := delay != 0 && n == 0
		if wait {
			if delay < 0 {
				opt &^= _MACH_RCV_TIMEOUT
			} else {
				ms = nsToMs(delay)
			}
			if poll.blocked {
				throw("netpoll: two threads wait")
			}
			poll.blocked = true
			unlock(&poll.lock)
		}
		// Without a wait the lock is held, so that nothing received is
		// ever between the kernel and the queues when somebody looks.
		kr := mach_msg_trap(unsafe.Pointer(&b.hdr), opt, 0, b.room(), poll.set, ms, 0)
		if wait {
			lock(&poll.lock)
			poll.blocked = false
			poll.turn++
		}
		switch kr &^ _MACH_MSG_MASK {
		case 0, _MACH_RCV_BODY_ERROR:
			// In the second case some right or memory is missing
			// from the body; whoever decodes it will see that.
		case _MACH_RCV_TOO_LARGE:
			// The message is still in the kernel's queue.
			size := uintptr(b.hdr.size)
			pollPutBuf(b)
			b = pollGetBuf(size + unsafe.Offsetof(b.hdr))
			continue
		case _MACH_RCV_TIMED_OUT, _MACH_RCV_INTERRUPTED:
			n = pollBatch
			continue
		default:
			print("runtime: netpoll: mach_msg = ", hex(kr), "\n")
			throw("netpoll: cannot receive")
		}
		if b.hdr.local == poll.wake {
			netpollWakeSig.Store(0)
			if delay == 0 {
				// It was meant for a netpoll that blocks.
				netpollBreak()
				break
			}
			continue
		}
		p := pollFind(b.hdr.local)
		if p == nil {
			throw("netpoll: message for a port that is not open")
		}
		b = pollQueue(p, b)
		if gp := p.waiters.pop(); gp != nil {
			toRun.push(gp)
		}
	}
	pollPutBuf(b)
	unlock(&poll.lock)
	return toRun, -toRun.size
}

func pollHash(name uint32) **pollPort { return &poll.ports[name%uint32(len(poll.ports))] }

// pollFind returns the pollPort for the receive right name.
func pollFind(name uint32) *pollPort {
	p := *pollHash(name)
	for p != nil && p.name != name {
		p = p.next
	}
	return p
}

// pollQueue appends the message in b to the queue of p. It returns a buffer
// for the next message, which is b itself if the message fits a small one.
func pollQueue(p *pollPort, b *pollBuf) *pollBuf {
	q := b
	if small := pollSmall - unsafe.Offsetof(b.hdr); uintptr(b.hdr.size) <= small {
		q = pollGetBuf(pollSmall)
		memmove(unsafe.Pointer(&q.hdr), unsafe.Pointer(&b.hdr), uintptr(b.hdr.size))
	} else {
		b = pollGetBuf(pollLarge)
	}
	q.next = nil
	if p.tail == nil {
		p.head = q
	} else {
		p.tail.next = q
	}
	p.tail = q
	p.count++
	if p.count >= pollFull && !p.paused && !p.closed {
		p.paused = machMoveMember(p.name, 0) == 0
	}
	return b
}

// pollGetBuf returns a buffer of at least the given size.
func pollGetBuf(size uintptr) *pollBuf {
	list, n := (**pollBuf)(nil), alignUp(size, physPageSize)
	switch {
	case size <= pollSmall:
		list, n = &poll.small, pollSmall
	case size <= pollLarge:
		list, n = &poll.large, pollLarge
	}
	if list != nil && *list != nil {
		b := *list
		*list = b.next
		return b
	}
	var v unsafe.Pointer
	if n == pollSmall {
		v = persistentalloc(n, 0, &memstats.other_sys)
	} else {
		v = sysAlloc(n, &memstats.other_sys, "messages")
		if v == nil {
			throw("netpoll: out of memory")
		}
	}
	b := (*pollBuf)(v)
	b.size = n
	return b
}

func pollPutBuf(b *pollBuf) {
	switch b.size {
	case pollSmall:
		b.next = poll.small
		poll.small = b
	case pollLarge:
		b.next = poll.large
		poll.large = b
	default:
		sysFree(unsafe.Pointer(b), b.size, &memstats.other_sys)
	}
}

// machPollOpen makes the receive right name a port of the poller.
//
//go:linkname machPollOpen syscall.runtime_machPollOpen
func machPollOpen(w *machPoll, name uint32) uint32 {
	netpollGenericInit()
	lock(&poll.lock)
	if p := pollFind(name); p != nil {
		unlock(&poll.lock)
		return _KERN_NAME_EXISTS
	}
	p := poll.free
	if p != nil {
		poll.free = p.next
	} else {
		p = (*pollPort)(persistentalloc(unsafe.Sizeof(pollPort{}), 0, &memstats.other_sys))
	}
	*p = pollPort{name: name}
	// In the table first: a message may come at once.
	h := pollHash(name)
	p.next = *h
	*h = p
	kr := machMoveMember(name, poll.set)
	if kr != 0 {
		pollForget(p)
		p = nil
	}
	w.port = p
	unlock(&poll.lock)
	return kr
}

// pollForget takes p out of the table.
func pollForget(p *pollPort) {
	h := pollHash(p.name)
	for *h != p {
		h = &(*h).next
	}
	*h = p.next
	p.next = nil
}

// machPollRecv receives one message into b, waiting for it if there is none.
// See syscall.MachPoll.Recv.
//
//go:linkname machPollRecv syscall.runtime_machPollRecv
func machPollRecv(w *machPoll, b []byte) (n int, code uint32) {
	lock(&poll.lock)
	p := w.port
	if p == nil {
		unlock(&poll.lock)
		return 0, _MACH_RCV_PORT_DIED
	}
	p.users++
	for {
		switch {
		case p.woken:
			p.woken = false
			code = _MACH_RCV_INTERRUPTED
		case p.head != nil:
			n, code = pollTake(p, b)
		case p.closed:
			code = _MACH_RCV_PORT_DIED
		default:
			gp := getg()
			gp.param = nil
			gopark(pollPark, unsafe.Pointer(p), waitReasonIOWait, traceBlockNet, 2)
			lock(&poll.lock)
			if gp.param == nil {
				continue
			}
			gp.param = nil
			code = _MACH_RCV_INTERRUPTED
			if p.closed {
				code = _MACH_RCV_PORT_DIED
			}
		}
		break
	}
	p.users--
	if p.closed && p.users == 0 && p.head == nil && w.port != nil {
		w.port = nil
		p.next = poll.free
		poll.free = p
	}
	unlock(&poll.lock)
	return n, code
}

// pollTake moves the first message of p to b if it fits.
func pollTake(p *pollPort, b []byte) (n int, code uint32) {
	m := p.head
	n = int(m.hdr.size)
	if n > len(b) {
		return n, _MACH_RCV_TOO_LARGE
	}
	memmove(unsafe.Pointer(unsafe.SliceData(b)), unsafe.Pointer(&m.hdr), uintptr(n))
	p.head = m.next
	if p.head == nil {
		p.tail = nil
	}
	p.count--
	pollPutBuf(m)
	if p.paused && p.count <= pollFull/2 && !p.closed {
		p.paused = machMoveMember(p.name, poll.set) != 0
	}
	return n, 0
}

// pollPark runs when gp has stopped, still with poll.lock held.
func pollPark(gp *g, p unsafe.Pointer) bool {
	(*pollPort)(p).waiters.pushBack(gp)
	netpollAdjustWaiters(1)
	unlock(&poll.lock)
	return true
}

// machPollWake interrupts one receive: the one that has waited longest, or
// else the next.
//
//go:linkname machPollWake syscall.runtime_machPollWake
func machPollWake(w *machPoll) {
	lock(&poll.lock)
	p := w.port
	var gp *g
	if p != nil && !p.closed {
		gp = p.waiters.pop()
		p.woken = gp == nil
	}
	unlock(&poll.lock)
	pollReady(gp)
}

// pollReady lets gp go on without a message.
func pollReady(gp *g) {
	if gp != nil {
		gp.param = unsafe.Pointer(&pollWoken)
		netpollAdjustWaiters(-1)
		goready(gp, 3)
	}
}

// machPollClose takes the port from the poller. It returns when no message
// can come from the poller any more but those in its queue here.
//
//go:linkname machPollClose syscall.runtime_machPollClose
func machPollClose(w *machPoll) {
	lock(&poll.lock)
	p := w.port
	if p == nil || p.closed {
		unlock(&poll.lock)
		return
	}
	p.closed = true
	p.woken = false
	if !p.paused {
		// This fails if the right is gone already, which is as good.
		machMoveMember(p.name, 0)
	}
	// A thread may have a message of this port in its hands, received but
	// not queued. It must not find another port under this name.
	if poll.blocked {
		turn := poll.turn
		unlock(&poll.lock)
		netpollBreak()
		for {
			Gosched()
			lock(&poll.lock)
			if poll.turn != turn {
				break
			}
			unlock(&poll.lock)
		}
	}
	pollForget(p)
	waiters := p.waiters.popList()
	if p.users == 0 && p.head == nil {
		w.port = nil
		p.next = poll.free
		poll.free = p
	}
	unlock(&poll.lock)
	for !waiters.empty() {
		pollReady(waiters.pop())
	}
}
