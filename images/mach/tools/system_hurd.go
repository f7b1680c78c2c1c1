package tools

import (
	"context"
	"os"
	"syscall"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// systemName is the names of the system: of itself, of the host, release,
// version and machine.
func systemName() (names [5]string, err error) {
	u, err := proto.ProcUname(context.Background(), hurd.Self().Proc)
	if err != nil {
		return names, err
	}
	// The proc server does not know the name of the host: a program looks
	// itself (in C, uname does).
	if u.Nodename == "" {
		if u.Nodename, err = os.Hostname(); err != nil {
			return names, err
		}
	}
	return [5]string{u.Sysname, u.Nodename, u.Release, u.Version, u.Machine}, nil
}

func syncAll() error {
	return proto.FileSyncfs(context.Background(), hurd.Self().Root, 1, 1)
}

// systemError is an answer's error as the rest of the system says it.
func systemError(err error) error { return syscall.Errno(proto.Code(err)) }

// enter makes a directory the process's root and current directory. It takes
// the right over.
func enter(root mach.Port) error {
	if err := mach.PortModRefs(mach.TaskSelf(), root, mach.RightSend, 1); err != nil {
		return err
	}
	if err := syscall.HurdSetPort(proto.InitPortRoot, uint32(root)); err != nil {
		return err
	}
	return syscall.HurdSetPort(proto.InitPortCWD, uint32(root))
}
