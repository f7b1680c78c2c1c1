// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/sys"
	"unsafe"
)

// The network poller of Mach is a receive from a port set. A received
// message waits in the queue of its port for a goroutine in machRecv.
// What is allocated here is not in the heap, because netpoll has no P.

const (
	_ENOSYS = 78

	machBufSize = 8192
)

type machBuf struct {
	_    sys.NotInHeap
	next *machBuf
	hdr  struct{ bits, size, remote, local, seqno, id uint32 }
	body [machBufSize - 4 - 24]byte
}

// A machPort is a receive right in the port set.
type machPort struct {
	_          sys.NotInHeap
	name       uint32
	dead       bool
	waiter     guintptr
	head, tail *machBuf
	next       *machPort // in the hash chain
}

var machPoll struct {
	lock  mutex // all of the below
	set   uint32
	wake  uint32
	free  *machBuf
	ports [64]*machPort
}

var netpollWakeSig atomic.Uint32

func netpollinit() {
	p := &machPoll
	kr := syscall_mach_port_allocate(taskSelf, 3, &p.set) // MACH_PORT_RIGHT_PORT_SET
	if kr == 0 {
		kr = syscall_mach_port_allocate(taskSelf, 1, &p.wake)
	}
	if kr == 0 {
		kr = machMove(p.wake, p.set)
	}
	if kr != 0 {
		throw("netpollinit: mach ports")
	}
}

// machMove makes port a member of set.
func machMove(port, set uint32) uint32 {
	var m machMsg
	m.body[0] = _MT_NAME
	m.body[1] = port
	m.body[2] = _MT_NAME
	m.body[3] = set
	return machCall(&m, taskSelf, 3213, 4, replyPort())
}

func netpollIsPollDescriptor(fd uintptr) bool    { return false }
func netpollopen(fd uintptr, pd *pollDesc) int32 { return _ENOSYS }
func netpollclose(fd uintptr) int32              { return 0 }
func netpollarm(pd *pollDesc, mode int)          {}

func netpollBreak() {
	if !netpollWakeSig.CompareAndSwap(0, 1) {
		return
	}
	var m machMsg
	m.bits = 20 // MAKE_SEND
	m.size = 24
	m.remote = machPoll.wake
	mach_msg_trap(unsafe.Pointer(&m), _MACH_SEND_MSG|_MACH_SEND_TIMEOUT, m.size, 0, 0, 0, 0)
}

func machGetBuf() *machBuf {
	p := &machPoll
	lock(&p.lock)
	b := p.free
	if b != nil {
		p.free = b.next
	}
	unlock(&p.lock)
	if b == nil {
		b = (*machBuf)(sysAlloc(machBufSize, &memstats.other_sys, "mach buffers"))
		if b == nil {
			throw("out of memory for mach buffers")
		}
	}
	b.next = nil
	return b
}

func machPutBuf(b *machBuf) {
	p := &machPoll
	lock(&p.lock)
	b.next = p.free
	p.free = b
	unlock(&p.lock)
}

// netpoll checks for messages.
// delay < 0 blocks, 0 polls, > 0 blocks for up to that many ns.
func netpoll(delay int64) (gList, int32) {
	p := &machPoll
	var toRun gList
	var delta int32
	if p.set == 0 {
		return toRun, 0
	}
	opt, ms := uint32(_MACH_RCV_MSG), uint32(0)
	if delay >= 0 {
		opt |= _MACH_RCV_TIMEOUT
		ms = nsToMs(delay)
	}
	for n := 0; n < 64; n++ {
		b := machGetBuf()
		kr := mach_msg_trap(unsafe.Pointer(&b.hdr), opt, 0, machBufSize-4, p.set, ms, 0)
		if kr != 0 {
			machPutBuf(b)
			if kr != _MACH_RCV_TIMED_OUT && kr != _MACH_RCV_INTERRUPTED {
				print("runtime: netpoll: mach_msg = ", hex(kr), "\n")
			}
			break
		}
		opt |= _MACH_RCV_TIMEOUT // what else is there, without waiting
		ms = 0
		if b.hdr.local == p.wake {
			machPutBuf(b)
			if delay != 0 {
				netpollWakeSig.Store(0)
				continue
			}
			// Only a blocking call consumes the wakeup: pass it on.
			netpollWakeSig.Store(0)
			netpollBreak()
			break
		}
		lock(&p.lock)
		mp := p.ports[b.hdr.local/2%64]
		for mp != nil && mp.name != b.hdr.local {
			mp = mp.next
		}
		if mp == nil {
			unlock(&p.lock)
			machPutBuf(b)
			continue
		}
		if mp.tail == nil {
			mp.head = b
		} else {
			mp.tail.next = b
		}
		mp.tail = b
		gp := mp.waiter.ptr()
		mp.waiter = 0
		unlock(&p.lock)
		if gp != nil {
			toRun.push(gp)
			delta--
		}
	}
	return toRun, delta
}

