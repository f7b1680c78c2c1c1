// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"sync/atomic"
	"unsafe"
)

// Starting programs. Nothing is forked: a new task is made and the file system
// of the program is asked to execute it there, as posix_spawn does on the
// Hurd. All that Go's SysProcAttr asks for is done to the new process, or to
// what it is given, before it runs.

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

// forkExec in exec_unix.go has a pipe for errors of a child that has been
// forked, which is not needed, but does no harm if it is of this process only.
func forkExecPipe(p []int) error { return localPipe(p, O_CLOEXEC) }

// And it locks ForkLock, which here is held only while the descriptors are
// looked at.
func acquireForkLock() {}
func releaseForkLock() {}

func forkAndExecFailureCleanup(attr *ProcAttr, sys *SysProcAttr) {}

func readlen(fd int, p *byte, n int) (int, error) { return read(fd, unsafe.Slice(p, n)) }

// A program is what is to be executed, and with what.
type program struct {
	path, abspath string
	argv, envv    []byte // strings, each with its zero
	dtable        []uint32
	ports         [initPortMax]uint32
	ints          [initIntMax]uint32
	held          []*descriptor // whose ports are in dtable
	owned         []uint32      // ports to give up in the end
}

func argz(v []*byte) (b []byte) {
	for _, p := range v {
		if p != nil {
			b = append(b, goString(p)...)
			b = append(b, 0)
		}
	}
	return b
}

