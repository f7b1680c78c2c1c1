package proc

import (
	"context"
	"sync"
	"testing"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// world is a machine of portstest with tasks and a process server.
type world struct {
	*portstest.Kernel
	t     *testing.T
	ctx   context.Context
	table *Table

	mu      sync.Mutex
	watches map[mach.Port]map[int]func()
	nextW   int
	sent    []signal
	told    []exec
	ended   []mach.Port // tasks that were terminated
	memory  map[uint64][]byte
	pending []mach.Port // tasks that the table has not been told of
	hold    chan struct{}
	auth    *authority

	startup mach.Port // the process port of startup
	tasks   map[mach.Port]bool
}

type signal struct {
	task         mach.Port
	signal, code int32
}

type exec struct {
	notify mach.Port
	ports  int
}

// authority stands in for auth: it gives everybody the ids it has.
type authority struct {
	proto.UnimplementedAuth
	w       *world
	ids     []int32
	err     error
	newport chan mach.Port
	meet    func() // called before the server is answered
}

func (a *authority) AuthServerAuthenticate(ctx context.Context, rendezvous mach.Port, newport proto.Right) (eu, au, eg, ag []int32, err error) {
	if a.err != nil {
		return nil, nil, nil, nil, a.err
	}
	a.w.Release(rendezvous)
	a.newport <- newport.Port
	if a.meet != nil {
		a.meet()
	}
	return a.ids, nil, a.ids, nil, nil
}

func newWorld(t *testing.T) *world {
	w := &world{Kernel: portstest.New(t, wire.Layout32), t: t, watches: make(map[mach.Port]map[int]func()), tasks: make(map[mach.Port]bool), memory: make(map[uint64][]byte)}
	w.ctx = w.Context(t.Context())
	w.table = New(kernel{w})
	w.auth = &authority{w: w, newport: make(chan mach.Port, 16)}
	w.table.auth = w.NewPort(proto.Handler(w.auth))
	w.table.hostPriv, w.table.deviceMaster = w.NewPort(nil), w.NewPort(nil)
	for _, pid := range []int32{proto.PIDStartup, proto.PIDKernel, proto.PIDProc} {
		task := w.NewPort(nil)
		w.tasks[task] = true
		if err := w.table.SetTask(pid, task); err != nil {
			t.Fatal(err)
		}
	}
	w.table.lock()
	var err error
	w.startup, err = w.table.portOf(w.table.startup)
	w.table.unlock()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// end ends all tasks and checks that nothing is left.
func (w *world) end() {
	w.t.Helper()
	for task := range w.tasks {
		w.die(task)
	}
	w.table.posts.Wait()
	w.Release(w.startup, w.table.auth, w.table.hostPriv, w.table.deviceMaster)
	if list := w.Ports(); len(list) > 0 {
		w.t.Errorf("ports are left: %v", list)
		for _, p := range list {
			w.t.Logf("%v: %d rights", p, w.Rights(p))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watches) > 0 {
		w.t.Errorf("%d ports are still watched", len(w.watches))
	}
}

func (w *world) Retain(p mach.Port) error {
	if w.Rights(p) < 0 {
		return proto.ESRCH
	}
	w.AddRight(p)
	return nil
}

func (w *world) Release(list ...mach.Port) { w.Kernel.Release(list...) }

// kernel is the part of Kernel whose methods portstest's have the names of.
type kernel struct{ *world }

func (w *world) Watch(p mach.Port, f func()) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches[p] == nil {
		w.watches[p] = make(map[int]func())
	}
	w.nextW++
	id := w.nextW
	w.watches[p][id] = f
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.watches[p], id); len(w.watches[p]) == 0 {
			delete(w.watches, p)
		}
	}, nil
}

// die ends a task, or destroys another port.
func (w *world) die(p mach.Port) {
	w.Kill(p)
	w.mu.Lock()
	delete(w.tasks, p)
	list := w.watches[p]
	delete(w.watches, p)
	w.mu.Unlock()
	for _, f := range list {
		f()
	}
}

func (k kernel) Release(p mach.Port) { k.world.Kernel.Release(p) }

