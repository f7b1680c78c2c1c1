package hurd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Spawn says how a program is started. Ports are borrowed.
type Spawn struct {
	// Path is the program, which the child must be able to find and to
	// execute.
	Path string
	// File, if valid, is the program, open: then nothing is looked for, and
	// Path is what the program is told that it is.
	File mach.Port
	// Args begin with the program's name.
	Args []string
	Env  []string
	// Dir is the child's current directory; empty is this process's.
	Dir string
	// FDs are its descriptors; null ones are closed.
	FDs []mach.Port
	// User is who it is to be, which takes root; nil is who this process is.
	User *Credential
	// Auth, if valid, is the authentication handle of who it is to be, in place
	// of User. Directories and the program are opened by it, but it gets
	// this process's directories as they are.
	Auth mach.Port
	// Job makes it the leader of a process group, in this process's session, and
	// of a login collection, which finds all its descendants.
	Job bool
	// Session makes it the leader of a session and a process group of its
	// own, whose terminal is the one of which CTTY is the id, if that is valid.
	Session bool
	CTTY    mach.Port
	// Umask is what its files are made without.
	Umask int32
	// Ignored has a bit 1<<(signal-1) for each signal that it is to ignore.
	Ignored int32

	// NewTask makes the task, and EndTask ends it if it does not become a
	// process, in place of the kernel.
	NewTask func() (mach.Port, error)
	EndTask func(task mach.Port)
}

// A Credential is the ids of a user.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // besides GID
}

// A Child is a process that was started.
type Child struct {
	PID    int32
	parent *Process
}

// Wait waits until the child has ended, and reaps it.
func (c *Child) Wait(ctx context.Context) (WaitStatus, error) { return c.parent.Wait(ctx, c.PID) }

// Spawn starts a program: hurd-protocol.md 4.7. If it returns an error, there
// is no child.
func (p *Process) Spawn(ctx context.Context, s Spawn) (*Child, error) {
	pid, err := p.spawn(ctx, &s)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Path, err)
	}
	return &Child{PID: pid, parent: p}, nil
}

func (p *Process) spawn(ctx context.Context, s *Spawn) (int32, error) {
	var release []mach.Port
	defer func() { proto.Release(ctx, release...) }()
	keep := func(port mach.Port, err error) (mach.Port, error) {
		if err == nil {
			release = append(release, port)
		}
		return port, err
	}

	as := *p // the child
	if s.Auth.Valid() {
		as.Auth = s.Auth
	} else if u := s.User; u != nil {
		uid, gids := int32(u.UID), []int32{int32(u.GID)}
		for _, g := range u.Groups {
			if g != u.GID {
				gids = append(gids, int32(g))
			}
		}
		var err error
		if as.Auth, err = keep(proto.AuthMakeauth(ctx, p.Auth, nil, []int32{uid}, []int32{uid, uid}, gids, []int32{gids[0], gids[0]})); err != nil {
			return 0, err
		}
		if as.Root, err = keep(Reauthenticate(ctx, as.Auth, p.Root)); err != nil {
			return 0, err
		}
		if s.Dir == "" {
			if as.CWD, err = keep(Reauthenticate(ctx, as.Auth, p.CWD)); err != nil {
				return 0, err
			}
		}
	}
	if s.Dir != "" {
		var err error
		if as.CWD, err = keep(as.Lookup(ctx, s.Dir, 0, 0)); err != nil {
			return 0, err
		}
	}
	exe := s.File
	if !exe.Valid() {
		var err error
		if exe, err = keep(as.Lookup(ctx, s.Path, proto.O_EXEC, 0)); err != nil {
			return 0, err
		}
	}

	newTask, endTask := s.NewTask, s.EndTask
	if newTask == nil {
		newTask = func() (mach.Port, error) { return mach.TaskCreate(mach.TaskSelf(), false) }
		endTask = func(task mach.Port) { _ = mach.TaskTerminate(task) }
	}
	task, err := keep(newTask())
	if err != nil {
		return 0, err
	}
	pid, err := p.run(ctx, s, &as, exe, task, keep)
	if err != nil {
		endTask(task)
	}
	return pid, err
}

