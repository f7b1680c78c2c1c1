package startup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// world is a machine with the servers of the start, which say what they hear.
type world struct {
	*portstest.Kernel
	t      *testing.T
	ctx    context.Context
	server *Server
	port   mach.Port // a right to the server's port

	hostPriv, device, task mach.Port

	mu      sync.Mutex
	log     []string
	watches map[mach.Port][]func()
	tasks   map[mach.Port]string // what runs in them
}

func newWorld(t *testing.T) *world {
	w := &world{Kernel: portstest.New(t, wire.Layout32), t: t, watches: make(map[mach.Port][]func()), tasks: make(map[mach.Port]string)}
	w.ctx = w.Context(t.Context())
	w.hostPriv, w.device, w.task = w.NewPort(nil), w.NewPort(nil), w.NewPort(nil)
	var port ports.Port
	w.server = New(w, func() (mach.Port, error) { return port.Right() }, w.hostPriv, w.device, w.task, w.NewPort(proto.Handler(&node{w: w, name: "/"})))
	var err error
	if port, err = w.Export(proto.Handler(w.server), ports.Options{}); err != nil {
		t.Fatal(err)
	}
	if w.port, err = port.Right(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) Watch(p mach.Port, f func()) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches[p] = append(w.watches[p], f)
	return func() {}, nil
}

func (w *world) die(p mach.Port) {
	w.mu.Lock()
	list := w.watches[p]
	delete(w.watches, p)
	w.mu.Unlock()
	for _, f := range list {
		f()
	}
}

func (w *world) Retain(p mach.Port) error { w.AddRight(p); return nil }
func (w *world) Destroy(p mach.Port)      { w.Drop(p, mach.MoveReceive) }
func (w *world) Say(line string)          { w.note("say %s", line) }

func (w *world) Reboot(hostPriv mach.Port, how int32) {
	if hostPriv != w.hostPriv {
		w.t.Errorf("reboot with %v", hostPriv)
	}
	w.note("reboot %d", how)
}

// node is a file or a directory, and its file system.
type node struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	proto.UnimplementedFsys
	w    *world
	name string
}

func (n *node) DirLookup(_ context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	return proto.RetryNormal, "", n.w.NewPort(proto.Handler(&node{w: n.w, name: "/" + name})), nil
}

func (n *node) FileSyncfs(context.Context, int32, int32) error { n.w.note("sync"); return nil }

func (n *node) FileSetTranslator(_ context.Context, passive, active, old int32, _ []byte, control mach.Port) error {
	n.w.note("translator %s", n.name)
	n.w.Release(control)
	return nil
}

func (n *node) IOReauthenticate(_ context.Context, rendezvous mach.Port) error {
	n.w.Release(rendezvous)
	return nil
}

func (n *node) FsysInit(_ context.Context, proc, auth mach.Port) error {
	n.w.note("fsys_init")
	n.w.Release(proc, auth)
	for _, name := range []string{"exec", "rootfs"} {
		go n.w.join(name)
	}
	return nil
}

// join is what the servers do at last.
func (w *world) join(name string) {
	task := w.NewPort(nil)
	w.AddRight(task) // for the watch, which the server keeps
	if err := proto.StartupEssentialTask(w.ctx, w.port, task, mach.Null, name, w.hostPriv); err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
	w.Kill(task)
}

// FileExecPaths starts a server.
func (n *node) FileExecPaths(_ context.Context, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, ports []mach.Port, ints []int32, _, _ []mach.Port) error {
	n.w.note("start %s", path)
	boot := ports[proto.InitPortBootstrap]
	for i, p := range ports {
		if i != proto.InitPortBootstrap {
			n.w.Release(p)
		}
	}
	n.w.Release(fds...)
	n.w.mu.Lock()
	n.w.tasks[task] = path
	n.w.mu.Unlock()
	n.w.Release(task)
	switch path {
	case "/hurd/proc":
		go func() {
			task, auth, hostPriv, device, err := proto.StartupProcinit(n.w.ctx, boot, n.w.NewPort(proto.Handler(&process{w: n.w, name: "startup"})))
			if err != nil || task != n.w.task || hostPriv != n.w.hostPriv || device != n.w.device || auth == mach.Null {
				n.w.t.Errorf("procinit: %v %v %v %v, %v", task, auth, hostPriv, device, err)
			}
			n.w.note("proc is up")
			n.w.join("proc")
		}()
	case "/hurd/auth":
		go func() {
			p, err := proto.StartupAuthinit(n.w.ctx, boot, proto.Move(n.w.NewPort(proto.Handler(&auth{w: n.w}))))
			if err != nil || p == mach.Null {
				n.w.t.Errorf("authinit: %v, %v", p, err)
			}
			n.w.note("auth is up")
			n.w.join("auth")
		}()
	}
	return nil
}

