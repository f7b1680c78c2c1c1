// Package proc keeps the node's processes: their numbers, their ends, and the
// process port of each, which speaks the part of the Hurd's proc protocol that
// a program needs. In a Hurd this room is the proc server's.
//
// A process here is a task with a number. It ends when its task does: by
// itself (proc_mark_exit, then task_terminate), by Kill, or by an exception
// that it does not handle, which arrives at its process port.
//
// The facts are from the reference document hurd-protocol.md: sections 4.4 and
// 4.5 (what a process does), 7.1 (proc), 7.4 (msg), 2.8 (exceptions).
package proc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports"
	"hurdlab/mach"
)

// MaxProcesses bounds the table: beyond it a program is not started. Fifty
// small programs fill a node of 96 MiB.
const MaxProcesses = 256

// signalTimeout bounds how long a process may take to answer to a signal,
// before it counts as unable to.
const signalTimeout = 2 * time.Second

// Signals by the Hurd's numbers.
const (
	SIGHUP  = 1
	SIGINT  = 2
	SIGQUIT = 3
	SIGILL  = 4
	SIGTRAP = 5
	SIGABRT = 6
	SIGFPE  = 8
	SIGKILL = 9
	SIGBUS  = 10
	SIGSEGV = 11
	SIGPIPE = 13
	SIGALRM = 14
	SIGTERM = 15
	SIGCONT = 19
	SIGUSR1 = 30
	SIGUSR2 = 31
)

var signalNames = map[int]string{
	SIGHUP: "HUP", SIGINT: "INT", SIGQUIT: "QUIT", SIGILL: "ILL", SIGTRAP: "TRAP", SIGABRT: "ABRT", SIGFPE: "FPE",
	SIGKILL: "KILL", SIGBUS: "BUS", SIGSEGV: "SEGV", SIGPIPE: "PIPE", SIGALRM: "ALRM", SIGTERM: "TERM",
	SIGCONT: "CONT", SIGUSR1: "USR1", SIGUSR2: "USR2",
}

// SignalName returns the name of a signal, without SIG.
func SignalName(sig int) string {
	if n, ok := signalNames[sig]; ok {
		return n
	}
	return fmt.Sprint(sig)
}

// SignalNumber returns the number of the signal called name.
func SignalNumber(name string) (sig int, ok bool) {
	for sig, n := range signalNames {
		if n == name {
			return sig, true
		}
	}
	return 0, false
}

// A Status is how a process ended.
type Status struct {
	// Code is the exit status, if Signal is 0.
	Code int
	// Signal is what killed it.
	Signal int
	// Reason explains a death by exception.
	Reason string
}

func (s Status) String() string {
	switch {
	case s.Signal == 0:
		return fmt.Sprintf("exit status %d", s.Code)
	case s.Reason != "":
		return fmt.Sprintf("killed by signal %s: %s", SignalName(s.Signal), s.Reason)
	}
	return "killed by signal " + SignalName(s.Signal)
}

// A Kernel is what the table needs of Mach, besides ports.
type Kernel interface {
	// Terminate ends a task.
	Terminate(task mach.Port) error
	// NotifyDeath sends a dead-name notification to port, a receive right,
	// when task ends.
	NotifyDeath(task, port mach.Port) error
	// SetExceptionPort makes exceptions of task go to port.
	SetExceptionPort(task, port mach.Port) error
	// Signal has the process behind a message port take a signal.
	Signal(ctx context.Context, msgport, task mach.Port, sig int) error
	// Release gives back a send right or a dead name.
	Release(p mach.Port)
}

// Mach is the Kernel that the node runs on.
type Mach struct{}

func (Mach) Terminate(task mach.Port) error { return mach.TaskTerminate(task) }

func (Mach) NotifyDeath(task, port mach.Port) error {
	return mach.RequestNotification(task, mach.NotifyDeadName, 1, port)
}

func (Mach) SetExceptionPort(task, port mach.Port) error {
	return mach.TaskSetSpecialPort(task, mach.TaskExceptionPort, port, mach.CopySend)
}

func (Mach) Signal(ctx context.Context, msgport, task mach.Port, sig int) error {
	const msgSigPost = 23000
	m := mach.NewMessage(msgSigPost)
	m.PutInt32(int32(sig))
	m.PutInt32(0) // code
	m.PutRight(task, mach.CopySend)
	if err := mach.Call(ctx, msgport, m); err != nil {
		return err
	}
	mach.Destroy(m)
	return nil
}

func (Mach) Release(p mach.Port) {
	if p.Valid() {
		// It can be gone already: then there is nothing to give back.
		_ = mach.Deallocate(p)
	}
}

