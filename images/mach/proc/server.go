package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Server is a Table on Mach.
type Server struct {
	*Table
	kernel *machKernel
}

// machKernel is the [Kernel] that the server runs on.
type machKernel struct {
	export ports.Kernel
	deaths *deathwatch.Watcher
	table  *Table

	// tasks receives notifications of new tasks; exceptions is the exception
	// port of tasks without one.
	tasks, exceptions *mach.Receiver
	hostPriv          mach.Port
	set               mach.Port // of all processors, for its tasks
	synced            chan chan struct{}
	forwarders        atomic.Int32
}

// Start makes the server of this machine and serves until ctx ends. With boot,
// startup's port, it takes part in the start of the system (section 3.7, steps
// 9 to 14 and 19): kernelTask is the kernel's task or null. Messages about
// crashes go to logf.
func Start(ctx context.Context, boot, kernelTask mach.Port, logf func(format string, args ...any)) (*Server, error) {
	deaths, err := deathwatch.New(ctx)
	if err != nil {
		return nil, err
	}
	k := &machKernel{deaths: deaths, synced: make(chan chan struct{}, 64)}
	s := &Server{Table: New(k), kernel: k}
	k.table = s.Table
	s.logf = logf
	if k.tasks, err = mach.NewReceiver(); err != nil {
		return nil, err
	}
	if k.exceptions, err = mach.NewReceiver(); err != nil {
		return nil, err
	}
	s.lock()
	startup, err := s.portOf(s.startup)
	s.unlock()
	if err != nil {
		return nil, err
	}
	startupTask, auth, hostPriv, deviceMaster, err := proto.StartupProcinit(ctx, boot, startup)
	proto.Release(ctx, startup)
	if err != nil {
		return nil, err
	}
	s.lock()
	s.auth, s.hostPriv, s.deviceMaster = auth, hostPriv, deviceMaster
	s.kernelVersion, _ = mach.HostKernelVersion(mach.HostSelf())
	s.unlock()
	k.hostPriv = hostPriv

	// First the notifications, then those who were there: none is missed.
	if err := mach.RegisterNewTaskNotification(hostPriv, k.tasks.Port()); err != nil {
		return nil, err
	}
	if err := k.findSet(); err != nil {
		return nil, err
	}
	tasks, err := mach.ProcessorSetTasks(k.set)
	if err != nil {
		return nil, err
	}
	if kernelTask == mach.Null && len(tasks) > 0 && tasks[0] != mach.TaskSelf() && tasks[0] != startupTask {
		kernelTask = tasks[0] // it was the first of all
		if err := k.Retain(kernelTask); err != nil {
			return nil, err
		}
	}
	if err := k.Retain(mach.TaskSelf()); err != nil {
		return nil, err
	}
	for _, first := range []struct {
		pid  int32
		task mach.Port
	}{{proto.PIDStartup, startupTask}, {proto.PIDKernel, kernelTask}, {proto.PIDProc, mach.TaskSelf()}} {
		if first.task == mach.Null {
			continue
		}
		if err := s.SetTask(first.pid, first.task); err != nil {
			return nil, fmt.Errorf("process %d: %w", first.pid, err)
		}
	}
	for _, task := range tasks {
		s.NewTask(task, mach.Null)
	}
	s.lock()
	s.byPID[proto.PIDKernel].exe = "gnumach"
	s.unlock()
	go k.serveTasks(ctx)
	go k.serveExceptions(ctx)
	return s, nil
}

// Self returns a send right to the process port of this server itself.
func (s *Server) Self() (mach.Port, error) {
	s.lock()
	defer s.unlock()
	return s.portOf(s.byPID[proto.PIDProc])
}

// findSet gets the control port of the set of all processors.
func (k *machKernel) findSet() error {
	name, err := mach.ProcessorSetDefault(mach.HostSelf())
	if err != nil {
		return err
	}
	defer mach.Deallocate(name)
	k.set, err = mach.HostProcessorSetPriv(k.hostPriv, name)
	return err
}

// idSync is the id of messages that this server sends to itself: what the
// kernel had sent before has arrived before.
const idSync = 1

func (k *machKernel) serveTasks(ctx context.Context) {
	m := mach.NewMessage(0)
	for {
		if err := k.tasks.Receive(ctx, m); err != nil {
			return
		}
		switch m.ID() {
		case mach.IDNewTask:
			task, parent, err := mach.TakeNewTask(m)
			if err == nil {
				k.table.NewTask(task, parent)
			} else {
				k.Release(task)
				k.Release(parent)
			}
		case idSync:
			select {
			case done := <-k.synced:
				close(done)
			default:
			}
		}
		mach.Destroy(m)
	}
}

