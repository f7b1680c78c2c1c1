package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

func TestFirstProcesses(t *testing.T) {
	w := newWorld(t)
	for _, pid := range []int32{proto.PIDStartup, proto.PIDKernel, proto.PIDProc} {
		task, err := proto.ProcPid2task(w.ctx, w.startup, pid)
		if err != nil {
			t.Errorf("task of %d: %v", pid, err)
		}
		w.Release(task)
	}
	if _, err := proto.ProcPid2task(w.ctx, w.startup, proto.PIDInit); !errors.Is(err, proto.ESRCH) {
		t.Errorf("task of init before there is one: %v", err)
	}
	init := w.task()
	if err := proto.ProcSetInitTask(w.ctx, w.startup, init.task); err != nil {
		t.Fatal(err)
	}
	if init = w.known(init); init.pid != proto.PIDInit {
		t.Errorf("init is process %d", init.pid)
	}
	if err := proto.ProcSetInitTask(w.ctx, w.startup, init.task); !errors.Is(err, proto.EBUSY) {
		t.Errorf("a second init: %v", err)
	}
	if err := proto.ProcSetInitTask(w.ctx, init.proc, init.task); !errors.Is(err, proto.EPERM) {
		t.Errorf("init made by init: %v", err)
	}
	pids, err := proto.ProcGetallpids(w.ctx, init.proc)
	if err != nil || !slices.Equal(pids, []int32{1, 2, 3, 4}) {
		t.Errorf("processes %v, %v", pids, err)
	}
	hostPriv, device, err := proto.ProcGetprivports(w.ctx, init.proc)
	if err != nil || hostPriv != w.table.hostPriv || device != w.table.deviceMaster {
		t.Errorf("privileged ports %v, %v, %v", hostPriv, device, err)
	}
	w.Release(hostPriv, device, init.task, init.proc)
	w.end()
}

func TestWait(t *testing.T) {
	w := newWorld(t)
	p := w.spawn(w.startup)
	w.listen(p)
	if _, _, _, _, err := proto.ProcWait(w.ctx, p.proc, -1, 0); !errors.Is(err, proto.ECHILD) {
		t.Errorf("wait without children: %v", err)
	}
	a, b := w.spawn(p.proc), w.spawn(p.proc)
	if err := proto.ProcChild(w.ctx, w.startup, a.task); !errors.Is(err, proto.EBUSY) {
		t.Errorf("a second parent: %v", err)
	}
	if err := proto.ProcChild(w.ctx, p.proc, w.NewPort(nil)); !errors.Is(err, proto.ESRCH) {
		t.Errorf("a port that is no task: %v", err)
	}
	if _, _, _, pid, err := proto.ProcWait(w.ctx, p.proc, -1, proto.WNOHANG); err != nil || pid != 0 {
		t.Errorf("nothing has happened: %d, %v", pid, err)
	}
	w.exits(b, 3)
	if got := w.signals(); !slices.Equal(got, []signal{{p.task, proto.SIGCHLD, cldExited}}) {
		t.Errorf("signals %v", got)
	}
	if _, _, _, _, err := proto.ProcWait(w.ctx, p.proc, a.pid, proto.WNOHANG); err != nil {
		t.Errorf("wait for the other: %v", err)
	}
	for range 2 {
		status, _, u, pid, err := proto.ProcWaitid(w.ctx, p.proc, -1, proto.WEXITED|proto.WNOWAIT)
		if err != nil || status != 3<<8 || pid != b.pid || u.Utime.Sec != 1 {
			t.Errorf("look: %#x, %d, %+v, %v", status, pid, u, err)
		}
	}
	if _, info, _, err := proto.ProcGetprocinfo(w.ctx, p.proc, b.pid, 0); err != nil || info[0]&proto.PI_ZOMBIE == 0 {
		t.Errorf("a zombie: %v, %v", info, err)
	}
	if status, _, _, pid, err := proto.ProcWait(w.ctx, p.proc, b.pid, 0); err != nil || status != 3<<8 || pid != b.pid {
		t.Errorf("wait: %#x, %d, %v", status, pid, err)
	}
	if _, _, _, _, err := proto.ProcWait(w.ctx, p.proc, b.pid, 0); !errors.Is(err, proto.ECHILD) {
		t.Errorf("wait again: %v", err)
	}
	w.die(a.task) // without a word
	if status, _, _, pid, err := proto.ProcWait(w.ctx, p.proc, 0, 0); err != nil || status != proto.SIGKILL || pid != a.pid {
		t.Errorf("a killed one: %#x, %d, %v", status, pid, err)
	}
	u, err := proto.ProcGetchildrenRusage(w.ctx, p.proc)
	if err != nil || u.Utime != (proto.Timeval{Sec: 1, Usec: 600000}) || u.Counts[0] != 100 {
		t.Errorf("children used %+v, %v", u, err)
	}
	if _, _, _, _, err := proto.ProcWaitid(w.ctx, p.proc, -1, proto.WNOHANG); !errors.Is(err, proto.EINVAL) {
		t.Errorf("waitid for nothing: %v", err)
	}
	for _, q := range []process{a, b} {
		if _, _, _, err := proto.ProcGetpids(w.ctx, q.proc); !errors.Is(err, mach.SendInvalidDest) {
			t.Errorf("the port of a process that is gone: %v", err)
		}
	}
	w.signals()
	w.die(p.task)
	w.killOwn()
	w.end()
}

