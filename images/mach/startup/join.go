package startup

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// MainServer is the command of a server of the start: run sets it up, and then
// it serves for ever.
func MainServer(name string, run func(ctx context.Context) error) {
	debug.SetGCPercent(50) // the machine is small
	if err := run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	select {}
}

// Join is what the servers of the start do when they have their process port:
// with the privileged ports they tell the process server their version and
// startup that they are essential (17 to 19). The port to startup is borrowed.
// The rights returned are the caller's.
func Join(ctx context.Context, startup, proc mach.Port, name string) (hostPriv, deviceMaster mach.Port, err error) {
	hostPriv, deviceMaster, err = proto.ProcGetprivports(ctx, proc)
	if err != nil {
		return mach.Null, mach.Null, fmt.Errorf("%s: %w", name, err)
	}
	err = proto.ProcRegisterVersion(ctx, proc, hostPriv, name, "", Version)
	if err == nil {
		err = proto.StartupEssentialTask(ctx, startup, mach.TaskSelf(), mach.Null, name, hostPriv)
	}
	if err != nil {
		proto.Release(ctx, hostPriv, deviceMaster)
		return mach.Null, mach.Null, fmt.Errorf("%s: %w", name, err)
	}
	return hostPriv, deviceMaster, nil
}
