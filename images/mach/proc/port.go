package proc

import (
	"context"
	"strings"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Port is a process port: the process as those who hold it see it. A
// process has one at a time; when its ids change it gets another.
type Port struct {
	table  *Table
	p      *Process
	object Object
	// committed is closed when the ids that the port was made for are known.
	committed chan struct{}
	// stale is set when the process has another port in its place, or has
	// ended. Guarded by the table's mutex.
	stale bool
}

var _ proto.ProcServer = (*Port)(nil)

// portOf returns a send right to the process port of p, made for the caller.
// The table is locked.
func (t *Table) portOf(p *Process) (mach.Port, error) {
	for range 2 {
		if p.state >= dead {
			return mach.Null, proto.ESRCH
		}
		if p.port == nil {
			o, err := t.newPort(p)
			if err != nil {
				return mach.Null, err
			}
			close(o.committed)
			p.port = o
		}
		right, err := p.port.object.Right()
		if err == nil {
			return right, nil
		}
		// Its last right has just gone.
		p.port = nil
	}
	return mach.Null, proto.EAGAIN
}

func (t *Table) newPort(p *Process) (*Port, error) {
	o := &Port{table: t, p: p, committed: make(chan struct{})}
	object, err := t.kernel.Export(proto.Handler(o), o.gone)
	if err != nil {
		return nil, err
	}
	o.object = object
	return o, nil
}

// gone is called when nobody has a right to the port.
func (o *Port) gone() {
	o.table.lock()
	defer o.table.unlock()
	if o.p.port == o {
		o.p.port = nil
	}
}

// close makes the port useless. The table is locked.
func (o *Port) close() {
	if o.stale {
		return
	}
	o.stale = true
	if o.p.port == o {
		o.p.port = nil
	}
	o.table.later(o.object.Close)
}

// begin locks the table for a request. If it fails the table is not locked.
func (o *Port) begin(ctx context.Context) error {
	select {
	case <-o.committed:
	case <-ctx.Done():
		return proto.EINTR
	}
	o.table.lock()
	if o.stale || o.p.state >= dead {
		o.table.unlock()
		return proto.ESRCH
	}
	return nil
}

// do runs f with the table locked.
func (o *Port) do(ctx context.Context, f func(t *Table, p *Process) error) error {
	if err := o.begin(ctx); err != nil {
		return err
	}
	defer o.table.unlock()
	return f(o.table, o.p)
}

// find returns the living process with a number.
func (t *Table) find(pid int32) (*Process, error) {
	p := t.byPID[pid]
	if p == nil || p.state >= dead {
		return nil, proto.ESRCH
	}
	return p, nil
}

// withTask runs f for the process of a task that a request has brought, and
// gives back the right if f succeeds. A task that is not known yet may have
// just been created.
func (o *Port) withTask(ctx context.Context, task mach.Port, f func(t *Table, p, q *Process) error) error {
	if !task.Valid() {
		return proto.EINVAL
	}
	t := o.table
	t.lock()
	known := t.byTask[task] != nil
	t.unlock()
	if !known {
		if err := t.kernel.Sync(ctx); err != nil {
			return err
		}
	}
	return o.do(ctx, func(t *Table, p *Process) error {
		q := t.byTask[task]
		if q == nil {
			return proto.ESRCH
		}
		err := f(t, p, q)
		if err == nil {
			t.release(task)
		}
		return err
	})
}

func (o *Port) retain(p mach.Port) (mach.Port, error) {
	if !p.Valid() {
		return mach.Null, nil
	}
	return p, o.table.kernel.Retain(p)
}

// ProcGetprivports returns the privileged ports to root.
func (o *Port) ProcGetprivports(ctx context.Context) (hostPriv, deviceMaster mach.Port, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		if !p.isRoot() {
			return proto.EPERM
		}
		if hostPriv, err = o.retain(t.hostPriv); err != nil {
			return err
		}
		if deviceMaster, err = o.retain(t.deviceMaster); err != nil {
			t.release(hostPriv)
		}
		return err
	})
	return hostPriv, deviceMaster, err
}

