// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import (
	"internal/strconv"
	"internal/stringslite"
	"unsafe"
)

// A program can be started in two ways. GNU Mach starts a boot module, alone
// on the machine, with arguments on the stack. The exec server of a Hurd, or
// whatever plays it, starts a process with nothing at all on the stack: it
// answers exec_startup_get_info on the bootstrap port. To have a bootstrap
// port is to be a process.
//
// The servers with which a Hurd begins are between these: a module may be
// given a bootstrap port before it runs, with ports but no arguments to come
// from there (EXEC_STACK_ARGS); and the proc server may come to exist later
// (syscall.HurdSetPort).

// hurd is what the exec server gave this process.
var hurd struct {
	on       bool
	entry    uint32
	phdr     uint32
	phdrSize uint32
	stack    uint32
	stackLen uint32
	flags    uint32
	argc     int32
	argv     uintptr
	envp     uintptr
	// The following are arrays of uint32, in memory that stays.
	fds   hurdArray
	ports hurdArray
	ints  hurdArray
}

// hurdPorts are the initial ports as they are now: those that the exec server
// gave, until package syscall sets others.
var hurdPorts [_INIT_PORT_MAX]uint32

type hurdArray struct {
	p unsafe.Pointer
	n uintptr
}

//go:nosplit
func (a *hurdArray) at(i uintptr) uint32 {
	if i >= a.n {
		return 0
	}
	return *(*uint32)(add(a.p, i*4))
}

func (a *hurdArray) slice() []uint32 { return unsafe.Slice((*uint32)(a.p), a.n) }

// hurdstart is called by the first instructions, before there is a g: with
// the stack pointer that the program was started with.
//
//go:nosplit
func hurdstart(sp unsafe.Pointer) (argc int32, argv uintptr) {
	taskSelf = mach_task_self()
	hostSelf = mach_host_self()
	// The kernel looks for free addresses from 0 on: keep nil a fault.
	var zero unsafe.Pointer
	syscall_vm_map(taskSelf, unsafe.Pointer(&zero), 0x10000, 0, 0, 0, 0, 0, _VM_PROT_NONE, _VM_PROT_NONE, _VM_INHERIT_COPY)
	reply := mach_reply_port()
	firstReply = reply
	var m machMsg
	m.putInt(_TASK_BOOTSTRAP_PORT)
	kr := m.callVia(reply, taskSelf, idTaskGetSpecialPort)
	boot := m.get()
	if kr != 0 || boot == 0 || boot == _MACH_PORT_DEAD {
		return *(*int32)(sp), uintptr(sp) + unsafe.Sizeof(uintptr(0))
	}
	if !hurdStartup(reply, boot) {
		// No arguments: an empty vector of nothing, in the same pages.
		var none unsafe.Pointer
		syscall_vm_allocate(taskSelf, unsafe.Pointer(&none), _PAGESIZE, 1)
		return 0, uintptr(none)
	}
	syscall_mach_port_deallocate(taskSelf, boot)
	for i := range hurdPorts {
		hurdPorts[i] = hurd.ports.at(uintptr(i))
	}
	m.reset()
	m.putInt(_TASK_BOOTSTRAP_PORT)
	m.putPort(_MACH_MSG_TYPE_COPY_SEND, hurdPorts[_INIT_PORT_BOOTSTRAP])
	m.callVia(reply, taskSelf, idTaskSetSpecialPort)
	if hurd.flags&_EXEC_STACK_ARGS != 0 {
		// A server that the kernel loaded and another one took over.
		hurd.argc = *(*int32)(sp)
		hurd.argv = uintptr(sp) + unsafe.Sizeof(uintptr(0))
	}
	return hurd.argc, hurd.argv
}

// hurdStartup asks the exec server. What it answers stays in memory.
//
//go:nosplit
func hurdStartup(reply, boot uint32) bool {
	const answerMax = 0x10000 // longer arrays come out of line
	var buf unsafe.Pointer
	if syscall_vm_allocate(taskSelf, unsafe.Pointer(&buf), answerMax, 1) != 0 {
		return false
	}
	h := (*machMsg)(buf)
	h.hdr.bits = machBitsCall
	h.hdr.size = h.size()
	h.hdr.remote = boot
	h.hdr.local = reply
	h.hdr.id = idExecStartupGetInfo
	kr := mach_msg_trap(buf, _MACH_SEND_MSG|_MACH_RCV_MSG, h.hdr.size, answerMax, reply, 0, 0)
	if kr != 0 || *h.word(1) != 0 { // the return code
		return false
	}
	// The count of get would be within the answer, so read by number.
	hurd.on = true
	hurd.entry = *h.word(3)
	hurd.phdr = *h.word(5)
	hurd.phdrSize = *h.word(7)
	hurd.stack = *h.word(9)
	hurd.stackLen = *h.word(11)
	hurd.flags = *h.word(13)
	off := unsafe.Sizeof(h.hdr) + 7*8
	args, argsLen := machLongItem(buf, &off)
	env, envLen := machLongItem(buf, &off)
	for _, a := range [...]*hurdArray{&hurd.fds, &hurd.ports, &hurd.ints} {
		a.p, a.n = machLongItem(buf, &off)
		a.n /= 4
	}
	nargs, nenv := argzCount(args, argsLen), argzCount(env, envLen)
	var vec unsafe.Pointer
	if syscall_vm_allocate(taskSelf, unsafe.Pointer(&vec), (nargs+1+nenv+1+1)*unsafe.Sizeof(uintptr(0)), 1) != 0 {
		return false
	}
	hurd.argc = int32(nargs)
	hurd.argv = uintptr(vec)
	vec = argzFill(vec, args, argsLen)
	hurd.envp = uintptr(vec)
	argzFill(vec, env, envLen)
	return true
}

