package hurd

import (
	"syscall"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Self returns the ports that this program started with, which are borrowed
// from package syscall. Those of a boot module are null.
func Self() *Process {
	start := syscall.HurdStart()
	if start == nil {
		return new(Process)
	}
	port := func(i int) mach.Port {
		if i >= len(start.Ports) {
			return mach.Null
		}
		return mach.Port(start.Ports[i])
	}
	p := &Process{
		CWD: port(proto.InitPortCWD), Root: port(proto.InitPortRoot), Auth: port(proto.InitPortAuth),
		Proc: port(proto.InitPortProc), CTTY: port(proto.InitPortCTTY), Boot: port(proto.InitPortBootstrap),
	}
	for _, fd := range start.Dtable {
		p.FDs = append(p.FDs, mach.Port(fd))
	}
	return p
}
