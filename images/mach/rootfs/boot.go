package rootfs

import (
	"context"
	"fmt"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// Name is what the root file system is called among the essential servers.
// Startup knows a root file system by the last two letters.
const Name = "rootfs"

// A Task is what the start of a system needs of the kernel.
type Task interface {
	// Create makes a task, suspended or without threads.
	Create() (mach.Port, error)
	// SetBootstrap gives a task its bootstrap port, a right that is borrowed.
	SetBootstrap(task, p mach.Port) error
	Resume(task mach.Port) error
	// Copy makes another send right of one.
	Copy(p mach.Port) error
	// Become makes p the initial port i of this program.
	Become(i int, p mach.Port) error
}

// A Boot is the part of a system's start that is the root file system's:
// hurd-protocol.md 3.7, whose steps the numbers in comments are.
type Boot struct {
	FS    *translator.FS
	Ports ports.Exporter
	Task  Task
	// HostPriv, DeviceMaster and Self are the privileged ports and this task;
	// ExecTask is the task of the exec server, which has not run yet. All are
	// this program's.
	HostPriv, DeviceMaster, Self, ExecTask mach.Port
	// Startup is the path of the startup server's program.
	Startup string

	exec    mach.Port // the exec server's file port
	control chan mach.Port
	inited  chan struct{}
	// These have a value when fsys_startup, or fsys_init, has been called.
	startOnce, initOnce chan struct{}
	proc                mach.Port
	auth                mach.Port
}

// Run starts the exec server and then the startup server, and returns when the
// system stands as far as the root file system is concerned: when it is an
// ordinary process and essential.
func (b *Boot) Run(ctx context.Context) error {
	b.control, b.inited = make(chan mach.Port, 1), make(chan struct{})
	b.startOnce, b.initOnce = make(chan struct{}, 1), make(chan struct{}, 1)
	if err := b.startExec(ctx); err != nil {
		return fmt.Errorf("start the exec server: %w", err)
	}
	if err := b.startStartup(ctx); err != nil {
		return fmt.Errorf("start %s: %w", b.Startup, err)
	}
	select {
	case <-b.inited: // 15
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := b.introduce(ctx); err != nil {
		return fmt.Errorf("introduce the exec server: %w", err)
	}
	if err := b.join(ctx); err != nil {
		return fmt.Errorf("become essential: %w", err)
	}
	return nil
}

// bootPort makes a port for a server that is started here.
func (b *Boot) bootPort(h mach.Handler) (mach.Port, error) {
	return ports.ExportRight(b.Ports, h, ports.Options{})
}

// open opens a file as root.
func (b *Boot) open(ctx context.Context, path string, flags int32) (mach.Port, error) {
	p, err := b.FS.Open(ctx, translator.Root(), path, flags, 0o644, mach.Null)
	if err != nil {
		return mach.Null, fmt.Errorf("open %s: %w", path, err)
	}
	return p, nil
}

// environment returns the ports that the first servers start with: three of
// the console, and those of a process without proc and auth servers.
func (b *Boot) environment(ctx context.Context, boot mach.Port) (files, init []mach.Port, err error) {
	console, err := b.open(ctx, "dev/console", proto.O_RDWR)
	if err != nil {
		return nil, nil, err
	}
	root, err := b.open(ctx, "", proto.O_READ)
	if err != nil {
		b.Ports.Release(console)
		return nil, nil, err
	}
	init = make([]mach.Port, proto.InitPortMax)
	init[proto.InitPortCWD], init[proto.InitPortRoot], init[proto.InitPortBootstrap] = root, root, boot
	return []mach.Port{console, console, console}, init, nil
}

// startExec does steps 2 to 5.
func (b *Boot) startExec(ctx context.Context) error {
	h := &execBoot{boot: b}
	right, err := b.bootPort(proto.Handler(h))
	if err != nil {
		return err
	}
	defer b.Ports.Release(right)
	h.port = right
	if err := b.Task.SetBootstrap(b.ExecTask, right); err != nil {
		return err
	}
	if err := b.Task.Resume(b.ExecTask); err != nil {
		return err
	}
	var control mach.Port
	select {
	case control = <-b.control:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer b.Ports.Release(control)
	root, err := b.open(ctx, "", proto.O_READ)
	if err != nil {
		return err
	}
	defer b.Ports.Release(root)
	ids := []int32{0, 0, 0}
	retry, name, file, err := proto.FsysGetroot(ctx, control, proto.Copy(root), ids, ids, 0)
	if err != nil {
		return err
	}
	if retry != proto.RetryNormal || name != "" || !file.Valid() {
		b.Ports.Release(file)
		return fmt.Errorf("it says to look elsewhere, for %q: %w", name, proto.EGRATUITOUS)
	}
	b.exec = file
	node, err := b.open(ctx, "servers/exec", proto.O_NOTRANS)
	if err != nil {
		return err
	}
	defer b.Ports.Release(node)
	return proto.FileSetTranslator(ctx, node, 0, proto.FS_TRANS_SET, 0, nil, proto.Copy(control))
}

// An execBoot is the bootstrap port of the exec server. The kernel has loaded
// it: its arguments are on its stack.
type execBoot struct {
	proto.UnimplementedExecStartup
	proto.UnimplementedFsys
	boot *Boot
	port mach.Port
}

// ExecStartupGetInfo gives it its ports.
func (h *execBoot) ExecStartupGetInfo(ctx context.Context) (entry, phdr, phdrSize, stack, stackSize uint64, flags int32,
	argv, envp []byte, files, init []mach.Port, ints []int32, err error) {
	b := h.boot
	files, init, err = b.environment(ctx, h.port)
	if err != nil {
		return
	}
	// Each right in the answer is given away.
	for _, p := range []mach.Port{files[0], files[0], init[proto.InitPortRoot], h.port} {
		if err = b.Task.Copy(p); err != nil {
			return
		}
	}
	return 0, 0, 0, 0, 0, proto.EXEC_STACK_ARGS, nil, nil, files, init, nil, nil
}

// FsysStartup is step 3.
func (h *execBoot) FsysStartup(ctx context.Context, _ int32, control mach.Port) (mach.Port, error) {
	select {
	case h.boot.startOnce <- struct{}{}:
	default:
		return mach.Null, proto.EBUSY
	}
	node, err := h.boot.open(ctx, "servers/exec", proto.O_NOTRANS)
	if err != nil {
		return mach.Null, err
	}
	h.boot.control <- control
	return node, nil
}

// startStartup does step 6.
func (b *Boot) startStartup(ctx context.Context) error {
	right, err := b.bootPort(proto.Handler(&startupBoot{boot: b}))
	if err != nil {
		return err
	}
	defer b.Ports.Release(right)
	file, err := b.open(ctx, b.Startup, proto.O_READ|proto.O_EXEC)
	if err != nil {
		return err
	}
	defer b.Ports.Release(file)
	files, init, err := b.environment(ctx, right)
	if err != nil {
		return err
	}
	defer b.Ports.Release(files[0], init[proto.InitPortRoot])
	task, err := b.Task.Create()
	if err != nil {
		return err
	}
	defer b.Ports.Release(task)
	argv := append([]byte("/"+b.Startup), 0)
	return proto.ExecExec(ctx, b.exec, proto.Copy(file), task, 0, argv, nil, files, init, nil, nil, nil)
}

// A startupBoot is the bootstrap port of the startup server. Only there are
// the privileged ports given out.
type startupBoot struct {
	proto.UnimplementedFsys
	boot *Boot
}

// FsysGetpriv is step 7.
func (h *startupBoot) FsysGetpriv(context.Context) (hostPriv, deviceMaster, task mach.Port, err error) {
	b := h.boot
	for i, p := range []mach.Port{b.HostPriv, b.DeviceMaster, b.Self} {
		if err := b.Task.Copy(p); err != nil {
			b.Ports.Release([]mach.Port{b.HostPriv, b.DeviceMaster}[:i]...)
			return 0, 0, 0, err
		}
	}
	return b.HostPriv, b.DeviceMaster, b.Self, nil
}

// FsysInit is step 15. What follows from it comes after the answer.
func (h *startupBoot) FsysInit(_ context.Context, proc, auth mach.Port) error {
	b := h.boot
	if !proc.Valid() || !auth.Valid() {
		return proto.EINVAL
	}
	select {
	case b.initOnce <- struct{}{}:
	default:
		return proto.EBUSY
	}
	b.proc, b.auth = proc, auth
	close(b.inited)
	return nil
}

// introduce does step 16, and makes the file system one that knows its users.
func (b *Boot) introduce(ctx context.Context) error {
	for _, p := range []mach.Port{b.auth, b.proc} {
		// One for the file system, one for this process.
		if err := b.Task.Copy(p); err != nil {
			return err
		}
	}
	b.FS.SetAuth(b.auth)
	b.FS.SetProc(b.proc)
	if err := proto.ProcChild(ctx, b.proc, b.ExecTask); err != nil {
		return err
	}
	exec, err := proto.ProcTask2proc(ctx, b.proc, b.ExecTask)
	if err != nil {
		return err
	}
	defer b.Ports.Release(exec)
	if err := proto.ProcMarkExec(ctx, exec); err != nil {
		return err
	}
	if err := proto.ProcSetExe(ctx, exec, "/hurd/exec"); err != nil {
		return err
	}
	return proto.ExecInit(ctx, b.exec, b.auth, proto.Copy(exec))
}

// join does step 18: this program becomes an ordinary process.
func (b *Boot) join(ctx context.Context) error {
	if err := b.Task.Become(proto.InitPortAuth, b.auth); err != nil {
		return err
	}
	if err := b.Task.Become(proto.InitPortProc, b.proc); err != nil {
		return err
	}
	root, err := b.open(ctx, "", proto.O_READ)
	if err != nil {
		return err
	}
	for _, i := range []int{proto.InitPortRoot, proto.InitPortCWD} {
		if err := b.Task.Copy(root); err != nil {
			return err
		}
		if err := b.Task.Become(i, root); err != nil {
			return err
		}
	}
	b.Ports.Release(root)
	if err := proto.ProcRegisterVersion(ctx, b.proc, b.HostPriv, Name, "", "hurdlab"); err != nil {
		return err
	}
	startup, err := b.open(ctx, "servers/startup", 0)
	if err != nil {
		return err
	}
	defer b.Ports.Release(startup)
	return proto.StartupEssentialTask(ctx, startup, b.Self, mach.Null, Name, b.HostPriv)
}
