package hurd

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Process is the ports by which a program acts: rights that it borrows. The
// zero value has none.
type Process struct {
	CWD  mach.Port // current directory
	Root mach.Port // root directory
	Auth mach.Port // authentication handle
	Proc mach.Port // process port
	CTTY mach.Port // id of the controlling terminal

	// Boot is the bootstrap port: that of a translator that is being started.
	Boot mach.Port

	// FDs are the ports of file descriptors, for look-ups of fd/N.
	FDs []mach.Port
	// PID is the process id, for look-ups of pid; 0 asks Proc.
	PID int32
}

// maxRetries is how often a look-up is sent on before it is taken for a loop
// (section 5.3).
const maxRetries = 32

// Lookup opens a path, from the root directory if it begins with a slash, else
// from the current one. The flags are proto.O flags; mode, for O_CREAT, is what
// the umask has been applied to. The right is the caller's.
func (p *Process) Lookup(ctx context.Context, path string, flags, mode int32) (mach.Port, error) {
	return p.LookupAt(ctx, p.CWD, path, flags, mode)
}

// LookupAt is [Process.Lookup] with dir, which is borrowed, in place of the
// current directory.
func (p *Process) LookupAt(ctx context.Context, dir mach.Port, path string, flags, mode int32) (mach.Port, error) {
	port, err := p.lookup(ctx, dir, path, flags, mode)
	if err != nil {
		return mach.Null, fmt.Errorf("lookup %s: %w", path, err)
	}
	return port, nil
}

func (p *Process) lookup(ctx context.Context, dir mach.Port, path string, flags, mode int32) (mach.Port, error) {
	switch {
	case path == "":
		return mach.Null, proto.ENOENT
	case strings.IndexByte(path, 0) >= 0:
		return mach.Null, proto.EINVAL
	case path[0] == '/':
		dir = p.Root
	}
	return p.lookupFrom(ctx, dir, false, path, flags, mode)
}

// Continue goes on with a look-up that a server of dir_lookup has answered, from its root
// directory: the answer, of which it takes over result, and what was asked. The right is the caller's.
func (p *Process) Continue(ctx context.Context, retry int32, name string, result mach.Port, flags, mode int32) (mach.Port, error) {
	dir, own, path, done, err := p.next(ctx, mach.Null, false, retry, name, result, flags)
	if err != nil || done {
		return dir, err
	}
	return p.lookupFrom(ctx, dir, own, path, flags, mode)
}

// lookupFrom looks up at dir, which it takes over if own.
func (p *Process) lookupFrom(ctx context.Context, dir mach.Port, own bool, path string, flags, mode int32) (mach.Port, error) {
	defer func() {
		if own {
			proto.Release(ctx, dir)
		}
	}()
	for range maxRetries {
		if !dir.Valid() {
			return mach.Null, proto.ENOENT
		}
		// The server takes "" for the directory itself.
		trimmed := strings.TrimLeft(path, "/")
		if trimmed == "" && path != "" {
			trimmed = "/"
		}
		if len(trimmed) > proto.MaxString {
			return mach.Null, proto.ENAMETOOLONG
		}
		retry, name, result, err := proto.DirLookup(ctx, dir, trimmed, flags, mode)
		if err != nil {
			if code := proto.Code(err); code == proto.EOPNOTSUPP || code == mach.MigBadID {
				err = proto.ENOTDIR // an object without this routine
			}
			return mach.Null, err
		}
		from, fromOwn := dir, own
		dir, own = mach.Null, false
		var done bool
		if dir, own, path, done, err = p.next(ctx, from, fromOwn, retry, name, result, flags); err != nil {
			return mach.Null, err
		}
		if done {
			own = false
			return dir, nil
		}
	}
	return mach.Null, proto.ELOOP
}

// next says where a look-up goes on after the answer of a server. It takes over result, and
// from, the directory that was asked, if fromOwn. If done, dir is what was looked for. After an
// error there is nothing to release.
func (p *Process) next(ctx context.Context, from mach.Port, fromOwn bool, retry int32, name string, result mach.Port, flags int32) (dir mach.Port, own bool, path string, done bool, err error) {
	if retry == proto.RetryMagical {
		return p.magic(ctx, name, result, from, fromOwn, flags)
	}
	if fromOwn {
		proto.Release(ctx, from)
	}
	switch retry {
	case proto.RetryNormal:
		return result, true, name, name == "", nil
	case proto.RetryReauth:
		again, err := Reauthenticate(ctx, p.Auth, result)
		proto.Release(ctx, result)
		return again, err == nil, name, false, err
	}
	proto.Release(ctx, result)
	return mach.Null, false, "", false, proto.EGRATUITOUS
}

// magic follows a magical retry. It takes over result, and dir if own. If
// done, dir is what was looked for.
func (p *Process) magic(ctx context.Context, name string, result, from mach.Port, fromOwn bool, flags int32) (dir mach.Port, own bool, rest string, done bool, err error) {
	drop := func() {
		proto.Release(ctx, result)
		if fromOwn {
			proto.Release(ctx, from)
		}
	}
	word, tail, more := strings.Cut(name, "/")
	switch word {
	case "": // "/rest": from the root
		drop()
		return p.Root, false, "/" + tail, false, nil
	case "fd":
		drop()
		number, tail, more := strings.Cut(tail, "/")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || n >= uint64(len(p.FDs)) || !p.FDs[n].Valid() {
			return 0, false, "", false, proto.EBADF
		}
		if more {
			return p.FDs[n], false, tail, false, nil
		}
		return p.FDs[n], true, "", true, proto.Retain(ctx, p.FDs[n])
	case "tty":
		drop()
		if !p.CTTY.Valid() {
			return 0, false, "", false, proto.ENXIO
		}
		tty, err := proto.TermcttyOpenTerminal(ctx, p.CTTY, flags)
		if err != nil {
			return 0, false, "", false, err
		}
		again, err := Reauthenticate(ctx, p.Auth, tty)
		proto.Release(ctx, tty)
		if err != nil {
			return 0, false, "", false, err
		}
		return again, true, tail, !more, nil
	case "machtype":
		if fromOwn {
			proto.Release(ctx, from)
		}
		const cpu = "i386" // the only one that names itself so
		return result, true, join(cpu, tail), false, nil
	case "pid":
		proto.Release(ctx, result)
		pid, err := p.pid(ctx)
		if err != nil {
			if fromOwn {
				proto.Release(ctx, from)
			}
			return 0, false, "", false, err
		}
		return from, fromOwn, join(strconv.Itoa(int(pid)), tail), false, nil
	}
	drop()
	return 0, false, "", false, proto.EGRATUITOUS
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "/" + b
}

func (p *Process) pid(ctx context.Context) (int32, error) {
	if p.PID != 0 {
		return p.PID, nil
	}
	pid, _, _, err := proto.ProcGetpids(ctx, p.Proc)
	return pid, err
}

// Reauthenticate returns a port for what port is, as the user of auth: the
// rendezvous of section 4.10. Both are borrowed; the result is the caller's.
func Reauthenticate(ctx context.Context, auth, port mach.Port) (mach.Port, error) {
	rendezvous, err := proto.NewPort(ctx)
	if err != nil {
		return mach.Null, err
	}
	defer proto.ReleaseReceive(ctx, rendezvous)
	if err := proto.IOReauthenticate(ctx, port, proto.Make(rendezvous)); err != nil {
		return mach.Null, err
	}
	return proto.AuthUserAuthenticate(ctx, auth, proto.Make(rendezvous))
}
