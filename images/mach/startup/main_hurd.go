package startup

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Main is the command.
func Main() { MainServer("startup", run) }

func run(ctx context.Context) error {
	init := "/hurd/init"
	for _, a := range os.Args[1:] {
		if v, ok := strings.CutPrefix(a, "--init="); ok {
			init = v
		}
	}
	start := syscall.HurdStart()
	if start == nil || len(start.Ports) < proto.InitPortMax {
		return fmt.Errorf("started without a root directory")
	}
	boot, err := mach.TaskGetSpecialPort(mach.TaskSelf(), mach.TaskBootstrapPort)
	if err != nil {
		return err
	}
	hostPriv, deviceMaster, fsTask, err := proto.FsysGetpriv(ctx, boot)
	if err != nil {
		return err
	}
	console, err := mach.DeviceOpen(ctx, deviceMaster, "console", mach.ModeRead|mach.ModeWrite)
	if err != nil {
		return err
	}
	deaths, err := deathwatch.New(ctx)
	if err != nil {
		return err
	}
	kernel := Mach{Deaths: deaths, Console: console}
	launcher := &Launcher{
		Root: mach.Port(start.Ports[proto.InitPortRoot]), CWD: mach.Port(start.Ports[proto.InitPortCWD]),
		Ignored: Ignored, NewTask: NewTask, Terminate: mach.TaskTerminate,
	}
	for _, p := range start.Dtable {
		launcher.Files = append(launcher.Files, mach.Port(p))
	}
	export := new(ports.Kernel)
	var port ports.Port
	server := New(kernel, func() (mach.Port, error) { return port.Right() }, hostPriv, deviceMaster, mach.TaskSelf(), launcher.Root)
	if port, err = export.Export(proto.Handler(server), ports.Options{}); err != nil {
		return err
	}
	b := &Boot{
		Server: server, Launcher: launcher, FS: boot, FSTask: fsTask, NewRendezvous: NewRendezvous,
		Become: func(proc, auth mach.Port) error {
			for i, p := range map[int]mach.Port{proto.InitPortAuth: auth, proto.InitPortProc: proc} {
				if err := kernel.Retain(p); err != nil {
					return err
				}
				if err := syscall.HurdSetPort(i, uint32(p)); err != nil {
					return err
				}
			}
			return nil
		},
		Init: []string{init},
	}
	if err := b.Run(ctx); err != nil {
		// Half a system is none.
		kernel.Say(fmt.Sprintf("startup: the system does not start: %v", err))
		kernel.Reboot(hostPriv, proto.RB_AUTOBOOT)
		return err
	}
	return nil
}
