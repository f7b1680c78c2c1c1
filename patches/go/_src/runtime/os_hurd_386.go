// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "unsafe"

// threadState is the flavor of thread state with registers and, other than
// the flavor THREAD_STATE, segments as they are.
type threadState struct {
	gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, eip, cs, efl, uesp, ss uint32
}

const (
	_I386_REGS_SEGS_STATE = 5
	threadStateWords      = uint32(unsafe.Sizeof(threadState{}) / 4)

	// Details of _EXC_ARITHMETIC.
	_EXC_I386_DIV  = 1
	_EXC_I386_INTO = 2

	// A segment of user data, writable, 4 GB long: the access byte, and
	// granularity with the high bits of the limit.
	segAccess = 0xf2
	segLimit  = 0xcf
)

func (s *threadState) pc() uintptr      { return uintptr(s.eip) }
func (s *threadState) sp() uintptr      { return uintptr(s.uesp) }
func (s *threadState) setPC(pc uintptr) { s.eip = uint32(pc) }
func (s *threadState) setSP(sp uintptr) { s.uesp = uint32(sp) }

// pushCall makes it look as if the code at pc had just called something. The
// stack must have room.
func (s *threadState) pushCall(pc uintptr) {
	s.uesp -= 4
	*(*uintptr)(unsafe.Pointer(uintptr(s.uesp))) = pc
}

func (s *threadState) print() {
	print("eax    ", hex(s.eax), "\n")
	print("ebx    ", hex(s.ebx), "\n")
	print("ecx    ", hex(s.ecx), "\n")
	print("edx    ", hex(s.edx), "\n")
	print("edi    ", hex(s.edi), "\n")
	print("esi    ", hex(s.esi), "\n")
	print("ebp    ", hex(s.ebp), "\n")
	print("esp    ", hex(s.uesp), "\n")
	print("eip    ", hex(s.eip), "\n")
	print("eflags ", hex(s.efl), "\n")
	print("cs     ", hex(s.cs), "\n")
	print("fs     ", hex(s.fs), "\n")
	print("gs     ", hex(s.gs), "\n")
}

func getThreadState(thread uint32, s *threadState) uint32 {
	var m machMsg
	m.putInt(_I386_REGS_SEGS_STATE)
	m.putInt(threadStateWords)
	kr := m.call(thread, idThreadGetState)
	if kr == 0 {
		*s = *(*threadState)(unsafe.Pointer(m.word(m.n + 1)))
	}
	return kr
}

func setThreadState(thread uint32, s *threadState) uint32 {
	var m machMsg
	m.putInt(_I386_REGS_SEGS_STATE)
	m.putWord(machTypeInts | threadStateWords<<16)
	*(*threadState)(unsafe.Pointer(m.word(m.n))) = *s
	m.n += threadStateWords
	return m.call(thread, idThreadSetState)
}

// setTLS gives thread a segment that begins at base, and returns its selector.
//
//go:nosplit
func setTLS(reply, thread, base uint32) (selector, kr uint32) {
	var m machMsg
	m.putInt(^uint32(0)) // any selector
	m.putWord(2 | 32<<8 | 2<<16 | machTypeInline)
	m.putWord(0xffff | base<<16)
	m.putWord(base>>16&0xff | segAccess<<8 | segLimit<<16 | base&0xff000000)
	kr = m.callVia(reply, thread, idI386SetGDT)
	return m.get(), kr
}

// tlsinit is called by setldt, before there is a g, for the first thread. g is
// the word before base.
//
//go:nosplit
func tlsinit(base uint32) uint32 {
	selector, kr := setTLS(firstReply, mach_thread_self(), base)
	if kr != 0 {
		return 0 // and fault
	}
	return selector
}

// prepareThread makes a new thread ready to begin at pc as the thread of mp.
//
//go:nowritebarrier
func prepareThread(thread uint32, mp *m, pc, sp uintptr) uint32 {
	selector, kr := setTLS(replyPort(), thread, uint32(uintptr(unsafe.Pointer(&mp.tls)))+4)
	var s threadState
	if kr == 0 {
		kr = getThreadState(thread, &s) // the other segments
	}
	if kr == 0 {
		s.gs = selector
		s.setPC(pc)
		s.setSP(sp)
		kr = setThreadState(thread, &s)
	}
	return kr
}