type auth struct {
	proto.UnimplementedAuth
	w *world
}

func (a *auth) AuthMakeauth(_ context.Context, others []mach.Port, eu, au, eg, ag []int32) (mach.Port, error) {
	if len(eu)+len(au)+len(eg)+len(ag) > 0 {
		a.w.t.Errorf("nobody has ids %v %v %v %v", eu, au, eg, ag)
	}
	return a.w.NewPort(proto.Handler(a)), nil
}

func (a *auth) AuthUserAuthenticate(_ context.Context, rendezvous mach.Port) (mach.Port, error) {
	a.w.Release(rendezvous)
	return a.w.NewPort(proto.Handler(&node{w: a.w, name: "nobody's"})), nil
}

type process struct {
	proto.UnimplementedProc
	w    *world
	name string
}

func (p *process) ProcMarkImportant(context.Context) error { return nil }
func (p *process) ProcMarkExec(context.Context) error      { return nil }
func (p *process) ProcSetExe(_ context.Context, path string) error {
	p.w.note("process %s", path)
	return nil
}
func (p *process) ProcChild(_ context.Context, task mach.Port) error { p.w.Release(task); return nil }
func (p *process) ProcTask2proc(_ context.Context, task mach.Port) (mach.Port, error) {
	p.w.Release(task)
	return p.w.NewPort(proto.Handler(&process{w: p.w, name: "?"})), nil
}
func (p *process) ProcRegisterVersion(_ context.Context, credential mach.Port, name, release, version string) error {
	p.w.Release(credential)
	return nil
}
func (p *process) ProcSetexecdata(_ context.Context, ports []mach.Port, ints []int32) error {
	p.w.note("standard ports")
	if len(ports) != proto.InitPortMax || len(ints) != proto.InitIntMax {
		p.w.t.Errorf("standard ports %v, %v", ports, ints)
	}
	p.w.Release(ports...)
	return nil
}
func (p *process) ProcSetInitTask(_ context.Context, task mach.Port) error {
	p.w.note("init is process 1")
	p.w.Release(task)
	return nil
}

// before reports whether a comes before b in the log.
func (w *world) before(a, b string) {
	w.t.Helper()
	i, j := slices.Index(w.log, a), slices.Index(w.log, b)
	if i < 0 || j < 0 || i > j {
		w.t.Errorf("%q does not come before %q in:\n%s", a, b, strings.Join(w.log, "\n"))
	}
}

func (w *world) boot() *Boot {
	return &Boot{
		Server: w.server,
		Launcher: &Launcher{
			Root: w.NewPort(proto.Handler(&node{w: w, name: "/"})), CWD: w.NewPort(proto.Handler(&node{w: w, name: "/"})), Ignored: Ignored,
			NewTask: func() (mach.Port, error) { return w.NewPort(nil), nil }, Terminate: func(mach.Port) error { return nil },
		},
		FS: w.NewPort(proto.Handler(&node{w: w, name: "fs"})), FSTask: w.NewPort(nil),
		Become: func(proc, auth mach.Port) error { w.note("become"); return nil },
		NewRendezvous: func() (proto.Right, func(), error) {
			p := w.NewPort(nil)
			return proto.Copy(p), func() { w.Release(p) }, nil
		},
		Init: []string{"/hurd/init"},
	}
}

// The whole start, with all steps in their order.
func TestBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.boot()
		if err := b.Run(w.ctx); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(w.log, "\n"))
		}
		synctest.Wait()
		for _, pair := range [][2]string{
			{"start /hurd/proc", "proc is up"}, {"start /hurd/auth", "auth is up"},
			{"process /hurd/startup", "process /hurd/rootfs"}, {"process /hurd/auth", "auth is up"},
			{"translator /servers/startup", "auth is up"}, {"become", "fsys_init"},
			{"fsys_init", "standard ports"}, {"standard ports", "init is process 1"}, {"init is process 1", "start /hurd/init"},
		} {
			w.before(pair[0], pair[1])
		}
		// Whoever dies takes the machine along, once.
		w.mu.Lock()
		w.log = nil
		var init mach.Port
		for task, path := range w.tasks {
			if path == "/hurd/init" {
				init = task
			}
		}
		w.mu.Unlock()
		w.die(init)
		synctest.Wait()
		w.die(b.FSTask)
		synctest.Wait()
		if want := []string{"say startup: essential server init has died; the machine restarts", "reboot 0"}; !slices.Equal(w.log, want) {
			t.Errorf("after the end of init: %q", w.log)
		}
	})
}

