// Package rexec runs a program on another node as if it ran here: with the
// caller's root and working directory, descriptors, arguments, environment and
// umask, and with a process here that stands for it, which takes its signals and
// has its state and its end.
//
// A [Server] starts programs for those who reach it, as users of its own node.
// A [Client] is the process that stands for one. Between them pass only
// messages of Mach with rights in them (interfaces Rexec and RexecJob of
// hurd.idl), which netmsg carries like any others: neither end knows
// of nodes, sessions or keys. What becomes of a program when its caller's
// node is lost, or of the caller when the program's is, is what becomes of the
// rights: see docs/rexec.md.
//
// # Who may
//
// The server is the translator of [Path], in a directory that nobody but root can
// look into. Peers get to it by netmsg's policy, as its export [Export]: a peer
// that has not been given that one has no way to it, and what it may do with it
// is what the users may whom the policy makes of the peer's. Who is nobody here
// cannot run anything.
//
// # Place in the house
//
// It stands on hurd and hurd/proto. netmsg/rexec/cmd/rexec is both ends as a
// program.
package rexec

import (
	"context"
	"slices"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

const (
	// Export is what policies call the server.
	Export = "exec"
	// Path is where it is.
	Path = "/servers/exported/rexec"
	// NodeVariable is the environment variable that tells a program on which node it
	// runs: its files may be another's.
	NodeVariable = "REXEC_NODE"
)

// Bounds of what clients can ask for.
const (
	// MaxJobs bounds the programs that a server runs at a time, MaxUserJobs those of
	// one user who is not root. Beyond them is EAGAIN.
	MaxJobs     = 256
	MaxUserJobs = 64
	// maxArgs bounds arguments and environment together, in bytes, as the exec
	// server does; beyond is E2BIG.
	maxArgs = 1 << 20
	// maxFiles bounds the descriptors of a program, which are rights of one
	// message.
	maxFiles = 1000
)

// A Program is what a server is to run. Rights are borrowed.
type Program struct {
	// UIDs and GIDs are who it is to be.
	UIDs, GIDs []int32
	// File is the program, open. If it is null, Path is looked for in the
	// files of the node.
	File mach.Port
	// Path is what it is called.
	Path string
	Args []string
	Env  []string
	// Root and CWD are its directories. If Root is null they are the node's
	// root and Dir, or if there is no such directory, the root again.
	Root, CWD mach.Port
	Dir       string
	FDs       []mach.Port
	Umask     int32
	Ignored   int32 // signals, a bit 1<<(signal-1) each
}

// A State is how a process is: the status word of proc_wait. 0 is that it runs and
// always has.
type State struct{ Status, Sigcode int32 }

// Stopped, continued, or ended: see hurd-protocol.md 4.5.
const continued = 0xffff

// Stopped reports whether the process is stopped.
func (s State) Stopped() bool { return s.Status&0xff == 0x7f }

// Ended reports whether it has ended, by itself or by a signal.
func (s State) Ended() bool { return s.Status != continued && !s.Stopped() }

// Processes starts and ends processes: [OfProcess].
type Processes interface {
	// Start starts a program, as the leader of a process group and of a login
	// collection.
	Start(ctx context.Context, p *Program) (pid int32, err error)
	// Wait waits until a child stops, goes on, or has ended, and then reaps it.
	Wait(ctx context.Context, pid int32) (State, error)
	// Kill sends a signal to a process, or to the group -pid.
	Kill(ctx context.Context, pid int32, signal int) error
	// Family lists the living processes of the login collection of a process. On the
	// Hurd those are not in it any more whose parent has ended.
	Family(ctx context.Context, pid int32) ([]int32, error)
}

// OfProcess makes processes the children of p, who is root.
func OfProcess(p *hurd.Process) Processes { return processes{p} }

type processes struct{ *hurd.Process }

func (p processes) Start(ctx context.Context, s *Program) (int32, error) {
	var release []mach.Port
	defer func() { proto.Release(ctx, release...) }()
	keep := func(port mach.Port, err error) (mach.Port, error) {
		if err == nil {
			release = append(release, port)
		}
		return port, err
	}
	first := func(ids []int32) []int32 {
		if len(ids) == 0 {
			return nil
		}
		return []int32{ids[0], ids[0]}
	}
	auth, err := keep(proto.AuthMakeauth(ctx, p.Auth, nil, s.UIDs, first(s.UIDs), s.GIDs, first(s.GIDs)))
	if err != nil {
		return 0, err
	}
	at := hurd.Process{Root: s.Root, CWD: s.CWD, Auth: p.Auth, Proc: p.Proc}
	file := s.File
	path := s.Path
	if !at.Root.Valid() {
		if at.Root, err = keep(hurd.Reauthenticate(ctx, auth, p.Root)); err != nil {
			return 0, err
		}
		as := at
		as.Auth, as.CWD = auth, at.Root
		if at.CWD, err = directory(ctx, &as, s.Dir); err != nil {
			return 0, err
		}
		release = append(release, at.CWD)
		as.CWD = at.CWD
		if !file.Valid() {
			if file, path, err = find(ctx, &as, s.Path, s.Env); err != nil {
				return 0, err
			}
			release = append(release, file)
		}
	}
	if !file.Valid() {
		return 0, proto.EINVAL
	}
	c, err := at.Spawn(ctx, hurd.Spawn{
		File: file, Path: path, Args: s.Args, Env: s.Env, FDs: s.FDs, Auth: auth, Job: true, Umask: s.Umask, Ignored: s.Ignored,
	})
	if err != nil {
		return 0, err
	}
	return c.PID, nil
}

// directory opens a directory, or the root if there is none of that name.
func directory(ctx context.Context, p *hurd.Process, name string) (mach.Port, error) {
	if name != "" {
		dir, err := p.Lookup(ctx, name, 0, 0)
		if err == nil {
			if st, serr := proto.IOStat(ctx, dir); serr == nil && st.Mode&proto.S_IFMT == proto.S_IFDIR {
				return dir, nil
			}
			proto.Release(ctx, dir)
		}
	}
	return p.Lookup(ctx, "/", 0, 0)
}

func (p processes) Wait(ctx context.Context, pid int32) (State, error) {
	status, sigcode, _, _, err := proto.ProcWait(ctx, p.Proc, pid, proto.WUNTRACED|proto.WCONTINUED)
	return State{status, sigcode}, err
}

// Family believes only what each process says itself: of a process that has ended, the
// Hurd's proc gives children that are init's since, and after them all others of init's.
func (p processes) Family(ctx context.Context, pid int32) ([]int32, error) {
	pids, err := proto.ProcGetloginpids(ctx, p.Proc, pid)
	if proto.Code(err) == proto.ESRCH {
		return nil, nil // nobody is left
	}
	return slices.DeleteFunc(pids, func(of int32) bool {
		_, info, _, err := proto.ProcGetprocinfo(ctx, p.Proc, of, 0)
		return err != nil || len(info) <= infoLogin || info[infoLogin] != pid
	}), err
}

// infoLogin is where procinfo has the login collection (section 5.3).
const infoLogin = 5