// Sync waits until the notifications that are on their way have arrived.
func (k *machKernel) Sync(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case k.synced <- done:
	case <-ctx.Done():
		return proto.EINTR
	}
	m := mach.NewMessage(idSync)
	if err := mach.Send(context.WithoutCancel(ctx), k.tasks.Port(), mach.MakeSend, m); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return proto.EINTR
	}
}

func (k *machKernel) Retain(p mach.Port) error {
	err := mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1)
	if errors.Is(err, mach.KernInvalidRight) {
		return proto.ESRCH // it has died, and the notification is to come
	}
	return err
}

func (k *machKernel) Release(p mach.Port) {
	if p.Valid() {
		_ = mach.Deallocate(p) // it is ours
	}
}

func (k *machKernel) Watch(p mach.Port, f func()) (func(), error) { return k.deaths.Watch(p, f) }

func (k *machKernel) Export(h mach.Handler, gone func()) (Object, error) {
	return k.export.Export(h, ports.Options{Gone: gone})
}

func (k *machKernel) Terminate(task mach.Port) error { return mach.TaskTerminate(task) }

// Usage adds up the time of the threads that are there and of those that were.
func (k *machKernel) Usage(task mach.Port) (u proto.Rusage) {
	info, err := mach.TaskBasicInfo(task)
	if err != nil {
		return u
	}
	user, system, err := mach.TaskThreadTimes(task)
	if err != nil {
		return u
	}
	events, err := mach.TaskEventsInfo(task)
	if err != nil {
		return u
	}
	user, system = user+info.User, system+info.System
	u.Utime = proto.Timeval{Sec: int64(user.Seconds()), Usec: user.Microseconds() % 1e6}
	u.Stime = proto.Timeval{Sec: int64(system.Seconds()), Usec: system.Microseconds() % 1e6}
	u.Counts[0] = int64(info.Resident >> 10) // maxrss
	u.Counts[4] = int64(events.Faults - min(events.Faults, events.PageIns))
	u.Counts[5] = int64(events.PageIns)
	u.Counts[9], u.Counts[10] = int64(events.Sent), int64(events.Received)
	return u
}

// words asks for the words of task_info (2012) or thread_info (2019).
func words(id int32, port mach.Port, flavor int32) ([]int32, error) {
	const room = 1024
	m := mach.NewMessage(id)
	m.PutInt32(flavor)
	m.PutInt32(room)
	if err := mach.CallKernel(port, m); err != nil {
		return nil, err
	}
	defer mach.Destroy(m)
	w := slices.Clone(m.TakeInt32s(room))
	return w, m.End()
}

func (k *machKernel) Info(task mach.Port, flags int32) (i Info, err error) {
	const taskInfo, threadInfo = 2012, 2019
	if i.Basic, err = words(taskInfo, task, 1); err != nil {
		return i, err
	}
	if flags&proto.PI_FETCH_TASKEVENTS != 0 {
		if i.Events, err = words(taskInfo, task, 2); err != nil {
			return i, err
		}
	}
	threads, err := mach.TaskThreads(task)
	if err != nil {
		return i, err
	}
	for n, th := range threads {
		var t ThreadInfo
		// A thread that has just ended is left without.
		if n < maxInfoThreads && flags&proto.PI_FETCH_THREAD_BASIC != 0 {
			t.Basic, _ = words(threadInfo, th, 1)
		}
		if n < maxInfoThreads && flags&proto.PI_FETCH_THREAD_SCHED != 0 {
			t.Sched, _ = words(threadInfo, th, 2)
		}
		i.Threads = append(i.Threads, t)
		k.Release(th)
	}
	return i, nil
}

func (k *machKernel) Ports(task mach.Port) (int, error) {
	names, _, err := mach.PortNames(task)
	return len(names), err
}

func (k *machKernel) Read(task mach.Port, addr uint64, n int) ([]byte, error) {
	return mach.VMRead(task, uintptr(addr), uintptr(n))
}

func (k *machKernel) StopOthers(task, thread mach.Port) error {
	// So that no new ones appear meanwhile.
	if err := mach.TaskSuspend(task); err != nil {
		return err
	}
	defer mach.TaskResume(task)
	threads, err := mach.TaskThreads(task)
	if err != nil {
		return err
	}
	for _, th := range threads {
		if th != thread {
			_ = mach.ThreadSuspend(th) // unless it has just ended
		}
		k.Release(th)
	}
	return nil
}

