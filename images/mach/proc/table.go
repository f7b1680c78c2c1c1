// Package proc is the process server: it knows every task of the machine as a
// process with a number, a parent, a group and an owner, tells parents of
// their children's ends, and finds the ports of processes for who may have
// them.
//
// [Table] is what is known; it does nothing by itself and asks a [Kernel] for
// what there is to do, so that it runs on the host. A [Table] answers requests
// at the process ports ([Port]); [Server] connects it to Mach.
//
// Nothing in it waits while the table is locked. Messages to processes are
// sent by goroutines of their own, a bounded number each, and only for as long
// as their queues take them.
//
// The facts are from the reference document hurd-protocol.md: sections 7.1
// (proc), 4.4 to 4.8 (what processes do), 3.7 (the first processes), 2.8
// (exceptions).
package proc

import (
	"context"
	"maps"
	"slices"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds of the table.
const (
	// MaxProcesses bounds the processes, dead ones that nobody has waited
	// for included. Tasks beyond it stay unknown.
	MaxProcesses = 2048
	// maxPID is the last number before they start again.
	maxPID = 29999
	// maxPosts bounds the messages under way to one process.
	maxPosts = 8
	// maxExecNotify bounds the exec servers that want the standard ports.
	maxExecNotify = 8
	// maxVersions bounds the servers that tell their versions.
	maxVersions = 64
	// maxReauths bounds the processes that wait for their new ids.
	maxReauths = 256
	// maxIDs bounds the ids of a process of each kind.
	maxIDs = 256
)

// A Kernel does what the table decides, and tells what it asks. Rights that it
// is given are borrowed.
type Kernel interface {
	// Retain makes one more reference to a send right, Release gives one
	// back, of a send right or a dead name.
	Retain(p mach.Port) error
	Release(p mach.Port)
	// Watch calls f when p dies, unless stop is called before.
	Watch(p mach.Port, f func()) (stop func(), err error)
	// Export makes a port. gone is called when no send right to it is left.
	Export(h mach.Handler, gone func()) (Object, error)

	// Terminate ends a task.
	Terminate(task mach.Port) error
	// Usage returns what a task has used so far.
	Usage(task mach.Port) proto.Rusage
	// Info describes a task and its threads, as far as flags ask for it.
	Info(task mach.Port, flags int32) (Info, error)
	// Ports counts the names of a task.
	Ports(task mach.Port) (int, error)
	// Read reads n bytes of a task's memory. It may wait for a pager.
	Read(task mach.Port, addr uint64, n int) ([]byte, error)
	// StopOthers suspends all threads of a task but one.
	StopOthers(task, thread mach.Port) error
	// CatchExceptions makes exceptions of a task that has no exception port
	// come to the process server.
	CatchExceptions(task mach.Port) error
	// HandleExceptions serves a message port in place of a process that has
	// none to serve it any more: see [proto.ProcHandleExceptions]. It owns
	// both rights if it succeeds.
	HandleExceptions(receive, forward mach.Port, flavor int32, state []int32) error

	// Post sends msg_sig_post and NewIDs msg_proc_newids to a message port,
	// without waiting for an answer, but for room in its queue until ctx
	// ends.
	Post(ctx context.Context, msgport mach.Port, signal, code int32, refport mach.Port) error
	NewIDs(ctx context.Context, msgport, task mach.Port, ppid, pgrp int32, orphaned bool) error
	// SetExecData sends exec_setexecdata likewise.
	SetExecData(ctx context.Context, notify mach.Port, ports []mach.Port, ints []int32) error

	// Sync returns when every task that exists now has been told to
	// [Table.NewTask].
	Sync(ctx context.Context) error
}

// An Object is a port of this server.
type Object interface {
	// Right makes a send right.
	Right() (mach.Port, error)
	// Close destroys the port.
	Close()
}

// Info describes a task as proc_getprocinfo does: words of task_info and
// thread_info.
type Info struct {
	Basic, Events []int32
	Threads       []ThreadInfo
}

// ThreadInfo describes a thread.
type ThreadInfo struct{ Basic, Sched []int32 }

// A Table is the processes of a machine. Create it with [New].
type Table struct {
	kernel Kernel

	// Set before there are requests.
	auth                   mach.Port // this server's own handle
	hostPriv, deviceMaster mach.Port
	kernelVersion          string
	logf                   func(format string, args ...any)

	mu       sync.Mutex
	byPID    map[int32]*Process
	byTask   map[mach.Port]*Process
	groups   map[int32]*group
	sessions map[int32]*session
	logins   map[int32]*login
	next     int32
	init     *Process
	startup  *Process
	effects  []func()
	reauths  int
	posts    sync.WaitGroup

	execPorts []mach.Port
	execInts  []int32
	execTell  []mach.Port
	versions  []string

	readers chan struct{} // of memory of tasks
}

// A Process is a task with a number. Its fields are guarded by the table's
// mutex.
type Process struct {
	table *Table
	pid   int32
	task  mach.Port // a reference of the table's, or null when there is none
	watch func()    // stops watching the task
	port  *Port     // the current process port, if somebody may have it

	parent   *Process
	children map[*Process]struct{}
	claimed  bool // by proc_child, once

	owner      int32
	owned      bool
	uids, gids []int32
	group      *group
	login      *login

	msgport      mach.Port // a reference of the table's
	msgportKnown bool      // not between the start and proc_setmsgport
	msgportWatch func()
	posting      int

	state     state
	execed    bool
	traced    bool
	important bool
	noStop    bool // stopping is not told to the parent
	reading   bool // its arguments are being read

	status, sigcode int32 // of a dead or stopped process, or as it announced
	announced       bool  // proc_mark_exit
	news            bool  // the stop or continuation has not been waited for
	continued       bool
	usage           proto.Rusage // its own, when it has died
	childUsage      proto.Rusage // of children that were waited for

	argv, envp         uint64
	startCode, endCode uint64
	entry              uint64
	exe                string
	waiting            int
	changed            chan struct{} // closed at the next change that somebody may wait for
	handlingExceptions bool
}

type state int

const (
	running state = iota
	stopped
	dead   // a zombie
	reaped // out of the table
)

// New returns a table with the first processes, which have no tasks yet: init
// (1), startup (2), the kernel (3) and proc itself (4).
func New(k Kernel) *Table {
	t := &Table{
		kernel: k,
		byPID:  make(map[int32]*Process), byTask: make(map[mach.Port]*Process),
		groups: make(map[int32]*group), sessions: make(map[int32]*session), logins: make(map[int32]*login),
		next:    5,
		readers: make(chan struct{}, 8),
		logf:    func(string, ...any) {},
	}
	add := func(pid int32, parent *Process) *Process {
		p := t.newProcess(pid, mach.Null)
		p.owned, p.uids, p.gids = true, []int32{0}, []int32{0}
		p.setParent(parent)
		return p
	}
	t.init = add(proto.PIDInit, nil)
	t.init.parent = t.init
	t.init.claimed = true
	l := &login{id: proto.PIDInit, name: "root"}
	t.logins[l.id] = l
	t.init.login = l
	t.newSession(t.init)
	for _, pid := range []int32{proto.PIDStartup, proto.PIDKernel, proto.PIDProc} {
		p := add(pid, t.init)
		p.login = l
		p.join(t.init.group)
	}
	t.startup = t.byPID[proto.PIDStartup]
	t.startup.claimed = true
	return t
}

// lock and unlock guard the table. What is to be done outside is done by
// unlock: see later.
func (t *Table) lock() { t.mu.Lock() }

func (t *Table) unlock() {
	list := t.effects
	t.effects = nil
	t.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// later calls f when the table is unlocked.
func (t *Table) later(f func()) { t.effects = append(t.effects, f) }

func (t *Table) release(p mach.Port) {
	if p != mach.Null {
		t.later(func() { t.kernel.Release(p) })
	}
}

// newProcess enters a process.
func (t *Table) newProcess(pid int32, task mach.Port) *Process {
	p := &Process{table: t, pid: pid, task: task, children: make(map[*Process]struct{}), changed: make(chan struct{})}
	t.byPID[pid] = p
	if task != mach.Null {
		t.byTask[task] = p
	}
	return p
}

// number returns a number that neither a process nor a group, session or
// login collection has.
func (t *Table) number() (int32, bool) {
	for range maxPID {
		n := t.next
		if t.next++; t.next > maxPID {
			t.next = 5
		}
		if t.byPID[n] == nil && t.groups[n] == nil && t.sessions[n] == nil && t.logins[n] == nil {
			return n, true
		}
	}
	return 0, false
}

// NewTask enters a task that has been created by the task parent, or by an
// unknown one. It consumes both rights.
func (t *Table) NewTask(task, parent mach.Port) {
	t.lock()
	defer t.unlock()
	by := t.byTask[parent]
	t.release(parent)
	t.enter(task, by)
}

// enter enters a task, whose right it consumes, unless it is known.
func (t *Table) enter(task mach.Port, by *Process) *Process {
	if !task.Valid() {
		return nil
	}
	if p := t.byTask[task]; p != nil {
		t.release(task)
		return p
	}
	pid, ok := t.number()
	if len(t.byPID) >= MaxProcesses || !ok {
		t.release(task)
		return nil
	}
	p := t.newProcess(pid, task)
	if by == nil {
		by = t.startup
	}
	// Until somebody is its parent it belongs to who made it.
	p.inherit(by)
	p.setParent(t.init)
	t.watch(p)
	return p
}

// watch watches the task of p.
func (t *Table) watch(p *Process) {
	task := p.task
	stop, err := t.kernel.Watch(task, func() { t.taskDied(p, task) })
	if err != nil {
		// It is no task of this machine, or gone.
		t.later(func() { t.taskDied(p, task) })
		stop = func() {}
	}
	p.watch = stop
}

// SetTask gives one of the first processes its task, whose right it consumes.
func (t *Table) SetTask(pid int32, task mach.Port) error {
	t.lock()
	defer t.unlock()
	return t.setTask(t.byPID[pid], task)
}

func (t *Table) setTask(p *Process, task mach.Port) error {
	if p == nil || !task.Valid() {
		return proto.EINVAL
	}
	if p.task != mach.Null {
		return proto.EBUSY
	}
	if q := t.byTask[task]; q != nil {
		// It was entered when it was created.
		if q.claimed && q.parent != t.startup || len(q.children) > 0 {
			return proto.EBUSY
		}
		t.forget(q)
		t.release(task) // q's reference is p's now
	}
	p.task = task
	t.byTask[task] = p
	t.watch(p)
	return nil
}

// forget takes q out of the table as if it had never been, but for its task,
// the reference to which the caller takes over.
func (t *Table) forget(q *Process) {
	if q.watch != nil {
		t.later(q.watch)
		q.watch = nil
	}
	delete(t.byTask, q.task)
	q.task = mach.Null
	t.remove(q)
}

// inherit gives p what a child has of its parent.
func (p *Process) inherit(from *Process) {
	p.owner, p.owned = from.owner, from.owned
	p.uids, p.gids = from.uids, from.gids
	p.login = from.login
	p.join(from.group)
	if p.startCode == 0 && p.endCode == 0 {
		p.startCode, p.endCode = from.startCode, from.endCode
	}
	if p.exe == "" {
		p.exe = from.exe
	}
	if p.entry == 0 {
		p.entry = from.entry
	}
}

func (p *Process) setParent(parent *Process) {
	if p.parent != nil {
		delete(p.parent.children, p)
	}
	p.parent = parent
	if parent != nil {
		parent.children[p] = struct{}{}
	}
}

// change wakes those that wait for a change of p.
func (p *Process) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Process) isRoot() bool { return slices.Contains(p.uids, 0) }

// mayControl reports whether p may have the task and the process port of q.
func (p *Process) mayControl(q *Process) bool {
	return p == q || p.isRoot() || q.owned && slices.Contains(p.uids, q.owner)
}

// child makes the process of a task a child of p, once: proc_child.
func (t *Table) child(p *Process, q *Process) error {
	switch {
	case q == nil || q.state >= dead:
		return proto.ESRCH
	case q.claimed:
		return proto.EBUSY
	}
	for a := p; ; a = a.parent {
		if a == q {
			return proto.EINVAL
		}
		if a.parent == a || a.parent == nil {
			break
		}
	}
	old := q.group
	q.setParent(p)
	q.claimed = true
	q.inherit(p)
	t.checkOrphans(old)
	t.tellIDs(q)
	return nil
}

// taskDied ends the process whose task has died.
func (t *Table) taskDied(p *Process, task mach.Port) {
	t.lock()
	defer t.unlock()
	if p.task != task || p.state >= dead {
		return // it has another one now
	}
	delete(t.byTask, task)
	p.task = mach.Null
	t.release(task)
	p.watch = nil
	t.exit(p)
}

// exit makes p a zombie and tells its parent, or takes it out of the table.
func (t *Table) exit(p *Process) {
	if !p.announced {
		// A task that ends without a word was killed.
		p.status, p.sigcode = proto.SIGKILL, 0
	}
	p.state = dead
	p.news = true
	if o := p.port; o != nil {
		o.close()
	}
	t.dropMsgport(p)
	// Its children are init's now.
	affected := map[*group]bool{p.group: true}
	for _, q := range sorted(p.children) {
		affected[q.group] = true
		q.setParent(t.init)
		switch {
		case q.state != dead:
			t.tellIDs(q)
		case t.init.task == mach.Null:
			t.remove(q)
		default:
			t.tellParent(q)
		}
	}
	if p == t.init {
		// The last one of all: startup sees to it.
		p.state = reaped
		p.change()
		return
	}
	if !p.claimed || p.parent == t.init && t.init.task == mach.Null {
		t.remove(p) // nobody is to wait for it
	} else {
		t.tellParent(p)
	}
	for _, g := range sortedGroups(affected) {
		t.checkOrphans(g)
	}
	p.change()
}

// remove takes p out of the table.
func (t *Table) remove(p *Process) {
	p.state = reaped
	p.setParent(nil)
	delete(t.byPID, p.pid)
	g := p.group
	p.leave()
	if g != nil {
		t.checkOrphans(g)
	}
	p.dropLogin()
	if o := p.port; o != nil {
		o.close()
	}
	p.change()
}

// Codes of SIGCHLD.
const (
	cldExited    = 1
	cldKilled    = 2
	cldDumped    = 3
	cldTrapped   = 4
	cldStopped   = 5
	cldContinued = 6
)

// tellParent wakes the parent of p, whose state has changed, and sends it
// SIGCHLD.
func (t *Table) tellParent(p *Process) {
	parent := p.parent
	if parent == nil || parent == p {
		return
	}
	parent.change()
	code := int32(cldContinued)
	switch {
	case p.state == stopped:
		code = cldStopped
	case p.state != dead:
	case p.status&0x7f == 0:
		code = cldExited
	case p.status&0x80 != 0:
		code = cldDumped
	default:
		code = cldKilled
	}
	t.post(parent, proto.SIGCHLD, code)
}

// post sends p a signal, as far as it can take one.
func (t *Table) post(p *Process, signal, code int32) {
	t.message(p, func(ctx context.Context, msgport, task mach.Port) error {
		return t.kernel.Post(ctx, msgport, signal, code, task)
	})
}

// tellIDs tells p that its parent or group has changed.
func (t *Table) tellIDs(p *Process) {
	ppid, pgrp, orphaned := p.parent.pid, p.group.id, p.group.orphaned()
	t.message(p, func(ctx context.Context, msgport, task mach.Port) error {
		return t.kernel.NewIDs(ctx, msgport, task, ppid, pgrp, orphaned)
	})
}

// message sends something to the message port of p, by a goroutine of its
// own. A process that does not take its messages loses them.
func (t *Table) message(p *Process, send func(ctx context.Context, msgport, task mach.Port) error) {
	if !p.msgport.Valid() || p.task == mach.Null || p.posting >= maxPosts {
		return
	}
	msgport, task := p.msgport, p.task
	if t.kernel.Retain(msgport) != nil {
		return
	}
	if t.kernel.Retain(task) != nil {
		t.release(msgport)
		return
	}
	p.posting++
	t.posts.Add(1)
	t.later(func() {
		go func() {
			defer t.posts.Done()
			ctx, cancel := context.WithTimeout(context.Background(), postTimeout)
			defer cancel()
			_ = send(ctx, msgport, task) // its loss
			t.kernel.Release(msgport)
			t.kernel.Release(task)
			t.lock()
			p.posting--
			t.unlock()
		}()
	})
}

// setMsgport sets the message port of p, whose right it takes over, and
// returns the old one, which is the caller's.
func (t *Table) setMsgport(p *Process, port mach.Port) (old mach.Port) {
	old = p.msgport
	if p.msgportWatch != nil {
		t.later(p.msgportWatch)
		p.msgportWatch = nil
	}
	if !port.Valid() {
		port = mach.Null
	}
	p.msgport, p.msgportKnown = port, true
	if port != mach.Null {
		stop, err := t.kernel.Watch(port, func() { t.msgportDied(p, port) })
		if err == nil {
			p.msgportWatch = stop
		}
	}
	p.change()
	return old
}

func (t *Table) msgportDied(p *Process, port mach.Port) {
	t.lock()
	defer t.unlock()
	if p.msgport == port {
		p.msgportWatch = nil
		t.dropMsgport(p)
	}
}

// dropMsgport forgets the message port of p: it has none until it sets one.
func (t *Table) dropMsgport(p *Process) {
	if p.msgportWatch != nil {
		t.later(p.msgportWatch)
		p.msgportWatch = nil
	}
	t.release(p.msgport)
	p.msgport, p.msgportKnown = mach.Null, false
}

// markStop and markCont note what a process says of itself.
func (t *Table) markStop(p *Process, signal, code int32) {
	p.state, p.news, p.continued = stopped, true, false
	p.status, p.sigcode = signal<<8|0x7f, code
	if !p.parent.noStop {
		t.tellParent(p)
	}
	p.change()
}

func (t *Table) markCont(p *Process) {
	if p.state != stopped {
		return
	}
	p.state, p.news, p.continued = running, true, true
	p.status, p.sigcode = 0xffff, proto.SIGCONT
	t.tellParent(p)
	p.change()
}

// markExit notes what a process says of its end, which is to come; the first
// word counts.
func (t *Table) markExit(p *Process, status, code int32, usage proto.Rusage) error {
	if status&0xff == 0x7f {
		return proto.EINVAL // stopped
	}
	if !p.announced {
		p.announced, p.status, p.sigcode, p.usage = true, status&0xffff, code, usage
	}
	return nil
}

// sorted returns processes by number.
func sorted(set map[*Process]struct{}) []*Process {
	return slices.SortedFunc(maps.Keys(set), func(a, b *Process) int { return int(a.pid - b.pid) })
}

// Dead reports how many processes are known, and how many of them are dead.
func (t *Table) Len() (all, zombies int) {
	t.lock()
	defer t.unlock()
	for _, p := range t.byPID {
		if p.state == dead {
			zombies++
		}
	}
	return len(t.byPID), zombies
}
