package exec

import (
	"context"
	"fmt"
	"syscall"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/images/mach/startup"
	"hurdlab/mach"
)

// Main is the command.
func Main() { startup.MainServer("exec", run) }

func run(ctx context.Context) error {
	boot, err := mach.TaskGetSpecialPort(mach.TaskSelf(), mach.TaskBootstrapPort)
	if err != nil {
		return err
	}
	export := new(ports.Kernel)
	server := New(Mach{}, export)
	control, err := export.Export(server.Control(), ports.Options{})
	if err != nil {
		return err
	}
	right, err := control.Right()
	if err != nil {
		return err
	}
	node, err := proto.FsysStartup(ctx, boot, 0, proto.Move(right))
	if err != nil {
		return err
	}
	proto.Release(ctx, node, boot)

	<-server.Ready()
	auth, proc := server.Ports()
	for i, p := range map[int]mach.Port{proto.InitPortAuth: auth, proto.InitPortProc: proc} {
		if err := mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1); err != nil {
			return err
		}
		if err := syscall.HurdSetPort(i, uint32(p)); err != nil {
			return fmt.Errorf("become a process: %w", err)
		}
	}
	if err := startup.SetArgs(ctx, proc, []string{"/hurd/exec"}); err != nil {
		return err
	}
	// It gets the standard ports now and when they change.
	self, err := server.Open(true)
	if err != nil {
		return err
	}
	if err := proto.ProcExecdataNotify(ctx, proc, proto.Move(self)); err != nil {
		return err
	}
	start := syscall.HurdStart()
	if start == nil || len(start.Ports) < proto.InitPortMax {
		return fmt.Errorf("started without a root directory")
	}
	launcher := startup.Launcher{Root: mach.Port(start.Ports[proto.InitPortRoot])}
	boss, err := launcher.Lookup(ctx, "/servers/startup", 0, 0)
	if err != nil {
		return fmt.Errorf("/servers/startup: %w", err)
	}
	hostPriv, deviceMaster, err := startup.Join(ctx, boss, proc, "exec")
	proto.Release(ctx, hostPriv, deviceMaster, boss)
	return err
}
