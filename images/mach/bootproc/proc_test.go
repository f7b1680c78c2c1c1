package proc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"hurdlab/images/mach/ports/portstest"
	"hurdlab/mach"
)

// kernel is a model of tasks.
type kernel struct {
	t          *testing.T
	table      *Table
	x          portstest.Exporter
	released   []mach.Port
	terminated []mach.Port
	signalled  []int
	signalErr  error
	notify     map[mach.Port]mach.Port // where deaths are told
	fail       error
}

func newKernel(t *testing.T) *kernel {
	k := &kernel{t: t, notify: make(map[mach.Port]mach.Port)}
	k.table = NewTable(k, &k.x)
	return k
}

func (k *kernel) Terminate(task mach.Port) error {
	k.terminated = append(k.terminated, task)
	return nil
}

func (k *kernel) NotifyDeath(task, port mach.Port) error {
	k.notify[task] = port
	return k.fail
}

func (k *kernel) SetExceptionPort(mach.Port, mach.Port) error { return nil }

func (k *kernel) Signal(_ context.Context, _, _ mach.Port, sig int) error {
	k.signalled = append(k.signalled, sig)
	return k.signalErr
}

func (k *kernel) Release(p mach.Port) {
	if p.Valid() {
		k.released = append(k.released, p)
	}
}

// die makes a task end.
func (k *kernel) die(task mach.Port) error {
	_, err := k.x.Call(k.t, k.notify[task], int32(mach.NotifyDeadName), func(m *mach.Message) {
		m.SetReply(1, mach.MoveSendOnce) // the way by which the kernel's notifications arrive
		m.PutName(task)
	})
	return err
}

const task mach.Port = 77