// ProcGetallpids lists all processes.
func (o *Port) ProcGetallpids(ctx context.Context) (pids []int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		pids = t.pids(func(q *Process) bool { return q != t.init || q.task != mach.Null })
		return nil
	})
	return pids, err
}

// ProcSetexecdata sets what exec gives to programs that need it, and tells the
// exec servers.
func (o *Port) ProcSetexecdata(ctx context.Context, ports []mach.Port, ints []int32) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		switch {
		case !p.isRoot():
			return proto.EPERM
		case len(ports) < proto.InitPortMax || len(ports) > 64 || len(ints) < proto.InitIntMax || len(ints) > 64:
			return proto.EINVAL
		}
		for _, port := range t.execPorts {
			t.release(port)
		}
		t.execPorts, t.execInts = ports, ints
		for _, n := range t.execTell {
			t.tellExec(n)
		}
		return nil
	})
}

// tellExec sends the standard ports to an exec server.
func (t *Table) tellExec(notify mach.Port) {
	rights := append([]mach.Port{notify}, t.execPorts...)
	for i, p := range rights {
		if p.Valid() && t.kernel.Retain(p) != nil {
			rights[i] = mach.Null
		}
	}
	ints := t.execInts
	t.posts.Add(1)
	t.later(func() {
		go func() {
			defer t.posts.Done()
			ctx, cancel := context.WithTimeout(context.Background(), postTimeout)
			defer cancel()
			_ = t.kernel.SetExecData(ctx, rights[0], rights[1:], ints)
			for _, p := range rights {
				if p.Valid() {
					t.kernel.Release(p)
				}
			}
		}()
	})
}

// ProcGetexecdata returns the standard ports.
func (o *Port) ProcGetexecdata(ctx context.Context) (ports []mach.Port, ints []int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		if !p.isRoot() {
			return proto.EPERM // one of them is the file system's root without a chroot
		}
		for _, port := range t.execPorts {
			port, err := o.retain(port)
			if err != nil {
				port = mach.Null
			}
			ports = append(ports, port)
		}
		ints = t.execInts
		return nil
	})
	return ports, ints, err
}

// ProcExecdataNotify registers an exec server.
func (o *Port) ProcExecdataNotify(ctx context.Context, notify mach.Port) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		switch {
		case !p.isRoot():
			return proto.EPERM
		case !notify.Valid():
			return proto.EINVAL
		case len(t.execTell) >= maxExecNotify:
			return proto.EAGAIN
		}
		t.execTell = append(t.execTell, notify)
		if t.execPorts != nil {
			t.tellExec(notify)
		}
		return nil
	})
}

// ProcUname says what system this is. The name of the node is not known here.
func (o *Port) ProcUname(ctx context.Context) (u proto.Uname, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		version := strings.Join(append([]string{t.kernelVersion}, t.versions...), "/")
		u = proto.Uname{Sysname: "GNU", Release: "0.9", Version: clip(version), Machine: "i686-AT386"}
		return nil
	})
	return u, err
}

func clip(s string) string { return s[:min(len(s), proto.MaxString)] }

// ProcRegisterVersion notes the version of a server, for uname.
func (o *Port) ProcRegisterVersion(ctx context.Context, credential mach.Port, name, release, version string) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		if credential != t.hostPriv || !credential.Valid() {
			return proto.EPERM
		}
		if len(t.versions) < maxVersions && name != "" && version != "" {
			t.versions = append(t.versions, name+" "+version)
		}
		t.release(credential)
		return nil
	})
}

// ProcReauthenticate gives the process the ids of the user at the rendezvous,
// and a new port.
func (o *Port) ProcReauthenticate(ctx context.Context, rendezvous mach.Port) error {
	return o.reauthenticate(ctx, rendezvous, mach.Null)
}