// killOwn destroys the ports that a test has made.
func (w *world) killOwn() {
	for _, p := range w.Ports() {
		if w.Rights(p) > 0 && p != w.startup && p != w.table.auth && p != w.table.hostPriv && p != w.table.deviceMaster && !w.tasks[p] {
			w.Kill(p)
			w.mu.Lock()
			f := w.watches[p]
			delete(w.watches, p)
			w.mu.Unlock()
			for _, f := range f {
				f()
			}
		}
	}
}

// A parent that waits hears of the end, of a stop and of a continuation.
func TestWaitBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.spawn(w.startup)
		c := w.spawn(p.proc)
		type result struct {
			status, pid int32
			err         error
		}
		wait := func(ctx context.Context, options int32) <-chan result {
			c := make(chan result, 1)
			go func() {
				status, _, _, pid, err := proto.ProcWait(ctx, p.proc, -1, options)
				c <- result{status, pid, err}
			}()
			synctest.Wait()
			return c
		}
		stops := wait(w.ctx, proto.WUNTRACED|proto.WCONTINUED)
		if err := proto.ProcMarkStop(w.ctx, c.proc, proto.SIGTSTP, 0); err != nil {
			t.Fatal(err)
		}
		if r := <-stops; r.err != nil || r.status != proto.SIGTSTP<<8|0x7f || r.pid != c.pid {
			t.Errorf("stop: %+v", r)
		}
		continues := wait(w.ctx, proto.WUNTRACED|proto.WCONTINUED)
		select {
		case r := <-continues:
			t.Errorf("the stop was told twice: %+v", r)
		default:
		}
		if err := proto.ProcMarkCont(w.ctx, c.proc); err != nil {
			t.Fatal(err)
		}
		if r := <-continues; r.err != nil || r.status != 0xffff {
			t.Errorf("continuation: %+v", r)
		}
		ctx, cancel := context.WithCancel(w.ctx)
		interrupted := wait(ctx, 0)
		cancel()
		if r := <-interrupted; !errors.Is(r.err, proto.EINTR) {
			t.Errorf("interrupted: %+v", r)
		}
		end := wait(w.ctx, 0)
		w.exits(c, 1)
		if r := <-end; r.err != nil || r.status != 1<<8 {
			t.Errorf("end: %+v", r)
		}
		// Two wait for one child: one of them gets it.
		c = w.spawn(p.proc)
		one, two := wait(w.ctx, 0), wait(w.ctx, 0)
		w.exits(c, 2)
		r1, r2 := <-one, <-two
		if r1.err != nil {
			r1, r2 = r2, r1
		}
		if r1.err != nil || r1.pid != c.pid || !errors.Is(r2.err, proto.ECHILD) {
			t.Errorf("two waits: %+v, %+v", r1, r2)
		}
		w.die(p.task)
		w.killOwn()
		w.end()
	})
}

func TestMessagePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.spawn(w.startup)
		type result struct {
			port mach.Port
			err  error
		}
		get := func(pid int32) <-chan result {
			c := make(chan result, 1)
			go func() {
				port, err := proto.ProcGetmsgport(w.ctx, w.startup, pid)
				c <- result{port, err}
			}()
			synctest.Wait()
			return c
		}
		early := get(p.pid)
		select {
		case r := <-early:
			t.Fatalf("a port before there is one: %+v", r)
		default:
		}
		port := w.listen(p)
		r := <-early
		if r.err != nil || r.port != port {
			t.Errorf("message port %+v, want %v", r, port)
		}
		w.Release(r.port)
		// Set again, then another one.
		old, err := proto.ProcSetmsgport(w.ctx, p.proc, port)
		if err != nil || old != port {
			t.Errorf("set again: %v, %v", old, err)
		}
		w.Release(old)
		port2 := w.NewPort(nil)
		if old, err = proto.ProcSetmsgport(w.ctx, p.proc, port2); err != nil || old != port {
			t.Errorf("set another: %v, %v", old, err)
		}
		w.Release(old)
		if n := w.Rights(port); n != 1 {
			t.Errorf("%d rights to the old port", n)
		}
		w.die(port2) // as in exec
		late := get(p.pid)
		w.die(p.task)
		if r := <-late; !errors.Is(r.err, proto.ESRCH) {
			t.Errorf("a process that ends without: %+v", r)
		}
		if r := <-get(12345); !errors.Is(r.err, proto.ESRCH) {
			t.Errorf("no such process: %+v", r)
		}
		w.killOwn()
		w.end()
	})
}

// user makes p one of a user, as login does.
func (w *world) user(p process, uid ...int32) process {
	w.t.Helper()
	rendezvous := w.NewPort(nil)
	w.auth.ids = uid
	if err := proto.ProcReauthenticate(w.ctx, p.proc, proto.Copy(rendezvous)); err != nil {
		w.t.Fatal(err)
	}
	old := p.proc
	p.proc = <-w.auth.newport
	w.Release(rendezvous)
	if err := proto.ProcReauthenticateComplete(w.ctx, p.proc); err != nil {
		w.t.Fatal(err)
	}
	if _, _, _, err := proto.ProcGetpids(w.ctx, old); !errors.Is(err, mach.SendInvalidDest) {
		w.t.Errorf("the port that others may have still works: %v", err)
	}
	return p
}

// One user cannot get at another's processes.
func TestPermissions(t *testing.T) { synctest.Test(t, testPermissions) }

func testPermissions(t *testing.T) {
	w := newWorld(t)
	root := w.spawn(w.startup)
	alice, bob, nobody := w.user(w.spawn(w.startup), 1000), w.user(w.spawn(w.startup), 1001), w.user(w.spawn(w.startup))
	for _, tc := range []struct {
		who, whom process
		ok        bool
	}{
		{alice, alice, true}, {alice, bob, false}, {alice, root, false}, {alice, nobody, false},
		{root, alice, true}, {nobody, alice, false}, {nobody, nobody, true}, {root, nobody, true},
	} {
		task, err := proto.ProcPid2task(w.ctx, tc.who.proc, tc.whom.pid)
		if (err == nil) != tc.ok || !tc.ok && !errors.Is(err, proto.EPERM) {
			t.Errorf("task of %d for %d: %v", tc.whom.pid, tc.who.pid, err)
		}
		port, err := proto.ProcPid2proc(w.ctx, tc.who.proc, tc.whom.pid)
		if (err == nil) != tc.ok || !tc.ok && !errors.Is(err, proto.EPERM) {
			t.Errorf("port of %d for %d: %v", tc.whom.pid, tc.who.pid, err)
		}
		if _, err := proto.ProcGetprocenv(w.ctx, tc.who.proc, tc.whom.pid); (err == nil) != tc.ok {
			t.Errorf("environment of %d for %d: %v", tc.whom.pid, tc.who.pid, err)
		}
		w.Release(task, port)
	}
	for name, err := range map[string]error{
		"privports": second(proto.ProcGetprivports(w.ctx, alice.proc)), "setlogin": proto.ProcSetlogin(w.ctx, alice.proc, "root"),
		"important": proto.ProcMarkImportant(w.ctx, alice.proc), "setexecdata": proto.ProcSetexecdata(w.ctx, alice.proc, make([]mach.Port, 6), make([]int32, 5)),
		"execdata_notify": proto.ProcExecdataNotify(w.ctx, alice.proc, proto.Copy(alice.task)),
		"version":         proto.ProcRegisterVersion(w.ctx, alice.proc, alice.task, "x", "", "y"),
	} {
		if !errors.Is(err, proto.EPERM) {
			t.Errorf("%s by a user: %v", name, err)
		}
	}
	// Children are of the same user.
	child := w.spawn(alice.proc)
	if task, err := proto.ProcPid2task(w.ctx, bob.proc, child.pid); !errors.Is(err, proto.EPERM) {
		t.Errorf("a child's task: %v, %v", task, err)
	}
	w.auth.err = proto.EINVAL
	rendezvous := w.NewPort(nil)
	n := len(w.Ports())
	proto.ProcReauthenticate(w.ctx, alice.proc, proto.Copy(rendezvous))
	synctest.Wait()
	if got := len(w.Ports()); got != n || w.Rights(rendezvous) != 1 {
		t.Errorf("a reauthentication that failed left %d ports, %d rights", got-n, w.Rights(rendezvous))
	}
	if pid, _, _, err := proto.ProcGetpids(w.ctx, alice.proc); err != nil || pid != alice.pid {
		t.Errorf("after a reauthentication that failed: %d, %v", pid, err)
	}
	w.Release(rendezvous)
	for _, p := range []process{root, alice, bob, nobody, child} {
		w.die(p.task)
	}
	w.killOwn()
	w.end()
}

