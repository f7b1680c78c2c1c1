package porttest

import (
	"syscall"
	"testing"
	"unsafe"
)

// The few calls of the kernel that the tests need, in the layout of i386.

const (
	typeInt  = 2 | 32<<8 | 1<<16 | 1<<28
	typeName = 15 | 32<<8 | 1<<16 | 1<<28

	sendMsg, rcvMsg = 1, 2

	copySend     = 19
	makeSend     = 20
	makeSendOnce = 21

	idTaskThreads  = 2011
	idVMStatistics = 2030
	idUptime64     = 2647
	idPortNames    = 3200
	idPortDestroy  = 3205
)

type header struct{ bits, size, remote, local, seqno, id uint32 }

type message struct {
	header
	body [58]uint32
}

// call calls the kernel with items of one type and returns the body of the
// answer, from the return code's type on.
func call(t testing.TB, port, id uint32, typ uint32, args ...uint32) []uint32 {
	t.Helper()
	var m message
	m.bits = copySend | makeSendOnce<<8
	m.size = uint32(24 + 8*len(args))
	m.remote = port
	m.id = id
	for i, a := range args {
		m.body[2*i] = typ
		m.body[2*i+1] = a
	}
	kr := syscall.MachMsg(unsafe.Pointer(&m), sendMsg|rcvMsg, m.size, uint32(unsafe.Sizeof(m)), 0, 0)
	if kr != 0 || m.body[1] != 0 {
		t.Fatalf("call %d: mach_msg %#x, result %#x", id, kr, m.body[1])
	}
	return m.body[:]
}

// freePages returns how many pages of memory the machine has free.
func freePages(t testing.TB) int {
	return int(call(t, syscall.MachTaskSelf(), idVMStatistics, typeInt)[4])
}

// arrayLen returns the number of elements of the out-of-line array at word i
// of the body of an answer.
func arrayLen(body []uint32, i int) int {
	if body[i]&(1<<29) != 0 { // a long descriptor
		return int(body[i+2])
	}
	return int(body[i] >> 16 & 0xfff)
}

// ports returns how many port names the task has.
func ports(t testing.TB) int {
	return arrayLen(call(t, syscall.MachTaskSelf(), idPortNames, typeInt), 2)
}

// uptime is the clock of the kernel, in ns.
func uptime(t testing.TB) int64 {
	b := call(t, syscall.MachHostSelf(), idUptime64, typeInt)
	return (int64(b[3])|int64(b[4])<<32)*1e9 + int64(b[5])
}

// send sends an empty message to a port that this task receives from.
func send(port, id uint32) uint32 {
	m := header{bits: makeSend, size: 24, remote: port, id: id}
	return syscall.MachMsgBlock(unsafe.Pointer(&m), sendMsg, m.size, 0, 0, 0)
}

// sendBytes sends a message with n bytes of data in it.
func sendBytes(port, id uint32, n int) uint32 {
	b := make([]uint32, 6+3+(n+3)/4)
	h := (*header)(unsafe.Pointer(&b[0]))
	*h = header{bits: makeSend, size: uint32(4 * len(b)), remote: port, id: id}
	b[6], b[7], b[8] = 3<<28, 9|8<<16, uint32(n)
	return syscall.MachMsgBlock(unsafe.Pointer(h), sendMsg, h.size, 0, 0, 0)
}