func (k *kernel) add() *Process {
	k.t.Helper()
	p, err := k.table.Add(task, []string{"prog", "arg"})
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

func ended(t *testing.T, p *Process, want Status) {
	t.Helper()
	select {
	case <-p.Done():
	default:
		t.Fatal("the process has not ended")
	}
	if got := p.Status(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func markExit(status int32) func(*mach.Message) {
	return func(m *mach.Message) { m.PutInt32(status); m.PutInt32(0) }
}

func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(k *kernel, p *Process)
		want Status
	}{
		"exit":           {func(k *kernel, p *Process) { k.x.Call(k.t, p.Port(), 24025, markExit(42<<8)) }, Status{Code: 42}},
		"exit by signal": {func(k *kernel, p *Process) { k.x.Call(k.t, p.Port(), 24025, markExit(SIGABRT|0x80)) }, Status{Signal: SIGABRT}},
		"nothing said":   {func(*kernel, *Process) {}, Status{Signal: SIGKILL}},
		"SIGKILL":        {func(k *kernel, p *Process) { p.Kill(context.Background(), SIGKILL) }, Status{Signal: SIGKILL}},
		"SIGTERM before it can take it": {func(k *kernel, p *Process) { p.Kill(context.Background(), SIGTERM) },
			Status{Signal: SIGTERM}},
		"exit before the kill": {func(k *kernel, p *Process) {
			k.x.Call(k.t, p.Port(), 24025, markExit(0))
			p.Kill(context.Background(), SIGKILL)
		}, Status{}},
		"exception": {func(k *kernel, p *Process) {
			_, err := k.x.Call(k.t, p.Port(), 2400, exception(task, 1, 1, 0x10))
			if err != mach.KernFailure {
				k.t.Errorf("the thread goes on: %v", err)
			}
		}, Status{Signal: SIGSEGV, Reason: "bad access to address 0x10 (code 1)"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			p := k.add()
			tt.do(k, p)
			port := p.Port()
			if err := k.die(task); err != mach.NoReply {
				t.Errorf("notification: %v", err)
			}
			ended(t, p, tt.want)
			// The reference that the notification brought, and ours; the port.
			slices.Sort(k.released)
			want := []mach.Port{task, task, port}
			if name == "exception" {
				want = []mach.Port{55, task, task, task, port} // what the message had
			}
			slices.Sort(want)
			if !slices.Equal(k.released, want) {
				t.Errorf("released %v, want %v", k.released, want)
			}
			if k.table.Find(p.PID) != nil || len(k.table.List()) != 0 {
				t.Error("the process is still in the table")
			}
		})
	}
}

func exception(task mach.Port, kind, code int32, subcode uint64) func(*mach.Message) {
	return func(m *mach.Message) {
		m.PutRight(55, mach.CopySend) // the thread
		m.PutRight(task, mach.CopySend)
		m.PutInt32(kind)
		m.PutInt32(code)
		m.PutWord(subcode)
	}
}

func TestSignals(t *testing.T) {
	k := newKernel(t)
	p := k.add()
	ctx := context.Background()
	if err := p.Kill(ctx, SIGUSR1); err != nil || len(k.terminated) != 0 {
		t.Errorf("a harmless signal before there is a message port: %v, terminated %v", err, k.terminated)
	}
	m, err := k.x.Call(t, p.Port(), 24013, func(m *mach.Message) { m.PutRight(88, mach.CopySend) })
	if err != nil {
		t.Fatal(err)
	}
	if old := m.TakeSend(); old != mach.Null {
		t.Errorf("old message port %v", old)
	}
	if err := p.Kill(ctx, SIGTERM); err != nil || !slices.Equal(k.signalled, []int{SIGTERM}) || len(k.terminated) != 0 {
		t.Errorf("%v: signalled %v, terminated %v", err, k.signalled, k.terminated)
	}
	eperm := mach.Errno(1)
	k.signalErr = eperm
	if err := p.Kill(ctx, SIGTERM); !errors.Is(err, eperm) || len(k.terminated) != 0 {
		t.Errorf("refused: %v, terminated %v", err, k.terminated)
	}
	// A program that does not know the routine dies of it.
	k.signalErr = mach.MigBadID
	if err := p.Kill(ctx, SIGINT); err != nil || !slices.Equal(k.terminated, []mach.Port{task}) {
		t.Errorf("%v, terminated %v", err, k.terminated)
	}
	k.die(task)
	ended(t, p, Status{Signal: SIGINT})
	if !slices.Contains(k.released, 88) {
		t.Errorf("the message port was not released: %v", k.released)
	}
}

func TestForgeries(t *testing.T) {
	k := newKernel(t)
	p := k.add()
	for name, put := range map[string]func(*mach.Message){
		"by a client":     func(m *mach.Message) { m.SetReply(1, mach.MoveSend); m.PutName(task) },
		"of another task": func(m *mach.Message) { m.SetReply(1, mach.MoveSendOnce); m.PutName(task + 1) },
		"malformed":       func(m *mach.Message) { m.SetReply(1, mach.MoveSendOnce); m.PutInt32(1) },
	} {
		if _, err := k.x.Call(t, p.Port(), int32(mach.NotifyDeadName), put); err != mach.MigBadArguments {
			t.Errorf("death %s: %v", name, err)
		}
	}
	if _, err := k.x.Call(t, p.Port(), 2400, exception(task+1, 1, 1, 0)); err == nil {
		t.Error("an exception of another task was taken")
	}
	select {
	case <-p.Done():
		t.Error("the process has ended")
	default:
	}
	if len(k.terminated) != 0 {
		t.Errorf("terminated %v", k.terminated)
	}
}

func TestRoutines(t *testing.T) {
	k := newKernel(t)
	p := k.add()
	call := func(id int32, put func(*mach.Message)) *mach.Message {
		t.Helper()
		m, err := k.x.Call(t, p.Port(), id, put)
		if err != nil {
			t.Fatalf("%d: %v", id, err)
		}
		return m
	}
	if m := call(24016, nil); m.TakeInt32() != int32(p.PID) || m.TakeInt32() != 1 || m.TakeInt32() != 0 {
		t.Error("proc_getpids")
	}
	if m := call(24030, func(m *mach.Message) { m.PutRight(task, mach.CopySend) }); m.TakeInt32() != int32(p.PID) {
		t.Error("proc_task2pid")
	}
	if m := call(24032, nil); m.TakeSend() != task {
		t.Error("proc_proc2task")
	}
	call(24017, func(m *mach.Message) { m.PutWord(0x1000); m.PutWord(0x2000) })
	if m := call(24018, nil); m.TakeWord() != 0x1000 || m.TakeWord() != 0x2000 {
		t.Error("proc_get_arg_locations")
	}
	if m := call(24005, nil); !slices.Equal(m.TakeInt32s(-1), []int32{int32(p.PID)}) {
		t.Error("proc_getallpids")
	}
	if _, err := k.x.Call(t, p.Port(), 24020, nil); err != mach.MigBadID {
		t.Errorf("a routine that is not there: %v", err)
	}
	if _, err := k.x.Call(t, p.Port(), 24025, nil); err != mach.MigBadArguments {
		t.Errorf("without arguments: %v", err)
	}
}

func TestFull(t *testing.T) {
	k := newKernel(t)
	for i := range MaxProcesses {
		if _, err := k.table.Add(mach.Port(2000+i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.table.Add(task, nil); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(k.released, []mach.Port{task}) {
		t.Errorf("released %v", k.released)
	}
	pid := k.table.List()[3].PID
	k.die(2003)
	if k.table.Find(pid) != nil {
		t.Error("the process is still there")
	}
	p := k.add()
	if p.PID == pid {
		t.Error("the number was used again at once")
	}
}

func TestAddFails(t *testing.T) {
	k := newKernel(t)
	k.fail = mach.KernInvalidName
	if _, err := k.table.Add(task, nil); !errors.Is(err, mach.KernInvalidName) || !strings.Contains(err.Error(), "new process") {
		t.Errorf("got %v", err)
	}
	if len(k.table.List()) != 0 || !slices.Contains(k.released, task) || len(k.released) != 2 {
		t.Errorf("left %v, released %v", k.table.List(), k.released)
	}
}

func TestNames(t *testing.T) {
	if n, ok := SignalNumber("TERM"); !ok || n != SIGTERM || SignalName(n) != "TERM" || SignalName(99) != "99" {
		t.Error(n, ok)
	}
	if _, ok := SignalNumber("SIGTERM"); ok {
		t.Error("SIGTERM is not a name")
	}
}