// ProcReauthenticateReassign is ProcReauthenticate that also makes the task
// newTask the process's, in place of its own, which ends.
func (o *Port) ProcReauthenticateReassign(ctx context.Context, rendezvous, newTask mach.Port) error {
	if !newTask.Valid() {
		return proto.EINVAL
	}
	return o.reauthenticate(ctx, rendezvous, newTask)
}

func (o *Port) reauthenticate(ctx context.Context, rendezvous, newTask mach.Port) error {
	t := o.table
	if newTask != mach.Null {
		if err := t.kernel.Sync(ctx); err != nil {
			return err
		}
	}
	var next *Port
	var right mach.Port
	err := o.do(ctx, func(t *Table, p *Process) (err error) {
		if newTask != mach.Null {
			if err := p.mayBecome(t.byTask[newTask]); err != nil {
				return err
			}
		}
		if t.reauths >= maxReauths {
			return proto.EAGAIN
		}
		if next, err = t.newPort(p); err != nil {
			return err
		}
		if right, err = next.object.Right(); err != nil {
			t.later(next.object.Close)
			return err
		}
		t.reauths++
		return nil
	})
	if err != nil {
		return err
	}
	// What arrives at the new port waits until this is over.
	defer close(next.committed)
	// The client may give back its right to the old port as soon as it has the
	// new one, before the answer is here: the old port ends, and its requests
	// are interrupted. That must not keep this one from its end.
	actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reauthTimeout)
	euids, _, egids, _, err := proto.AuthServerAuthenticate(actx, t.auth, proto.Copy(rendezvous), proto.Move(right))
	cancel()
	t.lock()
	t.reauths--
	if err == nil && (o.stale || o.p.state >= dead) {
		err = proto.ESRCH // somebody else was quicker
	}
	if err == nil && newTask != mach.Null {
		err = t.reassign(o.p, newTask)
	}
	if err != nil {
		next.close()
		t.unlock()
		return err
	}
	o.p.setIDs(euids, egids)
	o.close()
	o.p.port = next
	t.unlock()
	t.kernel.Release(rendezvous)
	if newTask != mach.Null {
		t.kernel.Release(newTask)
	}
	return nil
}

// reauthTimeout bounds how long a user may take to come to a rendezvous.
const reauthTimeout = time.Minute

func (p *Process) setIDs(uids, gids []int32) {
	p.uids, p.gids = uids[:min(len(uids), maxIDs)], gids[:min(len(gids), maxIDs)]
	p.owned = len(uids) > 0
	p.owner = 0
	if p.owned {
		p.owner = uids[0]
	}
}

// ProcReauthenticateComplete ends a reauthentication: there is nothing left to
// do.
func (o *Port) ProcReauthenticateComplete(ctx context.Context) error {
	return o.do(ctx, func(*Table, *Process) error { return nil })
}

// mayBecome reports whether p may take over the task of q.
func (p *Process) mayBecome(q *Process) error {
	switch {
	case q == nil || q.state >= dead:
		return proto.ESRCH
	case q == p:
		return proto.EINVAL
	case q.claimed || len(q.children) > 0:
		return proto.EBUSY
	}
	return nil
}

// reassign makes newTask the task of p, whose own task ends.
func (t *Table) reassign(p *Process, newTask mach.Port) error {
	q := t.byTask[newTask]
	if err := p.mayBecome(q); err != nil {
		return err
	}
	old := p.task
	if p.watch != nil {
		t.later(p.watch)
		p.watch = nil
	}
	delete(t.byTask, old)
	t.forget(q)
	p.task = newTask // with q's reference
	t.byTask[newTask] = p
	t.watch(p)
	t.dropMsgport(p)
	p.argv, p.envp = q.argv, q.envp
	p.startCode, p.endCode, p.entry = q.startCode, q.endCode, q.entry
	if q.exe != "" {
		p.exe = q.exe
	}
	t.later(func() {
		_ = t.kernel.Terminate(old) // it may have ended itself
		t.kernel.Release(old)
	})
	return nil
}

