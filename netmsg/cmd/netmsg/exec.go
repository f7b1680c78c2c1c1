package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/programs"
)

// An execFile answers file_exec and file_exec_paths of a file of another node:
// [proto.FSServer]. The server there would have its own exec server fill a task that is
// on this node, by one call after the other through the network, and with its own
// kernel's memory. So this node's exec server runs the program; all it needs of
// the file is to read it. Set ids are not heeded: root there is not root here.
type execFile struct {
	proto.UnimplementedFS
	n    *node
	file mach.Port
}

const (
	idFileExec      = 20000
	idFileExecPaths = 20034
)

func (x *execFile) FileExec(ctx context.Context, task mach.Port, flags int32, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	return x.FileExecPaths(ctx, task, flags, "", "", argv, envp, fds, ports, ints, dealloc, destroy)
}

func (x *execFile) FileExecPaths(ctx context.Context, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	return x.run(ctx, &execution{task, flags, path, abspath, argv, envp, fds, ports, ints, dealloc, destroy})
}

func (x *execFile) run(ctx context.Context, e *execution) error {
	file, err := x.open(ctx, e.task)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, file)
	if err := x.n.exec.run(ctx, x.n.proc, func(server mach.Port) error { return e.by(ctx, server, file) }); err != nil {
		return err
	}
	if proto.Retain(ctx, x.file) == nil {
		x.n.executed.keep(context.WithoutCancel(ctx), x.file)
	}
	return nil
}

// An execution is what file_exec_paths is given.
type execution struct {
	task          mach.Port
	flags         int32
	path, abspath string
	argv, envp    []byte
	fds, ports    []mach.Port
	ints          []int32
	dealloc       []mach.Port
	destroy       []mach.Port
}

// load has an exec server run a file, which is borrowed.
func (e *execution) load(ctx context.Context, server, file mach.Port) error {
	return proto.ExecExecPaths(ctx, server, proto.Copy(file), e.task, e.flags, e.path, e.abspath, e.argv, e.envp, e.fds, e.ports, e.ints, e.dealloc, e.destroy)
}

// by is load; afterwards the rights are the program's.
func (e *execution) by(ctx context.Context, server, file mach.Port) error {
	err := e.load(ctx, server, file)
	if err == nil {
		e.done(ctx)
	}
	return err
}

// at has the server of a file run it, which is borrowed, likewise.
func (e *execution) at(ctx context.Context, file mach.Port) error {
	err := proto.FileExecPaths(ctx, file, e.task, e.flags, e.path, e.abspath, e.argv, e.envp, e.fds, e.ports, e.ints, e.dealloc, e.destroy)
	if err == nil {
		e.done(ctx)
	}
	return err
}

func (e *execution) done(ctx context.Context) {
	proto.Release(ctx, e.task)
	proto.Release(ctx, e.fds...)
	proto.Release(ctx, e.ports...)
}

// executed are files that have just been executed: rights to them are given back a little
// later, many at a time, because to say so to the other node, while the program starts,
// would cost it a packet each way.
type executed struct {
	mu    sync.Mutex
	files []mach.Port
}

const (
	// maxExecuted is how many files are kept.
	maxExecuted = 64
	// executedTime is for how long.
	executedTime = time.Second
)

// keep takes a right to a file.
func (e *executed) keep(ctx context.Context, file mach.Port) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.files) == maxExecuted {
		proto.Release(ctx, file)
		return
	}
	if e.files = append(e.files, file); len(e.files) == 1 {
		time.AfterFunc(executedTime, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			proto.Release(ctx, e.files...)
			e.files = nil
		})
	}
}

// opened returns what is known of the file from when it was opened: on whose behalf that
// was, and, if now, that it is still true.
func (x *execFile) opened() (o opened, known, now bool) {
	v, quiet := x.n.bridge.Tagged(x.file)
	o, known = v.(opened)
	return o, known, known && quiet && time.Since(o.at) < programs.Fresh
}

// open opens the file to be run in a task, or what stands for it if it has been run
// before: then it takes a round trip, or none if it was opened for this.
//
// Whether the user may read and execute the file is asked the first time, and what is kept
// is only for that user, who could have kept a copy: the one for whom the file was opened, or
// if that is not known, as whom the program will run. A change of the file's mode or owner
// makes it another file.
func (x *execFile) open(ctx context.Context, task mach.Port) (mach.Port, error) {
	o, known, now := x.opened()
	st, user := o.stat, o.user
	if !known {
		user = x.n.runner(ctx, task)
	}
	if !now {
		var err error
		if st, err = proto.IOStat(ctx, x.file); err != nil {
			return mach.Null, err
		}
	}
	if st.Mode&proto.S_IFMT != proto.S_IFREG || st.Mode&0o111 == 0 {
		return mach.Null, proto.EACCES
	}
	// Who may execute it may have opened it for no more than that.
	again := func(ctx context.Context) (mach.Port, error) {
		_, _, file, err := proto.DirLookup(ctx, x.file, "", proto.O_READ|proto.O_EXEC, 0)
		return file, err
	}
	if home, ok := x.n.bridge.Home(x.file); ok && user != "" {
		owner := programs.Owner{Node: string(home.Node), Epoch: home.Epoch, User: user}
		file, err := x.n.programs.Open(ctx, owner, st, again)
		if err == nil && o.path.Name != "" {
			x.n.paths.Ran(o.path, owner, st)
		}
		if err == nil || proto.Code(err) == proto.EACCES {
			return file, err
		}
	}
	return again(ctx) // it is read as it is needed
}

// runner says whose process a task is, or nothing if it is none.
func (n *node) runner(ctx context.Context, task mach.Port) string {
	pid, err := proto.ProcTask2pid(ctx, n.proc.Proc, task)
	if err != nil {
		return ""
	}
	_, info, _, err := proto.ProcGetprocinfo(ctx, n.proc.Proc, pid, 0)
	if err != nil || len(info) < 2 {
		return ""
	}
	if info[0]&proto.PI_NOTOWNED != 0 {
		return "nobody"
	}
	return strconv.Itoa(int(info[1]))
}

// An execServer is the right to /servers/exec, which is looked up when the one there was has died.
type execServer struct {
	mu   sync.Mutex
	port mach.Port
}

// run has the exec server do something.
func (s *execServer) run(ctx context.Context, proc *hurd.Process, do func(server mach.Port) error) error {
	for again := false; ; again = true {
		p, err := s.open(ctx, proc, again)
		if err != nil {
			return err
		}
		err = do(p)
		proto.Release(ctx, p)
		if again || !errors.Is(err, mach.SendInvalidDest) { // what it has begun must not be done again
			return err
		}
	}
}

// open returns the right, the caller's.
func (s *execServer) open(ctx context.Context, proc *hurd.Process, again bool) (mach.Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.port.Valid() && !again && proto.Retain(ctx, s.port) == nil {
		return s.port, nil
	}
	proto.Release(ctx, s.port)
	s.port = mach.Null
	p, err := proc.Lookup(ctx, "/servers/exec", 0, 0)
	if err != nil {
		return mach.Null, err
	}
	if proto.Retain(ctx, p) == nil {
		s.port = p
	}
	return p, nil
}

// local has what is answered on this node for files of others.
func (n *node) local() map[int32]func(mach.Port) mach.Handler {
	exec := func(file mach.Port) mach.Handler { return proto.Handler(&execFile{n: n, file: file}) }
	mapped := func(file mach.Port) mach.Handler { return proto.Handler(&mapFile{n: n, file: file}) }
	return map[int32]func(mach.Port) mach.Handler{idFileExec: exec, idFileExecPaths: exec, idMap: mapped}
}
