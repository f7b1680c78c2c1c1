// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/abi"
	"unsafe"
)

const preemptMSupported = true

// suspendLock keeps two threads from suspending each other.
var suspendLock mutex

// preemptM makes mp call asyncPreempt if it is at a point where that is safe:
// by suspending the thread and changing its registers, as on Windows.
//
// A thread that is suspended may be in the kernel, about to get a page of the program,
// which nobody else gets before it has it; who suspended it and then wants the same page
// waits for ever. So all that is needed while it is suspended is used before: the first
// look is one call to the kernel, after which the thread goes on, and the second one is
// only good near the place that the first one has seen. Loops that have to be interrupted
// stay there.
func preemptM(mp *m) {
	if thread := uint32(mp.procid); thread != 0 {
		var s threadState
		if getThreadState(thread, &s) == 0 && usePreempt(s.pc()) {
			seen := s.pc() / _PAGESIZE
			lock(&suspendLock)
			if machSimple(thread, idThreadSuspend) == 0 {
				// This waits until the thread has stopped.
				kr := getThreadState(thread, &s)
				near := s.pc()/_PAGESIZE - seen + 1 // 0, 1 or 2
				gp := *(**g)(unsafe.Pointer(&mp.tls[0]))
				if kr == 0 && near <= 2 && gp != nil && wantAsyncPreempt(gp) {
					if ok, pc := isAsyncSafePoint(gp, s.pc(), s.sp(), 0); ok {
						s.pushCall(pc)
						s.setPC(abi.FuncPCABI0(asyncPreempt))
						setThreadState(thread, &s)
					}
				}
				machSimple(thread, idThreadResume)
			}
			unlock(&suspendLock)
		}
	}
	mp.preemptGen.Add(1)
}

// usePreempt uses what preemptM and isAsyncSafePoint do for a thread at pc, without the
// thread. It reports false if that is not in Go code.
func usePreempt(pc uintptr) bool {
	f := findfunc(pc)
	if !f.valid() {
		return false
	}
	pcdatavalue2(f, abi.PCDATA_UnsafePoint, pc)
	funcdata(f, abi.FUNCDATA_LocalsPointerMaps)
	u, uf := newInlineUnwinder(f, pc)
	usedPreempt = len(u.srcFunc(uf).name())
	// Functions that want the thread are only looked at: none is longer than a page.
	for _, fn := range [...]uintptr{
		abi.FuncPCABIInternal(preemptM), abi.FuncPCABIInternal(wantAsyncPreempt), abi.FuncPCABIInternal(isAsyncSafePoint), abi.FuncPCABIInternal(canPreemptM),
	} {
		usedPreempt += int(*(*byte)(unsafe.Pointer(fn))) + int(*(*byte)(unsafe.Pointer(fn + 1024)))
	}
	// Calls to no thread.
	var none threadState
	setThreadState(0, &none)
	machSimple(0, idThreadSuspend)
	return true
}

// usedPreempt keeps what usePreempt does from being done away with.
var usedPreempt int

// threadRuns reports whether a thread runs or could, and may be suspended: one that
// waits in the kernel may do so for a page, which nobody else gets before it has it. Who
// suspended it and then wanted the same page would wait for ever.
func threadRuns(thread uint32) bool {
	var m machMsg
	m.putInt(_THREAD_BASIC_INFO)
	m.putInt(threadBasicInfoCount)
	return m.call(thread, idThreadInfo) == 0 && *m.word(m.n + 1 + threadBasicInfoRunState) == _TH_STATE_RUNNING
}