// ProcReassign makes newtask the process's task.
func (o *Port) ProcReassign(ctx context.Context, newtask mach.Port) error {
	return o.withTask(ctx, newtask, func(t *Table, p, _ *Process) error {
		if err := t.reassign(p, newtask); err != nil {
			return err
		}
		o.close() // others had it who should not have this task's
		return nil
	})
}

// ProcChild makes the process of a task a child.
func (o *Port) ProcChild(ctx context.Context, child mach.Port) error {
	return o.withTask(ctx, child, func(t *Table, p, q *Process) error { return t.child(p, q) })
}

// ProcSetmsgport sets the message port.
func (o *Port) ProcSetmsgport(ctx context.Context, port mach.Port) (old mach.Port, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		if port == p.msgport && port != mach.Null {
			// The request's reference takes the place of the old one.
			old = port
			return nil
		}
		old = t.setMsgport(p, port)
		return nil
	})
	return old, err
}

// ProcSetowner is a thing of the past: the ids are from proc_reauthenticate.
func (o *Port) ProcSetowner(context.Context, int32, int32) error { return proto.EOPNOTSUPP }

// ProcGetpids says who the process and its parent are.
func (o *Port) ProcGetpids(ctx context.Context) (pid, ppid, orphaned int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		pid, ppid = p.pid, p.parent.pid
		if p.group.orphaned() {
			orphaned = 1
		}
		return nil
	})
	return pid, ppid, orphaned, err
}

// ProcSetArgLocations says where the arguments and the environment are.
func (o *Port) ProcSetArgLocations(ctx context.Context, argv, envp uint64) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.argv, p.envp = argv, envp
		return nil
	})
}

// ProcGetArgLocations returns what ProcSetArgLocations has set.
func (o *Port) ProcGetArgLocations(ctx context.Context) (argv, envp uint64, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		argv, envp = p.argv, p.envp
		return nil
	})
	return argv, envp, err
}

// ProcGetmsgport returns the message port of a process, when it has one.
func (o *Port) ProcGetmsgport(ctx context.Context, pid int32) (mach.Port, error) {
	if err := o.do(ctx, func(*Table, *Process) error { return nil }); err != nil {
		return mach.Null, err
	}
	return o.table.messagePort(ctx, pid)
}

// ProcWait waits for the end of a child.
func (o *Port) ProcWait(ctx context.Context, pid, options int32) (status, sigcode int32, u proto.Rusage, which int32, err error) {
	return o.ProcWaitid(ctx, pid, options|proto.WEXITED)
}

// ProcWaitid waits for news of a child.
func (o *Port) ProcWaitid(ctx context.Context, pid, options int32) (status, sigcode int32, u proto.Rusage, which int32, err error) {
	if err := o.do(ctx, func(*Table, *Process) error { return nil }); err != nil {
		return 0, 0, u, 0, err
	}
	e, err := o.table.wait(ctx, o.p, pid, options)
	return e.status, e.sigcode, e.usage, e.pid, err
}

// ProcDostop suspends the other threads of the process.
func (o *Port) ProcDostop(ctx context.Context, contthread mach.Port) error {
	return o.onTask(ctx, o.p.pid, nil, func(task mach.Port) error {
		err := o.table.kernel.StopOthers(task, contthread)
		if err == nil {
			o.table.kernel.Release(contthread)
		}
		return err
	})
}

// onTask calls f with the task of a process, the table unlocked.
func (o *Port) onTask(ctx context.Context, pid int32, may func(p, q *Process) bool, f func(task mach.Port) error) error {
	var task mach.Port
	err := o.do(ctx, func(t *Table, p *Process) error {
		q, err := t.find(pid)
		if err != nil {
			return err
		}
		if may != nil && !may(p, q) {
			return proto.EPERM
		}
		if task = q.task; task == mach.Null {
			return proto.ESRCH
		}
		return t.kernel.Retain(task)
	})
	if err != nil {
		return err
	}
	defer o.table.kernel.Release(task)
	return f(task)
}

