package main

import (
	"context"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
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
	st, err := proto.IOStat(ctx, x.file)
	if err != nil {
		return err
	}
	if st.Mode&proto.S_IFMT != proto.S_IFREG || st.Mode&0o111 == 0 {
		return proto.EACCES
	}
	may, err := proto.FileCheckAccess(ctx, x.file)
	if err != nil {
		return err
	}
	if may&proto.O_EXEC == 0 {
		return proto.EACCES
	}
	// Who may execute it may have opened it for no more than that.
	_, _, file, err := proto.DirLookup(ctx, x.file, "", proto.O_READ|proto.O_EXEC, 0)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, file)
	server, err := x.n.proc.Lookup(ctx, "/servers/exec", 0, 0)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, server)
	err = proto.ExecExecPaths(ctx, server, proto.Copy(file), task, flags, path, abspath, argv, envp, fds, ports, ints, dealloc, destroy)
	if err == nil {
		proto.Release(ctx, task)
		proto.Release(ctx, fds...)
		proto.Release(ctx, ports...)
	}
	return err
}

// local has what is answered on this node for files of others.
func (n *node) local() map[int32]func(mach.Port) mach.Handler {
	exec := func(file mach.Port) mach.Handler { return proto.Handler(&execFile{n: n, file: file}) }
	return map[int32]func(mach.Port) mach.Handler{idFileExec: exec, idFileExecPaths: exec}
}
