package hurd

import (
	"context"
	"errors"
	"fmt"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Start says how a translator is started. All ports are borrowed.
type Start struct {
	// Argz is the command line: the path of the program first.
	Argz []byte
	// Env is its environment.
	Env []byte
	// CWD, Root, Auth and Proc are the ports of the process that it is a
	// child of; those that are null are this program's own.
	CWD, Root, Auth, Proc mach.Port
	// Owner is who the translator is to be, made from Auth; nil is whom Auth
	// is.
	Owner *Owner
	// Stderr is its descriptor 2, or null.
	Stderr mach.Port
	// Underlying opens the node that it will sit on, with the flags that it
	// asks for. The right that it returns goes to the translator.
	Underlying func(ctx context.Context, flags int32) (mach.Port, error)

	// Reap waits for the translator's end, however long that takes, so that
	// nothing is left of its process. A program that ends itself leaves that to
	// init. Proc must stay valid.
	Reap bool

	// Ports makes the bootstrap port; nil stands for a [ports.Kernel].
	Ports ports.Exporter
	// NewTask makes the task, in place of the kernel.
	NewTask func() (mach.Port, error)
	// EndTask ends it if it does not become a translator.
	EndTask func(task mach.Port)
}

// An Owner is the ids of a passive translator: those of its node.
type Owner struct{ UID, GID uint32 }

// translatorPriority is the priority of translators' tasks: that of libfshelp.
const translatorPriority = 25

// StartTranslator starts a translator and waits until it has called
// fsys_startup, as the parent does in hurd-protocol.md 5.10. It returns the
// translator's control port, a right of the caller's. If the translator ends
// before, that is EDIED.
func StartTranslator(ctx context.Context, s Start) (control mach.Port, err error) {
	args := ParseArgz(s.Argz)
	if len(args) == 0 || args[0] == "" {
		return mach.Null, fmt.Errorf("start a translator without a name: %w", proto.EINVAL)
	}
	control, err = startTranslator(ctx, s, args[0])
	if err != nil {
		return mach.Null, fmt.Errorf("start translator %s: %w", args[0], err)
	}
	return control, nil
}

func startTranslator(ctx context.Context, s Start, name string) (mach.Port, error) {
	s.defaults()
	var release []mach.Port
	defer func() { proto.Release(ctx, release...) }()
	if o := s.Owner; o != nil && s.Auth.Valid() {
		uid, gid := int32(o.UID), int32(o.GID)
		auth, err := proto.AuthMakeauth(ctx, s.Auth, nil, []int32{uid}, []int32{uid, uid}, []int32{gid}, []int32{gid, gid})
		if err != nil {
			return mach.Null, err
		}
		root, err := Reauthenticate(ctx, auth, s.Root)
		release = append(release, auth, root)
		if err != nil {
			return mach.Null, err
		}
		s.Auth, s.Root = auth, root
	}
	as := Process{CWD: s.CWD, Root: s.Root, Auth: s.Auth}
	exe, err := as.Lookup(ctx, name, proto.O_EXEC, 0)
	if err != nil {
		return mach.Null, err
	}
	release = append(release, exe)

	task, err := s.NewTask()
	if err != nil {
		return mach.Null, err
	}
	release = append(release, task)
	control, err := s.run(ctx, exe, task, name)
	if err != nil {
		s.EndTask(task)
		return mach.Null, err
	}
	return control, nil
}

func (s *Start) defaults() {
	self := Self()
	for _, d := range []struct{ to, from *mach.Port }{{&s.CWD, &self.CWD}, {&s.Root, &self.Root}, {&s.Auth, &self.Auth}, {&s.Proc, &self.Proc}} {
		if *d.to == mach.Null {
			*d.to = *d.from
		}
	}
	if s.Ports == nil {
		s.Ports = new(ports.Kernel)
	}
	if s.NewTask == nil {
		s.NewTask = func() (mach.Port, error) {
			task, err := mach.TaskCreate(mach.TaskSelf(), false)
			if err == nil {
				// Not more important than who uses it; that it stays at
				// another priority does no harm.
				_ = mach.TaskPriority(task, translatorPriority, false)
			}
			return task, err
		}
	}
	if s.EndTask == nil {
		s.EndTask = func(task mach.Port) { _ = mach.TaskTerminate(task) }
	}
}

// run makes the program of task and waits for what it says.
func (s *Start) run(ctx context.Context, exe, task mach.Port, name string) (mach.Port, error) {
	proc, err := s.child(ctx, task)
	if err != nil {
		return mach.Null, err
	}
	defer func() { proto.Release(ctx, proc) }()

	b := newBootstrap(s.Underlying)
	port, err := s.Ports.Export(proto.Handler(b), ports.Options{Gone: b.gone})
	if err != nil {
		return mach.Null, err
	}
	defer port.Close()
	boot, err := port.Right()
	if err != nil {
		return mach.Null, err
	}
	init := make([]mach.Port, proto.InitPortMax)
	init[proto.InitPortCWD], init[proto.InitPortRoot], init[proto.InitPortAuth] = s.CWD, s.Root, s.Auth
	init[proto.InitPortProc], init[proto.InitPortBootstrap] = proc, boot
	fds := []mach.Port{mach.Null, mach.Null, s.Stderr}
	err = proto.FileExecPaths(ctx, exe, task, proto.EXEC_DEFAULTS, name, name, s.Argz, s.Env, fds, init, make([]int32, proto.InitIntMax), nil, nil)
	if errors.Is(err, mach.MigBadID) {
		err = proto.FileExec(ctx, exe, task, proto.EXEC_DEFAULTS, s.Argz, s.Env, fds, init, make([]int32, proto.InitIntMax), nil, nil)
	}
	// Now only the program has a right: when it ends there is none.
	proto.Release(ctx, boot)
	if err != nil {
		return mach.Null, err
	}
	select {
	case <-b.done:
		return b.control, b.err
	case <-ctx.Done():
	}
	if control, ok := b.cancel(); ok {
		return control, nil
	}
	return mach.Null, context.Cause(ctx)
}

// child tells the proc server of the new process. It returns its proc port,
// the caller's; null if there is no proc server.
func (s *Start) child(ctx context.Context, task mach.Port) (mach.Port, error) {
	if !s.Proc.Valid() {
		return mach.Null, nil
	}
	if err := proto.ProcChild(ctx, s.Proc, task); err != nil {
		return mach.Null, err
	}
	if s.Reap {
		if pid, err := proto.ProcTask2pid(ctx, s.Proc, task); err == nil {
			go reap(context.WithoutCancel(ctx), s.Proc, pid)
		}
	}
	proc, err := proto.ProcTask2proc(ctx, s.Proc, task)
	if err != nil || s.Owner == nil || !s.Auth.Valid() {
		return proc, err
	}
	// The process is its owner's.
	rendezvous, err := proto.NewPort(ctx)
	if err != nil {
		return proc, nil
	}
	defer proto.ReleaseReceive(ctx, rendezvous)
	if proto.ProcReauthenticate(ctx, proc, proto.Make(rendezvous)) != nil {
		return proc, nil
	}
	again, err := proto.AuthUserAuthenticate(ctx, s.Auth, proto.Make(rendezvous))
	if err != nil {
		return proc, nil // as whom it is
	}
	proto.Release(ctx, proc)
	_ = proto.ProcReauthenticateComplete(ctx, again)
	return again, nil
}

// reap waits for a child's end.
func reap(ctx context.Context, proc mach.Port, pid int32) {
	for {
		_, _, _, _, err := proto.ProcWait(ctx, proc, pid, 0)
		if !errors.Is(err, proto.EINTR) {
			return
		}
	}
}

// A bootstrap is what a translator that is being started talks to.
type bootstrap struct {
	proto.UnimplementedFsys
	underlying func(ctx context.Context, flags int32) (mach.Port, error)
	turn       chan struct{} // who has it decides what comes of the start
	done       chan struct{} // closed when it is decided
	control    mach.Port
	err        error
}

func newBootstrap(underlying func(ctx context.Context, flags int32) (mach.Port, error)) *bootstrap {
	b := &bootstrap{underlying: underlying, turn: make(chan struct{}, 1), done: make(chan struct{})}
	b.turn <- struct{}{}
	return b
}

// FsysStartup is the one call that there is.
func (b *bootstrap) FsysStartup(ctx context.Context, flags int32, control mach.Port) (mach.Port, error) {
	if !control.Valid() {
		return mach.Null, proto.EINVAL
	}
	select {
	case <-b.turn:
	default:
		return mach.Null, proto.EBUSY // it is decided
	}
	node := mach.Null
	if b.underlying != nil {
		var err error
		if node, err = b.underlying(ctx, flags); err != nil {
			b.err = err
			close(b.done)
			return mach.Null, err
		}
	}
	b.control = control
	close(b.done)
	return node, nil
}

// gone is called when nobody has a right to the port any more.
func (b *bootstrap) gone() {
	select {
	case <-b.turn:
		b.err = proto.EDIED
		close(b.done)
	default:
	}
}

// cancel ends the start, unless it has come to something.
func (b *bootstrap) cancel() (control mach.Port, ok bool) {
	select {
	case <-b.turn:
		return mach.Null, false
	default:
		<-b.done
		return b.control, b.err == nil
	}
}
