// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/abi"
	"internal/runtime/atomic"
	"unsafe"
)

const (
	_PAGESIZE = 4096

	_EINTR     = 4
	_EAGAIN    = 11
	_ENOMEM    = 12
	_ETIMEDOUT = 60

	_MACH_SEND_MSG     = 0x1
	_MACH_RCV_MSG      = 0x2
	_MACH_SEND_TIMEOUT = 0x10
	_MACH_RCV_TIMEOUT  = 0x100

	_MACH_MSG_COMPLEX = 1 << 31
	_MACH_RPC_BITS    = 19 | 21<<8 // COPY_SEND, MAKE_SEND_ONCE
	_MACH_SEND_BITS   = 19
	_MACH_REPLY_BITS  = 18 // MOVE_SEND_ONCE

	_MACH_RCV_LARGE = 0x800

	_MACH_MSG_MASK         = 0x3c00 // details of some results of mach_msg
	_MACH_SEND_INTERRUPTED = 0x10000007
	_MACH_RCV_TIMED_OUT    = 0x10004003
	_MACH_RCV_TOO_LARGE    = 0x10004004
	_MACH_RCV_INTERRUPTED  = 0x10004005
	_MACH_RCV_PORT_DIED    = 0x10004009
	_MACH_RCV_BODY_ERROR   = 0x1000400c

	_MACH_MSG_TYPE_MAKE_SEND = 20

	_MACH_PORT_RIGHT_RECEIVE  = 1
	_MACH_PORT_RIGHT_PORT_SET = 3

	_KERN_NAME_EXISTS = 13

	_ENOSYS = 0x40000000 | 78

	// Type words: name | bits<<8 | number<<16 | inline.
	_MT_INT   = 2 | 32<<8 | 1<<16 | 1<<28
	_MT_INT2  = 2 | 32<<8 | 2<<16 | 1<<28
	_MT_NAME  = 15 | 32<<8 | 1<<16 | 1<<28
	_MT_BOOL  = 0 | 32<<8 | 1<<16 | 1<<28
	_MT_COPY  = 19 | 32<<8 | 1<<16 | 1<<28
	_MT_MAKE  = 20 | 32<<8 | 1<<16 | 1<<28
	_MT_STATE = 2 | 32<<8 | 19<<16 | 1<<28

	_GSYNC_TIMED     = 4
	_GSYNC_BROADCAST = 8

	_I386_REGS_SEGS_STATE = 5
	_TASK_EXCEPTION_PORT  = 3
)

//go:noescape
func mach_msg_trap(msg unsafe.Pointer, option, sndSize, rcvSize, rcvName, timeout, notify uint32) uint32
func mach_reply_port() uint32
func mach_thread_self() uint32
func mach_task_self() uint32
func mach_host_self() uint32

//go:noescape
func mach_print(s *byte)
func swtch_pri(pri uint32)
func thread_switch(thread, option, ms uint32) uint32

//go:noescape
func syscall_vm_map(task uint32, addr unsafe.Pointer, n, mask uintptr, anywhere, object uint32, offset uintptr, copy, cur, max, inherit uint32) uint32

//go:noescape
func syscall_vm_allocate(task uint32, addr unsafe.Pointer, n uintptr, anywhere uint32) uint32
func syscall_vm_deallocate(task uint32, addr unsafe.Pointer, n uintptr) uint32

//go:noescape
func syscall_mach_port_allocate(task uint32, right uint32, name *uint32) uint32
func syscall_mach_port_deallocate(task uint32, name uint32) uint32
func threadstart()

// Ports of this task. hostPriv and deviceMaster come on the command line of
// a bootstrap module and are 0 otherwise.
var (
	taskSelf, hostSelf     uint32
	hostPriv, deviceMaster uint32
	tlsSelector            uint32
	excPort                uint32
)

// A machMsg is a message of the small RPCs of the runtime.
type machMsg struct {
	hdr  machHeader
	body [24]uint32
}

// A machHeader begins every message.
type machHeader struct {
	bits, size, remote, local, seqno, id uint32
}

