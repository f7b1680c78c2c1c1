package startup

import (
	"context"
	"fmt"
	"path"
	"strings"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Launcher starts programs before there is a system to do so.
type Launcher struct {
	// Root and CWD are directories, Files the descriptors: send rights of the
	// launcher's.
	Root, CWD mach.Port
	Files     []mach.Port
	// Ignored is the set of signals that programs ignore at first.
	Ignored int32
	// NewTask makes a task.
	NewTask func() (mach.Port, error)
	// Terminate ends one.
	Terminate func(task mach.Port) error
}

// Ignored are the signals that the first servers ignore, which have no
// terminal.
const Ignored = 1<<(proto.SIGTSTP-1) | 1<<(proto.SIGTTIN-1) | 1<<(proto.SIGTTOU-1)

// Start runs a program in a new task, the right to which is the caller's. auth
// and bootstrap may be null. process, if not nil, makes the task a process
// before it runs.
func (l *Launcher) Start(ctx context.Context, argv, env []string, auth, bootstrap mach.Port, process func(task mach.Port) (proc mach.Port, err error)) (task mach.Port, err error) {
	file, err := l.Lookup(ctx, argv[0], proto.O_EXEC, 0)
	if err != nil {
		return mach.Null, fmt.Errorf("%s: %w", argv[0], err)
	}
	defer proto.Release(ctx, file)
	if task, err = l.NewTask(); err != nil {
		return mach.Null, fmt.Errorf("%s: %w", argv[0], err)
	}
	proc := mach.Null
	if process != nil {
		proc, err = process(task)
	}
	if err == nil {
		ports := make([]mach.Port, proto.InitPortMax)
		ports[proto.InitPortCWD], ports[proto.InitPortRoot] = l.CWD, l.Root
		ports[proto.InitPortAuth], ports[proto.InitPortProc], ports[proto.InitPortBootstrap] = auth, proc, bootstrap
		ints := make([]int32, proto.InitIntMax)
		ints[proto.InitUmask], ints[proto.InitSigIgn] = 0o022, l.Ignored
		err = proto.FileExecPaths(ctx, file, task, 0, argv[0], argv[0], argz(argv), argz(env), l.Files, ports, ints, nil, nil)
	}
	proto.Release(ctx, proc)
	if err != nil {
		_ = l.Terminate(task)
		proto.Release(ctx, task)
		return mach.Null, fmt.Errorf("%s: %w", argv[0], err)
	}
	return task, nil
}

// Lookup opens a file of the root file system, whose path has no symbolic
// links.
func (l *Launcher) Lookup(ctx context.Context, name string, flags, mode int32) (mach.Port, error) {
	retry, rest, file, err := proto.DirLookup(ctx, l.Root, strings.TrimPrefix(path.Clean(name), "/"), flags, mode)
	if err != nil {
		return mach.Null, err
	}
	if retry != proto.RetryNormal || rest != "" || !file.Valid() {
		proto.Release(ctx, file)
		return mach.Null, fmt.Errorf("%s: the file system says to look elsewhere, for %q: %w", name, rest, proto.EGRATUITOUS)
	}
	return file, nil
}

func argz(list []string) []byte {
	var b []byte
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return b
}

// A Boot is what the system is started with.
type Boot struct {
	Server   *Server
	Launcher *Launcher
	// FS is the bootstrap port of the root file system, FSTask its task.
	FS, FSTask mach.Port
	// Become makes a process port and an auth handle this program's own.
	Become func(proc, auth mach.Port) error
	// NewRendezvous makes a port for others to meet at. done destroys it.
	NewRendezvous func() (p proto.Right, done func(), err error)
	// Init is the command of the init system, with its arguments.
	Init []string
}

// Run starts the system: steps 8 to 20. It returns when the init system has
// been started.
func (b *Boot) Run(ctx context.Context) error {
	s, l := b.Server, b.Launcher
	if err := s.Watch(b.FSTask, "rootfs"); err != nil {
		return fmt.Errorf("watch the root file system: %w", err)
	}
	self, err := s.right()
	if err != nil {
		return err
	}
	defer proto.Release(ctx, self)
	procTask, err := l.Start(ctx, []string{"/hurd/proc"}, nil, mach.Null, self, nil)
	if err != nil {
		return err
	}
	authTask, err := l.Start(ctx, []string{"/hurd/auth"}, nil, mach.Null, self, nil)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		task mach.Port
		name string
	}{{procTask, "proc"}, {authTask, "auth"}} {
		if err := s.Watch(t.task, t.name); err != nil {
			return fmt.Errorf("watch %s: %w", t.name, err)
		}
	}
	proc, auth, err := s.Servers(ctx)
	if err != nil {
		return err
	}

	// 11: the processes that there are.
	if err := identify(ctx, proc, "/hurd/startup"); err != nil {
		return err
	}
	adopt := func(task mach.Port, exe string) (mach.Port, error) {
		if err := proto.ProcChild(ctx, proc, task); err != nil {
			return mach.Null, fmt.Errorf("%s: %w", exe, err)
		}
		p, err := proto.ProcTask2proc(ctx, proc, task)
		if err == nil {
			err = identify(ctx, p, exe)
		}
		if err != nil {
			proto.Release(ctx, p)
			return mach.Null, fmt.Errorf("%s: %w", exe, err)
		}
		return p, nil
	}
	fsProc, err := adopt(b.FSTask, "/hurd/rootfs")
	if err != nil {
		return err
	}
	authProc, err := adopt(authTask, "/hurd/auth")
	if err != nil {
		return err
	}
	procProc, err := adopt(procTask, "/hurd/proc")
	if err != nil {
		return err
	}
	proto.Release(ctx, procProc)
	// 12: who wants it finds the server.
	if err := b.register(ctx); err != nil {
		return fmt.Errorf("/servers/startup: %w", err)
	}
	s.Introduce(authProc) // 13
	if err := b.Become(proc, auth); err != nil {
		return fmt.Errorf("become a process: %w", err)
	}
	if err := proto.ProcRegisterVersion(ctx, proc, s.hostPriv, "startup", "", Version); err != nil {
		return err
	}
	// 15: now the root file system can be one, and exec.
	if err := proto.FsysInit(ctx, b.FS, proto.Move(fsProc), auth); err != nil {
		return err
	}
	if err := wait(ctx, s.Complete()); err != nil {
		return err
	}
	if err := b.setDefaults(ctx, proc, auth); err != nil {
		return fmt.Errorf("standard ports: %w", err)
	}
	init, err := l.Start(ctx, b.Init, nil, auth, mach.Null, func(task mach.Port) (mach.Port, error) {
		if err := proto.ProcSetInitTask(ctx, proc, task); err != nil {
			return mach.Null, err
		}
		return proto.ProcTask2proc(ctx, proc, task)
	})
	if err != nil {
		return err
	}
	return s.Watch(init, "init")
}

