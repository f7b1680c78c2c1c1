// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/abi"
	"internal/runtime/atomic"
	"unsafe"
)

// Exceptions and signals.
//
// The kernel stops a thread that raises an exception and sends a message to
// the task's exception port. A thread of this package (an M without a P, like
// sysmon) receives those. It changes the registers of the thread, so that it
// calls sigpanic, or reports the crash, and lets it go on. The crash is
// reported by the thread that crashed, on its signal stack: the server itself
// does nothing that could fail. It also receives from the message port of a
// process, where the Hurd's signals arrive: another port, since anybody can
// send there. What is not a signal it hands on to package syscall.
//
// A second such thread terminates threads that exit, which cannot free the
// stack under their feet. It also is the exception server of the first.

const reapID = 0x600d // of messages from exitThread to reapPort

var excPort, msgPort, reapPort uint32

// excSet has excPort and msgPort.
var excSet uint32

// An excState is what the exception server tells an M that is to crash.
type excState struct {
	crashing        bool
	exception, code uint32
	addr            uintptr
	gp              guintptr // that was running
	state           threadState
}

func initsig(preinit bool) {
	if preinit || excPort != 0 {
		return
	}
	kr := syscall_mach_port_allocate(taskSelf, _MACH_PORT_RIGHT_PORT_SET, &excSet)
	for _, p := range [...]*uint32{&excPort, &msgPort, &reapPort} {
		if kr == 0 {
			kr = syscall_mach_port_allocate(taskSelf, _MACH_PORT_RIGHT_RECEIVE, p)
		}
		if kr == 0 && p != &reapPort {
			kr = machMoveMember(*p, excSet)
		}
	}
	if kr == 0 {
		kr = machSetSpecialPort(taskSelf, idTaskSetSpecialPort, _TASK_EXCEPTION_PORT, excPort)
	}
	if kr != 0 {
		print("runtime: exception port: ", hex(kr), "\n")
		throw("initsig")
	}
	// A right for signals to ourselves.
	var m machMsg
	m.putName(msgPort)
	m.putPort(_MACH_MSG_TYPE_MAKE_SEND, msgPort)
	m.call(taskSelf, idPortInsertRight)
	siginit()
	procinit(msgPort)
	newm(excServer, nil, -1)
	newm(reaper, nil, -1)
}

// becomeSystemThread takes the running M out of those that might deadlock.
func becomeSystemThread() {
	lock(&sched.lock)
	sched.nmsys++
	checkdead()
	unlock(&sched.lock)
}

// excBuf holds a message that the exception server works on.
var excBuf [8192 / 4]uint32

//go:nowritebarrierrec
func excServer() {
	becomeSystemThread()
	machSetSpecialPort(uint32(getg().m.procid), idThreadSetSpecialPort, _THREAD_EXCEPTION_PORT, reapPort)
	buf := unsafe.Pointer(&excBuf)
	for {
		if mach_msg_trap(buf, _MACH_RCV_MSG, 0, uint32(unsafe.Sizeof(excBuf)), excSet, 0, 0) != 0 {
			continue // too large for anything that is served here
		}
		h := (*machHeader)(buf)
		var m machMsg
		switch {
		case h.local == excPort && machIsExceptionRaise(buf):
			memmove(unsafe.Pointer(&m), buf, uintptr(h.size))
			excServe(&m)
		case h.local == msgPort && machIsSigPost(buf):
			memmove(unsafe.Pointer(&m), buf, uintptr(h.size))
			sigServe(&m)
		default:
			msgForward(h)
		}
	}
}

//go:nowritebarrierrec
func reaper() {
	becomeSystemThread()
	for {
		var m machMsg
		if m.receive(reapPort) != 0 {
			continue
		}
		switch m.hdr.id {
		case reapID:
			thread, reply := m.get(), m.get()
			wait := (*atomic.Uint32)(unsafe.Pointer(uintptr(m.get())))
			machSimple(thread, idThreadTerminate)
			machPortDestroy(thread)
			machPortDestroy(reply)
			wait.Store(freeMStack)
		case idExceptionRaise:
			writeErrStr("fatal error: exception in the exception server\n")
			exit(2)
		default:
			m.answer(_MIG_BAD_ID)
		}
	}
}