// A client that gives back its old port as soon as it has the new one, which
// interrupts what runs at the old one, has a new one that works.
func TestReauthenticateInterrupted(t *testing.T) {
	w := newWorld(t)
	p := w.spawn(w.startup)
	rendezvous := w.NewPort(nil)
	ctx, cancel := context.WithCancel(w.ctx)
	w.auth.ids = []int32{1000}
	w.auth.meet = func() {
		w.Release(p.proc)
		cancel()
	}
	if err := proto.ProcReauthenticate(ctx, p.proc, proto.Copy(rendezvous)); err != nil {
		t.Fatal(err)
	}
	port := <-w.auth.newport
	if pid, _, _, err := proto.ProcGetpids(w.ctx, port); err != nil || pid != p.pid {
		t.Errorf("the new port: process %d, %v; want %d", pid, err, p.pid)
	}
	if _, _, err := proto.ProcGetprivports(w.ctx, port); !errors.Is(err, proto.EPERM) {
		t.Errorf("it is still root's: %v", err)
	}
	w.Release(rendezvous)
	w.die(p.task)
	w.killOwn()
	w.end()
}

func second(_, _ mach.Port, err error) error { return err }

// exec of a privileged program: the process goes on in a new task, the old
// port is no good, and the old task ends.
func TestReassign(t *testing.T) {
	w := newWorld(t)
	parent := w.spawn(w.startup)
	p := w.user(w.spawn(parent.proc), 1000)
	w.listen(p)
	q := w.task()
	rendezvous := w.NewPort(nil)
	w.auth.ids = []int32{0}
	if err := proto.ProcReauthenticateReassign(w.ctx, p.proc, proto.Copy(rendezvous), q.task); err != nil {
		t.Fatal(err)
	}
	proc := <-w.auth.newport
	if pid, err := proto.ProcTask2pid(w.ctx, w.startup, q.task); err != nil || pid != p.pid {
		t.Errorf("the new task is process %d, %v; want %d", pid, err, p.pid)
	}
	if !slices.Contains(w.ended, p.task) {
		t.Error("the old task goes on")
	}
	if _, _, _, err := proto.ProcGetpids(w.ctx, p.proc); !errors.Is(err, mach.SendInvalidDest) {
		t.Errorf("the old port: %v", err)
	}
	if h, d, err := proto.ProcGetprivports(w.ctx, proc); err != nil {
		t.Errorf("the new port is not root's: %v", err)
	} else {
		w.Release(h, d)
	}
	if _, _, _, pid, err := proto.ProcWait(w.ctx, parent.proc, -1, proto.WNOHANG); err != nil || pid != 0 {
		t.Errorf("its end was told: %d, %v", pid, err)
	}
	// A task that is somebody's child cannot be taken.
	victim := w.spawn(parent.proc)
	r := process{q.task, proc, p.pid}
	if err := proto.ProcReassign(w.ctx, r.proc, victim.task); !errors.Is(err, proto.EBUSY) {
		t.Errorf("another's task: %v", err)
	}
	w.exits(r, 4)
	if status, _, _, pid, err := proto.ProcWait(w.ctx, parent.proc, p.pid, 0); err != nil || status != 4<<8 || pid != p.pid {
		t.Errorf("wait: %#x, %d, %v", status, pid, err)
	}
	for _, x := range []process{victim, parent} {
		w.die(x.task)
	}
	w.killOwn()
	w.end()
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	shell := w.spawn(w.startup)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(proto.ProcSetsid(w.ctx, shell.proc))
	if err := proto.ProcSetsid(w.ctx, shell.proc); !errors.Is(err, proto.EPERM) {
		t.Errorf("a leader begins a session: %v", err)
	}
	a, b := w.spawn(shell.proc), w.spawn(shell.proc)
	if id, err := proto.ProcGetpgrp(w.ctx, a.proc, 0); err != nil || id != shell.pid {
		t.Errorf("a child's group: %d, %v", id, err)
	}
	must(proto.ProcSetpgrp(w.ctx, shell.proc, a.pid, 0))
	must(proto.ProcSetpgrp(w.ctx, shell.proc, b.pid, a.pid))
	if pids, err := proto.ProcGetpgrppids(w.ctx, shell.proc, a.pid); err != nil || !slices.Equal(pids, []int32{a.pid, b.pid}) {
		t.Errorf("members %v, %v", pids, err)
	}
	for _, tc := range []struct {
		name      string
		proc      mach.Port
		pid, pgrp int32
		want      error
	}{
		{"the leader of the session", shell.proc, 0, 0, proto.EPERM},
		{"a group of another session", a.proc, 0, proto.PIDInit, proto.EPERM},
		{"a group that is not", a.proc, 0, 4711, proto.EPERM},
		{"no child", a.proc, b.pid, 0, proto.ESRCH},
		{"nobody", a.proc, 4711, 0, proto.ESRCH},
		{"a negative group", a.proc, 0, -1, proto.EINVAL},
	} {
		if err := proto.ProcSetpgrp(w.ctx, tc.proc, tc.pid, tc.pgrp); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	must(proto.ProcMarkExec(w.ctx, b.proc))
	if err := proto.ProcSetpgrp(w.ctx, shell.proc, b.pid, b.pid); !errors.Is(err, proto.EACCES) {
		t.Errorf("a child that runs its program: %v", err)
	}
	if ids, err := proto.ProcGetsessionpgids(w.ctx, a.proc, 0); err != nil || !slices.Equal(ids, []int32{shell.pid, a.pid}) {
		t.Errorf("groups %v, %v", ids, err)
	}
	if pids, err := proto.ProcGetsessionpids(w.ctx, a.proc, shell.pid); err != nil || !slices.Equal(pids, []int32{shell.pid, a.pid, b.pid}) {
		t.Errorf("session %v, %v", pids, err)
	}
	s1, err := proto.ProcGetsidport(w.ctx, a.proc)
	must(err)
	s2, err := proto.ProcGetsidport(w.ctx, shell.proc)
	must(err)
	if s1 != s2 {
		t.Error("two identities of one session")
	}
	w.Release(s1, s2)

	// The shell ends while its job is stopped: nobody could continue it.
	w.listen(a)
	w.listen(b)
	must(proto.ProcMarkStop(w.ctx, a.proc, proto.SIGTSTP, 0))
	w.signals()
	w.exits(shell, 0)
	got := make(map[signal]int)
	for _, s := range w.signals() {
		got[s]++
	}
	want := map[signal]int{{a.task, proto.SIGHUP, 0}: 1, {a.task, proto.SIGCONT, 0}: 1, {b.task, proto.SIGHUP, 0}: 1, {b.task, proto.SIGCONT, 0}: 1}
	if !maps.Equal(got, want) {
		t.Errorf("signals %v, want %v", got, want)
	}
	if _, ppid, orphaned, err := proto.ProcGetpids(w.ctx, a.proc); err != nil || ppid != proto.PIDInit || orphaned != 1 {
		t.Errorf("orphan: parent %d, orphaned %d, %v", ppid, orphaned, err)
	}
	w.die(a.task)
	w.die(b.task)
	w.table.posts.Wait()
	w.killOwn()
	w.end()
	if len(w.table.groups) > 2 || len(w.table.sessions) > 1 {
		t.Errorf("%d groups, %d sessions are left", len(w.table.groups), len(w.table.sessions))
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	p := w.spawn(w.startup)
	if err := proto.ProcMakeLoginColl(w.ctx, p.proc); err != nil {
		t.Fatal(err)
	}
	if err := proto.ProcMakeLoginColl(w.ctx, p.proc); !errors.Is(err, proto.EBUSY) {
		t.Errorf("twice: %v", err)
	}
	if err := proto.ProcSetlogin(w.ctx, p.proc, "user"); err != nil {
		t.Fatal(err)
	}
	q := w.spawn(p.proc)
	if name, err := proto.ProcGetlogin(w.ctx, q.proc); err != nil || name != "user" {
		t.Errorf("login %q, %v", name, err)
	}
	if id, err := proto.ProcGetloginid(w.ctx, p.proc, q.pid); err != nil || id != p.pid {
		t.Errorf("login collection %d, %v", id, err)
	}
	if pids, err := proto.ProcGetloginpids(w.ctx, p.proc, p.pid); err != nil || !slices.Equal(pids, []int32{p.pid, q.pid}) {
		t.Errorf("members %v, %v", pids, err)
	}
	w.die(q.task)
	w.die(p.task)
	w.killOwn()
	w.end()
	if len(w.table.logins) != 1 {
		t.Errorf("%d login collections are left", len(w.table.logins))
	}
}

func TestExecData(t *testing.T) {
	w := newWorld(t)
	notify, dir := w.NewPort(nil), w.NewPort(nil)
	if err := proto.ProcExecdataNotify(w.ctx, w.startup, proto.Copy(notify)); err != nil {
		t.Fatal(err)
	}
	if err := proto.ProcSetexecdata(w.ctx, w.startup, []mach.Port{dir}, nil); !errors.Is(err, proto.EINVAL) {
		t.Errorf("too few: %v", err)
	}
	for range 2 {
		if err := proto.ProcSetexecdata(w.ctx, w.startup, []mach.Port{dir, dir, 0, 0, 0, 0}, make([]int32, 5)); err != nil {
			t.Fatal(err)
		}
	}
	w.table.posts.Wait()
	if len(w.told) != 2 || w.told[0] != (exec{notify, 6}) {
		t.Errorf("told %v", w.told)
	}
	if n := w.Rights(dir); n != 3 {
		t.Errorf("%d rights to a standard port, want 3", n)
	}
	list, ints, err := proto.ProcGetexecdata(w.ctx, w.startup)
	if err != nil || len(list) != 6 || list[0] != dir || len(ints) != 5 {
		t.Errorf("%v, %v, %v", list, ints, err)
	}
	w.Release(list...)
	w.killOwn()
	w.end()
}

// put puts a vector of strings into the memory of every task.
func (w *world) put(addr uint64, list ...string) {
	b := make([]byte, 4*pageSize)
	at := uint64(2 * pageSize)
	for i, s := range list {
		binary.LittleEndian.PutUint32(b[4*i+pageSize-8:], uint32(addr-(pageSize-8)+at))
		at += uint64(copy(b[at:], s)) + 1
	}
	for i := range uint64(4) {
		w.memory[addr-(pageSize-8)+i*pageSize] = b[i*pageSize : (i+1)*pageSize]
	}
}

func TestArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.spawn(w.startup)
		if b, err := proto.ProcGetprocargs(w.ctx, w.startup, p.pid); err != nil || len(b) != 0 {
			t.Errorf("before anything is known: %q, %v", b, err)
		}
		if err := proto.ProcSetExe(w.ctx, p.proc, "/bin/ls"); err != nil {
			t.Fatal(err)
		}
		if b, err := proto.ProcGetprocargs(w.ctx, w.startup, p.pid); err != nil || string(b) != "/bin/ls\x00" {
			t.Errorf("before it has started: %q, %v", b, err)
		}
		const vector = 0x1000000 + pageSize - 8 // so that it is in two pages
		long := strings.Repeat("x", pageSize)
		w.put(vector, "ls", "-l", long)
		if err := proto.ProcSetArgLocations(w.ctx, p.proc, vector, 4); err != nil {
			t.Fatal(err)
		}
		if b, err := proto.ProcGetprocargs(w.ctx, w.startup, p.pid); err != nil || string(b) != "ls\x00-l\x00"+long+"\x00" {
			t.Errorf("arguments %.20q..., %v", b, err)
		}
		if _, err := proto.ProcGetprocenv(w.ctx, w.startup, p.pid); !errors.Is(err, proto.EFAULT) {
			t.Errorf("environment at an address that is not: %v", err)
		}
		// Memory that does not come: the answer does.
		w.hold = make(chan struct{})
		if _, err := proto.ProcGetprocargs(w.ctx, w.startup, p.pid); !errors.Is(err, proto.ETIMEDOUT) {
			t.Errorf("memory that does not come: %v", err)
		}
		if _, err := proto.ProcGetprocargs(w.ctx, w.startup, p.pid); !errors.Is(err, proto.EBUSY) {
			t.Errorf("and again: %v", err)
		}
		close(w.hold)
		synctest.Wait()
		w.hold = nil
		if _, err := proto.ProcGetprocargs(w.ctx, w.startup, p.pid); err != nil {
			t.Errorf("when it has come: %v", err)
		}
		w.die(p.task)
		w.killOwn()
		w.end()
	})
}

