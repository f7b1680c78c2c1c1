// Command rootfs is the root file system of a mach node, and the first program
// that the kernel starts:
//
//	rootfs --host-port=${host-port} --device-port=${device-port} --exec-server-task=${exec-task} $(task-create) $(task-resume)
//	exec $(exec-task=task-create)
//	root.tar $(ramdisk-create)
//
// It holds the tree that the tar in the ramdisk has, in memory, starts the exec
// server and the startup server, and then is a process like others. If that
// fails it says so on the console and the machine restarts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/rootfs"
	"hurdlab/images/mach/startup"
	"hurdlab/mach"
)

// keepFree is how much memory files leave to programs. The first 16 MB of a
// machine are for devices: the kernel uses them last, and begins to search for
// pages that it can do without before it does.
const keepFree = 12 << 20

// maxPorts bounds what is open and mapped at a time, all programs together:
// each takes some 6 KiB.
const maxPorts = 4096

// maxOfUser and maxOfUsers leave others some of them if a user who is not root
// takes all he can, and root some if all users do.
const (
	maxOfUser  = maxPorts / 8 * 3
	maxOfUsers = maxPorts / 8 * 7
)

// maxInodes bounds the files of a node: each takes some 500 bytes of this
// program's memory.
const maxInodes = 16384

func main() {
	execTask := flag.Uint("exec-server-task", 0, "`name` of the exec server's task port")
	tree := flag.String("tree", "rd0", "`device` with a tar of the tree")
	start := flag.String("startup", "hurd/startup", "`path` of the startup server's program, in the tree")
	flag.Parse()
	// Go lets a heap grow to 4 MiB before it looks what of it is garbage. That
	// is much where the whole machine has 96, and what lives here is less.
	debug.SetGCPercent(50)
	if err := run(context.Background(), mach.Port(*execTask), *tree, *start); err != nil {
		fmt.Println("rootfs: the node cannot go on:", err)
		// Without a root file system there is nothing to save.
		_ = mach.HostReboot(mach.HostPriv(), proto.RB_AUTOBOOT)
		os.Exit(1)
	}
	select {}
}

func run(ctx context.Context, execTask mach.Port, treeDevice, first string) error {
	host, err := mach.HostBasicInfo(mach.HostSelf())
	if err != nil {
		return err
	}
	console, err := mach.DeviceOpen(ctx, mach.DeviceMaster(), "console", mach.ModeRead|mach.ModeWrite)
	if err != nil {
		return err
	}
	ramdisk, err := rootfs.OpenRamdisk(ctx, mach.DeviceMaster(), treeDevice)
	if err != nil {
		return err
	}
	devices := rootfs.MemoryDevices()
	devices[rootfs.DevConsole] = rootfs.NewConsole(console).Open
	if devices[rootfs.DevTime], err = rootfs.OpenTime(ctx, mach.DeviceMaster()); err != nil {
		return err
	}
	export := &ports.Kernel{MaxObjects: maxPorts}
	deaths, err := deathwatch.New(ctx)
	if err != nil {
		return err
	}
	sockets := new(sockets)
	tree := rootfs.New(rootfs.Config{
		Memory:   rootfs.Memory{KeepFree: keepFree},
		MaxBytes: int64(host.Memory) / 10 * 3, MaxInodes: maxInodes,
		Generation: uint32(time.Now().Unix()),
		Ports:      export,
		Devices:    devices,
		Fabricate:  sockets.fabricate,
		Watch:      deaths.Watch,
		Log:        func(format string, args ...any) { fmt.Printf("rootfs: "+format+"\n", args...) },
	})
	if err := tree.Files().Load(ramdisk, ramdisk.Size()); err != nil {
		return fmt.Errorf("%s: %w", treeDevice, err)
	}
	if err := tree.MakeDevices(); err != nil {
		return err
	}
	fs, err := translator.NewFS(translator.Config{
		Root: tree.Root(), Name: "/hurd/" + rootfs.Name, FSType: proto.FSTypeMemFS, FSID: 1, Source: treeDevice,
		System: true, Ports: export, MaxOfUser: maxOfUser, MaxOfUsers: maxOfUsers,
	})
	if err != nil {
		return err
	}
	sockets.fs = fs
	boot := rootfs.Boot{
		FS: fs, Ports: export, Task: task{},
		HostPriv: mach.HostPriv(), DeviceMaster: mach.DeviceMaster(), Self: mach.TaskSelf(), ExecTask: execTask,
		Startup: first,
	}
	return boot.Run(ctx)
}

// sockets makes addresses of local sockets.
type sockets struct{ fs *translator.FS }

func (s *sockets) fabricate(ctx context.Context) (mach.Port, error) {
	server, err := s.fs.Open(ctx, translator.Root(), fmt.Sprintf("servers/socket/%d", proto.PF_LOCAL), 0, 0, mach.Null)
	if err != nil {
		return mach.Null, err
	}
	defer proto.Release(ctx, server)
	return proto.SocketFabricateAddress(ctx, server, proto.PF_LOCAL)
}

// task is the kernel, for [rootfs.Boot].
type task struct{}

// Create makes a task. An exception in it is not this program's to handle.
func (task) Create() (mach.Port, error) {
	t, err := mach.TaskCreate(mach.TaskSelf(), false)
	if err != nil {
		return mach.Null, err
	}
	if err := mach.TaskSetSpecialPort(t, mach.TaskExceptionPort, mach.Null, mach.CopySend); err != nil {
		_ = mach.TaskTerminate(t)
		return mach.Null, err
	}
	return t, nil
}

func (task) SetBootstrap(t, p mach.Port) error {
	return mach.TaskSetSpecialPort(t, mach.TaskBootstrapPort, p, mach.CopySend)
}

func (task) Resume(t mach.Port) error { return mach.TaskResume(t) }

func (task) Copy(p mach.Port) error {
	return mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1)
}

func (task) Become(i int, p mach.Port) error {
	if err := syscall.HurdSetPort(i, uint32(p)); err != nil || i != proto.InitPortProc {
		return err
	}
	return startup.SetArgs(context.Background(), p, append([]string{"/hurd/" + rootfs.Name}, os.Args[1:]...))
}