// machCall does an RPC with n words of body, receiving the reply in m.
// It returns the result of mach_msg or else the return code of the RPC.
//
//go:nosplit
func machCall(m *machMsg, port, id, n, reply uint32) uint32 {
	m.hdr.bits |= _MACH_RPC_BITS
	m.hdr.size = 24 + 4*n
	m.hdr.remote = port
	m.hdr.local = reply
	m.hdr.seqno = 0
	m.hdr.id = id
	opt := uint32(_MACH_SEND_MSG | _MACH_RCV_MSG)
	for {
		kr := mach_msg_trap(unsafe.Pointer(m), opt, m.hdr.size, uint32(unsafe.Sizeof(*m)), reply, 0, 0)
		switch kr {
		case 0:
			return m.body[1]
		case _MACH_SEND_INTERRUPTED:
			continue
		case _MACH_RCV_INTERRUPTED:
			opt = _MACH_RCV_MSG
			continue
		}
		return kr
	}
}

//go:nosplit
func replyPort() uint32 {
	mp := getg().m
	if mp.reply == 0 {
		mp.reply = mach_reply_port()
	}
	return mp.reply
}

type mOS struct {
	waitsema uint32 // semaphore for parking on locks
	reply    uint32 // reply port for RPCs of this thread
}

// tlsDescriptor gives the two words of a segment descriptor:
// user data, writable, 4 GB long, starting at base.
//
//go:nosplit
func tlsDescriptor(base uint32) (lo, hi uint32) {
	return 0xffff | base<<16, base>>16&0xff | 0xf2<<8 | 0xcf<<16 | base&0xff000000
}

//go:nosplit
func setTLS(m *machMsg, thread, base, reply uint32) uint32 {
	m.hdr.bits = 0
	m.body[0] = _MT_INT
	m.body[1] = ^uint32(0) // allocate a selector
	m.body[2] = _MT_INT2
	m.body[3], m.body[4] = tlsDescriptor(base)
	return machCall(m, thread, 3807, 5, reply)
}

// tlsinit is called from setldt, before there is a g.
//
//go:nosplit
func tlsinit(base uint32) uint32 {
	var m machMsg
	taskSelf = mach_task_self()
	hostSelf = mach_host_self()
	// "Anywhere" begins at address 0: keep nil a fault.
	var zero unsafe.Pointer
	syscall_vm_map(taskSelf, unsafe.Pointer(&zero), 0x10000, 0, 0, 0, 0, 0, 0, 0, _VM_INHERIT_COPY)
	if setTLS(&m, mach_thread_self(), base, mach_reply_port()) != 0 {
		return 0
	}
	tlsSelector = m.body[3]
	return tlsSelector
}

type threadState struct {
	gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, eip, cs, efl, uesp, ss uint32
}

const _STATE_WORDS = 17

//go:nosplit
func getThreadState(m *machMsg, thread uint32, s *threadState) uint32 {
	m.hdr.bits = 0
	m.body[0] = _MT_INT
	m.body[1] = _I386_REGS_SEGS_STATE
	m.body[2] = _MT_INT
	m.body[3] = _STATE_WORDS
	kr := machCall(m, thread, 2017, 4, replyPort())
	*s = *(*threadState)(unsafe.Pointer(&m.body[3]))
	return kr
}

//go:nosplit
func setThreadState(m *machMsg, thread uint32, s *threadState) uint32 {
	m.hdr.bits = 0
	m.body[0] = _MT_INT
	m.body[1] = _I386_REGS_SEGS_STATE
	m.body[2] = 2 | 32<<8 | _STATE_WORDS<<16 | 1<<28
	*(*threadState)(unsafe.Pointer(&m.body[3])) = *s
	return machCall(m, thread, 2018, 3+_STATE_WORDS, replyPort())
}

//go:nosplit
func simpleCall(port, id uint32) uint32 {
	var m machMsg
	return machCall(&m, port, id, 0, replyPort())
}