// Whatever a task says about where its arguments are, the answer has a bound.
func FuzzReadStrings(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0, 'a', 0, 0, 0}, uint64(0))
	f.Add([]byte{0, 0, 0, 0}, uint64(0))
	f.Add(make([]byte, 9000), uint64(4090))
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		got, _ := readStrings(func(at uint64, n int) ([]byte, error) {
			if at >= uint64(len(b)) {
				return nil, mach.KernInvalidAddress
			}
			page := make([]byte, n)
			copy(page, b[at:])
			return page, nil
		}, addr)
		if len(got) > maxArgBytes || len(got) > 0 && got[len(got)-1] != 0 {
			t.Errorf("%d bytes, the last of them %d", len(got), got[len(got)-1])
		}
	})
}

func TestException(t *testing.T) {
	w := newWorld(t)
	parent := w.spawn(w.startup)
	p := w.spawn(parent.proc)
	w.table.Exception(mach.Exception{Task: p.task, Kind: 1, Code: int(mach.KernInvalidAddress), Subcode: 8})
	if status, _, _, _, err := proto.ProcWait(w.ctx, parent.proc, -1, 0); err != nil || status != proto.SIGSEGV {
		t.Errorf("status %#x, %v", status, err)
	}
	w.table.Exception(mach.Exception{Task: w.table.hostPriv}) // no task
	w.die(parent.task)
	w.killOwn()
	w.end()
}

