package tools

import (
	"context"
	"syscall"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// initPort is one of the ports that this program started with, borrowed.
func initPort(i int) mach.Port {
	start := syscall.HurdStart()
	if start == nil || i >= len(start.Ports) {
		return mach.Null
	}
	return mach.Port(start.Ports[i])
}

// hurdTools are the tools that need the Hurd.
func hurdTools() map[string]tool { return nil }

// systemName is the names of the system: of itself, of the host, release,
// version and machine.
func systemName() (names [5]string, err error) {
	u, err := proto.ProcUname(context.Background(), initPort(proto.InitPortProc))
	if err != nil {
		return names, err
	}
	return [5]string{u.Sysname, u.Nodename, u.Release, u.Version, u.Machine}, nil
}

func syncAll() error {
	return proto.FileSyncfs(context.Background(), initPort(proto.InitPortRoot), 1, 1)
}