func (k kernel) Export(h mach.Handler, gone func()) (Object, error) {
	return k.Kernel.Export(h, ports.Options{Gone: gone})
}

func (k kernel) Terminate(task mach.Port) error {
	k.mu.Lock()
	k.ended = append(k.ended, task)
	k.mu.Unlock()
	k.die(task)
	return nil
}

func (k kernel) Usage(mach.Port) proto.Rusage {
	return proto.Rusage{Utime: proto.Timeval{Sec: 1, Usec: 600000}, Counts: [14]int64{100, 1}}
}

func (k kernel) Info(task mach.Port, flags int32) (Info, error) {
	return Info{Basic: make([]int32, basicWords), Threads: []ThreadInfo{{Basic: []int32{7}}, {}}}, nil
}

func (k kernel) Ports(mach.Port) (int, error) { return 12, nil }

func (k kernel) Read(_ mach.Port, addr uint64, n int) ([]byte, error) {
	if k.hold != nil {
		<-k.hold
	}
	b, ok := k.memory[addr]
	if !ok {
		return nil, mach.KernInvalidAddress
	}
	return b, nil
}

func (k kernel) StopOthers(task, thread mach.Port) error { return nil }
func (k kernel) CatchExceptions(mach.Port) error         { return nil }

func (k kernel) HandleExceptions(receive, forward mach.Port, flavor int32, state []int32) error {
	k.Drop(receive, mach.MoveReceive)
	k.Release(forward)
	return nil
}

func (k kernel) Post(_ context.Context, _ mach.Port, sig, code int32, ref mach.Port) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sent = append(k.sent, signal{ref, sig, code})
	return nil
}

func (k kernel) NewIDs(context.Context, mach.Port, mach.Port, int32, int32, bool) error { return nil }

func (k kernel) SetExecData(_ context.Context, notify mach.Port, ports []mach.Port, ints []int32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = append(k.told, exec{notify, len(ports)})
	return nil
}

func (k kernel) Sync(context.Context) error {
	k.mu.Lock()
	list := k.pending
	k.pending = nil
	k.mu.Unlock()
	for _, task := range list {
		k.table.NewTask(task, mach.Null)
	}
	return nil
}

// signals returns the signals sent so far, and forgets them.
func (w *world) signals() []signal {
	w.table.posts.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.sent
	w.sent = nil
	return list
}

// A process of the test: rights to its task and to its process port.
type process struct {
	task, proc mach.Port
	pid        int32
}

// spawn makes a task as a child of parent, a process port.
func (w *world) spawn(parent mach.Port) process {
	w.t.Helper()
	p := w.task()
	if err := proto.ProcChild(w.ctx, parent, p.task); err != nil {
		w.t.Fatal(err)
	}
	return w.known(p)
}

// task makes a task that nobody claims.
func (w *world) task() process {
	task := w.NewPort(nil)
	w.AddRight(task) // the table's
	w.mu.Lock()
	w.tasks[task] = true
	w.pending = append(w.pending, task)
	w.mu.Unlock()
	return process{task: task}
}

// known asks for the port and the number of a process.
func (w *world) known(p process) process {
	w.t.Helper()
	var err error
	if p.proc, err = proto.ProcTask2proc(w.ctx, w.startup, p.task); err != nil {
		w.t.Fatal(err)
	}
	if p.pid, err = proto.ProcTask2pid(w.ctx, w.startup, p.task); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// listen gives a process a message port.
func (w *world) listen(p process) mach.Port {
	w.t.Helper()
	port := w.NewPort(nil)
	old, err := proto.ProcSetmsgport(w.ctx, p.proc, port)
	if err != nil || old != mach.Null {
		w.t.Fatalf("setmsgport: %v, %v", old, err)
	}
	return port
}

// exits ends a process as one that calls exit does.
func (w *world) exits(p process, code int32) {
	w.t.Helper()
	if err := proto.ProcMarkExit(w.ctx, p.proc, code<<8, 0); err != nil {
		w.t.Fatal(err)
	}
	w.die(p.task)
}