// ProcHandleExceptions serves the message port of the process from now on.
func (o *Port) ProcHandleExceptions(ctx context.Context, msgport, forwardport mach.Port, flavor int32, state []int32) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		if p.handlingExceptions {
			return proto.EBUSY
		}
		if !msgport.Valid() || !forwardport.Valid() {
			return proto.EINVAL
		}
		if err := t.kernel.HandleExceptions(msgport, forwardport, flavor, state); err != nil {
			return err
		}
		p.handlingExceptions = true
		return nil
	})
}

// ProcMarkStop, ProcMarkCont and ProcMarkExit say what becomes of the process.
func (o *Port) ProcMarkStop(ctx context.Context, signo, sigcode int32) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		if signo <= 0 || signo > proto.SIGLOST {
			return proto.EINVAL
		}
		t.markStop(p, signo, sigcode)
		return nil
	})
}

func (o *Port) ProcMarkCont(ctx context.Context) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		t.markCont(p)
		return nil
	})
}

func (o *Port) ProcMarkExit(ctx context.Context, status, sigcode int32) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		return t.markExit(p, status, sigcode, t.kernel.Usage(p.task))
	})
}

// ProcMarkExec says that the process runs a program of its own now. It has not
// begun to: its exceptions come here until it asks for them.
func (o *Port) ProcMarkExec(ctx context.Context) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.execed = true
		if p.task != mach.Null {
			_ = t.kernel.CatchExceptions(p.task) // dead, or as well without
		}
		return nil
	})
}

// ProcMarkTraced says that stops are to be told to a parent that does not ask.
func (o *Port) ProcMarkTraced(ctx context.Context) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.traced = true
		return nil
	})
}

// ProcModStopchild says whether stops of children are to be told.
func (o *Port) ProcModStopchild(ctx context.Context, doit int32) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.noStop = doit == 0
		return nil
	})
}

// ProcPid2task returns the task of a process to who may control it.
func (o *Port) ProcPid2task(ctx context.Context, pid int32) (task mach.Port, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		q, err := t.find(pid)
		if err != nil {
			return err
		}
		if !p.mayControl(q) {
			return proto.EPERM
		}
		if q.task == mach.Null {
			return proto.ESRCH
		}
		task, err = o.retain(q.task)
		return err
	})
	return task, err
}

// ProcTask2pid returns the number of the process of a task.
func (o *Port) ProcTask2pid(ctx context.Context, task mach.Port) (pid int32, err error) {
	err = o.withTask(ctx, task, func(t *Table, p, q *Process) error {
		pid = q.pid
		return nil
	})
	return pid, err
}

// ProcTask2proc returns the process port of a task.
func (o *Port) ProcTask2proc(ctx context.Context, task mach.Port) (port mach.Port, err error) {
	err = o.withTask(ctx, task, func(t *Table, p, q *Process) error {
		port, err = t.portOf(q)
		return err
	})
	return port, err
}

// ProcProc2task returns the task of the process.
func (o *Port) ProcProc2task(ctx context.Context) (task mach.Port, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		task, err = o.retain(p.task)
		return err
	})
	return task, err
}

// ProcPid2proc returns the process port of a process to who may control it.
func (o *Port) ProcPid2proc(ctx context.Context, pid int32) (port mach.Port, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		q, err := t.find(pid)
		if err != nil {
			return err
		}
		if !p.mayControl(q) {
			return proto.EPERM
		}
		port, err = t.portOf(q)
		return err
	})
	return port, err
}

