// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "unsafe"

// What the exec server gave this process.
var hurd struct {
	on                                    bool
	entry, phdr, phdrSize, stack, stackSz uint32
	flags                                 uint32
	argc                                  int32
	argv, envp                            uintptr
	fds                                   [512]uint32
	nfds, nports, nints                   uint32
	ports                                 [8]uint32
	ints                                  [8]uint32
}

const (
	_INIT_PORT_CWDIR = iota
	_INIT_PORT_CRDIR
	_INIT_PORT_AUTH
	_INIT_PORT_PROC
	_INIT_PORT_CTTYID
	_INIT_PORT_BOOTSTRAP
)

// longItem takes an item with a long descriptor at *off of a message.
//
//go:nosplit
func longItem(buf unsafe.Pointer, off *uintptr) (p unsafe.Pointer, n uintptr) {
	d := (*[4]uint32)(add(buf, *off))
	n = uintptr(d[2] * (d[1] >> 16) / 8)
	if d[0]&(1<<28) != 0 {
		p = add(buf, *off+12)
		*off += 12 + (n+3)&^3
	} else {
		p = unsafe.Pointer(uintptr(d[3]))
		*off += 16
	}
	return
}

//go:nosplit
func argzCount(p unsafe.Pointer, n uintptr) (k uintptr) {
	for i := uintptr(0); i < n; i++ {
		if *(*byte)(add(p, i)) == 0 {
			k++
		}
	}
	return
}

//go:nosplit
func argzFill(v *uintptr, p unsafe.Pointer, n uintptr) {
	for i := uintptr(0); i < n; {
		*(*uintptr)(unsafe.Pointer(*v)) = uintptr(p) + i
		*v += 4
		for i < n && *(*byte)(add(p, i)) != 0 {
			i++
		}
		i++
	}
	*(*uintptr)(unsafe.Pointer(*v)) = 0
	*v += 4
}

//go:nosplit
func copyPorts(dst *uint32, max uintptr, p unsafe.Pointer, n uintptr) uint32 {
	k := min(n/4, max)
	for i := uintptr(0); i < k; i++ {
		*(*uint32)(add(unsafe.Pointer(dst), i*4)) = *(*uint32)(add(p, i*4))
	}
	return uint32(k)
}

// hurdstart finds the arguments, before there is a g.
//
//go:nosplit
func hurdstart(sp unsafe.Pointer) (argc int32, argv uintptr) {
	var m machMsg
	taskSelf = mach_task_self()
	reply := mach_reply_port()
	m.body[0] = _MT_INT
	m.body[1] = 4 // TASK_BOOTSTRAP_PORT
	kr := machCall(&m, taskSelf, 2058, 2, reply)
	boot := m.body[3]
	if kr != 0 || boot == 0 || boot == ^uint32(0) {
		return *(*int32)(sp), uintptr(sp) + 4
	}
	var buf unsafe.Pointer
	syscall_vm_allocate(taskSelf, unsafe.Pointer(&buf), 0x10000, 1)
	h := (*machMsg)(buf)
	h.hdr.bits = _MACH_RPC_BITS
	h.hdr.size = 24
	h.hdr.remote = boot
	h.hdr.local = reply
	h.hdr.id = 30500 // exec_startup_get_info
	kr = mach_msg_trap(buf, _MACH_SEND_MSG|_MACH_RCV_MSG, 24, 0x10000, reply, 0, 0)
	if kr != 0 || h.body[1] != 0 {
		return 0, uintptr(buf) + 0x8000
	}
	syscall_mach_port_deallocate(taskSelf, boot)
	hurd.on = true
	hurd.entry = h.body[3]
	hurd.phdr = h.body[5]
	hurd.phdrSize = h.body[7]
	hurd.stack = h.body[9]
	hurd.stackSz = h.body[11]
	hurd.flags = h.body[13]
	off := uintptr(80)
	a, an := longItem(buf, &off)
	e, en := longItem(buf, &off)
	p, n := longItem(buf, &off)
	hurd.nfds = copyPorts(&hurd.fds[0], 512, p, n)
	p, n = longItem(buf, &off)
	hurd.nports = copyPorts(&hurd.ports[0], 8, p, n)
	p, n = longItem(buf, &off)
	hurd.nints = copyPorts(&hurd.ints[0], 8, p, n)

	hurd.argc = int32(argzCount(a, an))
	var vec uintptr
	syscall_vm_allocate(taskSelf, unsafe.Pointer(&vec), (uintptr(hurd.argc)+argzCount(e, en)+8)*4, 1)
	hurd.argv = vec
	argzFill(&vec, a, an)
	hurd.envp = vec
	argzFill(&vec, e, en)

	m.hdr.bits = _MACH_MSG_COMPLEX
	m.body[0] = _MT_INT
	m.body[1] = 4
	m.body[2] = _MT_COPY
	m.body[3] = hurd.ports[_INIT_PORT_BOOTSTRAP]
	machCall(&m, taskSelf, 2059, 4, reply)
	return hurd.argc, hurd.argv
}