// excServe serves exception_raise.
//
//go:nowritebarrierrec
func excServe(m *machMsg) {
	thread, task := m.getPort(), m.getPort()
	exception, code := m.get(), m.get()
	addr := uintptr(m.get())
	ours := task == taskSelf
	if ours {
		excRaised(thread, exception, code, addr)
	}
	syscall_mach_port_deallocate(taskSelf, thread)
	syscall_mach_port_deallocate(taskSelf, task)
	if !ours {
		// A child that has no exception port of its own yet: then the
		// kernel ends it. Or somebody who is not the kernel.
		m.answer(_KERN_FAILURE)
		return
	}
	m.answer(0) // go on
}

//go:nowritebarrierrec
func excRaised(thread, exception, code uint32, addr uintptr) {
	mp := allm
	for mp != nil && uint32(mp.procid) != thread {
		mp = mp.alllink
	}
	if mp == nil || mp.gsignal == nil {
		writeErrStr("fatal error: exception in a thread that is not Go's\n")
		exit(2)
	}
	if mp.exc.crashing {
		writeErrStr("\nfatal error: exception while reporting a crash\n")
		exit(2)
	}
	var s threadState
	if getThreadState(thread, &s) != 0 {
		return // it has gone meanwhile
	}
	gp := *(**g)(unsafe.Pointer(&mp.tls[0]))
	if excPanics(mp, gp, exception, &s) {
		gp.sig = exception
		gp.sigcode0 = uintptr(code)
		gp.sigcode1 = addr
		gp.sigpc = s.pc()
		// As preparePanic of Unix: make it look as if the code at pc
		// called sigpanic. After a call of something that is not code
		// pc is of no use, but there is a return address on the stack.
		ret := *(*uintptr)(unsafe.Pointer(s.sp()))
		if findfunc(s.pc()).valid() || !findfunc(ret).valid() {
			s.pushCall(s.pc())
		}
		s.setPC(abi.FuncPCABIInternal(sigpanic))
	} else {
		e := &mp.exc
		e.crashing = true
		e.exception, e.code, e.addr = exception, code, addr
		e.gp.set(gp)
		e.state = s
		*(*uintptr)(unsafe.Pointer(&mp.tls[0])) = uintptr(unsafe.Pointer(mp.gsignal))
		s.setSP(mp.gsignal.stack.hi - 64)
		s.setPC(abi.FuncPCABI0(excCrashEntry))
	}
	setThreadState(thread, &s)
}

// excPanics reports whether an exception becomes a panic of the goroutine gp:
// if it runs ordinary code, on its own stack.
//
//go:nowritebarrierrec
func excPanics(mp *m, gp *g, exception uint32, s *threadState) bool {
	if exception != _EXC_BAD_ACCESS && exception != _EXC_ARITHMETIC {
		return false
	}
	return gp != nil && gp == mp.curg && !gp.throwsplit &&
		gp.stack.lo+stackGuard/2 < s.sp() && s.sp() < gp.stack.hi
}

// excCrashEntry calls excCrash.
func excCrashEntry()

// excCrash reports a crash and exits. It runs in the thread that crashed, on
// its signal stack.
//
//go:nowritebarrierrec
func excCrash() {
	gsignal := getg()
	e := &gsignal.m.exc
	gp := e.gp.ptr()
	if panicking.Load() != 0 { // the report has begun
		exit(2)
	}
	panicking.Store(1)
	print("fatal error: unexpected exception\n[", signame(e.exception), " code=", hex(e.code),
		" addr=", hex(e.addr), " pc=", hex(e.state.pc()), " m=", gsignal.m.id, "]\n\n")
	gsignal.m.throwing = throwTypeRuntime
	gsignal.m.caughtsig.set(gp)
	if level, _, _ := gotraceback(); level > 0 {
		if gp != nil {
			tracebacktrap(e.state.pc(), e.state.sp(), 0, gp)
			tracebackothers(gp)
		}
		e.state.print()
	}
	exit(2)
}

