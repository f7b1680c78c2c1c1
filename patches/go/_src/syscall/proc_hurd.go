// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "sync"

// Processes, as the proc server knows them, and signals to them.

var pid struct {
	once sync.Once
	pid  int
}

// loadPids asks the proc server. Alone on a kernel we are the first process.
func loadPids() (pid, ppid int) {
	pid, ppid = 1, 0
	initRPC(initPortPROC, _proc_getpids, nil, func(m *message) {
		pid, ppid = int(int32(m.int32())), int(int32(m.int32()))
	})
	return pid, ppid
}

func Getpid() int {
	if !haveInitPort(initPortPROC) {
		return 1 // for now: see HurdSetPort
	}
	pid.once.Do(func() { pid.pid, _ = loadPids() })
	return pid.pid
}

// Getppid asks each time: parents die.
func Getppid() int {
	_, ppid := loadPids()
	return ppid
}

func putPid(pid int) func(*message) {
	return func(m *message) { m.putInt32(uint32(pid)) }
}

// procInt is a call of the proc server with a process, or this one if pid is
// 0, and a number as its answer.
func procInt(id uint32, pid int) (n int, err error) {
	if !haveInitPort(initPortPROC) {
		return -1, ENOSYS
	}
	if pid == 0 {
		pid = Getpid()
	}
	err = initRPC(initPortPROC, id, putPid(pid), func(m *message) { n = int(int32(m.int32())) })
	if err != nil {
		return -1, err
	}
	return n, nil
}

func Getpgid(pid int) (int, error) { return procInt(_proc_getpgrp, pid) }
func Getsid(pid int) (int, error)  { return procInt(_proc_getsid, pid) }

func Getpgrp() int {
	pgid, err := Getpgid(0)
	if err != nil {
		return 0
	}
	return pgid
}

func Setpgid(pid, pgid int) error {
	if !haveInitPort(initPortPROC) {
		return ENOSYS
	}
	if pid == 0 {
		pid = Getpid()
	}
	if pgid == 0 {
		pgid = pid
	}
	return initRPC(initPortPROC, _proc_setpgrp, func(m *message) {
		m.putInt32(uint32(pid))
		m.putInt32(uint32(pgid))
	}, nil)
}

// Setsid makes this process the leader of a new session, which has no
// terminal.
func Setsid() (int, error) {
	if !haveInitPort(initPortPROC) {
		return -1, ENOSYS
	}
	if err := initRPC(initPortPROC, _proc_setsid, nil, nil); err != nil {
		return -1, err
	}
	replaceInitPort(initPortCTTYID, nil)
	return Getpid(), nil
}

// Kill sends a signal to a process, to this process group (0), to all others
// (-1) or to process group -pid. A signal is a message to the message port of
// the process, as every program of the Hurd sends it by itself; only SIGKILL
// needs no cooperation.
func Kill(pid int, signum Signal) error {
	switch {
	case signum < 0 || signum > 32:
		return EINVAL
	case pid == Getpid():
		return killSelf(signum)
	case !haveInitPort(initPortPROC):
		return ESRCH
	case pid > 0:
		return killProcess(pid, signum)
	}
	var pids []uint32
	id, arg := uint32(_proc_getpgrppids), putPid(-pid)
	switch pid {
	case 0:
		arg = putPid(Getpgrp())
	case -1:
		id, arg = _proc_getallpids, nil
	}
	err := initRPC(initPortPROC, id, arg, func(m *message) { pids = m.ints() })
	if err != nil {
		return err
	}
	err = ESRCH
	self := false
	for _, p := range pids {
		switch {
		case int(p) == Getpid():
			self = pid != -1
		case pid == -1 && p <= 1:
		default:
			switch e := killProcess(int(p), signum); {
			case e == nil:
				err = nil
			case err != nil && e != ESRCH:
				err = e
			}
		}
	}
	if self { // last: perhaps we do not return
		return killSelf(signum)
	}
	return err
}

// killSelf posts a signal to this process, which needs no server.
func killSelf(signum Signal) error {
	msgport, _, _ := runtime_hurdProcess()
	if signum == SIGKILL {
		runtime_hurdKill()
	}
	return postSignal(msgport, signum, MachTaskSelf())
}

// killProcess posts a signal to another process.
func killProcess(pid int, signum Signal) error {
	// The task shows that we may. One that exec has replaced meanwhile is
	// dead, and the process has another one.
	for range maxRetries {
		task, err := initRPCPort(initPortPROC, _proc_pid2task, putPid(pid))
		if signum == SIGKILL {
			if err != nil {
				return err
			}
			err = rpc(task, _task_terminate, nil, nil)
			portDeallocate(task)
			if err == EIEIO || err == EBADF {
				continue
			}
			return err
		}
		if err == ESRCH {
			return err
		}
		ref := task
		if err != nil {
			// Not ours; perhaps of our session.
			if ref, err = initRPCPort(initPortPROC, _proc_getsidport, nil); err != nil {
				return EPERM
			}
		}
		port, err := initRPCPort(initPortPROC, _proc_getmsgport, putPid(pid))
		if err != nil {
			portDeallocate(ref)
			return err
		}
		if port == _MACH_PORT_NULL || port == _MACH_PORT_DEAD {
			err = killTask(task, signum)
		} else {
			err = postSignal(port, signum, ref)
		}
		portDeallocate(port)
		portDeallocate(ref)
		if err == EIEIO {
			continue
		}
		return err
	}
	return ESRCH
}

