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
//	pipe_hurd.go      pipes inside of the process
//	errors_hurd.go, types_hurd.go
//
// A program that is a boot module of a bare kernel has none of the servers:
// then descriptors 1 and 2 are the kernel's console, 0 is at its end, and
// there are no files.

package syscall

import (
	"sync"
	_ "unsafe" // for linkname
)

//go:linkname now time.now
func now() (sec int64, nsec int32, mono int64)

func Gettimeofday(tv *Timeval) error {
	sec, nsec, _ := now()
	*tv = Timeval{Sec: sec, Usec: int64(nsec / 1000)}
	return nil
}

// The Hurd has no system calls with numbers.

const SYS_EXECVE = 0

func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) { return ^uintptr(0), 0, ENOSYS }

func Syscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return ^uintptr(0), 0, ENOSYS
}

func RawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) { return ^uintptr(0), 0, ENOSYS }

func RawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return ^uintptr(0), 0, ENOSYS
}

// Processes

var pids struct {
	once      sync.Once
	pid, ppid int
}

// loadPids asks the proc server. Alone on a kernel we are the first process.
func loadPids() {
	pids.pid, pids.ppid = 1, 0
	initRPC(initPortPROC, _proc_getpids, nil, func(m *message) {
		pids.pid, pids.ppid = int(int32(m.int32())), int(int32(m.int32()))
	})
}

func Getpid() int {
	pids.once.Do(loadPids)
	return pids.pid
}

func Getppid() int {
	pids.once.Do(loadPids)
	return pids.ppid
}

// ids returns the effective and available user and group ids of this process,
// which are those of its auth port.
func ids() (ids [4][]uint32) {
	initRPC(initPortAUTH, _auth_getids, nil, func(m *message) {
		for i := range ids {
			ids[i] = m.ints()
		}
	})
	return ids
}

const (
	effectiveUsers = iota
	availableUsers
	effectiveGroups
	availableGroups
)

// idOf returns the first id of a kind. A program without an auth port, and
// thus without protection, has the ids of root.
func idOf(kind int) int {
	if !haveInitPort(initPortAUTH) {
		return 0
	}
	if v := ids()[kind]; len(v) > 0 {
		return int(v[0])
	}
	return -1 // there are processes without ids
}

func Getuid() int  { return idOf(availableUsers) }
func Geteuid() int { return idOf(effectiveUsers) }
func Getgid() int  { return idOf(availableGroups) }
func Getegid() int { return idOf(effectiveGroups) }

func Getgroups() (groups []int, err error) {
	for _, id := range ids()[effectiveGroups] {
		groups = append(groups, int(id))
	}
	return groups, nil
}

type SysProcAttr struct {
	Chroot     string      // Chroot.
	Credential *Credential // Credential.
	Setsid     bool        // Create session.
	// Setpgid sets the process group ID of the child to Pgid,
	// or, if Pgid == 0, to the new child's process ID.
	Setpgid bool
	// Setctty sets the controlling terminal of the child to
	// file descriptor Ctty. Ctty must be a descriptor number
	// in the child process: an index into ProcAttr.Files.
	// This is only meaningful if Setsid is true.
	Setctty bool
	Noctty  bool // Detach fd 0 from controlling terminal.
	Ctty    int  // Controlling TTY fd.
	// Foreground places the child process group in the foreground.
	// This implies Setpgid. The Ctty field must be set to
	// the descriptor of the controlling TTY.
	// Unlike Setctty, in this case Ctty must be a descriptor
	// number in the parent process.
	Foreground bool
	Pgid       int // Child's process group ID if Setpgid.
}

// Programs are not started yet.
func forkAndExecInChild(argv0 *byte, argv, envv []*byte, chroot, dir *byte, attr *ProcAttr, sys *SysProcAttr, pipe int) (pid int, err Errno) {
	return 0, ENOSYS
}

func forkAndExecFailureCleanup(attr *ProcAttr, sys *SysProcAttr) {}

type WaitStatus uint32

// The status is 0x7f in the low bits for a stopped process, the signal for a
// killed one, and the code in the next byte for one that exited.

func (w WaitStatus) Exited() bool    { return w&0x7f == 0 }
func (w WaitStatus) Signaled() bool  { return w&0x7f != 0x7f && w&0x7f != 0 }
func (w WaitStatus) Stopped() bool   { return w&0xff == 0x7f }
func (w WaitStatus) Continued() bool { return w == 0xffff }
func (w WaitStatus) CoreDump() bool  { return w.Signaled() && w&0x80 != 0 }
func (w WaitStatus) TrapCause() int  { return -1 }

func (w WaitStatus) ExitStatus() int {
	if !w.Exited() {
		return -1
	}
	return int(w>>8) & 0xff
}

