// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/abi"
	"internal/runtime/atomic"
	"unsafe"
)

// GNU Mach as the operating system of this package, and the Hurd as far as
// a process needs it: for its arguments, output, exit and signals. All else of
// the Hurd is in package syscall.
//
//	msg_hurd.go     calls by messages
//	start_hurd.go   the two ways to be started
//	os_hurd.go      threads, waiting, exit
//	exc_hurd.go     exceptions and signals
//	preempt_hurd.go preemption
//	profile_hurd.go CPU profiles
//	mem_hurd.go     memory
//	clock_hurd.go   time
//	netpoll_hurd.go goroutines that wait for messages
//	rand_hurd.go    random numbers
//	syscall_hurd.go what package syscall builds upon
//
// What depends on the processor is in files with its name.

type mOS struct {
	waitsema uint32 // semaphore for parking on locks
	reply    uint32 // reply port for calls of this thread
	exc      excState
	profiled int64 // microseconds that profileThread has counted
}

func osinit() {
	getg().m.reply = firstReply
	physPageSize = _PAGESIZE
	numCPUStartup = getCPUCount()
	clockinit()
}

// getCPUCount returns the number of processors that the kernel uses.
func getCPUCount() int32 {
	var m machMsg
	m.putInt(_HOST_BASIC_INFO)
	m.putInt(hostBasicInfoCount)
	if m.call(hostSelf, idHostInfo) != 0 {
		return 1
	}
	return max(1, int32(*m.word(m.n + 1 + hostBasicInfoCPUs)))
}

func threadstart()

// May run with m.p==nil, so write barriers are not allowed.
//
//go:nowritebarrier
func newosproc(mp *m) {
	// The g of a thread, in its TLS slot before its first instruction.
	mp.tls[0] = uintptr(unsafe.Pointer(mp.g0))
	var m machMsg
	kr := m.call(taskSelf, idThreadCreate)
	if kr == 0 {
		thread := m.get()
		kr = prepareThread(thread, mp, abi.FuncPCABI0(threadstart), mp.g0.stack.hi-16)
		if kr == 0 {
			kr = machSimple(thread, idThreadResume)
		}
	}
	if kr != 0 {
		print("runtime: cannot start a thread: ", hex(kr), "\n")
		throw("newosproc")
	}
	// The name stays, with the reference that it came with: the thread
	// finds it as mach_thread_self.
}

func mpreinit(mp *m) {
	mp.gsignal = malg(32 * 1024)
	mp.gsignal.m = mp
}

func minit()         { getg().m.procid = uint64(mach_thread_self()) }
func unminit()       { getg().m.procid = 0 }
func mdestroy(mp *m) {}

// exitThread hands this thread to the one that terminates threads: the stack
// is free only when nothing runs on it.
//
//go:nosplit
func exitThread(wait *atomic.Uint32) {
	var m machMsg
	m.putInt(mach_thread_self())
	m.putInt(getg().m.reply)
	m.putAddr(uintptr(unsafe.Pointer(wait)))
	// There is no P to hold up if the queue is full.
	m.send(_MACH_MSG_TYPE_MAKE_SEND, reapPort, reapID)
	for {
		thread_switch(0, _SWITCH_OPTION_WAIT, machMaxMilliseconds)
	}
}

//go:nosplit
func futexsleep(addr *uint32, val uint32, ns int64) {
	ms, flags := uint32(0), uint32(0)
	if ns >= 0 {
		ms, flags = nsToMs(ns), _GSYNC_TIMED
	}
	var m machMsg
	m.putAddr(uintptr(unsafe.Pointer(addr)))
	m.putInt(val)
	m.putInt(0) // the second word, of a QUAD wait
	m.putInt(ms)
	m.putInt(flags)
	m.call(taskSelf, idGsyncWait)
}

//go:nosplit
func futexwakeup(addr *uint32, cnt uint32) {
	flags := uint32(0)
	if cnt > 1 {
		flags = _GSYNC_BROADCAST
	}
	var m machMsg
	m.putAddr(uintptr(unsafe.Pointer(addr)))
	m.putInt(0) // the value to store, with MUTATE
	m.putInt(flags)
	// The kernel does it within the send; nobody cares for its answer.
	m.send(_MACH_MSG_TYPE_COPY_SEND, taskSelf, idGsyncWake)
}