// A Table is the processes of a node.
type Table struct {
	kernel Kernel
	export ports.Exporter

	mu    sync.Mutex
	procs map[int]*Process
	next  int
}

// NewTable returns an empty table.
func NewTable(k Kernel, x ports.Exporter) *Table {
	// The Hurd's own servers have the first numbers.
	return &Table{kernel: k, export: x, procs: make(map[int]*Process), next: 10}
}

// A Process is a task with a number.
type Process struct {
	PID     int
	Args    []string
	Started time.Time

	table *Table
	task  mach.Port // a send right, until done is closed
	port  mach.Port // a send right to the process port, until done is closed
	done  chan struct{}

	mu         sync.Mutex
	status     Status // of done
	reported   bool   // status is known although the task has not ended
	msgport    mach.Port
	argv, envp uint64
}

// ErrTooMany says that the table is full.
var ErrTooMany = errors.New("too many processes")

// Add makes a process of a task that has not run yet. It consumes task, a
// send right, also when it fails.
func (t *Table) Add(task mach.Port, args []string) (*Process, error) {
	p := &Process{Args: args, Started: time.Now(), table: t, task: task, done: make(chan struct{})}
	if err := t.number(p); err != nil {
		t.kernel.Release(task)
		return nil, err
	}
	var err error
	if p.port, err = t.export.Export(p, nil); err == nil {
		err = errors.Join(t.kernel.SetExceptionPort(task, p.port), t.kernel.NotifyDeath(task, p.port))
	}
	if err != nil {
		p.end(Status{Signal: SIGKILL})
		return nil, fmt.Errorf("new process: %w", err)
	}
	return p, nil
}

// number puts p into the table.
func (t *Table) number(p *Process) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.procs) >= MaxProcesses {
		return fmt.Errorf("%w: %d", ErrTooMany, len(t.procs))
	}
	for t.procs[t.next] != nil {
		t.advance()
	}
	p.PID = t.next
	t.procs[p.PID] = p
	t.advance()
	return nil
}

func (t *Table) advance() {
	if t.next++; t.next > 29999 {
		t.next = 10
	}
}

// Find returns the process with a number, or nil.
func (t *Table) Find(pid int) *Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.procs[pid]
}

// List returns the processes by number.
func (t *Table) List() []*Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*Process
	for _, pid := range slices.Sorted(maps.Keys(t.procs)) {
		list = append(list, t.procs[pid])
	}
	return list
}

// Task returns the process's task, borrowed. It is dead when the process has
// ended.
func (p *Process) Task() mach.Port { return p.task }

