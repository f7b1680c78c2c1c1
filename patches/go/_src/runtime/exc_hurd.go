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
// does nothing that could fail. It also serves the message port of a process,
// where the Hurd's signals arrive: another port, since anybody can send there.
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

//go:nowritebarrierrec
func excServer() {
	becomeSystemThread()
	machSetSpecialPort(uint32(getg().m.procid), idThreadSetSpecialPort, _THREAD_EXCEPTION_PORT, reapPort)
	for {
		var m machMsg
		if m.receive(excSet) != 0 {
			continue // too large for anything that is served here
		}
		id := m.hdr.id
		switch {
		case m.hdr.local == excPort && id == idExceptionRaise:
			excServe(&m)
		case m.hdr.local == msgPort && (id == idMsgSigPost || id == idMsgSigPostUntraced):
			sigServe(&m)
		default:
			m.answer(_MIG_BAD_ID)
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
	excRaised(thread, exception, code, addr)
	syscall_mach_port_deallocate(taskSelf, thread)
	syscall_mach_port_deallocate(taskSelf, task)
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

// sigServe serves msg_sig_post: somebody sends this process a signal.
//
//go:nowritebarrierrec
func sigServe(m *machMsg) {
	sig := m.get()
	m.get() // sigcode
	ref := m.getPort()
	allowed := sigAllowed(sig, ref)
	syscall_mach_port_deallocate(taskSelf, ref)
	if !allowed {
		m.answer(_EPERM)
		return
	}
	m.answer(0)
	switch sig {
	case _SIGKILL, _SIGSTOP:
	default:
		if sig == 0 || sigsend(sig) {
			return
		}
	}
	// Nobody in the program wants it: the default.
	switch sig {
	case _SIGSTOP, _SIGTSTP, _SIGTTIN, _SIGTTOU:
		sigStop(sig)
	case _SIGCONT:
		sigContinue()
	case _SIGURG, _SIGCHLD, _SIGIO, _SIGWINCH, _SIGINFO:
	default:
		procExit(sig)
	}
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

// sigStopped is used by the exception server only.
var sigStopped bool

// sigStop has the proc server suspend all threads but this one.
//
//go:nowritebarrierrec
func sigStop(sig uint32) {
	if sigStopped {
		return
	}
	sigStopped = true
	proc := hurdPorts[_INIT_PORT_PROC]
	var m machMsg
	m.putPort(_MACH_MSG_TYPE_COPY_SEND, uint32(getg().m.procid))
	m.call(proc, idProcDostop)
	m.reset()
	m.putInt(sig)
	m.putInt(0)
	m.call(proc, idProcMarkStop)
}

// sigContinue resumes them.
//
//go:nowritebarrierrec
func sigContinue() {
	if !sigStopped {
		return
	}
	sigStopped = false
	machSimple(hurdPorts[_INIT_PORT_PROC], idProcMarkCont)
	self := getg().m.procid
	for mp := allm; mp != nil; mp = mp.alllink {
		if mp.procid != 0 && mp.procid != self {
			machSimple(uint32(mp.procid), idThreadResume)
		}
	}
}

// All signals arrive in any case.
func sigdisable(uint32) {}
func sigenable(uint32)  {}
func sigignore(uint32)  {}

//go:linkname os_sigpipe os.sigpipe
func os_sigpipe() {
	if signal_ignored(_SIGPIPE) || sigsend(_SIGPIPE) {
		return
	}
	procExit(_SIGPIPE)
}