// sigpanic runs on the stack of the goroutine that faulted.
func sigpanic() {
	gp := getg()
	if !canpanic() {
		throw("unexpected exception during runtime execution")
	}
	switch gp.sig {
	case _EXC_BAD_ACCESS:
		if gp.sigcode1 < 0x1000 {
			panicmem()
		}
		if gp.paniconfault {
			panicmemAddr(gp.sigcode1)
		}
		print("unexpected fault address ", hex(gp.sigcode1), "\n")
		throw("fault")
	case _EXC_ARITHMETIC:
		switch gp.sigcode0 {
		case _EXC_I386_DIV:
			panicdivide()
		case _EXC_I386_INTO:
			panicoverflow()
		}
		panicfloat()
	}
	throw("unexpected exception")
}

// signame names an exception: what gp.sig has here instead of a signal.
func signame(exception uint32) string {
	switch exception {
	case _EXC_BAD_ACCESS:
		return "EXC_BAD_ACCESS: invalid memory address"
	case _EXC_BAD_INSTRUCTION:
		return "EXC_BAD_INSTRUCTION: illegal instruction"
	case _EXC_ARITHMETIC:
		return "EXC_ARITHMETIC: arithmetic error"
	case _EXC_EMULATION:
		return "EXC_EMULATION: emulation trap"
	case _EXC_SOFTWARE:
		return "EXC_SOFTWARE: software exception"
	case _EXC_BREAKPOINT:
		return "EXC_BREAKPOINT: trace or breakpoint trap"
	}
	return ""
}

// What is known of signals, but for what package os/signal wants. Bits are
// 1<<(signal-1), as in the Hurd's masks.
var sigs struct {
	initIgn uint32 // SIGHUP and SIGINT, if they were ignored at the start
	// The following are used by the exception server only.
	pending uint32 // came while the process was stopped
	stopped bool
	// Whether nobody would continue this process if it stopped.
	orphaned atomic.Uint32
}

// siginit takes note of the signals that were ignored when the program was
// started: as on other systems SIGHUP and SIGINT remain so.
func siginit() {
	const ints = _SIGIGN_INDEX
	sigs.initIgn = hurd.ints.at(ints) & (1<<(_SIGHUP-1) | 1<<(_SIGINT-1))
	for sig := uint32(1); sig < _NSIG; sig++ {
		if sigs.initIgn&(1<<(sig-1)) != 0 {
			sigInitIgnored(sig)
		}
	}
}

// sigIgnored reports whether the program ignores a signal that it does not
// want.
//
//go:nosplit
func sigIgnored(sig uint32) bool {
	return signal_ignored(sig) || sigs.initIgn&(1<<(sig-1)) != 0
}

// sigServe serves msg_sig_post: somebody sends this process a signal.
//
//go:nowritebarrierrec
func sigServe(m *machMsg) {
	sig := m.get()
	m.get() // sigcode
	ref := m.getPort()
	allowed := sigAllowed(sig, ref)
	syscall_mach_port_deallocate(taskSelf, ref)
	switch {
	case sig >= _NSIG:
		m.answer(_EINVAL)
	case !allowed:
		m.answer(_EPERM)
	case sig == 0:
		m.answer(0)
	case sig != _SIGKILL && sig != _SIGSTOP && sig != _SIGCONT && sigsend(sig):
		m.answer(0)
	default:
		m.answer(0) // we may not come back
		sigDeliver(sig)
	}
}

// sigDeliver does what a signal does that nobody in the program wants.
//
//go:nowritebarrierrec
func sigDeliver(sig uint32) {
	if sig == _SIGCONT {
		sigContinue()
		sigsend(sig)
		return
	}
	if sigs.stopped && sig != _SIGKILL {
		sigs.pending |= 1 << (sig - 1)
		return
	}
	if sig != _SIGKILL && sig != _SIGSTOP && sigIgnored(sig) {
		return
	}
	switch sig {
	case _SIGSTOP:
		sigStop(sig)
	case _SIGTSTP, _SIGTTIN, _SIGTTOU:
		if sigs.orphaned.Load() == 0 {
			sigStop(sig)
		}
	case _SIGKILL, _SIGHUP, _SIGINT, _SIGTERM:
		dieFromSignal(sig)
	case _SIGQUIT, _SIGILL, _SIGTRAP, _SIGABRT, _SIGEMT, _SIGFPE, _SIGBUS, _SIGSEGV, _SIGSYS:
		sigCrash(sig)
	}
	// As on other systems nothing comes of the rest.
}