// goString is the string at p, which ends with a zero.
func goString(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// absolute returns path as a file name that does not depend on the current
// directory, which is dir, if that is not empty.
func absolute(path, dir string) string {
	if path == "" || path[0] == '/' {
		return path
	}
	if dir == "" || dir[0] != '/' {
		wd, err := Getwd()
		if err != nil {
			return path
		}
		if dir != "" {
			wd += "/" + dir
		}
		dir = wd
	}
	return dir + "/" + path
}

// own notes that port is to be given up in the end.
func (p *program) own(port uint32) uint32 {
	p.owned = append(p.owned, port)
	return port
}

func (p *program) close() {
	for _, d := range p.held {
		if d != nil {
			d.release()
		}
	}
	for _, port := range p.owned {
		portDeallocate(port)
	}
}

// hold takes the descriptors that the program gets: those in files, and behind
// them the ones of this process that are not to be closed.
func (p *program) hold(files []uintptr) error {
	descriptors.once.Do(startDescriptors)
	ForkLock.Lock()
	defer ForkLock.Unlock()
	descriptors.RLock()
	defer descriptors.RUnlock()
	for fd, d := range descriptors.table {
		if fd < len(files) {
			continue
		}
		if d != nil && d.closeExec.Load() {
			d = nil
		}
		p.held = append(p.held, d)
	}
	first := make([]*descriptor, len(files))
	for i, fd := range files {
		if int(fd) == -1 {
			continue
		}
		if fd >= uintptr(len(descriptors.table)) || descriptors.table[fd] == nil {
			p.held = nil
			return EBADF
		}
		first[i] = descriptors.table[fd]
	}
	p.held = append(first, p.held...)
	for i, d := range p.held {
		port := uint32(_MACH_PORT_NULL)
		if d != nil {
			d.refs.Add(1)
			switch o := d.object.(type) {
			case *portObject:
				port = o.name()
			case consoleObject:
			default:
				if i < len(files) {
					return EOPNOTSUPP // a pipe of this process
				}
			}
		}
		p.dtable = append(p.dtable, port)
	}
	for n := len(p.dtable); n > 0 && p.dtable[n-1] == _MACH_PORT_NULL; n-- {
		p.dtable = p.dtable[:n-1]
	}
	return nil
}

// setInts sets the integers: what this process would go on with.
func (p *program) setInts() {
	dirs.RLock()
	p.ints[initUmask] = dirs.umask
	dirs.RUnlock()
	p.ints[initSigign] = runtime_hurdIgnored()
}

// exec has the file system execute the program file in task.
func (p *program) exec(file, task uint32, destroy []uint32) error {
	build := func(paths bool) func(*message) {
		return func(m *message) {
			m.putPort(typeCopySend, task)
			m.putInt32(0) // flags
			if paths {
				m.putString(p.path)
				m.putString(p.abspath)
			}
			m.putBytes(p.argv)
			m.putBytes(p.envv)
			m.putPorts(p.dtable)
			m.putPorts(p.ports[:])
			m.putInts(p.ints[:])
			m.putNames(nil)
			m.putNames(destroy)
		}
	}
	err := rpc(file, _file_exec_paths, build(true), nil)
	if err == EOPNOTSUPP {
		err = rpc(file, _file_exec, build(false), nil)
	}
	if err == EOPNOTSUPP {
		err = EACCES // not a file
	}
	return err
}

func forkAndExecInChild(argv0 *byte, argv, envv []*byte, chroot, dir *byte, attr *ProcAttr, sys *SysProcAttr, pipe int) (pid int, err Errno) {
	pid, e := spawn(goString(argv0), argz(argv), argz(envv), attr, sys)
	if e != nil {
		err, ok := e.(Errno)
		if !ok {
			err = EIO
		}
		return 0, err
	}
	return pid, 0
}

func spawn(path string, argv, envv []byte, attr *ProcAttr, sys *SysProcAttr) (pid int, err error) {
	proc := useInitPort(initPortPROC)
	defer proc.release()
	if proc == nil {
		return 0, ENOSYS // nobody knows of processes
	}
	p := &program{path: path, abspath: absolute(path, attr.Dir), argv: argv, envv: envv}
	defer p.close()
	p.setInts()
	if err := p.hold(attr.Files); err != nil {
		return 0, err
	}

	// What cannot be started is known at once, unless the child is to see
	// something else than this process.
	var file uint32
	if sys.Chroot == "" && sys.Credential == nil && attr.Dir == "" {
		if file, err = lookup(AT_FDCWD, path, O_EXEC, 0); err != nil {
			return 0, err
		}
	}
	defer func() { portDeallocate(file) }()

	task, err := rpcPort(MachTaskSelf(), _task_create, func(m *message) { m.putBool(false) })
	if err != nil {
		return 0, err
	}
	defer portDeallocate(task)
	defer func() {
		if err != nil {
			rpc(task, _task_terminate, nil, nil)
			if pid > 0 {
				reap(pid)
			}
			pid = 0
		}
	}()
	putTask := func(m *message) { m.putPort(typeCopySend, task) }
	err = rpc(proc.name, _proc_task2pid, putTask, func(m *message) { pid = int(int32(m.int32())) })
	if err != nil {
		return 0, err
	}
	child, err := rpcPort(proc.name, _proc_task2proc, putTask)
	if err != nil {
		return 0, err
	}
	defer func() { portDeallocate(child) }()
	if err := rpc(proc.name, _proc_child, putTask, nil); err != nil {
		pid = 0 // not ours to wait for
		return 0, err
	}
	if err := p.attributes(&child, pid, attr, sys); err != nil {
		return pid, err
	}
	if file == _MACH_PORT_NULL {
		v := &view{root: p.ports[initPortCRDIR], auth: p.ports[initPortAUTH], ctty: p.ports[initPortCTTYID]}
		start := p.ports[initPortCWDIR]
		if path != "" && path[0] == '/' {
			start = v.root
		}
		if file, err = v.lookup(start, path, O_EXEC, 0); err != nil {
			return pid, err
		}
	}
	p.ports[initPortPROC] = child
	return pid, p.exec(file, task, nil)
}

// reap waits for a child that has been terminated before it ran.
func reap(pid int) {
	for {
		_, err := Wait4(pid, nil, 0, nil)
		if err != EINTR {
			return
		}
	}
}

// attributes does to the process child, and to the ports that it gets, what is
// asked for: in the order in which other systems do it after a fork.
func (p *program) attributes(child *uint32, pid int, attr *ProcAttr, sys *SysProcAttr) error {
	// The ports as they are here.
	ctty := useInitPort(initPortCTTYID)
	p.ports[initPortCTTYID] = p.ownShared(ctty)
	p.ports[initPortAUTH] = p.ownShared(useInitPort(initPortAUTH))
	for _, i := range []int{initPortCWDIR, initPortCRDIR} {
		if d := currentDir(i); d != nil {
			p.held = append(p.held, d)
			p.ports[i] = d.port()
		}
	}

	if sys.Setsid {
		if err := rpc(*child, _proc_setsid, nil, nil); err != nil {
			return err
		}
		p.ports[initPortCTTYID] = _MACH_PORT_NULL
	}
	pgid := pid
	if sys.Setpgid || sys.Foreground {
		if sys.Pgid != 0 {
			pgid = sys.Pgid
		}
		err := rpc(*child, _proc_setpgrp, func(m *message) {
			m.putInt32(uint32(pid))
			m.putInt32(uint32(pgid))
		}, nil)
		if err != nil {
			return err
		}
	}
	if sys.Foreground {
		if err := Tcsetpgrp(sys.Ctty, int32(pgid)); err != nil {
			return err
		}
	}
	if sys.Noctty {
		p.ports[initPortCTTYID] = _MACH_PORT_NULL
	}
	if sys.Setctty {
		if sys.Ctty < 0 || sys.Ctty >= len(p.dtable) {
			return EBADF
		}
		id, err := rpcPort(p.dtable[sys.Ctty], _term_getctty, nil)
		if err == EOPNOTSUPP {
			err = ENOTTY
		}
		if err != nil {
			return err
		}
		p.ports[initPortCTTYID] = p.own(id)
	}
	if sys.Credential != nil {
		if err := p.become(sys.Credential, child); err != nil {
			return err
		}
	}
	v := &view{root: p.ports[initPortCRDIR], auth: p.ports[initPortAUTH], ctty: p.ports[initPortCTTYID]}
	enter := func(path string) (uint32, error) {
		start := p.ports[initPortCWDIR]
		if path[0] == '/' {
			start = v.root
		}
		port, err := v.lookup(start, path, 0, 0)
		if err != nil {
			return 0, err
		}
		p.own(port)
		return port, wantDir(port)
	}
	if sys.Chroot != "" {
		dir, err := enter(sys.Chroot)
		if err != nil {
			return err
		}
		v.root = p.own(reparent(dir))
		p.ports[initPortCRDIR] = v.root
	}
	if attr.Dir != "" {
		dir, err := enter(attr.Dir)
		if err != nil {
			return err
		}
		p.ports[initPortCWDIR] = dir
	}
	return nil
}

func (p *program) ownShared(port *sharedPort) uint32 {
	if port == nil {
		return _MACH_PORT_NULL
	}
	// A reference of its own would do, too; this one is released when
	// the program has been started.
	portAddRef(port.name)
	p.own(port.name)
	port.release()
	return port.name
}

// become gives the process other ids: an auth port with them, and by it all
// that it gets.
func (p *program) become(c *Credential, child *uint32) error {
	egids := []uint32{c.Gid}
	if c.NoSetGroups {
		if old := ids()[effectiveGroups]; len(old) > 1 {
			egids = append(egids, old[1:]...)
		}
	} else {
		egids = append(egids, c.Groups...)
	}
	auth, err := makeAuth(p.ports[initPortAUTH], nil, [4][]uint32{
		effectiveUsers: {c.Uid}, availableUsers: {c.Uid, c.Uid},
		effectiveGroups: egids, availableGroups: {c.Gid, c.Gid},
	})
	if err != nil {
		return err
	}
	p.ports[initPortAUTH] = p.own(auth)
	newchild, err := reauthenticateProc(*child, auth)
	if err != nil {
		return err
	}
	portDeallocate(*child)
	*child = newchild
	again := func(port *uint32) {
		if *port == _MACH_PORT_NULL {
			return
		}
		// What does not know of users stays as it is.
		if n, err := reauthenticateWith(*port, auth); err == nil {
			*port = p.own(n)
		}
	}
	again(&p.ports[initPortCWDIR])
	again(&p.ports[initPortCRDIR])
	for i := range p.dtable {
		again(&p.dtable[i])
	}
	return nil
}

// execing is set while this process is about to become another program: then
// calls block the thread, since no other one may be started.
var execing atomic.Bool

// execve makes this process another program.
func execve(path string, argv, envv []byte) error {
	proc := useInitPort(initPortPROC)
	defer proc.release()
	if proc == nil {
		return ENOSYS
	}
	execing.Store(true)
	defer execing.Store(false)
	p := &program{path: path, abspath: absolute(path, ""), argv: argv, envv: envv}
	defer p.close()
	p.setInts()
	if err := p.hold(nil); err != nil {
		return err
	}
	for _, i := range []int{initPortAUTH, initPortCTTYID, initPortBOOTSTRAP} {
		p.ports[i] = p.ownShared(useInitPort(i))
	}
	p.ports[initPortPROC] = proc.name
	for _, i := range []int{initPortCWDIR, initPortCRDIR} {
		if d := currentDir(i); d != nil {
			p.held = append(p.held, d)
			p.ports[i] = d.port()
		}
	}
	file, err := lookup(AT_FDCWD, path, O_EXEC, 0)
	if err != nil {
		return err
	}
	p.own(file)
	// All names go: what the program is to have it gets anew.
	names, err := portNames()
	if err != nil {
		return err
	}
	for i, name := range names {
		if name == MachTaskSelf() {
			names = append(names[:i], names[i+1:]...)
			break
		}
	}
	return p.exec(file, MachTaskSelf(), names)
}

// portNames returns the names of all ports of this task.
func portNames() (names []uint32, err error) {
	err = rpc(MachTaskSelf(), _mach_port_names, nil, func(m *message) {
		names = m.words(typeName)
		m.words(typeInt32) // what they are
	})
	return names, err
}

// Waiting

const (
	WNOHANG    = 1
	WUNTRACED  = 2
	WCONTINUED = 4

	_WNOWAIT = 8
	_WEXITED = 0x10
)

// Wait4 waits for a child: pid if that is positive, any if it is -1, one of
// this process group if it is 0, or of group -pid.
func Wait4(pid int, wstatus *WaitStatus, options int, rusage *Rusage) (wpid int, err error) {
	return procWait(_proc_wait, pid, wstatus, options, rusage)
}

func procWait(id uint32, pid int, wstatus *WaitStatus, options int, rusage *Rusage) (wpid int, err error) {
	var status uint32
	var r Rusage
	if !haveInitPort(initPortPROC) {
		return -1, ECHILD
	}
	err = initRPC(initPortPROC, id, func(m *message) {
		m.putInt32(uint32(pid))
		m.putInt32(uint32(options))
	}, func(m *message) {
		status = m.int32()
		m.int32() // the code of the signal
		m.rusage(&r)
		wpid = int(int32(m.int32()))
	})
	if err != nil {
		return -1, err
	}
	if wstatus != nil {
		*wstatus = WaitStatus(status)
	}
	if rusage != nil {
		*rusage = r
	}
	return wpid, nil
}

// waitable waits until there is an end of a child to wait for, and leaves it.
// It is for package os.
//
//go:linkname waitable os.hurdWaitable
func waitable(pid int) error {
	_, err := procWait(_proc_waitid, pid, nil, _WEXITED|_WNOWAIT, nil)
	return err
}

// executable is what this process was started from, if the proc server knows.
// It is for package os.
//
//go:linkname executable os.hurdExecutable
func executable() (path string, err error) {
	err = initRPC(initPortPROC, _proc_get_exe, func(m *message) { m.putInt32(uint32(Getpid())) },
		func(m *message) { path = m.string() })
	return path, err
}

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

// Provided by package runtime.

func runtime_hurdIgnored() uint32 // the signals that are ignored
