package mach

import (
	"syscall"
	"unsafe"

	"hurdlab/mach/wire"
)

// The traps, from the port's package syscall. This file and trap_other.go are
// all that differs between the Hurd and other systems.

func native() wire.Layout { return wire.Native }

// machMsg is mach_msg on a message in b, with all of b to receive into. It
// keeps the processor, so it must not wait.
func machMsg(b []byte, option uint32, sendSize int, rcvName Port, timeout uint32) KernReturn {
	return KernReturn(syscall.MachMsg(unsafe.Pointer(&b[0]), option, uint32(sendSize), uint32(len(b)), uint32(rcvName), timeout))
}

// machMsgBlock is machMsg that may wait, on a thread of its own.
func machMsgBlock(b []byte, option uint32, sendSize int, rcvName Port, timeout uint32) KernReturn {
	return KernReturn(syscall.MachMsgBlock(unsafe.Pointer(&b[0]), option, uint32(sendSize), uint32(len(b)), uint32(rcvName), timeout))
}

// A poll is a receive right on which goroutines wait.
type poll struct{ p *syscall.MachPoll }

func pollOpen(name Port) (poll, KernReturn) {
	p, code := syscall.MachPollOpen(uint32(name))
	return poll{p}, KernReturn(code)
}

func (p poll) recv(b []byte) (int, KernReturn) {
	n, code := p.p.Recv(b)
	return n, KernReturn(code)
}

func (p poll) wake()  { p.p.Wake() }
func (p poll) close() { p.p.Close() }

// replyPort makes a receive right.
func replyPort() (Port, KernReturn) {
	p := Port(syscall.MachReplyPort())
	if p == Null {
		return p, KernResourceShortage
	}
	return p, KernSuccess
}

// TaskSelf returns the port of this task. It is borrowed: do not deallocate
// it, nor the following.
func TaskSelf() Port { return Port(syscall.MachTaskSelf()) }

// HostSelf returns the unprivileged port of the host.
func HostSelf() Port { return Port(syscall.MachHostSelf()) }

// HostPriv returns the privileged port of the host if the kernel started this
// program, or else [Null].
func HostPriv() Port { return Port(syscall.MachHostPriv()) }

// DeviceMaster returns the port that opens devices if the kernel started this
// program, or else [Null].
func DeviceMaster() Port { return Port(syscall.MachDeviceMaster()) }

// memory reads the out-of-line data of received messages, which the kernel
// has mapped into this task.
type memory struct{}

func (memory) Bytes(addr uint64, n int) ([]byte, error) {
	// The memory is not Go's, so that its address may be made a pointer in a
	// way that vet cannot see is right.
	a := uintptr(addr)
	b := unsafe.Slice(*(**byte)(unsafe.Pointer(&a)), n)
	touch(b)
	return b, nil
}

// touch makes the pages of b resident. What a message brings may be paged by
// anybody: by a pager that never answers, or by this task itself. A goroutine
// that faults in the ordinary way keeps its processor until the page is there,
// which the pager of the same task would need; in touch it does not.
//
//go:nosplit
func touch(b []byte) {
	entersyscall()
	for i := 0; i < len(b); i += PageSize {
		seen += b[i]
	}
	exitsyscall()
}

// seen makes the compiler keep the reads.
var seen byte

//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

func addressOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

const errnoIsHurd = true

func errnoText(n int) string { return syscall.Errno(hurdErrno | n).Error() }

func errnoIs(n int, target error) bool {
	e := syscall.Errno(hurdErrno | n)
	return target == error(e) || e.Is(target)
}
