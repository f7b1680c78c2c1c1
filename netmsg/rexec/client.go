package rexec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Statuses that a process that stands for a program ends with by itself. They are
// those of shells and of ssh.
const (
	StatusLost        = 255 // the program's end is not known, or rexec itself failed
	StatusNotFound    = 127
	StatusNotExecuted = 126
)

// A Command is what a [Client] is to have run.
type Command struct {
	Node string
	Args []string
	Env  []string
	// There has the program looked for in the node's files, and gives it the node's
	// root directory, and Dir in it, in place of the caller's.
	There bool
	Dir   string
	// Umask and Ignored are as in [Program].
	Umask, Ignored int32
}

// A Client is a process that stands for a program on another node.
type Client struct {
	Self *hurd.Process
	// Started is called when the program runs, with the port that stands for it
	// (see [Signals]), which is borrowed: it has its own rights to the
	// descriptors then.
	Started func(job mach.Port)
}

// An Error is that a program did not run, or that its end is not known.
type Error struct {
	Status int // to end with
	Text   string
	Err    error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return fmt.Sprintf("%s: %v", e.Text, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func failed(status int, err error, format string, args ...any) *Error {
	return &Error{status, fmt.Sprintf(format, args...), err}
}

// Connect opens the server of a node as the user that p is. The right is the
// caller's.
func Connect(ctx context.Context, p *hurd.Process, node string) (mach.Port, error) {
	netmsg, err := p.Lookup(ctx, "/servers/netmsg", 0, 0)
	if err != nil {
		return mach.Null, failed(StatusLost, nil, "no netmsg runs on this node (%v)", err)
	}
	defer proto.Release(ctx, netmsg)
	server, err := proto.NetmsgService(ctx, netmsg, node, Export)
	switch code := proto.Code(err); {
	case err == nil:
		return server, nil
	case code == proto.ENXIO:
		return mach.Null, failed(StatusLost, nil, "%s is not in the list of nodes (/etc/netmsg/peers)", node)
	case code == proto.ENOENT:
		return mach.Null, failed(StatusLost, nil, "%s lets nobody of this node run programs (its /etc/netmsg/policy has no export %s for it), or has no server for it", node, Export)
	case code == proto.EOPNOTSUPP, code == mach.MigBadID:
		return mach.Null, failed(StatusLost, nil, "no netmsg runs on this node. Start it: netmsg serve &")
	}
	return mach.Null, failed(StatusLost, err, "%s cannot be reached", node)
}

// Run has a command run and returns its last state, which the process has
// said of itself by then. An error is an [*Error].
func (c *Client) Run(ctx context.Context, cmd Command) (State, error) {
	if len(cmd.Args) == 0 {
		return State{}, failed(StatusLost, nil, "no program")
	}
	var file mach.Port
	path, dir := cmd.Args[0], cmd.Dir
	portarray := make([]mach.Port, proto.InitPortMax)
	if !cmd.There {
		var err error
		if file, path, err = find(ctx, c.Self, path, cmd.Env); err != nil {
			return State{}, notRun(cmd, err)
		}
		defer func() { proto.Release(ctx, file) }()
		portarray[proto.InitPortRoot], portarray[proto.InitPortCWD] = c.Self.Root, c.Self.CWD
		dir = ""
	}
	server, err := Connect(ctx, c.Self, cmd.Node)
	if err != nil {
		return State{}, err
	}
	defer func() { proto.Release(ctx, server) }()
	ints := make([]int32, proto.InitIntMax)
	ints[proto.InitUmask], ints[proto.InitSigIgn] = cmd.Umask, cmd.Ignored
	job, _, err := proto.RexecStart(ctx, server, 0, file, path, dir, hurd.Argz(cmd.Args...), hurd.Argz(cmd.Env...), c.Self.FDs, portarray, ints)
	if err != nil {
		return State{}, notRun(cmd, err)
	}
	defer func() { proto.Release(ctx, job) }()
	proto.Release(ctx, file, server)
	file, server = mach.Null, mach.Null
	if c.Started != nil {
		c.Started(job)
	}
	end, err := c.follow(ctx, job)
	if err != nil {
		return State{}, failed(StatusLost, nil, "lost %s: the session with it, or its server of programs, has ended. "+
			"%s gets SIGHUP there, and SIGKILL, unless it has ended already (%v)", cmd.Node, cmd.Args[0], err)
	}
	return end, nil
}

// notRun says why a program was not run.
func notRun(cmd Command, err error) *Error {
	code := proto.Code(err)
	name := cmd.Args[0]
	at := " on " + cmd.Node
	switch {
	case missing(err):
		if !cmd.There {
			at = ""
		}
		return failed(StatusNotFound, nil, "%s: not found%s", name, at)
	case code == proto.EPERM:
		return failed(StatusLost, nil, "%s: this user is nobody on %s (its /etc/netmsg/policy has no such user of this node)", name, cmd.Node)
	case code == proto.EAGAIN:
		return failed(StatusLost, nil, "%s: %s runs too many programs for others already", name, cmd.Node)
	case code == mach.SendInvalidDest, code == mach.MigServerDied:
		return failed(StatusLost, nil, "lost %s while it was to start %s", cmd.Node, name)
	case errors.Is(err, fs.ErrPermission), code == proto.EACCES, code == proto.ENOEXEC, code == proto.EISDIR, code == proto.ENOMEM, code == proto.E2BIG:
		return failed(StatusNotExecuted, err, "%s cannot be run%s", name, at)
	}
	return failed(StatusLost, err, "%s cannot be run%s", name, at)
}

// follow has the state of the program until it has ended. Without proc, the process
// keeps it to itself.
func (c *Client) follow(ctx context.Context, job mach.Port) (State, error) {
	self := c.Self.Proc
	for seen := int32(0); ; {
		serial, status, sigcode, err := proto.RexecWait(ctx, job, seen)
		if proto.Code(err) == proto.EINTR && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return State{}, err
		}
		seen = serial
		s := State{status, sigcode}
		switch {
		case s.Ended():
			// Whoever waits for this process sees the program's end. What comes after
			// the first word does not count.
			_ = proto.ProcMarkExit(ctx, self, status, sigcode)
			return s, nil
		case s.Stopped():
			_ = proto.ProcMarkStop(ctx, self, status>>8&0xff, sigcode)
		default:
			_ = proto.ProcMarkCont(ctx, self)
		}
	}
}

// Code returns what a process ends with that ended like this, as shells say it.
func (s State) Code() int {
	if sig := hurd.WaitStatus(s.Status).Signal(); sig != 0 {
		return 128 + sig
	}
	code, _ := hurd.WaitStatus(s.Status).Exited()
	return code
}

// Signals serves the message port of the process: what signals come go to the
// program, the ones that nobody can catch too. It is served from when the program
// has started.
type Signals struct {
	proto.UnimplementedMsg
	Self *hurd.Process
	Task mach.Port // of the process
	Job  mach.Port // of the program
}

// terminalSignals are those that a terminal may send.
var terminalSignals = []int32{
	proto.SIGHUP, proto.SIGINT, proto.SIGQUIT, proto.SIGTSTP, proto.SIGTTIN, proto.SIGTTOU, proto.SIGWINCH, proto.SIGINFO,
}

// MsgSigPost takes a signal: hurd-protocol.md 4.4.
func (s *Signals) MsgSigPost(ctx context.Context, signal, _ int32, ref mach.Port) error {
	switch {
	case signal < 0 || signal > proto.SIGLOST:
		return proto.EINVAL
	case !s.may(ctx, signal, ref):
		return proto.EPERM
	}
	proto.Release(ctx, ref)
	switch signal {
	case 0, proto.SIGCHLD, proto.SIGIO, proto.SIGURG:
		return nil // about this process
	}
	// That the program has gone, or its node, is seen elsewhere.
	_ = proto.RexecSignal(ctx, s.Job, signal)
	return nil
}

// MsgSigPostUntraced is MsgSigPost: nobody traces this process.
func (s *Signals) MsgSigPostUntraced(ctx context.Context, signal, sigcode int32, ref mach.Port) error {
	return s.MsgSigPost(ctx, signal, sigcode, ref)
}

// may reports whether who has ref may send a signal.
func (s *Signals) may(ctx context.Context, signal int32, ref mach.Port) bool {
	switch {
	case !ref.Valid():
		return false
	case ref == s.Task:
		return true
	case ref == s.Self.CTTY && slices.Contains(terminalSignals, signal):
		return true
	case signal == proto.SIGCONT:
		session, err := proto.ProcGetsidport(ctx, s.Self.Proc)
		if err != nil {
			return false
		}
		proto.Release(ctx, session)
		return ref == session
	}
	return false
}

// A Load is how much a node has to do.
type Load struct {
	Node string
	Load float64 // threads that run or want to, for each processor
	Jobs int     // programs of others
	Free int64   // bytes of memory
	Err  error   // it is not known
}

// LoadOf asks a node.
func LoadOf(ctx context.Context, p *hurd.Process, node string) Load {
	server, err := Connect(ctx, p, node)
	if err != nil {
		return Load{Node: node, Err: err}
	}
	defer proto.Release(ctx, server)
	_, load, jobs, free, err := proto.RexecLoad(ctx, server)
	return Load{node, float64(load) / 1000, int(jobs), free, err}
}

// little is how much free memory a node has to have to be taken for a program, if
// another one has.
const little = 16 << 20

// away is how much less another node has to have to do than this one, in threads, to be taken
// for a program, all whose files are on the way then.
const away = 0.5

// Least returns the node with the least to do; the first, which is this one, unless
// another has half a thread less.
func Least(list []Load) (Load, error) {
	load := func(i int) float64 {
		if i > 0 {
			return list[i].Load + away
		}
		return list[i].Load
	}
	best := -1
	for i, l := range list {
		switch {
		case l.Err != nil:
		case best < 0, list[best].Free < little && l.Free >= little:
			best = i
		case l.Free < little && list[best].Free >= little:
		case load(i) < load(best):
			best = i
		}
	}
	if best < 0 {
		return Load{}, failed(StatusLost, nil, "no node answers")
	}
	return list[best], nil
}

// Here tells the server of this node that a program is started here, as [Least] said.
func Here(ctx context.Context, p *hurd.Process) error {
	server, err := p.Lookup(ctx, Path, 0, 0)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, server)
	return proto.RexecHere(ctx, server)
}
