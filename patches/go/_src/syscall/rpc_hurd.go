// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/byteorder"
	"sync"
	"unsafe"
)

// Remote procedure calls to the servers of the Hurd.
//
// A call is a message with a reply port, which is a member of the runtime's
// port set: the goroutine that waits for the reply is parked and no thread is
// blocked. If it stops waiting (see stopIO in fd_hurd.go) the call can stay
// under way, so that what the server answers later is not lost.

// Numbers of the routines: the request; its reply is 100 higher.
const (
	_file_exec           = 20000
	_file_chown          = 20001
	_file_chmod          = 20003
	_file_set_size       = 20006
	_file_lock           = 20007
	_file_statfs         = 20012
	_file_sync           = 20013
	_dir_lookup          = 20018
	_dir_readdir         = 20019
	_dir_mkdir           = 20020
	_dir_rmdir           = 20021
	_dir_unlink          = 20022
	_dir_link            = 20023
	_dir_rename          = 20024
	_dir_mkfile          = 20025
	_file_set_translator = 20027
	_file_reparent       = 20031
	_file_exec_paths     = 20034
	_file_utimens        = 20035
	_file_record_lock    = 20036
	_file_check_access   = 20009

	_io_write           = 21000
	_io_read            = 21001
	_io_seek            = 21002
	_io_readable        = 21003
	_io_get_openmodes   = 21005
	_io_set_openmodes   = 21006
	_io_clear_openmodes = 21007
	_io_select          = 21012
	_io_stat            = 21013
	_io_reauthenticate  = 21014
	_io_map             = 21018
	_io_select_timeout  = 21031

	_proc_reauthenticate          = 24011
	_proc_child                   = 24012
	_proc_wait                    = 24020
	_proc_getallpids              = 24005
	_proc_task2pid                = 24030
	_proc_task2proc               = 24031
	_proc_setsid                  = 24042
	_proc_getsid                  = 24043
	_proc_getsidport              = 24046
	_proc_setpgrp                 = 24047
	_proc_getpgrp                 = 24048
	_proc_getpgrppids             = 24049
	_proc_get_exe                 = 24059
	_proc_waitid                  = 24062
	_proc_reauthenticate_complete = 24064
	_proc_getchildren_rusage      = 24065

	_proc_setmsgport        = 24013
	_proc_getpids           = 24016
	_proc_set_arg_locations = 24017
	_proc_getmsgport        = 24019
	_proc_pid2task          = 24029

	_msg_sig_post   = 23000
	_task_create    = 2007
	_task_terminate = 2008
	_task_info      = 2012
	_task_suspend   = 2056
	_task_resume    = 2057
	_task_priority  = 2622
	_host_info      = 2638

	_auth_getids            = 25000
	_auth_makeauth          = 25001
	_auth_user_authenticate = 25002

	_socket_create         = 26000
	_socket_listen         = 26001
	_socket_accept         = 26002
	_socket_connect        = 26003
	_socket_bind           = 26004
	_socket_name           = 26005
	_socket_peername       = 26006
	_socket_connect2       = 26007
	_socket_create_address = 26008
	_socket_whatis_address = 26010
	_socket_shutdown       = 26011
	_socket_getopt         = 26012
	_socket_setopt         = 26013
	_socket_send           = 26014
	_socket_recv           = 26015

	_ifsock_getsockaddr  = 34000
	_interrupt_operation = 33000

	_vm_allocate          = 2021
	_vm_deallocate        = 2023
	_vm_protect           = 2024
	_vm_map               = 2089
	_mach_port_names      = 3200
	_mach_port_deallocate = 3206
	_mach_port_mod_refs   = 3208

	_notify_send_once = 71 // instead of a reply: the right to it was destroyed
)

// Of the kernel.
const (
	_MACH_PORT_NULL       = 0
	_MACH_PORT_DEAD       = 1<<32 - 1
	_MACH_PORT_RIGHT_SEND = 0
	_MACH_PORT_RIGHT_RECV = 1

	_MACH_SEND_MSG          = 0x1
	_MACH_RCV_MSG           = 0x2
	_MACH_SEND_TIMEOUT      = 0x10
	_MACH_SEND_INVALID_DEST = 0x10000003
	_MACH_SEND_TIMED_OUT    = 0x10000004
	_MACH_RCV_TOO_LARGE     = 0x10004004
	_MACH_RCV_INTERRUPTED   = 0x10004005
	_MIG_BAD_ID             = 1<<32 - 303
	_MIG_SERVER_DIED        = 1<<32 - 308
	_KERN_INVALID_ADDRESS   = 1
	_KERN_NO_SPACE          = 3
	_KERN_INVALID_ARGUMENT  = 4
	_KERN_RESOURCE_SHORTAGE = 6
)