func vmProtect(addr, n uintptr, prot uint32) uint32 {
	var m machMsg
	m.body[0] = _MT_INT
	m.body[1] = uint32(addr)
	m.body[2] = _MT_INT
	m.body[3] = uint32(n)
	m.body[4] = _MT_BOOL
	m.body[6] = _MT_INT
	m.body[7] = prot
	return machCall(&m, taskSelf, 2024, 8, replyPort())
}

// machMoveMember makes the receive right port a member of set, or of no set
// if that is 0.
func machMoveMember(port, set uint32) uint32 {
	var m machMsg
	m.body[0] = _MT_NAME
	m.body[1] = port
	m.body[2] = _MT_NAME
	m.body[3] = set
	return machCall(&m, taskSelf, 3213, 4, replyPort())
}

// May run with m.p==nil, so write barriers are not allowed.
//
//go:nowritebarrier
func newosproc(mp *m) {
	var m machMsg
	var s threadState
	if kr := machCall(&m, taskSelf, 2061, 0, replyPort()); kr != 0 {
		print("runtime: thread_create = ", hex(kr), "\n")
		throw("newosproc")
	}
	thread := m.body[3]
	// A g0 at its TLS slot before the thread runs its first instruction.
	mp.tls[0] = uintptr(unsafe.Pointer(mp.g0))
	kr := setTLS(&m, thread, uint32(uintptr(unsafe.Pointer(&mp.tls)))+4, replyPort())
	gs := m.body[3]
	if kr == 0 {
		kr = getThreadState(&m, thread, &s)
	}
	if kr == 0 {
		s.gs = gs
		s.eip = uint32(abi.FuncPCABI0(threadstart))
		s.uesp = uint32(mp.g0.stack.hi - 16)
		kr = setThreadState(&m, thread, &s)
	}
	if kr == 0 {
		kr = simpleCall(thread, 2063) // thread_resume
	}
	if kr != 0 {
		print("runtime: starting a thread = ", hex(kr), "\n")
		throw("newosproc")
	}
}

func newosproc0(stacksize uintptr, fn uintptr) { throw("newosproc0: not implemented") }

// exitThread asks the exception thread to terminate this one:
// only then is the stack free.
//
//go:nosplit
func exitThread(wait *atomic.Uint32) {
	var m machMsg
	m.hdr.bits = 20 // MAKE_SEND
	m.hdr.size = 24 + 24
	m.hdr.remote = excPort
	m.hdr.id = reapID
	m.body[0] = _MT_INT
	m.body[1] = mach_thread_self()
	m.body[2] = _MT_INT
	m.body[3] = uint32(uintptr(unsafe.Pointer(wait)))
	m.body[4] = _MT_INT
	m.body[5] = getg().m.reply
	mach_msg_trap(unsafe.Pointer(&m), _MACH_SEND_MSG, m.hdr.size, 0, 0, 0, 0)
	for {
		osyield()
	}
}

//go:nosplit
func futexsleep(addr *uint32, val uint32, ns int64) {
	var m machMsg
	m.body[0] = _MT_INT
	m.body[1] = uint32(uintptr(unsafe.Pointer(addr)))
	m.body[2] = _MT_INT
	m.body[3] = val
	m.body[4] = _MT_INT
	m.body[6] = _MT_INT
	m.body[8] = _MT_INT
	if ns >= 0 {
		m.body[7] = nsToMs(ns)
		m.body[9] = _GSYNC_TIMED
	}
	machCall(&m, taskSelf, 4204, 10, replyPort())
}

//go:nosplit
func nsToMs(ns int64) uint32 {
	if ns >= 1<<31*1000000 {
		return 1<<31 - 1
	}
	q, _ := dodiv(uint64(ns+999999), 1000000) // unlike /, never splits the stack
	return uint32(q)
}