func postSignal(msgport uint32, signum Signal, ref uint32) error {
	return rpc(msgport, _msg_sig_post, func(m *message) {
		m.putInt32(uint32(signum))
		m.putInt32(0) // signal code
		m.putPort(typeCopySend, ref)
	}, nil)
}

// killTask does to a process without a message port what can be done.
func killTask(task uint32, signum Signal) error {
	switch signum {
	case 0:
		return nil
	case SIGSTOP, SIGTSTP:
		return rpc(task, _task_suspend, nil, nil)
	case SIGCONT:
		return rpc(task, _task_resume, nil, nil)
	case SIGTERM, SIGQUIT, SIGINT:
		return rpc(task, _task_terminate, nil, nil)
	}
	return EPERM
}

// Resources

// Getrusage tells what this process, or its children that were waited for,
// have used.
func Getrusage(who int, rusage *Rusage) error {
	switch who {
	case RUSAGE_SELF:
		return taskRusage(rusage)
	case RUSAGE_CHILDREN:
		*rusage = Rusage{}
		if !haveInitPort(initPortPROC) {
			return nil
		}
		return initRPC(initPortPROC, _proc_getchildren_rusage, nil, func(m *message) { m.rusage(rusage) })
	}
	return EINVAL
}

func taskRusage(r *Rusage) error {
	const basicInfo, threadTimes = 1, 3
	info := func(flavor, count uint32) (words []uint32, err error) {
		err = rpc(MachTaskSelf(), _task_info, func(m *message) {
			m.putInt32(flavor)
			m.putInt32(count)
		}, func(m *message) { words = m.shortInts() })
		if err == nil && len(words) < 8 {
			err = EPROTO
		}
		return words, err
	}
	// Threads that are gone, and those that are there.
	basic, err := info(basicInfo, 22)
	if err != nil {
		return err
	}
	times, err := info(threadTimes, 12)
	if err != nil {
		return err
	}
	sum := func(i, j int) Timeval {
		us := int64(basic[i+1]) + int64(times[j+1])
		return Timeval{Sec: int64(basic[i]) + int64(times[j]) + us/1e6, Usec: us % 1e6}
	}
	*r = Rusage{Utime: sum(4, 0), Stime: sum(6, 2), Maxrss: int64(basic[3] >> 10)}
	return nil
}

// Limits are kept by the program itself on the Hurd; only that of descriptors
// has an effect.
var limits struct {
	sync.Mutex
	set map[int]Rlimit
}

func Getrlimit(resource int, rlim *Rlimit) error {
	if resource < 0 || resource > RLIMIT_AS {
		return EINVAL
	}
	limits.Lock()
	defer limits.Unlock()
	switch l, ok := limits.set[resource]; {
	case ok:
		*rlim = l
	case resource == RLIMIT_NOFILE:
		*rlim = Rlimit{maxDescriptors, maxDescriptors}
	default:
		*rlim = Rlimit{RLIM_INFINITY, RLIM_INFINITY}
	}
	return nil
}

func setrlimit(resource int, rlim *Rlimit) error {
	var old Rlimit
	if err := Getrlimit(resource, &old); err != nil {
		return err
	}
	switch {
	case rlim.Cur > rlim.Max:
		return EINVAL
	case rlim.Max > old.Max:
		return EPERM
	}
	limits.Lock()
	defer limits.Unlock()
	if limits.set == nil {
		limits.set = map[int]Rlimit{}
	}
	limits.set[resource] = *rlim
	return nil
}

// Nice values are twice the distance from the kernel's usual priority, where
// a smaller one is the better.
const basePriority = 25

func Getpriority(which, who int) (int, error) {
	if which != PRIO_PROCESS {
		return -1, ENOSYS
	}
	task, err := taskOf(who)
	if err != nil {
		return -1, err
	}
	defer portDeallocate(task)
	var words []uint32
	err = rpc(task, _task_info, func(m *message) {
		m.putInt32(1) // TASK_BASIC_INFO
		m.putInt32(22)
	}, func(m *message) { words = m.shortInts() })
	if err == nil && len(words) < 2 {
		err = EPROTO
	}
	if err != nil {
		return -1, err
	}
	return 2 * (int(int32(words[1])) - basePriority), nil
}

func Setpriority(which, who, prio int) error {
	if which != PRIO_PROCESS {
		return ENOSYS
	}
	task, err := taskOf(who)
	if err != nil {
		return err
	}
	defer portDeallocate(task)
	return rpc(task, _task_priority, func(m *message) {
		m.putInt32(uint32(basePriority + max(-20, min(prio, 19))/2))
		m.putBool(true) // its threads, too
	}, nil)
}

// taskOf returns a right to the task of a process, or of this one if pid is 0.
func taskOf(pid int) (uint32, error) {
	if pid == 0 || pid == Getpid() {
		portAddRef(MachTaskSelf())
		return MachTaskSelf(), nil
	}
	return initRPCPort(initPortPROC, _proc_pid2task, putPid(pid))
}

// Provided by package runtime.

func runtime_hurdKill() // ends this process as by SIGKILL