// Version is what the servers call themselves.
const Version = "hurdlab"

// identify tells the process server what a process is that has not been
// started by exec.
func identify(ctx context.Context, proc mach.Port, exe string) error {
	if err := proto.ProcMarkImportant(ctx, proc); err != nil {
		return err
	}
	if err := proto.ProcMarkExec(ctx, proc); err != nil {
		return err
	}
	return proto.ProcSetExe(ctx, proc, exe)
}

func (b *Boot) register(ctx context.Context) error {
	node, err := b.Launcher.Lookup(ctx, "/servers/startup", proto.O_NOTRANS|proto.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, node)
	right, err := b.Server.right()
	if err != nil {
		return err
	}
	return proto.FileSetTranslator(ctx, node, 0, proto.FS_TRANS_SET, 0, nil, proto.Move(right))
}

// setDefaults gives exec what programs get that may not keep their caller's
// ports: the rights of nobody (20).
func (b *Boot) setDefaults(ctx context.Context, proc, auth mach.Port) error {
	nobody, err := proto.AuthMakeauth(ctx, auth, nil, nil, nil, nil, nil)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, nobody)
	ports := make([]mach.Port, proto.InitPortMax)
	for i, dir := range map[int]mach.Port{proto.InitPortCWD: b.Launcher.CWD, proto.InitPortRoot: b.Launcher.Root} {
		rendezvous, done, err := b.NewRendezvous()
		if err != nil {
			return err
		}
		err = proto.IOReauthenticate(ctx, dir, rendezvous)
		if err == nil {
			ports[i], err = proto.AuthUserAuthenticate(ctx, nobody, rendezvous)
		}
		done()
		if err != nil {
			return err
		}
		defer proto.Release(ctx, ports[i])
	}
	ports[proto.InitPortAuth] = nobody
	ints := make([]int32, proto.InitIntMax)
	ints[proto.InitUmask] = 0o022
	return proto.ProcSetexecdata(ctx, proc, ports, ints)
}