const (
	inlineMax    = 2048     // bytes of data sent inline, as the Hurd's own stubs do
	ioMax        = 64 << 10 // bytes that one call reads or writes of a socket
	fileMax      = 1 << 20  // the same of a file
	callBufSize  = 4096     // holds any answer with data inline
	maxIdleCalls = 64       // reply ports kept for reuse
)

// A call is a message and the reply port for its answer.
type call struct {
	message
	id    uint32 // of the request that is under way
	reply uint32 // a receive right
	poll  *MachPoll
}

// idleCalls are reply ports to use again. A sync.Pool would do, were it not
// that it forgets its content, and with it receive rights, at every GC.
var idleCalls struct {
	sync.Mutex
	list []*call
}

// newCall returns a call whose message is to be built.
func newCall() (*call, error) {
	idleCalls.Lock()
	if n := len(idleCalls.list); n > 0 {
		c := idleCalls.list[n-1]
		idleCalls.list = idleCalls.list[:n-1]
		idleCalls.Unlock()
		return c, nil
	}
	idleCalls.Unlock()
	c := &call{reply: MachReplyPort()}
	if c.reply == 0 {
		return nil, ENOMEM
	}
	var kr uint32
	if c.poll, kr = MachPollOpen(c.reply); kr != 0 {
		portDestroyReceive(c.reply)
		return nil, machError(kr)
	}
	c.buf = make([]byte, callBufSize)
	c.reset()
	return c, nil
}

// free ends a call that was answered, or never made.
func (c *call) free() {
	if cap(c.buf) > callBufSize {
		c.buf = make([]byte, callBufSize)
	}
	c.reset()
	idleCalls.Lock()
	keep := len(idleCalls.list) < maxIdleCalls
	if keep {
		idleCalls.list = append(idleCalls.list, c)
	}
	idleCalls.Unlock()
	if !keep {
		c.abandon()
	}
}

// abandon ends a call that may still be answered. With the reply port goes
// the answer, and what rights are in it, unless the poller has it already.
func (c *call) abandon() {
	c.poll.Close()
	portDestroyReceive(c.reply)
	for {
		n, code := c.poll.Recv(c.buf[:cap(c.buf)])
		switch code {
		case 0:
			c.received(n)
			c.destroy()
		case _MACH_RCV_INTERRUPTED:
		case _MACH_RCV_TOO_LARGE:
			c.buf = make([]byte, n)
		default: // no more
			return
		}
	}
}

// send makes the call.
func (c *call) send(port, id uint32) error {
	c.id = id
	c.setHeader(msgBitsRequest, port, c.reply, id)
	return machError(sendMessage(&c.message))
}

// sendMessage sends m without a wait while there is room in the queue of its
// port. Otherwise it gives up its P first.
func sendMessage(m *message) uint32 {
	p, n := unsafe.Pointer(&m.buf[0]), uint32(len(m.buf))
	code := MachMsg(p, _MACH_SEND_MSG|_MACH_SEND_TIMEOUT, n, 0, 0, 0)
	if code == _MACH_SEND_TIMED_OUT {
		// The kernel gave the message back with its rights taken: it
		// is to be sent as it is.
		code = MachMsgBlock(p, _MACH_SEND_MSG, n, 0, 0, 0)
	}
	return code
}

// sendNow sends m if there is room in the queue of its port.
func sendNow(m *message) uint32 {
	return MachMsg(unsafe.Pointer(&m.buf[0]), _MACH_SEND_MSG|_MACH_SEND_TIMEOUT, uint32(len(m.buf)), 0, 0, 0)
}

// wait waits for the answer, but not while stop is set: then it returns false,
// and the call goes on. Otherwise the call is over: there is an error, or c is
// the answer to take apart.
func (c *call) wait(stop *stopFlag) (over bool, err error) {
	for !stop.isSet() {
		n, code := c.poll.Recv(c.buf[:cap(c.buf)])
		switch code {
		case 0:
			return true, c.answered(n)
		case _MACH_RCV_INTERRUPTED:
			// Perhaps meant for an earlier wait on this port.
		case _MACH_RCV_TOO_LARGE:
			c.buf = make([]byte, n)
		default:
			return true, machError(code)
		}
	}
	return false, nil
}

func (c *call) answered(n int) error {
	switch id := c.received(n); {
	case id == _notify_send_once:
		return EIEIO
	case id != c.id+100:
		return EPROTO
	}
	if kr := c.int32(); kr != 0 {
		return machError(kr)
	}
	return c.check()
}

// check reports whether all items that were taken so far were well-formed.
func (c *call) check() error {
	if c.bad {
		return EPROTO
	}
	return nil
}

