// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "unsafe"

// The kernel as programs see it through this package: messages, and no more.
// Everything else that GNU Mach and the servers of the Hurd do is asked for in
// messages, which packages above this one encode. Results are the kernel's own
// codes (kern_return_t, mach_msg_return_t); 0 is success.

// MachMsg is the trap mach_msg. option, the sizes and the names are the
// kernel's; timeout is in milliseconds. It is for what the kernel answers at
// once: calls of the kernel itself, and sends and receives with a timeout of
// zero. The thread keeps its processor (its P) meanwhile, so that a wait would
// stop other goroutines.
//
// If rcvName is 0 and option asks for a receive, the message is received from
// the reply port of this thread, which also becomes the local port of a
// message that is sent along: so a call needs a port neither made nor freed.
//
// A send or receive that the kernel interrupts goes on by itself.
func MachMsg(msg unsafe.Pointer, option, sendSize, rcvSize, rcvName, timeout uint32) uint32 {
	return runtime_machMsg(msg, option, sendSize, rcvSize, rcvName, timeout)
}

// MachMsgBlock is MachMsg for what may wait: like other system calls that
// block, it leaves the processor to other goroutines. Each such wait occupies
// a thread; a goroutine that only waits for messages does better with a
// [MachPoll].
func MachMsgBlock(msg unsafe.Pointer, option, sendSize, rcvSize, rcvName, timeout uint32) uint32 {
	return runtime_machMsgBlock(msg, option, sendSize, rcvSize, rcvName, timeout)
}

// MachReplyPort makes a port, of which this task has the receive right: its
// name, or 0 if the kernel has no room for another one.
func MachReplyPort() uint32 { return runtime_machReplyPort() }

// MachTaskSelf returns the name of the send right for this task itself. It is
// the same right each time and must not be deallocated.
func MachTaskSelf() uint32 { task, _, _, _ := runtime_machPorts(); return task }

// MachHostSelf returns the name of the send right for the host. It is the same
// right each time and must not be deallocated.
func MachHostSelf() uint32 { _, host, _, _ := runtime_machPorts(); return host }

// MachHostPriv returns the host's privileged port, which the kernel gives a
// boot module whose command line has --host-port=${host-port}; otherwise 0.
func MachHostPriv() uint32 { _, _, priv, _ := runtime_machPorts(); return priv }

// MachDeviceMaster returns the port that opens devices, which the kernel gives
// a boot module whose command line has --device-port=${device-port};
// otherwise 0.
func MachDeviceMaster() uint32 { _, _, _, device := runtime_machPorts(); return device }

// A MachPoll lets goroutines wait for the messages of a port without a thread
// for each: one thread waits for all such ports. Its methods may be called by
// several goroutines at the same time.
type MachPoll struct {
	_    [0]func() // not comparable
	port uintptr   // of package runtime
}

// MachPollOpen begins to receive from the port name, of which this task has
// the receive right. The right stays the caller's, who must call Close before
// giving it away or destroying it.
//
// The second result is the kernel's; KERN_NAME_EXISTS (13) means that the port
// is open already.
func MachPollOpen(name uint32) (*MachPoll, uint32) {
	p := new(MachPoll)
	if kr := runtime_machPollOpen(p, name); kr != 0 {
		return nil, kr
	}
	return p, 0
}

// Recv waits for a message and stores it, header and all, at the beginning of
// b. Messages come in the order in which they were sent; each goes to one
// receiver. The codes are
//
//	0            b[:n] is the message
//	0x10004004   (MACH_RCV_TOO_LARGE) the message stays in the queue; it
//	             takes n bytes
//	0x10004005   (MACH_RCV_INTERRUPTED) Wake was called
//	0x10004009   (MACH_RCV_PORT_DIED) Close was called, and there are no more
//	             messages
//
// The kernel puts rights and memory for the whole message into this task when
// it is received, perhaps long before Recv returns it.
func (p *MachPoll) Recv(b []byte) (n int, code uint32) { return runtime_machPollRecv(p, b) }

// Wake interrupts one Recv: the one that has waited longest, or the next one
// if none waits.
func (p *MachPoll) Wake() { runtime_machPollWake(p) }

// Close ends the receiving. When it returns no further message is taken from
// the port. What had been taken before and not been returned by Recv still
// is: call Recv until it returns 0x10004009, or rights in those messages are
// lost.
func (p *MachPoll) Close() { runtime_machPollClose(p) }

// A HurdStartup is what the exec server of a Hurd gives a program.
type HurdStartup struct {
	// Ports are the initial ports, in the order of the Hurd's INIT_PORT
	// constants: current directory, root directory, auth, proc, controlling
	// terminal, bootstrap.
	Ports []uint32
	// Ints are the initial integers, in the order of the Hurd's INIT
	// constants: umask, and five sets of signals.
	Ints []uint32
	// Dtable has the port of each open file descriptor.
	Dtable []uint32
	// Where the program is in memory.
	Entry, Phdr, PhdrSize, StackBase, StackSize uintptr
	// Flags are those of exec.
	Flags uint32
}

// HurdStart returns what the exec server gave this program, or nil if there is
// none: if the program is a boot module of the bare kernel.
func HurdStart() *HurdStartup {
	on, ports, ints, fds, info := runtime_hurdStart()
	if !on {
		return nil
	}
	return &HurdStartup{
		Ports: ports, Ints: ints, Dtable: fds,
		Entry: uintptr(info[0]), Phdr: uintptr(info[1]), PhdrSize: uintptr(info[2]),
		StackBase: uintptr(info[3]), StackSize: uintptr(info[4]), Flags: info[5],
	}
}

// Provided by package runtime.

func runtime_machMsg(msg unsafe.Pointer, option, sendSize, rcvSize, rcvName, timeout uint32) uint32
func runtime_machMsgBlock(msg unsafe.Pointer, option, sendSize, rcvSize, rcvName, timeout uint32) uint32
func runtime_machReplyPort() uint32
func runtime_machPorts() (task, host, priv, device uint32)
func runtime_machPollOpen(p *MachPoll, name uint32) uint32
func runtime_machPollRecv(p *MachPoll, b []byte) (n int, code uint32)
func runtime_machPollWake(p *MachPoll)
func runtime_machPollClose(p *MachPoll)
func runtime_hurdStart() (on bool, ports, ints, fds []uint32, info [6]uint32)