// usleep sleeps until a tick of the kernel's clock.
//
//go:nosplit
func usleep(usec uint32) {
	thread_switch(0, _SWITCH_OPTION_WAIT, (usec+999)/1000)
}

//go:nosplit
func usleep_no_g(usec uint32) { usleep(usec) }

func osyield()

//go:nosplit
func osyield_no_g() { osyield() }

// write1 writes the runtime's own messages: to standard output or error of a
// process, or else, of a program that the kernel started, to its console.
//
//go:nosplit
func write1(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if hurd.on {
		if port := fds.port(fd); port != 0 || !hurdStackArgs() {
			return hurdWrite(port, p, n)
		}
	}
	var buf [65]byte
	for done := int32(0); done < n; {
		k := 0
		for k < len(buf)-1 && done < n {
			buf[k] = *(*byte)(add(p, uintptr(done)))
			done++
			k++
		}
		buf[k] = 0
		mach_print(&buf[0])
	}
	return n
}

// fds has the ports of the file descriptors, as package syscall sets them, for
// what is written here. Until it does they are those that the process was
// started with.
var fds fdTable

const fdChunk = 1024

// An fdTable is read without a lock, and changed under one of package syscall.
type fdTable struct {
	used   bool
	chunks [1 << 16 / fdChunk]*[fdChunk]uint32 // not in the heap
}

//go:nosplit
func (t *fdTable) port(fd uintptr) uint32 {
	if !t.used {
		return hurd.fds.at(fd)
	}
	if fd >= uintptr(len(t.chunks))*fdChunk {
		return 0
	}
	chunk := (*[fdChunk]uint32)(atomic.Loadp(unsafe.Pointer(&t.chunks[fd/fdChunk])))
	if chunk == nil {
		return 0
	}
	return atomic.Load(&chunk[fd%fdChunk])
}

func (t *fdTable) set(fd uintptr, port uint32) {
	slot := &t.chunks[fd/fdChunk]
	chunk := *slot
	if chunk == nil {
		if port == 0 {
			return
		}
		chunk = (*[fdChunk]uint32)(persistentalloc(unsafe.Sizeof(*chunk), 0, &memstats.other_sys))
		atomic.StorepNoWB(unsafe.Pointer(slot), unsafe.Pointer(chunk))
	}
	atomic.Store(&chunk[fd%fdChunk], port)
	t.used = true
}

// There are no files at this level.

//go:nosplit
func read(fd int32, p unsafe.Pointer, n int32) int32 { return -1 }

//go:nosplit
func open(name *byte, mode, perm int32) int32 { return -1 }

//go:nosplit
func closefd(fd int32) int32 { return -1 }

// fcntl is defined in package syscall, which has the file descriptors.
func fcntl(fd, cmd, arg int32) (ret int32, errno int32)

func mmap(addr unsafe.Pointer, n uintptr, prot, flags, fd int32, off uint32) (p unsafe.Pointer, err int) {
	return nil, _ENOSYS
}

//go:nosplit
func exit(code int32) {
	if hurd.on {
		procExit(uint32(code&0xff) << 8)
	}
	if hostPriv != 0 {
		// The boot module is all that runs here. Its end is the
		// machine's; on the console is the only place to leave a
		// status.
		exitStatus(uint32(code & 0xff))
		var m machMsg
		m.putInt(_RB_AUTOBOOT)
		m.call(hostPriv, idHostReboot)
	}
	machSimple(taskSelf, idTaskTerminate)
	for {
		osyield()
	}
}

// exitStatus writes "[exit status N]" on a line.
//
//go:nosplit
func exitStatus(n uint32) {
	digits := [3]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)}
	first := 0
	for first < 2 && digits[first&1] == '0' {
		first++
	}
	writeErrStr("[exit status ")
	write1(hurdStderr, add(unsafe.Pointer(&digits), uintptr(first)), int32(3-first))
	writeErrStr("]\n")
}

//go:nosplit
func crash() { abort() }

func goenvs() { goenvs_unix() }

// There are no signals of threads.

type sigset struct{}
type gsignalStack struct{}

func sigsave(p *sigset)          {}
func msigrestore(sigmask sigset) {}
func clearSignalHandlers()       {}
func sigblock(exiting bool)      {}
func newosproc0(stacksize uintptr, fn uintptr) {
	throw("newosproc0: cgo is not supported")
}