// run makes a process of the task. keep releases rights at the end.
func (p *Process) run(ctx context.Context, s *Spawn, as *Process, exe, task mach.Port, keep func(mach.Port, error) (mach.Port, error)) (int32, error) {
	pid, err := proto.ProcTask2pid(ctx, p.Proc, task)
	if err != nil {
		return 0, err
	}
	if err := proto.ProcChild(ctx, p.Proc, task); err != nil {
		return 0, err
	}
	if as.Proc, err = keep(proto.ProcTask2proc(ctx, p.Proc, task)); err != nil {
		return 0, err
	}
	if s.Session {
		if err := proto.ProcSetsid(ctx, as.Proc); err != nil {
			return 0, err
		}
		as.CTTY = s.CTTY
	}
	if s.Job {
		if err := proto.ProcSetpgrp(ctx, p.Proc, pid, 0); err != nil {
			return 0, err
		}
		if err := proto.ProcMakeLoginColl(ctx, as.Proc); err != nil {
			return 0, err
		}
	}
	if s.User != nil || s.Auth.Valid() {
		if as.Proc, err = keep(reauthenticateProc(ctx, as.Auth, as.Proc)); err != nil {
			return 0, err
		}
	}
	init := make([]mach.Port, proto.InitPortMax)
	init[proto.InitPortCWD], init[proto.InitPortRoot], init[proto.InitPortAuth] = as.CWD, as.Root, as.Auth
	init[proto.InitPortProc], init[proto.InitPortCTTY] = as.Proc, as.CTTY
	ints := make([]int32, proto.InitIntMax)
	ints[proto.InitUmask], ints[proto.InitSigIgn] = s.Umask, s.Ignored
	args, env := Argz(s.Args...), Argz(s.Env...)
	err = proto.FileExecPaths(ctx, exe, task, 0, s.Path, s.Path, args, env, s.FDs, init, ints, nil, nil)
	if errors.Is(err, mach.MigBadID) {
		err = proto.FileExec(ctx, exe, task, 0, args, env, s.FDs, init, ints, nil, nil)
	}
	return pid, err
}

// reauthenticateProc returns a process port for proc as the user of auth.
func reauthenticateProc(ctx context.Context, auth, proc mach.Port) (mach.Port, error) {
	rendezvous, err := proto.NewPort(ctx)
	if err != nil {
		return mach.Null, err
	}
	defer proto.ReleaseReceive(ctx, rendezvous)
	if err := proto.ProcReauthenticate(ctx, proc, proto.Make(rendezvous)); err != nil {
		return mach.Null, err
	}
	again, err := proto.AuthUserAuthenticate(ctx, auth, proto.Make(rendezvous))
	if err != nil {
		return mach.Null, err
	}
	if err := proto.ProcReauthenticateComplete(ctx, again); err != nil {
		proto.Release(ctx, again)
		return mach.Null, err
	}
	return again, nil
}

// A WaitStatus is how a process ended: hurd-protocol.md 4.5.
type WaitStatus int32

// Exited reports whether it exited, and with what.
func (w WaitStatus) Exited() (code int, ok bool) { return int(w>>8) & 0xff, w&0x7f == 0 }

// Signal returns what ended it, 0 if it exited.
func (w WaitStatus) Signal() int {
	if sig := int(w & 0x7f); sig != 0x7f {
		return sig
	}
	return 0 // it is stopped
}

// Wait waits until a child has ended, and reaps it.
func (p *Process) Wait(ctx context.Context, pid int32) (WaitStatus, error) {
	status, _, _, _, err := proto.ProcWait(ctx, p.Proc, pid, 0)
	if err != nil {
		return 0, fmt.Errorf("wait for process %d: %w", pid, err)
	}
	return WaitStatus(status), nil
}

// killTimeout is how long a process has to take a signal.
const killTimeout = 2 * time.Second

// Kill sends a signal to a process, or if pid is less than 0 to those of the
// group -pid: hurd-protocol.md 4.4.
func (p *Process) Kill(ctx context.Context, pid int32, sig int) error {
	pids := []int32{pid}
	if pid < 0 {
		var err error
		if pids, err = proto.ProcGetpgrppids(ctx, p.Proc, -pid); err != nil {
			return fmt.Errorf("kill group %d: %w", -pid, err)
		}
	}
	var first error
	for _, pid := range pids {
		if err := p.kill(ctx, pid, sig); err != nil && first == nil {
			first = fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return first
}

func (p *Process) kill(ctx context.Context, pid int32, sig int) error {
	task, err := proto.ProcPid2task(ctx, p.Proc, pid)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, task)
	if sig == proto.SIGKILL {
		return mach.TaskTerminate(task)
	}
	// Of a process that is just being started there is no message port yet,
	// and one that hangs does not answer.
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	msg, err := proto.ProcGetmsgport(ctx, p.Proc, pid)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, msg)
	if msg.Valid() {
		return proto.MsgSigPost(ctx, msg, int32(sig), 0, task)
	}
	switch sig {
	case proto.SIGSTOP, proto.SIGTSTP:
		return mach.TaskSuspend(task)
	case proto.SIGCONT:
		return mach.TaskResume(task)
	case proto.SIGTERM, proto.SIGQUIT, proto.SIGINT, proto.SIGHUP:
		return mach.TaskTerminate(task)
	}
	return nil
}
