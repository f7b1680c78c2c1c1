// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/runtime/atomic"
	"unsafe"
)

// What package syscall has of the kernel; documented there.

//go:linkname syscall_machMsg syscall.runtime_machMsg
//go:nosplit
func syscall_machMsg(msg unsafe.Pointer, option, sndSize, rcvSize, rcvName, timeout uint32) uint32 {
	return machMsgRestart(msg, option, sndSize, rcvSize, rcvName, timeout)
}

//go:linkname syscall_machMsgBlock syscall.runtime_machMsgBlock
//go:nosplit
func syscall_machMsgBlock(msg unsafe.Pointer, option, sndSize, rcvSize, rcvName, timeout uint32) uint32 {
	// Give the P away at once: sysmon would do so only after a tick of the
	// kernel's clock, 10 ms.
	entersyscallblock()
	kr := machMsgRestart(msg, option, sndSize, rcvSize, rcvName, timeout)
	exitsyscall()
	return kr
}

// machMsgRestart is mach_msg made whole: when the kernel interrupts the
// thread, for the sake of preemption or a debugger, it goes on where it was.
//
//go:nosplit
func machMsgRestart(msg unsafe.Pointer, option, sndSize, rcvSize, rcvName, timeout uint32) uint32 {
	if rcvName == 0 && option&_MACH_RCV_MSG != 0 {
		// Not earlier than here: the goroutine stays on this thread
		// until the answer is there.
		rcvName = replyPort()
		if option&_MACH_SEND_MSG != 0 {
			(*machHeader)(msg).local = rcvName
		}
	}
	for {
		switch kr := mach_msg_trap(msg, option, sndSize, rcvSize, rcvName, timeout, 0); kr {
		case _MACH_SEND_INTERRUPTED:
			// The message is back in the buffer, ready to be sent.
		case _MACH_RCV_INTERRUPTED:
			option &^= _MACH_SEND_MSG
		default:
			return kr
		}
	}
}

//go:linkname syscall_machReplyPort syscall.runtime_machReplyPort
//go:nosplit
func syscall_machReplyPort() uint32 { return mach_reply_port() }

//go:linkname syscall_machPorts syscall.runtime_machPorts
//go:nosplit
func syscall_machPorts() (task, host, priv, device uint32) {
	return taskSelf, hostSelf, hostPriv, deviceMaster
}

//go:linkname syscall_hurdStart syscall.runtime_hurdStart
func syscall_hurdStart() (on bool, ports, ints, fds []uint32, info [6]uint32) {
	return hurd.on, hurd.ports.slice(), hurd.ints.slice(), hurd.fds.slice(),
		[6]uint32{hurd.entry, hurd.phdr, hurd.phdrSize, hurd.stack, hurd.stackLen, hurd.flags}
}

// syscall_write is the console of a boot module.
//
//go:linkname syscall_write syscall.runtime_write
//go:nosplit
func syscall_write(fd uintptr, p unsafe.Pointer, n int32) int32 { return write1(fd, p, n) }

// syscall_hurdSetDescriptor says what the descriptor fd is from now on: a port,
// or 0 if it is nothing that the runtime could write to.
//
//go:linkname syscall_hurdSetDescriptor syscall.runtime_hurdSetDescriptor
func syscall_hurdSetDescriptor(fd int, port uint32) { fds.set(uintptr(fd), port) }

// syscall_hurdSetPort sets one of the initial ports.
//
//go:linkname syscall_hurdSetPort syscall.runtime_hurdSetPort
func syscall_hurdSetPort(i int, port uint32) { hurdPorts[i] = port }

// syscall_hurdProcess returns what the proc server wants to know of a process:
// its message port, a receive right, and where the addresses of its arguments
// and environment are.
//
//go:linkname syscall_hurdProcess syscall.runtime_hurdProcess
func syscall_hurdProcess() (msgport uint32, args, env uintptr) {
	args, env = hurdVectors()
	return msgPort, args, env
}

// syscall_hurdServe has serve called for messages to the message port that are
// not signals.
//
//go:linkname syscall_hurdServe syscall.runtime_hurdServe
func syscall_hurdServe(serve func([]byte)) { msgs.serve = serve }

// syscall_hurdIgnored is the set of signals that a program started by this one
// shall ignore.
//
//go:linkname syscall_hurdIgnored syscall.runtime_hurdIgnored
func syscall_hurdIgnored() (set uint32) {
	for s := uint32(1); s < _NSIG; s++ {
		if atomic.Load(&sig.wanted[s/32])&(1<<(s&31)) == 0 && sigIgnored(s) {
			set |= 1 << (s - 1)
		}
	}
	return set
}

//go:linkname syscall_hurdOrphaned syscall.runtime_hurdOrphaned
func syscall_hurdOrphaned(orphaned bool) {
	n := uint32(0)
	if orphaned {
		n = 1
	}
	sigs.orphaned.Store(n)
}

// syscall_hurdKill ends this process as SIGKILL does.
//
//go:linkname syscall_hurdKill syscall.runtime_hurdKill
func syscall_hurdKill() { dieFromSignal(_SIGKILL) }