// argzCount counts the strings in p, each of which ends with a zero.
//
//go:nosplit
func argzCount(p unsafe.Pointer, n uintptr) (k uintptr) {
	for i := uintptr(0); i < n; i++ {
		if *(*byte)(add(p, i)) == 0 {
			k++
		}
	}
	return
}

// argzFill stores the addresses of those strings, and a zero, at v. It returns
// where it ended.
//
//go:nosplit
func argzFill(v, p unsafe.Pointer, n uintptr) unsafe.Pointer {
	for start, i := uintptr(0), uintptr(0); i < n; i++ {
		if *(*byte)(add(p, i)) == 0 {
			*(*uintptr)(v) = uintptr(p) + start
			v = add(v, unsafe.Sizeof(uintptr(0)))
			start = i + 1
		}
	}
	*(*uintptr)(v) = 0
	return add(v, unsafe.Sizeof(uintptr(0)))
}

// sysargs takes the ports that the kernel writes into the command line of a
// boot module out of it: they are not for the program to see.
func sysargs(c int32, v **byte) {
	if !hurdStackArgs() {
		return
	}
	for i := int32(1); i < argc; {
		s := gostringnocopy(argv_index(argv, i))
		if v, ok := stringslite.CutPrefix(s, "--host-port="); ok {
			hostPriv = portArgument(v)
		} else if v, ok := stringslite.CutPrefix(s, "--device-port="); ok {
			deviceMaster = portArgument(v)
		} else {
			i++
			continue
		}
		removeArgument(i)
	}
}

// hurdStackArgs reports whether the kernel made the arguments of this program,
// on its stack.
//
//go:nosplit
func hurdStackArgs() bool { return !hurd.on || hurd.flags&_EXEC_STACK_ARGS != 0 }

// hurdVectors returns where the addresses of the arguments and of the
// environment are.
func hurdVectors() (args, env uintptr) {
	if !hurdStackArgs() {
		return hurd.argv, hurd.envp
	}
	args = uintptr(unsafe.Pointer(argv))
	return args, args + uintptr(argc+1)*unsafe.Sizeof(uintptr(0))
}

// removeArgument moves down what is behind the argument i: arguments, a nil,
// the environment, a nil.
func removeArgument(i int32) {
	argc--
	for nils := 0; nils < 2; i++ {
		next := argv_index(argv, i+1)
		*(**byte)(add(unsafe.Pointer(argv), uintptr(i)*unsafe.Sizeof(next))) = next
		if next == nil {
			nils++
		}
	}
}

// portArgument returns the port name s, or 0 if that is none.
func portArgument(s string) uint32 {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return uint32(n)
}

// procinit makes this a process that others can signal and look at: without a
// message port, ps and kill would wait for it.
func procinit(msgport uint32) {
	proc := hurdPorts[_INIT_PORT_PROC]
	if proc == 0 {
		return
	}
	var m machMsg
	m.putPort(_MACH_MSG_TYPE_MAKE_SEND, msgport)
	if m.call(proc, idProcSetMsgport) == 0 {
		syscall_mach_port_deallocate(taskSelf, m.get()) // the previous one
	}
	m.reset()
	args, env := hurdVectors()
	m.putAddr(args)
	m.putAddr(env)
	m.call(proc, idProcSetArgLocations)
}

// procExit ends the process. status is that of wait: an exit code shifted left
// by 8, or the signal that killed it.
//
//go:nosplit
func procExit(status uint32) {
	var m machMsg
	m.putInt(status)
	m.putInt(0)
	m.call(hurdPorts[_INIT_PORT_PROC], idProcMarkExit)
	machSimple(taskSelf, idTaskTerminate)
}

// hurdWrite writes to an open file, at its file pointer.
//
//go:nosplit
func hurdWrite(port uint32, p unsafe.Pointer, n int32) int32 {
	for done := int32(0); done < n; {
		var m machMsg
		m.putBytes(add(p, uintptr(done)), uint32(n-done))
		m.putInt64(-1)
		if m.call(port, idIOWrite) != 0 {
			return -1
		}
		k := int32(m.get())
		if k <= 0 {
			return -1
		}
		done += k
	}
	return n
}