// Port returns the process port, a send right of the table's, for the program
// to be given a copy.
func (p *Process) Port() mach.Port { return p.port }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status returns how the process ended, once Done is closed.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Kill sends the process a signal. SIGKILL ends it. Others go to the program,
// which may ignore them; a program that cannot take them, because it has not
// come that far or does not answer, is ended by those that would end it.
func (p *Process) Kill(ctx context.Context, sig int) error {
	p.mu.Lock()
	msgport := p.msgport
	p.mu.Unlock()
	if sig != SIGKILL && msgport.Valid() {
		sctx, cancel := context.WithTimeout(ctx, signalTimeout)
		defer cancel()
		err := p.table.kernel.Signal(sctx, msgport, p.task, sig)
		if err == nil || sctx.Err() == nil && !errors.Is(err, mach.MigBadID) && !errors.Is(err, mach.SendInvalidDest) {
			return err
		}
	}
	switch sig {
	case SIGKILL, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGABRT, SIGPIPE, SIGALRM:
	default:
		return nil
	}
	p.report(Status{Signal: sig})
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.table.kernel.Terminate(p.task); err != nil {
		select {
		case <-p.done: // it was quicker
			return nil
		default:
		}
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return nil
}

// report notes how the process is about to end; the first report counts.
func (p *Process) report(s Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reported {
		p.status, p.reported = s, true
	}
}

// end takes the process out of the table: its task has ended.
func (p *Process) end(s Status) {
	p.report(s)
	t := p.table
	t.mu.Lock()
	delete(t.procs, p.PID)
	t.mu.Unlock()
	p.mu.Lock()
	msgport := p.msgport
	p.msgport = mach.Null
	p.mu.Unlock()
	close(p.done)
	t.kernel.Release(msgport)
	t.kernel.Release(p.task)
	t.kernel.Release(p.port) // the last right to it, unless others have copies
}

// Routines of the proc protocol that are served.
const (
	procGetAllPIDs = 24005
	procSetMsgPort = 24013
	procGetPIDs    = 24016
	procSetArgLoc  = 24017
	procGetArgLoc  = 24018
	procMarkExit   = 24025
	procMarkExec   = 24026
	procTask2PID   = 24030
	procProc2Task  = 24032
	procGetSID     = 24043
	procGetPgrp    = 24048
)

// Handle answers at the process port: [mach.Handler].
func (p *Process) Handle(_ context.Context, req, reply *mach.Message) error {
	switch req.ID() {
	case int32(mach.NotifyDeadName):
		return p.died(req)
	case mach.IDException:
		return p.exception(req)
	case procMarkExit:
		return p.markExit(req)
	case procSetMsgPort:
		port := req.TakeSend()
		if err := req.End(); err != nil {
			p.table.kernel.Release(port)
			return mach.MigBadArguments
		}
		p.mu.Lock()
		old := p.msgport
		p.msgport = port
		p.mu.Unlock()
		reply.PutRight(old, mach.MoveSend)
	case procSetArgLoc:
		argv, envp := req.TakeWord(), req.TakeWord()
		if req.Err() != nil {
			return mach.MigBadArguments
		}
		p.mu.Lock()
		p.argv, p.envp = argv, envp
		p.mu.Unlock()
	case procGetArgLoc:
		p.mu.Lock()
		reply.PutWord(p.argv)
		reply.PutWord(p.envp)
		p.mu.Unlock()
	case procGetPIDs:
		reply.PutInt32(int32(p.PID))
		reply.PutInt32(1) // parent: init
		reply.PutInt32(0) // orphaned
	case procTask2PID:
		task := req.TakeSend()
		defer p.table.kernel.Release(task)
		if task != p.task { // one port has one name in a task
			return mach.Errno(3) // ESRCH
		}
		reply.PutInt32(int32(p.PID))
	case procProc2Task:
		reply.PutRight(p.task, mach.CopySend)
	case procGetSID, procGetPgrp:
		pid := req.TakeInt32()
		if pid != 0 && p.table.Find(int(pid)) == nil {
			return mach.Errno(3)
		}
		if pid == 0 {
			pid = int32(p.PID)
		}
		reply.PutInt32(pid)
	case procGetAllPIDs:
		var pids []int32
		for _, q := range p.table.List() {
			pids = append(pids, int32(q.PID))
		}
		reply.PutInt32Array(pids)
	case procMarkExec:
	default:
		return mach.MigBadID
	}
	if req.End() != nil {
		return mach.MigBadArguments
	}
	return nil
}

// died handles the notification that the task has ended.
func (p *Process) died(req *mach.Message) error {
	n, _, err := mach.TakeNotification(req)
	if _, by := req.Local(); err != nil || n.Name != p.task || by != mach.MoveSendOnce {
		return mach.MigBadArguments // somebody made it up
	}
	// A task that ends without a word was killed.
	p.end(Status{Signal: SIGKILL})
	p.table.kernel.Release(n.Name) // the reference that came with it
	return mach.NoReply
}

// markExit notes what the process says of its end, a status as wait returns
// it.
func (p *Process) markExit(req *mach.Message) error {
	status, _ := req.TakeInt32(), req.TakeInt32()
	if req.End() != nil {
		return mach.MigBadArguments
	}
	if sig := int(status & 0x7f); sig != 0 {
		p.report(Status{Signal: sig})
	} else {
		p.report(Status{Code: int(status >> 8 & 0xff)})
	}
	return nil
}

// exception handles what the program did not handle itself: it ends.
func (p *Process) exception(req *mach.Message) error {
	e, err := mach.TakeException(req)
	p.table.kernel.Release(e.Thread)
	p.table.kernel.Release(e.Task)
	if err != nil {
		return mach.MigBadArguments
	}
	if e.Task != p.task {
		return hurdio.EPERM
	}
	p.report(exceptionStatus(e))
	p.table.kernel.Terminate(p.task)
	// Not success: the thread must not go on. By now the task is gone anyway.
	return mach.KernFailure
}

// exceptionStatus translates an exception to the signal that it is.
func exceptionStatus(e mach.Exception) Status {
	switch e.Kind {
	case 1:
		sig := SIGSEGV
		if mach.KernReturn(e.Code) == mach.KernMemoryError {
			sig = SIGBUS
		}
		return Status{Signal: sig, Reason: fmt.Sprintf("bad access to address %#x (code %d)", e.Subcode, e.Code)}
	case 2:
		return Status{Signal: SIGILL, Reason: fmt.Sprintf("bad instruction (code %d)", e.Code)}
	case 3:
		return Status{Signal: SIGFPE, Reason: fmt.Sprintf("arithmetic exception (code %d)", e.Code)}
	case 6:
		return Status{Signal: SIGTRAP, Reason: "breakpoint"}
	}
	return Status{Signal: SIGABRT, Reason: fmt.Sprintf("exception %d (code %d, subcode %#x)", e.Kind, e.Code, e.Subcode)}
}