// sigCrash reports what all goroutines do, and exits.
//
//go:nowritebarrierrec
func sigCrash(sig uint32) {
	gp := getg()
	if panicking.Load() != 0 {
		return // somebody is at it
	}
	panicking.Store(1)
	printlock() // or a thread that is stopped below may have it
	print("signal ", sig)
	if sig == _SIGQUIT {
		print(" (SIGQUIT: quit)")
	}
	print("\n\n")
	gp.m.throwing = throwTypeRuntime
	if level, _, _ := gotraceback(); level > 0 {
		// What runs is stopped, so that it can be looked at.
		for mp := allm; mp != nil; mp = mp.alllink {
			curg := mp.curg
			if mp == gp.m || mp.procid == 0 || curg == nil || machSimple(uint32(mp.procid), idThreadSuspend) != 0 {
				continue
			}
			var s threadState
			if getThreadState(uint32(mp.procid), &s) == 0 && curg.stack.lo <= s.sp() && s.sp() < curg.stack.hi {
				goroutineheader(curg)
				tracebacktrap(s.pc(), s.sp(), 0, curg)
				print("\n")
			}
		}
		tracebackothers(gp)
	}
	printunlock()
	exit(2)
}

// sigAllowed reports whether whoever has the port ref may send the signal: who
// has the task may send any, the terminal those of keys and of job control.
func sigAllowed(sig, ref uint32) bool {
	if ref == taskSelf {
		return true
	}
	if ref == 0 || ref != hurdPorts[_INIT_PORT_CTTYID] {
		return false
	}
	switch sig {
	case _SIGHUP, _SIGINT, _SIGQUIT, _SIGTSTP, _SIGTTIN, _SIGTTOU, _SIGWINCH, _SIGINFO:
		return true
	}
	return false
}

// sigStop has the proc server suspend all threads but this one.
//
//go:nowritebarrierrec
func sigStop(sig uint32) {
	if sigs.stopped {
		return
	}
	proc := hurdPorts[_INIT_PORT_PROC]
	if proc == 0 {
		return // nobody could continue us
	}
	sigs.stopped = true
	var m machMsg
	m.putPort(_MACH_MSG_TYPE_COPY_SEND, uint32(getg().m.procid))
	m.call(proc, idProcDostop)
	m.reset()
	m.putInt(sig)
	m.putInt(0)
	m.call(proc, idProcMarkStop)
}

// resumeOthers resumes all threads but this one: those as well that the runtime does not
// know yet, or no more. A process that was stopped while it started a thread did not go on.
//
//go:nowritebarrierrec
func resumeOthers() {
	self := uint32(getg().m.procid)
	var m machMsg
	if m.call(taskSelf, idTaskThreads) != 0 {
		return
	}
	threads, n := m.getPorts()
	for i := range uintptr(n) {
		thread := *(*uint32)(add(threads, 4*i))
		if thread != self {
			machSimple(thread, idThreadResume)
		}
		syscall_mach_port_deallocate(taskSelf, thread)
	}
	syscall_vm_deallocate(taskSelf, threads, 4*uintptr(n))
}

// sigContinue resumes them. Then what came meanwhile has its effect.
//
//go:nowritebarrierrec
func sigContinue() {
	sigs.pending &^= 1<<(_SIGTSTP-1) | 1<<(_SIGTTIN-1) | 1<<(_SIGTTOU-1)
	if !sigs.stopped {
		return
	}
	sigs.stopped = false
	machSimple(hurdPorts[_INIT_PORT_PROC], idProcMarkCont)
	resumeOthers()
	pending := sigs.pending
	sigs.pending = 0
	for sig := uint32(1); sig < _NSIG; sig++ {
		if pending&(1<<(sig-1)) != 0 && !sigsend(sig) {
			sigDeliver(sig)
		}
	}
}

