package main

import (
	"context"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/bridge"
	"hurdlab/netmsg/programs"
)

// guess answers the look-up of a file that is opened to be executed, and nothing else, at once, if
// by this name a program was run before that is kept: with the promise of what is being
// looked up. It may turn out to be something else, or not to be there: then that is the error of
// its execution, or if the look-up goes on elsewhere, execution does too, in the root directory and
// with the authentication handle that the program is to have. All else that could be done with it
// waits for the look-up, and fails if it has not found a file.
func (r *mountRoot) guess(ctx context.Context, name string) (mach.Port, bool) {
	n, path := r.n, r.path(name)
	owner, st, ok := n.paths.Find(path)
	if !ok {
		return mach.Null, false
	}
	if !n.programs.Known(owner, st) {
		n.paths.Forget(path)
		return mach.Null, false
	}
	if r.dotdot.Valid() && proto.Retain(ctx, r.dotdot) != nil {
		return mach.Null, false
	}
	heard := n.bridge.Heard()
	g := &programs.Guess{
		Cache: &n.programs, Owner: owner, Stat: st,
		Heard: func() int { return int(n.bridge.Heard() - heard) },
		Find: func(ctx context.Context) (programs.Found, error) {
			defer proto.Release(context.WithoutCancel(ctx), r.dotdot)
			info, retry, rest, file, err := r.lookup(ctx, name, proto.O_EXEC, 0)
			f := programs.Found{Retry: retry, Name: rest, File: file, Stat: info}
			if home, ok := n.bridge.Home(file); err == nil && ok {
				f.Owner = programs.Owner{Node: string(home.Node), Epoch: home.Epoch, User: r.user()}
			}
			return f, err
		},
		Drop: func(file mach.Port) { n.executed.keep(context.Background(), file) },
	}
	g.Start(context.WithoutCancel(ctx))
	file, err := n.bridge.Promise(bridge.Promise{
		First: func(m *mach.Message) mach.Handler {
			if id := m.ID(); id != idFileExec && id != idFileExecPaths {
				return nil
			}
			return proto.Handler(&guessed{n: n, guess: g, path: path})
		},
		Get: func(ctx context.Context) (mach.Port, error) {
			f, err := g.Take(ctx)
			if err == nil && !f.Plain() {
				proto.Release(ctx, f.File)
				err = proto.ESTALE
			}
			if err != nil {
				n.paths.Forget(path)
				return mach.Null, err
			}
			return f.File, nil
		},
		Gone: g.Close,
	})
	if err != nil {
		g.Close()
		return mach.Null, false
	}
	return file, true
}

// A guessed answers file_exec and file_exec_paths of a file that is thought to be a
// program that is kept: [proto.FSServer].
type guessed struct {
	proto.UnimplementedFS
	n     *node
	guess *programs.Guess
	path  programs.Path
}

func (x *guessed) FileExec(ctx context.Context, task mach.Port, flags int32, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	return x.FileExecPaths(ctx, task, flags, "", "", argv, envp, fds, ports, ints, dealloc, destroy)
}

func (x *guessed) FileExecPaths(ctx context.Context, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	e := &execution{task, flags, path, abspath, argv, envp, fds, ports, ints, dealloc, destroy}
	// Of a task that runs nothing yet nothing is lost if it is loaded in vain. So that is
	// done, but it is held until it is known to be right. Another one's old program may have to
	// go on, and be told what is wrong.
	held := flags == 0 && runsNothing(ctx, task)
	if held {
		if err := hold(ctx, task); err != nil {
			return err
		}
		// The right that has come is the program's when it runs.
		if err := proto.Retain(ctx, task); err != nil {
			return err
		}
		defer proto.Release(ctx, task)
	}
	loaded := false
	err := x.guess.Exec(ctx, held, func(ctx context.Context, program mach.Port, sure func(context.Context) error) error {
		if !held {
			return x.n.exec.run(ctx, x.n.proc, func(server mach.Port) error { return e.by(ctx, server, program) })
		}
		if err := x.n.exec.run(ctx, x.n.proc, func(server mach.Port) error { return e.load(ctx, server, program) }); err != nil {
			return err
		}
		loaded = true
		if err := sure(ctx); err != nil {
			return err
		}
		held = false
		_ = letGo(ctx, task)
		e.done(ctx)
		return nil
	}, func(ctx context.Context, f programs.Found) error {
		x.n.paths.Forget(x.path)
		if f.Plain() {
			return (&execFile{n: x.n, file: f.File}).run(ctx, e)
		}
		// As the exec server does for the interpreter of a script.
		ctx, cancel := context.WithTimeout(ctx, connectTime)
		defer cancel()
		as := &hurd.Process{Root: e.port(proto.InitPortRoot), Auth: e.port(proto.InitPortAuth), Proc: e.port(proto.InitPortProc), CTTY: e.port(proto.InitPortCTTY), FDs: e.fds}
		file, err := as.Continue(ctx, f.Retry, f.Name, f.File, proto.O_EXEC, 0)
		if err != nil {
			return err
		}
		defer proto.Release(ctx, file)
		if _, ok := x.n.bridge.Home(file); ok {
			return (&execFile{n: x.n, file: file}).run(ctx, e)
		}
		return e.at(ctx, file)
	})
	if err != nil {
		x.n.paths.Forget(x.path)
	}
	switch {
	case !held:
	case loaded && err != nil:
		_ = callTask(context.WithoutCancel(ctx), task, idTaskTerminate, nil) // what is in it must not run
	default:
		_ = letGo(ctx, task)
	}
	return err
}

// taskTime is how long the kernel may take to answer, if it is the kernel who is asked: what is said
// to be a task may be anybody's port.
const taskTime = 5 * time.Second

func callTask(ctx context.Context, task mach.Port, id int32, results func(m *mach.Message)) error {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	m := mach.NewMessage(id)
	if err := mach.CallLikeKernel(ctx, task, m); err != nil {
		return err
	}
	defer mach.Destroy(m)
	if results != nil {
		results(m)
	}
	return m.End()
}

// runsNothing reports whether a task has no threads.
func runsNothing(ctx context.Context, task mach.Port) bool {
	none := false
	err := callTask(ctx, task, idTaskThreads, func(m *mach.Message) {
		threads, _ := m.TakeRights(-1)
		proto.Release(ctx, threads...)
		none = len(threads) == 0
	})
	return err == nil && none
}

// hold stops a task until letGo.
func hold(ctx context.Context, task mach.Port) error {
	return callTask(ctx, task, idTaskSuspend, nil)
}

func letGo(ctx context.Context, task mach.Port) error {
	return callTask(context.WithoutCancel(ctx), task, idTaskResume, nil)
}

const (
	idTaskTerminate = 2008
	idTaskThreads   = 2011
	idTaskSuspend   = 2056
	idTaskResume    = 2057
)

// port returns one of the ports that the program is to have.
func (e *execution) port(i int) mach.Port {
	if i < len(e.ports) {
		return e.ports[i]
	}
	return mach.Null
}
