// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

// What programs know as system calls are, on the Hurd, calls of servers by
// message (rpc_hurd.go), on ports that the program got from the exec server
// when it was started or from other servers since. The files:
//
//	mach_hurd.go      the traps of the kernel, and the runtime's poller
//	msg_hurd_386.go   messages, as they are on this architecture
//	rpc_hurd.go       calls
//	fd_hurd.go        descriptors
//	file_hurd.go      io and fs protocols
//	sock_hurd.go      socket protocol
//	lookup_hurd.go    from a name to a port
//	lock_hurd.go      locks and mapped files
//	pipe_hurd.go      pipes
//	tty_hurd.go       terminals
//	init_hurd.go      the initial ports
//	ids_hurd.go       users and groups
//	proc_hurd.go      processes and signals
//	exec_hurd.go      programs
//	msgport_hurd.go   what others ask of this process
//	errors_hurd.go, types_hurd.go
//
// A program that is a boot module of a bare kernel has none of the servers:
// then descriptors 1 and 2 are the kernel's console, 0 is at its end, and
// there are no files.

package syscall

import "unsafe"

//go:linkname now time.now
func now() (sec int64, nsec int32, mono int64)

func Gettimeofday(tv *Timeval) error {
	sec, nsec, _ := now()
	*tv = Timeval{Sec: sec, Usec: int64(nsec / 1000)}
	return nil
}

// The Hurd has no system calls with numbers, but Exec in exec_unix.go makes one.

const SYS_EXECVE = 59

func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) { return ^uintptr(0), 0, ENOSYS }

func Syscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return ^uintptr(0), 0, ENOSYS
}

func RawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {
	if trap != SYS_EXECVE {
		return ^uintptr(0), 0, ENOSYS
	}
	e := execve(goString((*byte)(kernelPointer(a1))), argz(pointers(a2)), argz(pointers(a3)))
	if err, ok := e.(Errno); ok {
		return ^uintptr(0), 0, err
	}
	return ^uintptr(0), 0, EIO
}

// pointers returns the pointers at p, up to the one that is nil.
func pointers(p uintptr) []*byte {
	n := 0
	for *(**byte)(unsafe.Add(kernelPointer(p), n*sizeofPtr)) != nil {
		n++
	}
	return unsafe.Slice((**byte)(kernelPointer(p)), n)
}

func RawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return ^uintptr(0), 0, ENOSYS
}

var mapper = &mmapper{active: make(map[*byte][]byte), mmap: mmap, munmap: munmap}

func Mmap(fd int, offset int64, length int, prot int, flags int) (data []byte, err error) {
	return mapper.Mmap(fd, offset, length, prot, flags)
}

func Munmap(b []byte) error { return mapper.Munmap(b) }

func sendfile(outfd int, infd int, offset *int64, count int) (int, error) { return -1, ENOSYS }