// ProcGetprocinfo describes a process.
func (o *Port) ProcGetprocinfo(ctx context.Context, which, flags int32) (got int32, info []int32, waits []byte, err error) {
	var task mach.Port
	err = o.do(ctx, func(t *Table, p *Process) error {
		q := t.byPID[which] // zombies, too
		if q == nil {
			return proto.ESRCH
		}
		info = q.info()
		if task = q.task; task != mach.Null {
			return t.kernel.Retain(task)
		}
		return nil
	})
	if err != nil {
		return 0, nil, nil, err
	}
	var about Info
	if task != mach.Null {
		about, err = o.table.kernel.Info(task, flags)
		o.table.kernel.Release(task)
		if err != nil {
			return 0, nil, nil, proto.ESRCH // it has just ended
		}
	}
	got, info = appendInfo(info, about, flags)
	return got, info, nil, nil
}

// info is the part of procinfo that is from here.
func (p *Process) info() []int32 {
	var s int32
	for _, f := range []struct {
		is  bool
		bit int32
	}{
		{p.state == stopped, proto.PI_STOPPED}, {p.execed, proto.PI_EXECED}, {p.waiting > 0, proto.PI_WAITING},
		{p.group.orphaned(), proto.PI_ORPHAN}, {!p.msgport.Valid(), proto.PI_NOMSG}, {p.group.session.id == p.pid, proto.PI_SESSLD},
		{!p.owned, proto.PI_NOTOWNED}, {!p.claimed, proto.PI_NOPARENT}, {p.state == dead, proto.PI_ZOMBIE},
		{p.traced, proto.PI_TRACED}, {!p.msgportKnown, proto.PI_GETMSG}, {p.login.id == p.pid, proto.PI_LOGINLD},
	} {
		if f.is {
			s |= f.bit
		}
	}
	var status, code int32
	if p.state == dead || p.state == stopped {
		status, code = p.status, p.sigcode
	}
	return []int32{s, p.owner, p.parent.pid, p.group.id, p.group.session.id, p.login.id, status, code}
}

// Sizes of the kernel's structures in words, on i386.
const (
	basicWords       = 22
	eventWords       = 7
	threadBasicWords = 25
	threadSchedWords = 7
	maxInfoThreads   = 1024
)

// appendInfo appends what the kernel says of a task, and returns which of the
// flags are true of it.
func appendInfo(info []int32, about Info, flags int32) (int32, []int32) {
	var got int32
	threads := about.Threads[:min(len(about.Threads), maxInfoThreads)]
	info = append(info, int32(len(threads)))
	fixed := func(w []int32, n int) []int32 {
		return append(w[:min(len(w), n):min(len(w), n)], make([]int32, n-min(len(w), n))...)
	}
	info = append(info, fixed(about.Basic, basicWords)...)
	info = append(info, fixed(about.Events, eventWords)...)
	if about.Basic != nil {
		got |= flags & proto.PI_FETCH_TASKINFO
	}
	if about.Events != nil {
		got |= flags & proto.PI_FETCH_TASKEVENTS
	}
	if about.Basic == nil {
		return got, info // a zombie
	}
	got |= flags & proto.PI_FETCH_THREADS
	if flags&(proto.PI_FETCH_THREAD_BASIC|proto.PI_FETCH_THREAD_SCHED) == 0 {
		return got, info
	}
	got |= flags & (proto.PI_FETCH_THREAD_BASIC | proto.PI_FETCH_THREAD_SCHED)
	for _, th := range threads {
		died := int32(0)
		if th.Basic == nil {
			died = 1
		}
		info = append(info, died, 0)
		info = append(info, fixed(th.Basic, threadBasicWords)...)
		info = append(info, fixed(th.Sched, threadSchedWords)...)
	}
	return got, info
}

// ProcGetprocargs returns the arguments of a process.
func (o *Port) ProcGetprocargs(ctx context.Context, which int32) ([]byte, error) {
	return o.strings(ctx, which, false)
}

// ProcGetprocenv returns the environment of a process to who may control it.
func (o *Port) ProcGetprocenv(ctx context.Context, which int32) ([]byte, error) {
	return o.strings(ctx, which, true)
}