//go:nosplit
func futexwakeup(addr *uint32, cnt uint32) {
	var m machMsg
	m.hdr.bits = _MACH_SEND_BITS
	m.hdr.size = 24 + 24
	m.hdr.remote = taskSelf
	m.hdr.id = 4205
	m.body[0] = _MT_INT
	m.body[1] = uint32(uintptr(unsafe.Pointer(addr)))
	m.body[2] = _MT_INT
	m.body[4] = _MT_INT
	if cnt > 1 {
		m.body[5] = _GSYNC_BROADCAST
	}
	for mach_msg_trap(unsafe.Pointer(&m), _MACH_SEND_MSG, m.hdr.size, 0, 0, 0, 0) == _MACH_SEND_INTERRUPTED {
	}
}

//go:nosplit
func usleep(usec uint32) {
	thread_switch(0, 2, (usec+999)/1000) // SWITCH_OPTION_WAIT
}

//go:nosplit
func usleep_no_g(usec uint32) { usleep(usec) }

func osyield()

//go:nosplit
func osyield_no_g() { osyield() }

//go:nosplit
func hostTime(id uint32) (sec int64, ns int32) {
	var m machMsg
	machCall(&m, hostSelf, id, 0, replyPort())
	return int64(m.body[3]) | int64(m.body[4])<<32, int32(m.body[5])
}

// The clock of the kernel goes in ticks of 10 ms. The time stamp counter is
// the clock here; every second it is steered towards the clock of the kernel.
// Readers take the slot of the parity of gen, the one who steers fills the
// other one.
var clock struct {
	c0, u0 int64 // counter and kernel clock at the start
	second int64 // counts in about a second
	busy   atomic.Uint32
	gen    atomic.Uint32
	slot   [2]clockSlot
}

type clockSlot struct {
	base, ns int64  // counter and clock when it was filled
	mult     uint64 // ns per count, 32 bits of fraction
	wall     int64  // wall clock minus clock
}

func clockinit() {
	u := uptime()
	u0 := u
	for u0 == u {
		u0 = uptime()
	}
	c0 := cputicks()
	u1, c1 := u0, c0
	for u1 < u0+20e6 {
		u1, c1 = uptime(), cputicks()
	}
	rate := float64(u1-u0) / float64(c1-c0)
	clock.c0, clock.u0 = c0, u0
	clock.second = int64(1e9 / rate)
	sec, ns := hostTime(2643) // host_get_time64
	clock.slot[0] = clockSlot{c0, u0, uint64(rate * (1 << 32)), sec*1e9 + int64(ns) - u1}
}

// steer fills the next slot at c, when the clock is ns.
//
//go:nosplit
func (s *clockSlot) steer(c, ns int64) {
	u := uptime()
	c = cputicks()
	ns = s.at(c)
	sec, n := hostTime(2643)
	wall := sec*1e9 + int64(n) - uptime()
	if d := wall - s.wall; -20e6 < d && d < 20e6 {
		wall = s.wall // a tick between the two RPCs
	}
	// The rate since the start, and an eighth of the error in a second. The
	// clock of the kernel is on average half a tick behind. In nosplit code
	// of 386 neither / of 64 bits nor conversions to float64 will do.
	du, dc := uint64(u-clock.u0), uint64(c-clock.c0)
	for du >= 1<<43 {
		du >>= 1
		dc >>= 1
	}
	mult, _ := dodiv(du<<20, dc)
	mult <<= 12
	e := max(-50e6, min((u+5e6-ns)>>3, 50e6)) // ns in the next second
	mult += uint64(int64(mult>>10) * e >> 20) // 1<<30 ns are about a second
	g := clock.gen.Load()
	clock.slot[(g+1)&1] = clockSlot{c, ns, mult, wall}
	clock.gen.Store(g + 1)
}

//go:nosplit
func (s *clockSlot) at(c int64) int64 {
	d := uint64(c - s.base)
	return s.ns + int64((d>>32)*s.mult+(d&0xffffffff)*s.mult>>32)
}

//go:nosplit
func clockNow() (ns, wall int64) {
	for {
		g := clock.gen.Load()
		s := clock.slot[g&1]
		if clock.gen.Load() != g {
			continue
		}
		c := cputicks()
		ns = s.at(c)
		if c-s.base > clock.second && clock.busy.CompareAndSwap(0, 1) {
			s.steer(c, ns)
			clock.busy.Store(0)
		}
		return ns, s.wall
	}
}