func TestProcInfo(t *testing.T) {
	w := newWorld(t)
	p := w.spawn(w.startup)
	got, info, _, err := proto.ProcGetprocinfo(w.ctx, w.startup, p.pid, proto.PI_FETCH_TASKINFO|proto.PI_FETCH_THREADS|proto.PI_FETCH_THREAD_BASIC|proto.PI_FETCH_THREAD_WAITS)
	if err != nil {
		t.Fatal(err)
	}
	if got&proto.PI_FETCH_THREAD_WAITS != 0 || got&proto.PI_FETCH_THREAD_BASIC == 0 {
		t.Errorf("flags %#x", got)
	}
	if want := 9 + basicWords + eventWords + 2*(2+threadBasicWords+threadSchedWords); len(info) != want {
		t.Fatalf("%d words, want %d", len(info), want)
	}
	if info[2] != proto.PIDStartup || info[8] != 2 || info[9+basicWords+eventWords+2] != 7 {
		t.Errorf("info %v", info)
	}
	w.die(p.task)
	w.killOwn()
	w.end()
}

// The table has a bound, and tasks beyond it are just not known.
func TestFull(t *testing.T) {
	w := newWorld(t)
	var list []process
	for range MaxProcesses - 4 {
		list = append(list, w.task())
	}
	kernel{w}.Sync(w.ctx)
	extra := w.task()
	if _, err := proto.ProcTask2pid(w.ctx, w.startup, extra.task); !errors.Is(err, proto.ESRCH) {
		t.Errorf("one too many: %v", err)
	}
	w.die(list[0].task)
	last := w.task()
	if _, err := proto.ProcTask2pid(w.ctx, w.startup, last.task); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	w.Release(extra.task)
	delete(w.tasks, extra.task)
	w.end()
}

