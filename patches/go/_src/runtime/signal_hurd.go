// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/abi"
	"internal/runtime/atomic"
	"unsafe"
)

// Mach exceptions and where they come from, and preemption.
//
// A thread of its own (an M without a P, like sysmon) receives the
// exceptions of this task. It finds the faulting M by its thread port, reads
// the registers and either makes the thread call sigpanic and go on or
// reports the crash. It also terminates threads for exitThread.

const (
	_EXC_BAD_ACCESS = 1
	_EXC_ARITHMETIC = 3

	_EXC_I386_DIV  = 1
	_EXC_I386_INTO = 2

	reapID = 0x600d
)

func initsig(preinit bool) {
	if preinit || excPort != 0 {
		return
	}
	var m machMsg
	kr := syscall_mach_port_allocate(taskSelf, 1, &excPort)
	if kr == 0 {
		m.hdr.bits = _MACH_MSG_COMPLEX
		m.body[0] = _MT_INT
		m.body[1] = _TASK_EXCEPTION_PORT
		m.body[2] = _MT_MAKE
		m.body[3] = excPort
		kr = machCall(&m, taskSelf, 2059, 4, replyPort())
	}
	if kr != 0 {
		print("runtime: exception port: ", hex(kr), "\n")
		throw("initsig")
	}
	procinit()
	newm(excServer, nil, -1)
}

//go:nowritebarrierrec
func excServer() {
	lock(&sched.lock)
	sched.nmsys++
	checkdead()
	unlock(&sched.lock)

	var m machMsg
	for {
		kr := mach_msg_trap(unsafe.Pointer(&m), _MACH_RCV_MSG, 0, uint32(unsafe.Sizeof(m)), excPort, 0, 0)
		if kr != 0 {
			continue
		}
		if m.hdr.id == reapID {
			thread := m.body[1]
			wait := (*atomic.Uint32)(unsafe.Pointer(uintptr(m.body[3])))
			reply := m.body[5]
			simpleCall(thread, 2016) // thread_terminate
			portDestroy(thread)
			portDestroy(reply)
			wait.Store(freeMStack)
			continue
		}
		if m.hdr.id != 2400 {
			msgServe(&m)
			continue
		}
		reply, thread, task := m.hdr.remote, m.body[1], m.body[3]
		exception, code, subcode := m.body[5], m.body[7], m.body[9]
		excRaised(thread, exception, code, uintptr(subcode))
		syscall_mach_port_deallocate(taskSelf, thread)
		syscall_mach_port_deallocate(taskSelf, task)
		m.hdr.bits = _MACH_REPLY_BITS
		m.hdr.size = 24 + 8
		m.hdr.remote = reply
		m.hdr.local = 0
		m.hdr.id = 2500
		m.body[0] = _MT_INT
		m.body[1] = 0
		mach_msg_trap(unsafe.Pointer(&m), _MACH_SEND_MSG, m.hdr.size, 0, 0, 0, 0)
	}
}

// msgServe answers what others send to the message port of this process.
//
//go:nowritebarrierrec
func msgServe(m *machMsg) {
	id, reply, bits := m.hdr.id, m.hdr.remote, m.hdr.bits
	kr := ^uint32(303 - 1) // MIG_BAD_ID
	sig := uint32(0)
	if id == 23000 || id == 23022 { // msg_sig_post
		kr = 0
		sig = m.body[1]
		ref := m.body[5]
		if ref != taskSelf {
			kr = 0x40000001 // EPERM
			switch sig {
			case 1, 2, 3, 18, 21, 22, 28, 29:
				if ref == hurd.ports[_INIT_PORT_CTTYID] {
					kr = 0
				}
			}
		}
		syscall_mach_port_deallocate(taskSelf, ref)
	}
	if debugMsgPort {
		print("msgport: id ", id, " sig ", sig, " bits ", hex(bits), " kr ", hex(kr), "\n")
	}
	if reply != 0 {
		m.hdr.bits = bits & 0xff
		m.hdr.size = 24 + 8
		m.hdr.remote = reply
		m.hdr.local = 0
		m.hdr.id = id + 100
		m.body[0] = _MT_INT
		m.body[1] = kr
		mach_msg_trap(unsafe.Pointer(m), _MACH_SEND_MSG, m.hdr.size, 0, 0, 0, 0)
	}
	if kr == 0 {
		switch sig {
		case 17, 18, 21, 22: // STOP TSTP TTIN TTOU
			stopAll(sig)
		case 19: // CONT
			contAll()
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 30, 31, 32:
			procexit(sig)
		}
	}
}

var stopped bool

//go:nowritebarrierrec
func stopAll(sig uint32) {
	if stopped {
		return
	}
	stopped = true
	var m machMsg
	m.hdr.bits = _MACH_MSG_COMPLEX
	m.body[0] = _MT_COPY
	m.body[1] = uint32(getg().m.procid)
	machCall(&m, hurd.ports[_INIT_PORT_PROC], 24021, 2, replyPort()) // proc_dostop
	m.hdr.bits = 0
	m.body[0] = _MT_INT
	m.body[1] = sig
	m.body[2] = _MT_INT
	m.body[3] = 0
	machCall(&m, hurd.ports[_INIT_PORT_PROC], 24023, 4, replyPort()) // proc_mark_stop
}