// machOpen puts the receive right name into the set of the poller.
//
//go:linkname machOpen mach.open
func machOpen(name uint32) (*machPort, uint32) {
	netpollGenericInit()
	p := &machPoll
	mp := (*machPort)(persistentalloc(unsafe.Sizeof(machPort{}), 0, &memstats.other_sys))
	mp.name = name
	lock(&p.lock)
	h := &p.ports[name/2%64]
	mp.next = *h
	*h = mp
	unlock(&p.lock)
	return mp, machMove(name, p.set)
}

// machRecv waits for a message and copies it to b, which it gets whole
// or else is too small for: the result is the size of the message.
//
//go:linkname machRecv mach.recv
func machRecv(mp *machPort, b []byte) int {
	p := &machPoll
	lock(&p.lock)
	for mp.head == nil {
		if mp.waiter != 0 {
			unlock(&p.lock)
			panic(plainError("mach: two goroutines receive from one port"))
		}
		gopark(machPark, unsafe.Pointer(mp), waitReasonIOWait, traceBlockNet, 1)
		lock(&p.lock)
	}
	m := mp.head
	mp.head = m.next
	if mp.head == nil {
		mp.tail = nil
	}
	unlock(&p.lock)
	n := int(m.hdr.size)
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(&m.hdr)), n))
	machPutBuf(m)
	return n
}

// Called with machPoll.lock held, which it releases when gp is parked.
func machPark(gp *g, mp unsafe.Pointer) bool {
	(*machPort)(mp).waiter.set(gp)
	netpollAdjustWaiters(1)
	unlock(&machPoll.lock)
	return true
}

// machMsgBlock is mach_msg as a blocking system call: send, receive or both.
// If rcvName is 0 it receives from the reply port of the thread, which also
// becomes the local port of the message that is sent.
//
//go:linkname machMsgBlock mach.msg
//go:nosplit
func machMsgBlock(msg unsafe.Pointer, option, sndSize, rcvSize, rcvName, timeout uint32) uint32 {
	// Give the P away at once: sysmon would do so after a tick, 10 ms.
	entersyscallblock()
	if rcvName == 0 && option&_MACH_RCV_MSG != 0 {
		rcvName = replyPort()
		*(*uint32)(add(msg, 12)) = rcvName
	}
	kr := mach_msg_trap(msg, option, sndSize, rcvSize, rcvName, timeout, 0)
	exitsyscall()
	return kr
}

// machMsgFast is mach_msg for messages that do not wait: the M keeps its P.
//
//go:linkname machMsgFast mach.msgFast
//go:nosplit
func machMsgFast(msg unsafe.Pointer, option, sndSize, rcvSize, rcvName, timeout uint32) uint32 {
	if rcvName == 0 && option&_MACH_RCV_MSG != 0 {
		rcvName = replyPort()
		*(*uint32)(add(msg, 12)) = rcvName
	}
	return mach_msg_trap(msg, option, sndSize, rcvSize, rcvName, timeout, 0)
}

//go:linkname machPorts mach.ports
func machPorts() (task, host, priv, device uint32) {
	return taskSelf, hostSelf, hostPriv, deviceMaster
}

//go:linkname machTime mach.time
func machTime() int64 { return uptime() }

//go:linkname machPortAllocate mach.portAllocate
func machPortAllocate(right uint32) (name, kr uint32) {
	kr = syscall_mach_port_allocate(taskSelf, right, &name)
	return
}

// machCopy copies memory that a page fault on may wait for a pager, even one
// that is a goroutine here: to the scheduler it is a system call.
//
//go:linkname machCopy mach.copyBlocking
//go:nosplit
func machCopy(dst, src unsafe.Pointer, n uintptr) {
	entersyscallblock()
	memmove(dst, src, n)
	exitsyscall()
}
