package translator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A program is what file_exec and file_exec_paths ask to be run.
type program struct {
	task           mach.Port
	flags          int32
	path, abspath  string
	argv, envp     []byte
	fds, ports     []mach.Port
	ints           []int32
	dealloc, destr []mach.Port // names in the task
	old            bool        // file_exec: no paths
}

func (p *protid) FileExec(ctx context.Context, task mach.Port, flags int32, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	return p.exec(ctx, &program{task, flags, "", "", argv, envp, fds, ports, ints, dealloc, destroy, true})
}

func (p *protid) FileExecPaths(ctx context.Context, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	return p.exec(ctx, &program{task, flags, path, abspath, argv, envp, fds, ports, ints, dealloc, destroy, false})
}

// exec has the exec server run the file: hurd-protocol.md 4.9. If it succeeds
// the rights of the request are this server's, to be given back.
func (p *protid) exec(ctx context.Context, x *program) error {
	if p.open.how&mayExec == 0 {
		return proto.EBADF
	}
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return err
	}
	if st.Mode&proto.S_IFMT != proto.S_IFREG || st.Mode&0o111 == 0 {
		return proto.EACCES
	}
	given := slices.Concat([]mach.Port{x.task}, x.fds, x.ports)
	if st.Mode&setIDs != 0 {
		give, err := p.fs.setID(ctx, &st, x)
		defer give()
		if err != nil {
			return err
		}
	}
	// What the exec server reads the program by, for the same user.
	file, err := p.fs.right(p.fs.newPeropen(n.use(), p.open.origin, p.open.at, mayRead|mayExec), p.user)
	if err != nil {
		return err
	}
	defer p.fs.ports.Release(file)
	if err := p.fs.execServer(ctx, func(server mach.Port) error { return x.call(ctx, server, file) }); err != nil {
		return err
	}
	p.fs.ports.Release(given...)
	return nil
}

// call does not end when the client goes: a program that is to replace its caller
// destroys the caller's rights, and with them the last one to this file, while the exec
// server is at work. That one has time-outs of its own.
func (x *program) call(ctx context.Context, server, file mach.Port) error {
	ctx = context.WithoutCancel(ctx)
	err := proto.ExecExecPaths(ctx, server, proto.Copy(file), x.task, x.flags, x.path, x.abspath, x.argv, x.envp, x.fds, x.ports, x.ints, x.dealloc, x.destr)
	if errors.Is(err, mach.MigBadID) {
		err = proto.ExecExec(ctx, server, proto.Copy(file), x.task, x.flags, x.argv, x.envp, x.fds, x.ports, x.ints, x.dealloc, x.destr)
	}
	return err
}

// execServer calls the exec server: the one that the file system is given, or
// that is at /servers/exec in its root. If that has died it is looked up
// again.
func (fs *FS) execServer(ctx context.Context, call func(server mach.Port) error) error {
	if fs.config.Exec != nil {
		server, err := fs.config.Exec(ctx)
		if err != nil {
			return fmt.Errorf("exec server: %w", err)
		}
		return call(server)
	}
	const tries = 2
	var err error
	for range tries {
		var c *sharedRight
		if c, err = fs.findExec(ctx); err != nil {
			return fmt.Errorf("exec server: %w", err)
		}
		err = call(c.port)
		if dead(err) {
			fs.execMu.Lock()
			if fs.exec == c {
				fs.exec = nil
				c.put()
			}
			fs.execMu.Unlock()
		}
		c.put()
		if !errors.Is(err, mach.SendInvalidDest) {
			break // what it has begun must not be done again
		}
	}
	return err
}

const serversExec = "/servers/exec"

// findExec returns the exec server, with a reference.
func (fs *FS) findExec(ctx context.Context) (*sharedRight, error) {
	fs.execMu.Lock()
	c := fs.exec
	if c != nil {
		c.use()
	}
	fs.execMu.Unlock()
	if c != nil {
		return c, nil
	}
	as := hurd.Self()
	if fs.config.System {
		root, err := fs.Root(ctx, Root(), 0, mach.Null)
		if err != nil {
			return nil, err
		}
		defer fs.ports.Release(root)
		as = &hurd.Process{Root: root, Auth: fs.authPort()}
	}
	port, err := as.Lookup(ctx, serversExec, 0, 0)
	if err != nil {
		return nil, err
	}
	c = newSharedRight(fs.ports, port)
	fs.execMu.Lock()
	defer fs.execMu.Unlock()
	if fs.exec == nil {
		fs.exec = c.use()
	}
	return c, nil
}

// reauthTimeout bounds the wait for one port of a program with set ids.
const reauthTimeout = 2 * time.Second

// setID makes the program of a file with S_ISUID or S_ISGID run as the file's
// owner or group. It replaces the arrays of ports of x; give gives back the
// rights that it made.
func (fs *FS) setID(ctx context.Context, st *Stat, x *program) (give func(), err error) {
	var made []mach.Port
	give = func() { fs.ports.Release(made...) }
	auth := fs.authPort()
	if !auth.Valid() || len(x.ports) <= proto.InitPortProc || !x.ports[proto.InitPortAuth].Valid() {
		return give, nil // nobody whose ids could be added to
	}
	caller := x.ports[proto.InitPortAuth]
	euids, auids, egids, agids, err := proto.AuthGetids(ctx, caller)
	if err != nil {
		return give, err
	}
	gained := false
	if st.Mode&proto.S_ISUID != 0 {
		gained = become(&euids, &auids, int32(st.UID))
	}
	if st.Mode&proto.S_ISGID != 0 {
		gained = become(&egids, &agids, int32(st.GID)) || gained
	}
	handle, err := proto.AuthMakeauth(ctx, auth, []mach.Port{caller}, euids, auids, egids, agids)
	if err != nil {
		return give, err
	}
	secure := gained && !slices.Contains(euids[min(1, len(euids)):], 0)
	if gained {
		x.flags |= proto.EXEC_SECURE | proto.EXEC_NEWTASK
	}
	// The request's own arrays stay as they are, for their rights to be given
	// back.
	fds, ports := slices.Clone(x.fds), slices.Clone(x.ports)
	made = append(made, handle)
	again := func(p *mach.Port) {
		if !p.Valid() {
			return
		}
		// What does not know the routine, or never goes to the authentication
		// server, stays as it is.
		ctx, cancel := context.WithTimeout(ctx, reauthTimeout)
		defer cancel()
		if q, err := hurd.Reauthenticate(ctx, handle, *p); err == nil {
			made = append(made, q)
			*p = q
		}
	}
	for i := range fds {
		again(&fds[i])
	}
	ports[proto.InitPortAuth] = handle
	again(&ports[proto.InitPortCWD])
	if secure {
		ports[proto.InitPortRoot] = mach.Null // the exec server's own
	} else {
		again(&ports[proto.InitPortRoot])
	}
	x.fds, x.ports = fds, ports
	return give, nil
}

// become makes id the effective and the saved id. It reports whether it was
// none of the effective ones before.
func become(effective, available *[]int32, id int32) (gained bool) {
	gained = !slices.Contains(*effective, id)
	if len(*effective) == 0 {
		*effective = []int32{id}
	} else {
		(*effective)[0] = id
	}
	switch len(*available) {
	case 0:
		*available = []int32{id, id}
	case 1:
		*available = append(*available, id)
	default:
		(*available)[1] = id
	}
	return gained
}
