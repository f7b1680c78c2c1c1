// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "unsafe"

// Calls by messages. To make one, put the arguments into a zero machMsg, call,
// and get the results; to make another with the same machMsg, reset it first.

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

// Ports of this task. hostPriv and deviceMaster come on the command line of
// a bootstrap module and are 0 otherwise.
var (
	taskSelf, hostSelf     uint32
	hostPriv, deviceMaster uint32
	firstReply             uint32 // the reply port of the first thread
)

//go:nosplit
func (m *machMsg) reset() {
	m.hdr.bits = 0
	m.n = 0
}

// call makes the call id of port. The result is that of mach_msg or else the
// return code of the call; if it is 0, get continues with the results.
//
//go:nosplit
func (m *machMsg) call(port, id uint32) uint32 { return m.callVia(replyPort(), port, id) }

// callVia is call before there is a g, with a reply port of its own.
//
//go:nosplit
func (m *machMsg) callVia(reply, port, id uint32) uint32 {
	m.hdr.bits = m.hdr.bits&^machBitsTypes | machBitsCall
	m.hdr.size = m.size()
	m.hdr.remote = port
	m.hdr.local = reply
	m.hdr.id = id
	opt := uint32(_MACH_SEND_MSG | _MACH_RCV_MSG)
	for {
		switch kr := mach_msg_trap(unsafe.Pointer(m), opt, m.hdr.size, uint32(machMsgMax), reply, 0, 0); kr {
		case 0:
			m.rewind()
			return m.get()
		case _MACH_SEND_INTERRUPTED:
			// The message is in the buffer again, ready to be sent.
		case _MACH_RCV_INTERRUPTED:
			opt = _MACH_RCV_MSG
		default:
			return kr
		}
	}
}

// send sends m without waiting for an answer. disposition says how port is
// held. If the queue of port is full it waits.
//
//go:nosplit
func (m *machMsg) send(disposition, port, id uint32) {
	m.hdr.bits = m.hdr.bits&^machBitsTypes | disposition
	m.hdr.size = m.size()
	m.hdr.remote = port
	m.hdr.local = 0
	m.hdr.id = id
	for mach_msg_trap(unsafe.Pointer(m), _MACH_SEND_MSG, m.hdr.size, 0, 0, 0, 0) == _MACH_SEND_INTERRUPTED {
	}
}

// receive waits for a message at port.
//
//go:nosplit
func (m *machMsg) receive(port uint32) uint32 {
	m.rewind()
	return mach_msg_trap(unsafe.Pointer(m), _MACH_RCV_MSG, 0, uint32(machMsgMax), port, 0, 0)
}

// answer answers the request in m with a return code.
//
//go:nosplit
func (m *machMsg) answer(code uint32) {
	disposition, port, id := m.hdr.bits&machBitsRemote, m.hdr.remote, m.hdr.id
	if port == 0 {
		return
	}
	m.reset()
	m.putInt(code)
	m.send(disposition, port, id+replyIDDifference)
}

// replyPort returns the reply port of this thread.
//
//go:nosplit
func replyPort() uint32 {
	mp := getg().m
	if mp.reply == 0 {
		mp.reply = mach_reply_port()
	}
	return mp.reply
}

// machSimple makes a call without arguments and results.
//
//go:nosplit
func machSimple(port, id uint32) uint32 {
	var m machMsg
	return m.call(port, id)
}

// machPortDestroy drops all rights under a name.
func machPortDestroy(name uint32) {
	if name != 0 {
		var m machMsg
		m.putName(name)
		m.call(taskSelf, idPortDestroy)
	}
}

// machMoveMember makes the receive right port a member of set, or of no set
// if that is 0.
func machMoveMember(port, set uint32) uint32 {
	var m machMsg
	m.putName(port)
	m.putName(set)
	return m.call(taskSelf, idPortMoveMember)
}

// machSetSpecialPort gives a task or thread, by the call id, a port that this
// task receives from.
func machSetSpecialPort(target, id, which, port uint32) uint32 {
	var m machMsg
	m.putInt(which)
	m.putPort(_MACH_MSG_TYPE_MAKE_SEND, port)
	return m.call(target, id)
}