func (k *machKernel) CatchExceptions(task mach.Port) error {
	p, err := mach.TaskGetSpecialPort(task, mach.TaskExceptionPort)
	if err != nil {
		return err
	}
	k.Release(p)
	if p.Valid() {
		return nil
	}
	return mach.TaskSetSpecialPort(task, mach.TaskExceptionPort, k.exceptions.Port(), mach.MakeSend)
}

func (k *machKernel) serveExceptions(ctx context.Context) {
	_ = mach.Serve(ctx, k.exceptions, mach.HandlerFunc(func(_ context.Context, req, _ *mach.Message) error {
		if req.ID() != mach.IDException {
			return mach.MigBadID
		}
		e, err := mach.TakeException(req)
		defer k.Release(e.Thread)
		defer k.Release(e.Task)
		if err != nil {
			return mach.MigBadArguments
		}
		k.table.Exception(e)
		// Not success: the thread must not go on.
		return mach.KernFailure
	}))
}

func (k *machKernel) Post(ctx context.Context, msgport mach.Port, signal, code int32, refport mach.Port) error {
	m := mach.NewMessage(23000) // msg_sig_post
	m.PutInt32(signal)
	m.PutInt32(code)
	m.PutRight(refport, mach.CopySend)
	return mach.Send(ctx, msgport, mach.CopySend, m)
}

func (k *machKernel) NewIDs(ctx context.Context, msgport, task mach.Port, ppid, pgrp int32, orphaned bool) error {
	m := mach.NewMessage(23001) // msg_proc_newids
	m.PutRight(task, mach.CopySend)
	m.PutInt32(ppid)
	m.PutInt32(pgrp)
	if orphaned {
		m.PutInt32(1)
	} else {
		m.PutInt32(0)
	}
	return mach.Send(ctx, msgport, mach.CopySend, m)
}

func (k *machKernel) SetExecData(ctx context.Context, notify mach.Port, ports []mach.Port, ints []int32) error {
	return proto.ExecSetexecdata(ctx, notify, ports, ints)
}

// maxForwarders bounds the message ports that are served for processes.
const maxForwarders = 64

// HandleExceptions serves a message port: the first exception that arrives
// makes its thread go on with the state, and is told to forward. Other
// requests fail.
func (k *machKernel) HandleExceptions(receive, forward mach.Port, flavor int32, state []int32) error {
	if k.forwarders.Add(1) > maxForwarders {
		k.forwarders.Add(-1)
		return proto.EAGAIN
	}
	r, err := mach.AdoptReceive(receive)
	if err != nil {
		k.forwarders.Add(-1)
		return err
	}
	// The last right to it is that of the task: with the task it is over.
	_ = mach.RequestNotification(receive, mach.NotifyNoSenders, 0, receive)
	go func() {
		defer k.forwarders.Add(-1)
		defer k.Release(forward)
		defer r.Close()
		req, reply := mach.NewMessage(0), mach.NewMessage(0)
		for {
			if err := r.Receive(context.Background(), req); err != nil {
				return
			}
			if _, by := req.Local(); mach.Notify(req.ID()) == mach.NotifyNoSenders && by == mach.MoveSendOnce {
				mach.Destroy(req)
				return
			}
			_ = mach.Dispatch(context.Background(), mach.HandlerFunc(func(ctx context.Context, req, _ *mach.Message) error {
				if req.ID() != mach.IDException {
					return mach.MigBadID
				}
				e, err := mach.TakeException(req)
				defer k.Release(e.Thread)
				defer k.Release(e.Task)
				if err != nil {
					return mach.MigBadArguments
				}
				return k.forward(e, forward, flavor, state)
			}), req, reply)
		}
	}()
	return nil
}

// forward restarts the thread of an exception and tells the port about it.
func (k *machKernel) forward(e mach.Exception, to mach.Port, flavor int32, state []int32) error {
	regs := make([]uint32, len(state))
	for i, w := range state {
		regs[i] = uint32(w)
	}
	if err := mach.ThreadSetState(e.Thread, mach.Flavor(flavor), regs); err != nil {
		return err
	}
	m := mach.NewMessage(mach.IDException)
	m.PutRight(e.Thread, mach.CopySend)
	m.PutRight(e.Task, mach.CopySend)
	m.PutInt32(int32(e.Kind))
	m.PutInt32(int32(e.Code))
	m.PutWord(uint64(e.Subcode))
	ctx, cancel := context.WithTimeout(context.Background(), postTimeout)
	defer cancel()
	return mach.Send(ctx, to, mach.CopySend, m)
}