//go:nowritebarrierrec
func contAll() {
	if !stopped {
		return
	}
	stopped = false
	simpleCall(hurd.ports[_INIT_PORT_PROC], 24024) // proc_mark_cont
	self := getg().m.procid
	for mp := allm; mp != nil; mp = mp.alllink {
		if mp.procid != 0 && mp.procid != self {
			simpleCall(uint32(mp.procid), 2063)
		}
	}
}

var debugMsgPort = false

// portDestroy drops all rights under a name.
func portDestroy(name uint32) {
	if name == 0 {
		return
	}
	var m machMsg
	m.body[0] = _MT_NAME
	m.body[1] = name
	machCall(&m, taskSelf, 3205, 2, replyPort())
}

//go:nowritebarrierrec
func excRaised(thread, exception, code uint32, addr uintptr) {
	var m machMsg
	var s threadState
	kr := getThreadState(&m, thread, &s)
	mp := allm
	for ; mp != nil && uint32(mp.procid) != thread; mp = mp.alllink {
	}
	if kr != 0 || mp == nil {
		print("runtime: exception ", exception, " in a thread that is not Go's\n")
		exit(2)
	}
	gp := *(**g)(unsafe.Pointer(&mp.tls[0]))
	pc, sp := uintptr(s.eip), uintptr(s.uesp)
	if (exception != _EXC_BAD_ACCESS && exception != _EXC_ARITHMETIC) || gp.throwsplit || gp != mp.curg {
		excCrash(mp, gp, exception, code, addr, &s)
	}
	gp.sig = exception
	gp.sigcode0 = uintptr(code)
	gp.sigcode1 = addr
	gp.sigpc = pc
	// As in preparePanic: make it look like a call of sigpanic at pc,
	// except after a call of something that is not code.
	if findfunc(pc).valid() || !findfunc(*(*uintptr)(unsafe.Pointer(sp))).valid() {
		sp -= 4
		*(*uintptr)(unsafe.Pointer(sp)) = pc
		s.uesp = uint32(sp)
	}
	s.eip = uint32(abi.FuncPCABIInternal(sigpanic))
	setThreadState(&m, thread, &s)
}

//go:nowritebarrierrec
func excCrash(mp *m, gp *g, exception, code uint32, addr uintptr, s *threadState) {
	if panicking.Load() != 0 {
		exit(2)
	}
	panicking.Store(1)
	print("fatal error: unexpected exception\n[exception ", exception, " code ", code, " addr=", hex(addr), " pc=", hex(s.eip), " m=", mp.id, "]\n\n")
	g0 := getg()
	g0.m.throwing = throwTypeRuntime
	g0.m.caughtsig.set(gp)
	level, _, _ := gotraceback()
	if level > 0 {
		tracebacktrap(uintptr(s.eip), uintptr(s.uesp), 0, gp)
		tracebackothers(gp)
		print("eax    ", hex(s.eax), "\n", "ebx    ", hex(s.ebx), "\n", "ecx    ", hex(s.ecx), "\n", "edx    ", hex(s.edx), "\n")
		print("edi    ", hex(s.edi), "\n", "esi    ", hex(s.esi), "\n", "ebp    ", hex(s.ebp), "\n", "esp    ", hex(s.uesp), "\n")
		print("eip    ", hex(s.eip), "\n", "eflags ", hex(s.efl), "\n", "gs     ", hex(s.gs), "\n")
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

const preemptMSupported = true

// suspendLock keeps two threads from suspending each other.
var suspendLock mutex

func preemptM(mp *m) {
	var m machMsg
	var s threadState
	thread := uint32(mp.procid)
	if thread != 0 {
		lock(&suspendLock)
		kr := simpleCall(thread, 2062) // thread_suspend
		if kr == 0 {
			kr = getThreadState(&m, thread, &s)
			unlock(&suspendLock)
			gp := *(**g)(unsafe.Pointer(&mp.tls[0]))
			if kr == 0 && gp != nil && wantAsyncPreempt(gp) {
				if ok, pc := isAsyncSafePoint(gp, uintptr(s.eip), uintptr(s.uesp), 0); ok {
					sp := uintptr(s.uesp) - 4
					*(*uintptr)(unsafe.Pointer(sp)) = pc
					s.uesp = uint32(sp)
					s.eip = uint32(abi.FuncPCABI0(asyncPreempt))
					setThreadState(&m, thread, &s)
				}
			}
			mp.preemptGen.Add(1)
			simpleCall(thread, 2063) // thread_resume
			return
		}
		unlock(&suspendLock)
	}
	mp.preemptGen.Add(1)
}
