package auth

import (
	"context"
	"fmt"
	"syscall"

	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/images/mach/startup"
	"hurdlab/mach"
)

// Main is the command.
func Main() { startup.MainServer("auth", run) }

func run(ctx context.Context) error {
	boot, err := mach.TaskGetSpecialPort(mach.TaskSelf(), mach.TaskBootstrapPort)
	if err != nil {
		return err
	}
	deaths, err := deathwatch.New(ctx)
	if err != nil {
		return err
	}
	// Each handle is a port.
	server := New(&ports.Kernel{MaxObjects: MaxHandles + 1}, deaths)
	root, err := server.Handle(Root())
	if err != nil {
		return err
	}
	proc, err := proto.StartupAuthinit(ctx, boot, proto.Move(root))
	if err != nil {
		return err
	}
	if err := syscall.HurdSetPort(proto.InitPortProc, uint32(proc)); err != nil {
		return fmt.Errorf("become a process: %w", err)
	}
	hostPriv, deviceMaster, err := startup.Join(ctx, boot, proc, "auth")
	proto.Release(ctx, hostPriv, deviceMaster, boot)
	return err
}