// Property: whatever happens in whatever order, numbers are unique, every end
// of a child is told exactly once, to its parent or after that one's end to
// init, and no right is left.
func TestHistory(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { history(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func history(t *testing.T, rng *rand.Rand) {
	w := newWorld(t)
	init := w.task()
	if err := proto.ProcSetInitTask(w.ctx, w.startup, init.task); err != nil {
		t.Fatal(err)
	}
	init = w.known(init)
	alive := []process{init}
	parent := make(map[int32]int32) // of those not waited for
	status := make(map[int32]int32) // of the dead ones
	reap := func(p process) {
		st, _, _, pid, err := proto.ProcWait(w.ctx, p.proc, -1, proto.WNOHANG)
		var mine []int32
		children := 0
		if p == init {
			children++ // startup
		}
		for c, by := range parent {
			if by == p.pid {
				children++
				if _, dead := status[c]; dead {
					mine = append(mine, c)
				}
			}
		}
		slices.Sort(mine)
		switch {
		case children == 0:
			if !errors.Is(err, proto.ECHILD) {
				t.Fatalf("process %d has no children: %d, %v", p.pid, pid, err)
			}
		case len(mine) == 0:
			if err != nil || pid != 0 {
				t.Fatalf("no child of %d has ended: %d, %v", p.pid, pid, err)
			}
		default:
			if err != nil || pid != mine[0] || st != status[pid] {
				t.Fatalf("process %d waits: %d with %#x, %v; ended are %v", p.pid, pid, st, err, mine)
			}
			delete(parent, pid)
			delete(status, pid)
		}
	}
	for range 300 {
		i := rng.IntN(len(alive))
		p := alive[i]
		switch rng.IntN(8) {
		case 0, 1, 2:
			c := w.spawn(p.proc)
			if _, taken := parent[c.pid]; taken || slices.ContainsFunc(alive, func(q process) bool { return q.pid == c.pid }) {
				t.Fatalf("number %d is given twice", c.pid)
			}
			parent[c.pid] = p.pid
			alive = append(alive, c)
		case 3:
			proto.ProcSetsid(w.ctx, p.proc)
		case 4:
			q := alive[rng.IntN(len(alive))]
			proto.ProcSetpgrp(w.ctx, p.proc, q.pid, alive[rng.IntN(len(alive))].pid)
		case 5, 6:
			reap(p)
		case 7:
			if p == init {
				continue
			}
			code := rng.Int32N(256)
			if rng.IntN(2) == 0 {
				w.exits(p, code)
				status[p.pid] = code << 8
			} else {
				w.die(p.task)
				status[p.pid] = proto.SIGKILL
			}
			w.Release(p.proc)
			alive = slices.Delete(alive, i, i+1)
			for c, by := range parent {
				if by == p.pid {
					parent[c] = init.pid
				}
			}
		}
	}
	for len(alive) > 1 {
		p := alive[1]
		w.die(p.task)
		status[p.pid] = proto.SIGKILL
		w.Release(p.proc)
		alive = slices.Delete(alive, 1, 2)
		for c, by := range parent {
			if by == p.pid {
				parent[c] = init.pid
			}
		}
	}
	for len(status) > 0 {
		reap(init)
	}
	if all, zombies := w.table.Len(); all != 4 || zombies != 0 {
		t.Errorf("%d processes are left, %d of them dead", all, zombies)
	}
	if len(w.table.groups) > 1 || len(w.table.sessions) > 1 {
		t.Errorf("%d groups, %d sessions are left", len(w.table.groups), len(w.table.sessions))
	}
	w.Release(init.proc)
	w.end()
}