// rpc makes a call to port and waits for the answer. Build and take, which may
// be nil, put items into the request and take them from the answer.
func rpc(port, id uint32, build, take func(*message)) error {
	if port == _MACH_PORT_NULL || port == _MACH_PORT_DEAD {
		return EBADF
	}
	if execing.Load() {
		return rpcThread(port, id, build, take, MachMsg)
	}
	c, err := newCall()
	if err != nil {
		return err
	}
	if build != nil {
		build(&c.message)
	}
	if err = c.send(port, id); err == nil {
		_, err = c.wait(nil)
	}
	if err == nil && take != nil {
		take(&c.message)
		err = c.check()
	}
	c.free()
	return err
}

// rpcBlock is rpc for a call of the kernel in which it waits for somebody else:
// in the very send.
func rpcBlock(port, id uint32, build, take func(*message)) error {
	return rpcThread(port, id, build, take, MachMsgBlock)
}

// rpcThread is rpc with the reply port of the thread, by the trap msg.
func rpcThread(port, id uint32, build, take func(*message), msg func(m unsafe.Pointer, option, sendSize, rcvSize, rcvName, timeout uint32) uint32) error {
	c := call{id: id}
	c.buf = make([]byte, msgHeaderSize, callBufSize)
	if build != nil {
		build(&c.message)
	}
	c.setHeader(msgBitsRequest, port, 0, id)
	n := len(c.buf)
	c.buf = c.buf[:cap(c.buf)]
	code := msg(unsafe.Pointer(&c.buf[0]), _MACH_SEND_MSG|_MACH_RCV_MSG, uint32(n), uint32(len(c.buf)), 0, 0)
	if code != 0 {
		return machError(code)
	}
	err := c.answered(min(int(byteorder.LEUint32(c.buf[4:])), len(c.buf)))
	if err == nil && take != nil {
		take(&c.message)
		err = c.check()
	}
	return err
}

// rpcPort is rpc for the many routines whose answer is one send right.
func rpcPort(port, id uint32, build func(*message)) (result uint32, err error) {
	err = rpc(port, id, build, func(m *message) { result = m.port() })
	return result, err
}

// machError makes an error of a code that a message returned: of the kernel,
// of the message system or of a server.
func machError(code uint32) error {
	switch code {
	case 0:
		return nil
	case _MACH_SEND_INVALID_DEST, _MIG_SERVER_DIED:
		return EIEIO
	case _MIG_BAD_ID:
		return EOPNOTSUPP
	case _KERN_NO_SPACE, _KERN_RESOURCE_SHORTAGE:
		return ENOMEM
	case _KERN_INVALID_ADDRESS:
		return EFAULT
	case _KERN_INVALID_ARGUMENT:
		return EINVAL
	}
	return errnoErr(Errno(code))
}

// kernelMessages are messages for kernelCall.
var kernelMessages = sync.Pool{New: func() any { return &message{buf: make([]byte, msgHeaderSize, 128)} }}

// kernelCall calls the kernel about this task, for what has no result.
func kernelCall(id uint32, build func(*message)) uint32 {
	m := kernelMessages.Get().(*message)
	defer kernelMessages.Put(m)
	m.reset()
	build(m)
	m.setHeader(msgBitsRequest, MachTaskSelf(), 0, id)
	n := uint32(len(m.buf))
	m.buf = m.buf[:cap(m.buf)]
	// The reply port of the thread: the kernel answers at once.
	code := MachMsg(unsafe.Pointer(&m.buf[0]), _MACH_SEND_MSG|_MACH_RCV_MSG, n, uint32(len(m.buf)), 0, 0)
	if code != 0 {
		return code
	}
	m.received(len(m.buf))
	return m.int32()
}

// portDeallocate gives up one reference to a send right.
func portDeallocate(name uint32) {
	if name == _MACH_PORT_NULL || name == _MACH_PORT_DEAD {
		return
	}
	kernelCall(_mach_port_deallocate, func(m *message) { m.putName(name) })
}

// portAddRef makes one more reference to a send right.
func portAddRef(name uint32) {
	kernelCall(_mach_port_mod_refs, func(m *message) {
		m.putName(name)
		m.putInt32(_MACH_PORT_RIGHT_SEND)
		m.putInt32(1)
	})
}

func portDestroyReceive(name uint32) {
	kernelCall(_mach_port_mod_refs, func(m *message) {
		m.putName(name)
		m.putInt32(_MACH_PORT_RIGHT_RECV)
		m.putInt32(1<<32 - 1) // -1
	})
}

// vmDeallocate frees out-of-line memory of a message.
func vmDeallocate(b []byte) {
	if len(b) > 0 {
		kernelCall(_vm_deallocate, func(m *message) {
			m.putWord(uintptr(unsafe.Pointer(&b[0])))
			m.putWord(uintptr(len(b)))
		})
	}
}