func (o *Port) strings(ctx context.Context, which int32, env bool) ([]byte, error) {
	var q *Process
	err := o.do(ctx, func(t *Table, p *Process) (err error) {
		if q, err = t.find(which); err == nil && env && !p.mayControl(q) {
			err = proto.EPERM
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return o.table.strings(ctx, q, env)
}

// ProcMakeLoginColl begins a login collection.
func (o *Port) ProcMakeLoginColl(ctx context.Context) error {
	return o.do(ctx, func(t *Table, p *Process) error { return t.makeLogin(p) })
}

// ProcGetloginid returns the login collection of a process.
func (o *Port) ProcGetloginid(ctx context.Context, pid int32) (id int32, err error) {
	err = o.do(ctx, func(t *Table, _ *Process) error {
		q, err := t.find(pid)
		if err == nil {
			id = q.login.id
		}
		return err
	})
	return id, err
}

// ProcGetloginpids lists the processes of a login collection.
func (o *Port) ProcGetloginpids(ctx context.Context, id int32) (pids []int32, err error) {
	err = o.do(ctx, func(t *Table, _ *Process) error {
		l := t.logins[id]
		if l == nil {
			return proto.ESRCH
		}
		pids = t.pids(func(q *Process) bool { return q.login == l && q.state < dead })
		return nil
	})
	return pids, err
}

// ProcSetlogin names the login collection. Only root may.
func (o *Port) ProcSetlogin(ctx context.Context, name string) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		if !p.isRoot() {
			return proto.EPERM
		}
		p.login.name = name
		return nil
	})
}

// ProcGetlogin returns the name of the login collection.
func (o *Port) ProcGetlogin(ctx context.Context) (name string, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		name = p.login.name
		return nil
	})
	return name, err
}

// ProcSetsid begins a session.
func (o *Port) ProcSetsid(ctx context.Context) error {
	return o.do(ctx, func(t *Table, p *Process) error { return t.setsid(p) })
}

// ProcGetsid returns the session of a process.
func (o *Port) ProcGetsid(ctx context.Context, pid int32) (sid int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		q, err := t.find(pid)
		if err == nil {
			sid = q.group.session.id
		}
		return err
	})
	return sid, err
}

// ProcGetsessionpgids lists the groups of a session, of the caller's if sid is
// 0.
func (o *Port) ProcGetsessionpgids(ctx context.Context, sid int32) (ids []int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		s, err := t.session(p, sid)
		if err != nil {
			return err
		}
		all := make(map[*group]bool)
		for _, g := range t.groups {
			if g.session == s {
				all[g] = true
			}
		}
		for _, g := range sortedGroups(all) {
			ids = append(ids, g.id)
		}
		return nil
	})
	return ids, err
}

func (t *Table) session(p *Process, sid int32) (*session, error) {
	if sid == 0 {
		return p.group.session, nil
	}
	s := t.sessions[sid]
	if s == nil {
		return nil, proto.ESRCH
	}
	return s, nil
}

// ProcGetsessionpids lists the processes of a session, of the caller's if sid
// is 0.
func (o *Port) ProcGetsessionpids(ctx context.Context, sid int32) (pids []int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		s, err := t.session(p, sid)
		if err == nil {
			pids = t.pids(func(q *Process) bool { return q.group.session == s && q.state < dead })
		}
		return err
	})
	return pids, err
}

// ProcGetsidport returns the identity of the session, a port that does
// nothing.
func (o *Port) ProcGetsidport(ctx context.Context) (port mach.Port, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		s := p.group.session
		for range 2 {
			if s.port == nil {
				var object Object
				gone := func() {
					t.lock()
					defer t.unlock()
					if s.port == object {
						s.port = nil
					}
				}
				if object, err = t.kernel.Export(proto.Handler(), gone); err != nil {
					return err
				}
				s.port = object
			}
			if port, err = s.port.Right(); err == nil {
				return nil
			}
			s.port = nil
		}
		return err
	})
	return port, err
}

