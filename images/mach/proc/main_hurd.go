package proc

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"hurdlab/hurd/proto"
	"hurdlab/images/mach/startup"
	"hurdlab/mach"
)

// Main is the command.
func Main() { startup.MainServer("proc", run) }

func run(ctx context.Context) error {
	boot, err := mach.TaskGetSpecialPort(mach.TaskSelf(), mach.TaskBootstrapPort)
	if err != nil {
		return err
	}
	server, err := Start(ctx, boot, mach.Null, func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "proc: "+format+"\n", args...)
	})
	if err != nil {
		return err
	}
	self, err := server.Self()
	if err != nil {
		return err
	}
	if err := syscall.HurdSetPort(proto.InitPortProc, uint32(self)); err != nil {
		return fmt.Errorf("become a process: %w", err)
	}
	hostPriv, deviceMaster, err := startup.Join(ctx, boot, self, "proc")
	proto.Release(ctx, hostPriv, deviceMaster, boot)
	return err
}