func (w WaitStatus) Signal() Signal {
	if !w.Signaled() {
		return -1
	}
	return Signal(w & 0x7f)
}

func (w WaitStatus) StopSignal() Signal {
	if !w.Stopped() {
		return -1
	}
	return Signal(w>>8) & 0xff
}

const (
	WNOHANG   = 1
	WUNTRACED = 2
)

// Kill posts a signal to the message port of a process, as every program of
// the Hurd does by itself; only SIGKILL needs no cooperation. Groups of
// processes are not there yet.
func Kill(pid int, signum Signal) error {
	p := useInitPort(initPortPROC)
	defer p.release()
	proc := p.port()
	switch {
	case pid <= 0:
		return ENOSYS
	case pid == Getpid() && signum == 0:
		return nil
	case proc == _MACH_PORT_NULL && pid != Getpid():
		return ESRCH
	case proc == _MACH_PORT_NULL:
		return ENOSYS
	}
	putPid := func(m *message) { m.putInt32(uint32(pid)) }
	task, err := rpcPort(proc, _proc_pid2task, putPid)
	if err != nil {
		return err
	}
	defer portDeallocate(task)
	if signum == SIGKILL {
		return rpc(task, _task_terminate, nil, nil)
	}
	port, err := rpcPort(proc, _proc_getmsgport, putPid)
	if err != nil {
		return err
	}
	defer portDeallocate(port)
	return rpc(port, _msg_sig_post, func(m *message) {
		m.putInt32(uint32(signum))
		m.putInt32(0)                 // signal code
		m.putPort(typeCopySend, task) // shows that we may
	}, nil)
}

// What is not there yet, or never will be.

func Wait4(pid int, wstatus *WaitStatus, options int, rusage *Rusage) (int, error) { return -1, ECHILD }
func Getpgid(pid int) (int, error)                                                 { return -1, ENOSYS }
func Getpgrp() int                                                                 { return 0 }
func Setpgid(pid, pgid int) error                                                  { return ENOSYS }
func Setsid() (int, error)                                                         { return -1, ENOSYS }
func Setuid(uid int) error                                                         { return ENOSYS }
func Setgid(gid int) error                                                         { return ENOSYS }
func Setreuid(ruid, euid int) error                                                { return ENOSYS }
func Setregid(rgid, egid int) error                                                { return ENOSYS }
func Setgroups(gids []int) error                                                   { return ENOSYS }
func Chroot(path string) error                                                     { return ENOSYS }
func Mkfifo(path string, mode uint32) error                                        { return ENOSYS }
func Mknod(path string, mode uint32, dev int) error                                { return ENOSYS }
func Flock(fd int, how int) error                                                  { return ENOSYS }
func FcntlFlock(fd uintptr, cmd int, lk *Flock_t) error                            { return ENOSYS }
func Getrlimit(resource int, rlim *Rlimit) error                                   { return ENOSYS }
func setrlimit(resource int, rlim *Rlimit) error                                   { return ENOSYS }
func Getpriority(which, who int) (int, error)                                      { return -1, ENOSYS }
func Setpriority(which, who, prio int) error                                       { return ENOSYS }
func Getrusage(who int, rusage *Rusage) error                                      { return ENOSYS }

// mmap gives memory, but does not map files yet.
func mmap(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
	if addr != 0 || flags&(MAP_ANON|MAP_FIXED) != MAP_ANON {
		return 0, ENOSYS
	}
	err := rpc(MachTaskSelf(), _vm_allocate, func(m *message) {
		m.putWord(0)
		m.putWord(length)
		m.putBool(true) // anywhere
	}, func(m *message) { addr = m.word() })
	if err != nil || prot == PROT_READ|PROT_WRITE {
		return addr, err
	}
	err = rpc(MachTaskSelf(), _vm_protect, func(m *message) {
		m.putWord(addr)
		m.putWord(length)
		m.putBool(false) // not the maximum
		// To the kernel reading is 1, writing 2, executing 4.
		m.putInt32(uint32(prot>>2&1 | prot&2 | prot&1<<2))
	}, nil)
	if err != nil {
		munmap(addr, length)
	}
	return addr, err
}

func munmap(addr, length uintptr) error {
	return rpc(MachTaskSelf(), _vm_deallocate, func(m *message) {
		m.putWord(addr)
		m.putWord(length)
	}, nil)
}

var mapper = &mmapper{active: make(map[*byte][]byte), mmap: mmap, munmap: munmap}

func Mmap(fd int, offset int64, length int, prot int, flags int) (data []byte, err error) {
	return mapper.Mmap(fd, offset, length, prot, flags)
}

func Munmap(b []byte) error { return mapper.Munmap(b) }

func sendfile(outfd int, infd int, offset *int64, count int) (int, error) { return -1, ENOSYS }

func readlen(fd int, p *byte, n int) (int, error) { return -1, ENOSYS }