// ProcSetpgrp moves the process, or a child, into a group.
func (o *Port) ProcSetpgrp(ctx context.Context, pid, pgrp int32) error {
	return o.do(ctx, func(t *Table, p *Process) error { return t.setpgrp(p, pid, pgrp) })
}

// ProcGetpgrp returns the group of a process, of the caller if pid is 0.
func (o *Port) ProcGetpgrp(ctx context.Context, pid int32) (id int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		if pid != 0 {
			if p, err = t.find(pid); err != nil {
				return err
			}
		}
		id = p.group.id
		return nil
	})
	return id, err
}

// ProcGetpgrppids lists the processes of a group, of the caller's if id is 0.
func (o *Port) ProcGetpgrppids(ctx context.Context, id int32) (pids []int32, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		g := p.group
		if id != 0 {
			if g = t.groups[id]; g == nil {
				return proto.ESRCH
			}
		}
		pids = t.pids(func(q *Process) bool { return q.group == g && q.state < dead })
		return nil
	})
	return pids, err
}

// ProcGetTty is not known here.
func (o *Port) ProcGetTty(context.Context, int32) (mach.Port, error) {
	return mach.Null, proto.EOPNOTSUPP
}

// ProcGetnports counts the ports that a process knows.
func (o *Port) ProcGetnports(ctx context.Context, which int32) (n int32, err error) {
	err = o.onTask(ctx, which, nil, func(task mach.Port) error {
		c, err := o.table.kernel.Ports(task)
		n = int32(c)
		return err
	})
	return n, err
}

// ProcSetInitTask makes a task process 1. Only startup may.
func (o *Port) ProcSetInitTask(ctx context.Context, task mach.Port) error {
	if !task.Valid() {
		return proto.EINVAL
	}
	if err := o.table.kernel.Sync(ctx); err != nil {
		return err
	}
	return o.do(ctx, func(t *Table, p *Process) error {
		if p != t.startup {
			return proto.EPERM
		}
		return t.setTask(t.init, task)
	})
}

// ProcMarkImportant keeps the process alive in a shutdown. Only root may.
func (o *Port) ProcMarkImportant(ctx context.Context) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		if !p.isRoot() {
			return proto.EPERM
		}
		p.important = true
		return nil
	})
}

// ProcIsImportant returns what ProcMarkImportant has set.
func (o *Port) ProcIsImportant(ctx context.Context) (is bool, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		is = p.important
		return nil
	})
	return is, err
}

// ProcSetCode and the like note what exec has loaded.
func (o *Port) ProcSetCode(ctx context.Context, start, end uint64) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.startCode, p.endCode = start, end
		return nil
	})
}

func (o *Port) ProcGetCode(ctx context.Context) (start, end uint64, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		start, end = p.startCode, p.endCode
		return nil
	})
	return start, end, err
}

// ProcMakeTaskNamespace is for Hurds within the Hurd.
func (o *Port) ProcMakeTaskNamespace(context.Context, mach.Port) error { return proto.EOPNOTSUPP }

func (o *Port) ProcSetExe(ctx context.Context, path string) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.exe = path
		return nil
	})
}

func (o *Port) ProcGetExe(ctx context.Context, which int32) (path string, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		q, err := t.find(which)
		if err == nil {
			path = q.exe
		}
		return err
	})
	return path, err
}

func (o *Port) ProcSetEntry(ctx context.Context, entry uint64) error {
	return o.do(ctx, func(t *Table, p *Process) error {
		p.entry = entry
		return nil
	})
}

func (o *Port) ProcGetEntry(ctx context.Context) (entry uint64, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		entry = p.entry
		return nil
	})
	return entry, err
}

// ProcGetchildrenRusage returns what the children used that were waited for.
func (o *Port) ProcGetchildrenRusage(ctx context.Context) (u proto.Rusage, err error) {
	err = o.do(ctx, func(t *Table, p *Process) error {
		u = p.childUsage
		return nil
	})
	return u, err
}
