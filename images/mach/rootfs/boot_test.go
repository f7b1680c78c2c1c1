package rootfs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/memfs"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A world is the other side of a system's start: kernel, exec server, startup,
// proc.
type world struct {
	t    *testing.T
	k    *portstest.Kernel
	ctx  context.Context
	boot *Boot

	execTask, execBoot       mach.Port
	hostPriv, master, self   mach.Port
	task                     mach.Port // startup's
	log                      []string
	files, init              []mach.Port // what startup is started with
	become                   map[int]mach.Port
	execControl, startupPort mach.Port
	fail                     string
	servers                  sync.WaitGroup // their goroutines: a test waits for them at its end
}

func (w *world) say(s string) error {
	w.log = append(w.log, s)
	if s == w.fail {
		return proto.EIO
	}
	return nil
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, k: portstest.New(t, wire.Layout32), become: map[int]mach.Port{}}
	w.ctx = w.k.Context(t.Context())
	for _, p := range []*mach.Port{&w.execTask, &w.hostPriv, &w.master, &w.self, &w.task} {
		*p = w.k.NewPort(nil)
	}
	devices := MemoryDevices()
	devices[DevConsole] = devices[DevNull]
	tree := New(Config{MaxBytes: 1 << 20, MaxInodes: 100, Ports: w.k, Devices: devices, rights: &countRights{}})
	if err := tree.MakeDevices(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"servers/exec", "servers/startup", "hurd/startup"} {
		dir, name, _ := strings.Cut(p, "/")
		root := tree.files.Root()
		d, err := root.Create(dir, memfs.Attr{Mode: proto.S_IFDIR | 0o755})
		if err != nil {
			d, _ = root.Lookup(dir)
		}
		if _, err := d.Create(name, memfs.Attr{Mode: proto.S_IFREG | 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := translator.NewFS(translator.Config{Root: tree.Root(), Name: "/hurd/rootfs", System: true, Ports: w.k, FSID: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.boot = &Boot{FS: fs, Ports: w.k, Task: w, HostPriv: w.hostPriv, DeviceMaster: w.master, Self: w.self, ExecTask: w.execTask, Startup: "hurd/startup"}
	return w
}

func (w *world) Create() (mach.Port, error) {
	w.k.AddRight(w.task)
	return w.task, w.say("create")
}

func (w *world) SetBootstrap(task, p mach.Port) error {
	w.k.AddRight(p)
	w.execBoot = p
	return w.say("bootstrap")
}

// Resume starts the exec server.
func (w *world) Resume(mach.Port) error {
	if err := w.say("resume"); err != nil {
		return err
	}
	w.servers.Go(func() {
		_, _, _, _, _, flags, _, _, files, init, _, err := proto.ExecStartupGetInfo(w.ctx, w.execBoot)
		if err != nil || flags != proto.EXEC_STACK_ARGS || len(files) != 3 || len(init) != proto.InitPortMax ||
			init[proto.InitPortRoot] != init[proto.InitPortCWD] || init[proto.InitPortBootstrap] != w.execBoot {
			w.t.Errorf("exec's ports: %v %v %#x %v", files, init, flags, err)
		}
		w.k.Release(files...)
		w.k.Release(init...)
		w.execControl = w.k.NewPort(proto.Handler(&execServer{w: w}))
		node, err := proto.FsysStartup(w.ctx, w.execBoot, 0, proto.Copy(w.execControl))
		if err != nil || !node.Valid() {
			w.t.Errorf("fsys_startup: %v %v", node, err)
		}
		if _, err := proto.FsysStartup(w.ctx, w.execBoot, 0, proto.Copy(w.execControl)); !errors.Is(err, proto.EBUSY) {
			w.t.Error("fsys_startup twice")
		}
		w.k.Release(node)
	})
	return nil
}

func (w *world) Copy(p mach.Port) error { w.k.AddRight(p); return nil }

func (w *world) Become(i int, p mach.Port) error {
	w.become[i] = p
	return w.say("become")
}

// An execServer is exec: its control and its file port.
type execServer struct {
	proto.UnimplementedFsys
	proto.UnimplementedExec
	w *world
}

func (x *execServer) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	if err := x.w.say("getroot"); err != nil {
		return 0, "", mach.Null, err
	}
	if !slices.Contains(uids, 0) {
		x.w.t.Errorf("exec's root for %v", uids)
	}
	x.w.k.Release(dotdot)
	return proto.RetryNormal, "", x.w.k.NewPort(proto.Handler(x)), nil
}

// ExecExec starts startup.
func (x *execServer) ExecExec(ctx context.Context, file, task mach.Port, flags int32, argv, envp []byte, files, init []mach.Port, ints []int32, _, _ []mach.Port) error {
	w := x.w
	if err := w.say("exec " + string(argv)); err != nil {
		return err
	}
	if task != w.task || len(files) != 3 || init[proto.InitPortAuth].Valid() || init[proto.InitPortProc].Valid() || !init[proto.InitPortRoot].Valid() {
		w.t.Errorf("startup gets %v %v", files, init)
	}
	w.k.Release(file, task)
	w.servers.Go(func() { w.startup(files, init) })
	return nil
}

func (x *execServer) ExecInit(ctx context.Context, auth, proc mach.Port) error {
	x.w.k.Release(auth, proc)
	return x.w.say("exec_init")
}

func (w *world) startup(files, init []mach.Port) {
	boot, root := init[proto.InitPortBootstrap], init[proto.InitPortRoot]
	host, master, task, err := proto.FsysGetpriv(w.ctx, boot)
	if err != nil || host != w.hostPriv || master != w.master || task != w.self {
		w.t.Errorf("fsys_getpriv: %v %v %v %v", host, master, task, err)
	}
	w.k.Release(host, master, task)
	for _, p := range []mach.Port{root, files[0], w.execBoot} {
		if _, _, _, err := proto.FsysGetpriv(w.ctx, p); err == nil {
			w.t.Errorf("port %v gives away the privileged ports", p)
		}
		if err := proto.FsysInit(w.ctx, p, proto.Copy(root), root); err == nil {
			w.t.Errorf("port %v takes fsys_init", p)
		}
	}
	_, _, node, err := proto.DirLookup(w.ctx, root, "servers/startup", proto.O_NOTRANS, 0)
	if err == nil {
		w.startupPort = w.k.NewPort(proto.Handler(&startupServer{w: w}))
		err = proto.FileSetTranslator(w.ctx, node, 0, proto.FS_TRANS_SET, 0, nil, proto.Copy(w.startupPort))
	}
	if err != nil {
		w.t.Errorf("/servers/startup: %v", err)
	}
	if err := proto.FsysInit(w.ctx, boot, proto.Copy(mach.Null), root); !errors.Is(err, proto.EINVAL) {
		w.t.Errorf("fsys_init without proc: %v", err)
	}
	proc, auth := w.k.NewPort(proto.Handler(&procServer{w: w})), w.k.NewPort(nil)
	if err := proto.FsysInit(w.ctx, boot, proto.Copy(proc), auth); err != nil {
		w.t.Errorf("fsys_init: %v", err)
	}
	if err := proto.FsysInit(w.ctx, boot, proto.Copy(proc), auth); !errors.Is(err, proto.EBUSY) {
		w.t.Errorf("fsys_init again: %v", err)
	}
	w.k.Release(node, proc, auth)
	w.k.Release(files...)
	w.k.Release(init...)
}

type procServer struct {
	proto.UnimplementedProc
	w *world
}

func (p *procServer) ProcChild(_ context.Context, task mach.Port) error {
	if task != p.w.execTask {
		p.w.t.Error("another task is a child")
	}
	p.w.k.Release(task)
	return p.w.say("proc_child")
}

func (p *procServer) ProcTask2proc(_ context.Context, task mach.Port) (mach.Port, error) {
	p.w.k.Release(task)
	return p.w.k.NewPort(proto.Handler(p)), p.w.say("task2proc")
}

func (p *procServer) ProcMarkExec(context.Context) error { return p.w.say("mark_exec") }

func (p *procServer) ProcSetExe(_ context.Context, path string) error {
	return p.w.say("exe " + path)
}

func (p *procServer) ProcRegisterVersion(_ context.Context, cred mach.Port, name, release, version string) error {
	if cred != p.w.hostPriv {
		p.w.t.Error("another credential")
	}
	p.w.k.Release(cred)
	return p.w.say("version " + name)
}

type startupServer struct {
	proto.UnimplementedFsys
	proto.UnimplementedStartup
	w *world
}

func (s *startupServer) FsysGetroot(_ context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	s.w.k.Release(dotdot)
	s.w.k.AddRight(s.w.startupPort)
	return proto.RetryNormal, "", s.w.startupPort, nil
}

func (s *startupServer) StartupEssentialTask(_ context.Context, task, excpt mach.Port, name string, cred mach.Port) error {
	if task != s.w.self || cred != s.w.hostPriv {
		s.w.t.Error("another task or credential")
	}
	s.w.k.Release(task, excpt, cred)
	return s.w.say("essential " + name)
}

func TestBoot(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	err := w.boot.Run(ctx)
	w.servers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	want := "bootstrap; resume; getroot; create; exec /hurd/startup\x00; proc_child; task2proc; mark_exec; exe /hurd/exec; exec_init; become; become; become; become; version rootfs; essential rootfs"
	if got := strings.Join(w.log, "; "); got != want {
		t.Errorf("steps: %q", got)
	}
	for _, p := range []mach.Port{w.hostPriv, w.master, w.self, w.execTask} {
		if n := w.k.Rights(p); n != 1 {
			t.Errorf("%d rights to port %v", n, p)
		}
	}
	if len(w.become) != 4 {
		t.Errorf("initial ports: %v", w.become)
	}
}

// TestBootFails: when a step fails, the start ends with its error.
func TestBootFails(t *testing.T) {
	for _, step := range []string{"bootstrap", "resume", "getroot", "create", "exec /hurd/startup\x00", "proc_child", "task2proc", "mark_exec", "exe /hurd/exec", "exec_init", "become", "version rootfs", "essential rootfs"} {
		w := newWorld(t)
		w.fail = step
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		if err := w.boot.Run(ctx); !errors.Is(err, proto.EIO) {
			t.Errorf("%s fails: %v", step, err)
		}
		w.servers.Wait()
		cancel()
	}
	// An exec server that does not answer.
	w := newWorld(t)
	ctx, cancel := context.WithCancelCause(w.ctx)
	w.fail = "none"
	w.boot.Task = mute{w}
	cancel(proto.EINTR)
	if err := w.boot.Run(ctx); !errors.Is(err, proto.EINTR) {
		t.Error(err)
	}
}

type mute struct{ *world }

func (mute) Resume(mach.Port) error { return nil }