// All signals arrive in any case.
func sigdisable(uint32) {}
func sigenable(uint32)  {}
func sigignore(uint32)  {}

// Messages to the message port that are not signals go to package syscall.
// There they may need other servers, and memory: so they are handed to a
// goroutine of this package, which is parked without being waited for, like
// that of forced garbage collections: a program whose own goroutines are all
// asleep still is dead.
var msgs struct {
	lock       mutex
	head, tail *pollBuf
	count      int
	g          guintptr
	idle       bool
	serve      func([]byte)
}

// msgQueueMax is how many messages wait before more are refused.
const msgQueueMax = 32

func init() {
	if !hurd.on && hostPriv == 0 {
		// Nobody but ourselves knows of a message port.
		return
	}
	go msgServer()
}

func msgServer() {
	msgs.g.set(getg())
	for {
		lock(&msgs.lock)
		b := msgs.head
		if b == nil {
			msgs.idle = true
			goparkunlock(&msgs.lock, waitReasonIOWait, traceBlockSystemGoroutine, 1)
			continue
		}
		msgs.head = b.next
		if msgs.head == nil {
			msgs.tail = nil
		}
		msgs.count--
		unlock(&msgs.lock)

		buf := make([]byte, b.hdr.size)
		memmove(unsafe.Pointer(unsafe.SliceData(buf)), unsafe.Pointer(&b.hdr), uintptr(b.hdr.size))
		lock(&poll.lock)
		pollPutBuf(b)
		unlock(&poll.lock)
		if msgs.serve != nil {
			msgs.serve(buf)
		} else {
			msgRefuse((*machHeader)(unsafe.Pointer(unsafe.SliceData(buf))))
		}
	}
}

// msgForward queues a message for msgServer.
//
//go:nowritebarrierrec
func msgForward(h *machHeader) {
	lock(&msgs.lock)
	if msgs.g == 0 || msgs.count >= msgQueueMax {
		unlock(&msgs.lock)
		msgRefuse(h)
		return
	}
	lock(&poll.lock)
	b := pollGetBuf(uintptr(h.size) + unsafe.Offsetof(pollBuf{}.hdr))
	unlock(&poll.lock)
	memmove(unsafe.Pointer(&b.hdr), unsafe.Pointer(h), uintptr(h.size))
	b.next = nil
	if msgs.tail == nil {
		msgs.head = b
	} else {
		msgs.tail.next = b
	}
	msgs.tail = b
	msgs.count++
	wake := msgs.idle
	msgs.idle = false
	unlock(&msgs.lock)
	if wake {
		var list gList
		list.push(msgs.g.ptr())
		injectglist(&list)
	}
}

// msgRefuse answers a message with an error and has the kernel destroy what
// is in it: by sending it to a port that goes away.
//
//go:nowritebarrierrec
func msgRefuse(h *machHeader) {
	var m machMsg
	m.hdr = *h
	if h.bits&_MACH_MSGH_BITS_COMPLEX != 0 {
		var port uint32
		if syscall_mach_port_allocate(taskSelf, _MACH_PORT_RIGHT_RECEIVE, &port) == 0 {
			h.bits = _MACH_MSGH_BITS_COMPLEX | _MACH_MSG_TYPE_MAKE_SEND
			h.remote, h.local = port, 0
			mach_msg_trap(unsafe.Pointer(h), _MACH_SEND_MSG|_MACH_SEND_TIMEOUT, h.size, 0, 0, 0, 0)
			machPortDestroy(port)
		}
	}
	m.answer(_MIG_BAD_ID)
}

//go:linkname os_sigpipe os.sigpipe
func os_sigpipe() {
	if signal_ignored(_SIGPIPE) || sigsend(_SIGPIPE) {
		return
	}
	dieFromSignal(_SIGPIPE)
}

// dieFromSignal ends the process as the signal would.
//
//go:nosplit
func dieFromSignal(sig uint32) {
	if hurdPorts[_INIT_PORT_PROC] != 0 {
		procExit(sig)
	}
	exit(2)
}
