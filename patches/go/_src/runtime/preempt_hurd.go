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
func preemptM(mp *m) {
	if thread := uint32(mp.procid); thread != 0 {
		lock(&suspendLock)
		kr := machSimple(thread, idThreadSuspend)
		if kr == 0 {
			// This waits until the thread has stopped.
			var s threadState
			kr = getThreadState(thread, &s)
			unlock(&suspendLock)
			gp := *(**g)(unsafe.Pointer(&mp.tls[0]))
			if kr == 0 && gp != nil && wantAsyncPreempt(gp) {
				if ok, pc := isAsyncSafePoint(gp, s.pc(), s.sp(), 0); ok {
					s.pushCall(pc)
					s.setPC(abi.FuncPCABI0(asyncPreempt))
					setThreadState(thread, &s)
				}
			}
			mp.preemptGen.Add(1)
			machSimple(thread, idThreadResume)
			return
		}
		unlock(&suspendLock)
	}
	mp.preemptGen.Add(1)
}
