// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/runtime/atomic"
	"unsafe"
)

// CPU profiles. There is no profiling signal. Instead a thread of this package
// asks the kernel at each tick of its clock which threads have used the
// processor, and stops those to see where they are, as on Windows. The kernel
// too accounts for time by ticks, so that more than 100 samples a second are
// not to be had.

var profiler struct {
	started bool   // with prof.signalLock
	hz      uint32 // 0 to pause
}

func setProcessCPUProfiler(hz int32) {
	atomic.Store(&profiler.hz, uint32(hz))
	if hz == 0 {
		return
	}
	if !profiler.started {
		profiler.started = true
		newm(profileLoop, nil, -1)
	}
	futexwakeup(&profiler.hz, 1)
}

func setThreadCPUProfiler(hz int32) {
	mp := getg().m
	if hz != 0 {
		mp.profiled, _ = threadTime(uint32(mp.procid))
	}
	atomic.Store((*uint32)(unsafe.Pointer(&mp.profilehz)), uint32(hz))
}

func profileLoop() {
	becomeSystemThread()
	for {
		hz := atomic.Load(&profiler.hz)
		if hz == 0 {
			futexsleep(&profiler.hz, 0, -1)
			continue
		}
		period := 1000000 / int64(hz)
		usleep(uint32(period))
		for mp := (*m)(atomic.Loadp(unsafe.Pointer(&allm))); mp != nil; mp = mp.alllink {
			if mp != getg().m {
				profileThread(mp, period)
			}
		}
	}
}

// profileThread adds a sample for each period in microseconds, of those that
// the thread of mp has run.
func profileThread(mp *m, period int64) {
	thread := uint32(mp.procid)
	if thread == 0 || mp.profilehz == 0 {
		return
	}
	t, ok := threadTime(thread)
	n := (t - mp.profiled) / period
	if !ok || n <= 0 || !threadRuns(thread) {
		return // what it has run counts when it does again
	}
	mp.profiled += n * period
	// Whoever is stopped does not have this lock, or others of those that
	// sigprof takes: they are taken with profilehz = 0.
	lock(&suspendLock)
	if machSimple(thread, idThreadSuspend) == 0 {
		var s threadState
		if getThreadState(thread, &s) == 0 && mp.profilehz != 0 {
			if gp := gFromSP(mp, s.sp()); gp != nil {
				for range n {
					sigprof(s.pc(), s.sp(), 0, gp, mp)
				}
			}
		}
		machSimple(thread, idThreadResume)
	}
	unlock(&suspendLock)
}

// threadTime returns how long a thread has run, in microseconds.
func threadTime(thread uint32) (usec int64, ok bool) {
	var m machMsg
	m.putInt(_THREAD_BASIC_INFO)
	m.putInt(threadBasicInfoCount)
	if m.call(thread, idThreadInfo) != 0 {
		return 0, false
	}
	// A time_value each for user and system.
	for i := uint32(0); i < 4; i += 2 {
		usec += int64(*m.word(m.n + 1 + i))*1000000 + int64(*m.word(m.n + 2 + i))
	}
	return usec, true
}

// gFromSP returns the g of mp that runs on the stack of sp.
func gFromSP(mp *m, sp uintptr) *g {
	for _, gp := range [...]*g{mp.g0, mp.gsignal, mp.curg} {
		if gp != nil && gp.stack.lo < sp && sp < gp.stack.hi {
			return gp
		}
	}
	return nil
}