func TestEssential(t *testing.T) {
	w := newWorld(t)
	task, stranger := w.NewPort(nil), w.NewPort(nil)
	for _, tc := range []struct {
		name       string
		task, cred mach.Port
		want       error
	}{
		{"no credential", task, stranger, proto.EPERM},
		{"null credential", task, mach.Null, proto.EPERM},
		{"no task", mach.Null, w.hostPriv, proto.EINVAL},
		{"a server", task, w.hostPriv, nil},
	} {
		if err := proto.StartupEssentialTask(w.ctx, w.port, tc.task, mach.Null, "x", tc.cred); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if n := w.Rights(w.hostPriv); n != 1 {
		t.Errorf("%d rights to the privileged port are left", n)
	}
	for i := range maxEssential - 1 {
		if err := proto.StartupEssentialTask(w.ctx, w.port, task, mach.Null, fmt.Sprint(i), w.hostPriv); err != nil {
			t.Fatal(err)
		}
	}
	if err := proto.StartupEssentialTask(w.ctx, w.port, task, mach.Null, "too many", w.hostPriv); !errors.Is(err, proto.EAGAIN) {
		t.Errorf("too many: %v", err)
	}
}

// late is a server that wants to know of the end.
type late struct {
	proto.UnimplementedStartupNotify
	w    *world
	name string
	err  error
}

func (l *late) StartupDosync(context.Context) error {
	l.w.note("dosync %s", l.name)
	return l.err
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	var list []mach.Port
	for i, name := range []string{"a", "b", "c", "d"} {
		l := &late{w: w, name: name}
		if i == 1 {
			l.err = proto.EIO
		}
		p := w.NewPort(proto.Handler(l))
		list = append(list, p)
		if err := proto.StartupRequestNotification(w.ctx, w.port, proto.Copy(p), name); err != nil {
			t.Fatal(err)
		}
	}
	w.die(list[2])
	if n := w.Rights(list[2]); n != 1 {
		t.Errorf("%d rights to one that has died", n)
	}
	if err := proto.StartupReboot(w.ctx, w.port, w.task, proto.RB_HALT); !errors.Is(err, proto.EPERM) || len(w.log) > 0 {
		t.Errorf("without permission: %v, %q", err, w.log)
	}
	if err := proto.StartupReboot(w.ctx, w.port, w.hostPriv, proto.RB_HALT); err != nil {
		t.Error(err)
	}
	want := []string{"dosync d", "dosync b", "say startup: b at shutdown: startup_dosync: Hurd error 5", "dosync a", "sync", "reboot 8"}
	if len(w.log) > 2 {
		want[2] = w.log[2] // its words do not matter
	}
	if !slices.Equal(w.log, want) {
		t.Errorf("shutdown: %q, want %q", w.log, want)
	}
	if err := proto.StartupReboot(w.ctx, w.port, w.hostPriv, proto.RB_HALT); !errors.Is(err, proto.EBUSY) {
		t.Errorf("again: %v", err)
	}
}

// Only the first proc and auth are taken.
func TestImpostors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.NewPort(nil)
		go proto.StartupAuthinit(w.ctx, w.port, proto.Copy(p))
		go proto.StartupProcinit(w.ctx, w.port, p)
		synctest.Wait()
		n := w.Rights(p)
		if _, err := proto.StartupAuthinit(w.ctx, w.port, proto.Copy(p)); !errors.Is(err, proto.EPERM) {
			t.Errorf("a second auth: %v", err)
		}
		if _, _, _, _, err := proto.StartupProcinit(w.ctx, w.port, p); !errors.Is(err, proto.EPERM) {
			t.Errorf("a second proc: %v", err)
		}
		if got := w.Rights(p); got != n {
			t.Errorf("%d rights are left of those refused", got-n)
		}
		file, err := func() (mach.Port, error) {
			retry, name, file, err := proto.FsysGetroot(w.ctx, w.port, proto.Copy(p), nil, nil, 0)
			if retry != proto.RetryNormal || name != "" {
				t.Errorf("getroot: %d, %q", retry, name)
			}
			return file, err
		}()
		if err != nil || file != w.port {
			t.Errorf("getroot: %v, %v; want %v", file, err, w.port)
		}
		w.server.Introduce(p)
		synctest.Wait()
	})
}

func TestArgBlock(t *testing.T) {
	const at = 0x1000
	block := argBlock(at, []string{"/hurd/x", "", "-a"})
	want := "\x10\x10\x00\x00\x18\x10\x00\x00\x19\x10\x00\x00\x00\x00\x00\x00/hurd/x\x00\x00-a\x00"
	if string(block) != want {
		t.Errorf("%q, want %q", block, want)
	}
}
