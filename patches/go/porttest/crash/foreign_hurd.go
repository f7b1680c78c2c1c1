package main

import (
	"syscall"
	"unsafe"
)

// onSystemStack runs f on the stack of the scheduler, where a fault cannot
// become a panic.
func onSystemStack(f func())

// startForeignThread starts a thread that package runtime knows nothing of. It
// begins where there is no code.
func startForeignThread() {
	const (
		idThreadCreate = 2061
		idThreadResume = 2063
	)
	thread := call(syscall.MachTaskSelf(), idThreadCreate)
	call(thread, idThreadResume)
}

// call makes a call of the kernel without arguments, and returns its result
// if it has one.
func call(port, id uint32) uint32 {
	var m [10]uint32
	m[0] = 19 | 21<<8 // copy the send right, make a send-once right to reply
	m[1] = 24
	m[2] = port
	m[5] = id
	kr := syscall.MachMsg(unsafe.Pointer(&m), 1|2, m[1], uint32(unsafe.Sizeof(m)), 0, 0)
	if kr != 0 || m[7] != 0 {
		panic("call of the kernel failed")
	}
	return m[9]
}