var hurdNoProc string // for a test: never call proc_setmsgport

// procinit makes this a process that others can signal and look at.
func procinit() {
	if !hurd.on || hurd.ports[_INIT_PORT_PROC] == 0 || hurdNoProc != "" {
		return
	}
	var m machMsg
	m.hdr.bits = _MACH_MSG_COMPLEX
	m.body[0] = _MT_MAKE
	m.body[1] = excPort
	kr := machCall(&m, hurd.ports[_INIT_PORT_PROC], 24013, 2, replyPort()) // proc_setmsgport
	if kr == 0 {
		syscall_mach_port_deallocate(taskSelf, m.body[3])
	}
	m.hdr.bits = 0
	m.body[0] = _MT_INT
	m.body[1] = uint32(hurd.argv)
	m.body[2] = _MT_INT
	m.body[3] = uint32(hurd.envp)
	machCall(&m, hurd.ports[_INIT_PORT_PROC], 24017, 4, replyPort()) // proc_set_arg_locations
}

//go:nosplit
func procexit(status uint32) {
	var m machMsg
	m.body[0] = _MT_INT
	m.body[1] = status
	m.body[2] = _MT_INT
	machCall(&m, hurd.ports[_INIT_PORT_PROC], 24025, 4, replyPort()) // proc_mark_exit
	simpleCall(taskSelf, 2008)                                       // task_terminate
}

// ioWrite does one io_write at the file pointer.
//
//go:nosplit
func ioWrite(port uint32, p unsafe.Pointer, n uint32) int32 {
	var m machMsg
	w := uint32(4)
	m.body[1] = 8 | 8<<16
	m.body[2] = n
	if n <= 64 {
		m.body[0] = 3 << 28 // long, inline
		for i := uint32(0); i < n; i++ {
			*(*byte)(add(unsafe.Pointer(&m.body[3]), uintptr(i))) = *(*byte)(add(p, uintptr(i)))
		}
		w = 3 + (n+3)/4
	} else {
		m.hdr.bits = _MACH_MSG_COMPLEX
		m.body[0] = 1 << 29 // long, out of line
		m.body[3] = uint32(uintptr(p))
	}
	m.body[w] = 11 | 64<<8 | 1<<16 | 1<<28
	m.body[w+1] = ^uint32(0)
	m.body[w+2] = ^uint32(0)
	if kr := machCall(&m, port, 21000, w+3, replyPort()); kr != 0 {
		return -int32(kr & 0x3fff)
	}
	return int32(m.body[3])
}

//go:nosplit
func hurdWrite(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if fd >= uintptr(hurd.nfds) || hurd.fds[fd] == 0 {
		return -9
	}
	done := int32(0)
	for done < n {
		k := ioWrite(hurd.fds[fd], add(p, uintptr(done)), uint32(n-done))
		if k <= 0 {
			if done == 0 {
				return k
			}
			break
		}
		done += k
	}
	return done
}

//go:linkname syscall_runtime_write syscall.runtime_write
//go:nosplit
func syscall_runtime_write(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if !hurd.on {
		return write1(fd, p, n)
	}
	entersyscall()
	r := hurdWrite(fd, p, n)
	exitsyscall()
	return r
}