//go:nosplit
func nanotime1() int64 {
	ns, _ := clockNow()
	return ns
}

func walltime() (sec int64, nsec int32) {
	ns, wall := clockNow()
	ns += wall
	return ns / 1e9, int32(ns % 1e9)
}

//go:nosplit
func uptime() int64 {
	sec, ns := hostTime(2647) // host_get_uptime64
	return sec*1e9 + int64(ns)
}

// write1 writes to the console of the kernel.
//
//go:nosplit
func write1(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if hurd.on {
		return hurdWrite(fd, p, n)
	}
	var buf [65]byte
	for done := int32(0); done < n; {
		k := int32(0)
		for k < int32(len(buf))-1 && done < n {
			buf[k] = *(*byte)(add(p, uintptr(done)))
			done++
			k++
		}
		buf[k] = 0
		mach_print(&buf[0])
	}
	return n
}

//go:nosplit
func read(fd int32, p unsafe.Pointer, n int32) int32 { return -1 }

//go:nosplit
func open(name *byte, mode, perm int32) int32 { return -1 }

//go:nosplit
func closefd(fd int32) int32 { return -1 }

//go:nosplit
func exit(code int32) {
	if hurd.on {
		procexit(uint32(code&0xff) << 8)
	}
	if hostPriv != 0 {
		var m machMsg
		m.body[0] = _MT_INT
		machCall(&m, hostPriv, 2635, 2, replyPort()) // host_reboot(RB_AUTOBOOT)
	}
	simpleCall(taskSelf, 2008) // task_terminate
	for {
		osyield()
	}
}

func sysargs(argc int32, argv **byte) {
	for i := int32(1); i < argc; i++ {
		s := gostringnocopy(argv_index(argv, i))
		for _, a := range [...]struct {
			name string
			port *uint32
		}{{"--host-port=", &hostPriv}, {"--device-port=", &deviceMaster}} {
			if len(s) > len(a.name) && s[:len(a.name)] == a.name {
				for _, c := range []byte(s[len(a.name):]) {
					*a.port = *a.port*10 + uint32(c-'0')
				}
			}
		}
	}
}

func osinit() {
	physPageSize = _PAGESIZE
	numCPUStartup = getCPUCount()
	clockinit()
}

// getCPUCount asks host_info(HOST_BASIC_INFO) for avail_cpus.
func getCPUCount() int32 {
	var m machMsg
	m.body[0] = _MT_INT
	m.body[1] = 1
	m.body[2] = _MT_INT
	m.body[3] = 5
	if machCall(&m, hostSelf, 2638, 4, replyPort()) != 0 {
		return 1
	}
	return max(1, int32(m.body[4]))
}

func goenvs() { goenvs_unix() }

func readRandom(r []byte) int { return 0 }

func mpreinit(mp *m) {
	mp.gsignal = malg(32 * 1024)
	mp.gsignal.m = mp
}

func minit() {
	getg().m.procid = uint64(mach_thread_self())
}

func unminit()       { getg().m.procid = 0 }
func mdestroy(mp *m) {}

type sigset struct{}
type gsignalStack struct{}

const _NSIG = 0

func signame(sig uint32) string      { return "" }
func sigsave(p *sigset)              {}
func msigrestore(sigmask sigset)     {}
func clearSignalHandlers()           {}
func sigblock(exiting bool)          {}
func setProcessCPUProfiler(hz int32) {}
func setThreadCPUProfiler(hz int32)  {}
func sigdisable(uint32)              {}
func sigenable(uint32)               {}
func sigignore(uint32)               {}

//go:linkname os_sigpipe os.sigpipe
func os_sigpipe() {}

//go:nosplit
func crash() { abort() }

// fcntl is defined in package syscall, which has the file descriptors.
func fcntl(fd, cmd, arg int32) (ret int32, errno int32)

func mmap(addr unsafe.Pointer, n uintptr, prot, flags, fd int32, off uint32) (p unsafe.Pointer, err int) {
	return nil, _ENOSYS
}
