package sysinit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/images/mach/fwcfg"
	"hurdlab/images/mach/machine"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/images/mach/pio"
	"hurdlab/images/mach/startup"
	"hurdlab/mach"
)

// Main is the command.
func Main() {
	debug.SetGCPercent(50) // the machine is small
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "init: the node cannot go on:", err)
		os.Exit(1) // and the machine restarts
	}
}

// system is this process as a [System].
type system struct {
	launcher   startup.Launcher
	auth, proc mach.Port
	children   chan os.Signal // SIGCHLD
}

func run(ctx context.Context) error {
	start := syscall.HurdStart()
	if start == nil || len(start.Ports) < proto.InitPortMax {
		return errors.New("not started by exec")
	}
	sys := &system{
		launcher: startup.Launcher{
			Root: mach.Port(start.Ports[proto.InitPortRoot]), CWD: mach.Port(start.Ports[proto.InitPortCWD]),
			NewTask: startup.NewTask, Terminate: mach.TaskTerminate,
		},
		auth: mach.Port(start.Ports[proto.InitPortAuth]), proc: mach.Port(start.Ports[proto.InitPortProc]),
		children: make(chan os.Signal, 1),
	}
	signal.Notify(sys.children, syscall.SIGCHLD)
	for _, p := range start.Dtable {
		sys.launcher.Files = append(sys.launcher.Files, mach.Port(p))
	}
	hostPriv, deviceMaster, err := proto.ProcGetprivports(ctx, sys.proc)
	if err != nil {
		return err
	}
	cfg, err := readConfig(machine.Machine{HostPriv: hostPriv, DeviceMaster: deviceMaster})
	if err != nil {
		return err
	}
	if err := writeFiles(cfg); err != nil {
		return err
	}
	if err := sys.startNetwork(ctx, cfg); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	fmt.Println(nodeconfig.MarkNetwork, cfg.Addr.Addr())
	go sys.handleSignals(ctx, hostPriv)
	env := Env(cfg, Users[0])
	services := []*Service{{Name: "sshd", Argv: []string{"/bin/sshd"}, Env: env}}
	if len(cfg.Netmsg) > 0 {
		services = append(services, &Service{Name: "netmsg", Argv: []string{"/hurd/netmsg", "serve"}, Env: env})
		for _, node := range Mounts(cfg) {
			if err := sys.mount(ctx, "/n/"+node, "/hurd/netmsg", node); err != nil {
				return fmt.Errorf("mount %s: %w", node, err)
			}
		}
	}
	return Supervise(ctx, sys, services...)
}

// readConfig reads what the lab tells the node.
func readConfig(m machine.Machine) (*nodeconfig.Config, error) {
	if err := m.GrantPorts(fwcfg.SelectorPort, fwcfg.DataPort); err != nil {
		return nil, err
	}
	b, err := fwcfg.Read(pio.Ports{}, nodeconfig.File, nodeconfig.MaxSize)
	if err != nil {
		return nil, err
	}
	return nodeconfig.Parse(b)
}

func writeFiles(cfg *nodeconfig.Config) error {
	for _, f := range Files(cfg) {
		if f.Mode.IsDir() {
			if err := os.Mkdir(f.Path, f.Mode.Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		} else if err := os.WriteFile(f.Path, []byte(f.Data), f.Mode); err != nil {
			return err
		}
		if f.UID != 0 {
			if err := os.Chown(f.Path, f.UID, f.UID); err != nil {
				return err
			}
		}
	}
	return nil
}

// startNetwork makes pfinet the translator of its socket node, and opens it,
// so that it is there.
func (s *system) startNetwork(ctx context.Context, cfg *nodeconfig.Config) error {
	const name = "/servers/socket/2"
	if err := s.setTranslator(ctx, name, Pfinet(cfg)...); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// mount makes a directory on which a translator starts when it is first used.
func (s *system) mount(ctx context.Context, name string, argv ...string) error {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return err
	}
	return s.setTranslator(ctx, name, argv...)
}

// setTranslator sets the passive translator of a node.
func (s *system) setTranslator(ctx context.Context, name string, argv ...string) error {
	node, err := s.launcher.Lookup(ctx, name, proto.O_NOTRANS, 0)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, node)
	var argz []byte
	for _, a := range argv {
		argz = append(append(argz, a...), 0)
	}
	return proto.FileSetTranslator(ctx, node, proto.FS_TRANS_SET, 0, 0, argz, proto.Right{})
}

// Start starts a program as a child.
func (s *system) Start(ctx context.Context, argv, env []string) (pid int32, err error) {
	task, err := s.launcher.Start(ctx, argv, env, s.auth, mach.Null, func(task mach.Port) (mach.Port, error) {
		if err := proto.ProcChild(ctx, s.proc, task); err != nil {
			return mach.Null, err
		}
		p, err := proto.ProcTask2proc(ctx, s.proc, task)
		if err != nil {
			return mach.Null, err
		}
		if pid, err = proto.ProcTask2pid(ctx, s.proc, task); err != nil {
			return p, err
		}
		// A session of its own, as daemons have.
		return p, proto.ProcSetsid(ctx, p)
	})
	proto.Release(ctx, task)
	return pid, err
}

// Wait waits for the end of a child.
func (s *system) Wait(ctx context.Context) (pid, status int32, err error) {
	for {
		status, _, _, pid, err = proto.ProcWait(ctx, s.proc, -1, 0)
		switch {
		case errors.Is(err, proto.EINTR):
		case errors.Is(err, proto.ECHILD):
			<-s.children // there will be orphans
		default:
			return pid, status, err
		}
	}
}

func (s *system) Now() time.Time { return time.Now() }

func (s *system) Logf(format string, args ...any) { fmt.Printf("init: "+format+"\n", args...) }

// handleSignals ends the machine when it is told to.
func (s *system) handleSignals(ctx context.Context, hostPriv mach.Port) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	code := int32(proto.RB_HALT)
	if <-c == syscall.SIGINT {
		code = proto.RB_AUTOBOOT
	}
	boss, err := s.launcher.Lookup(ctx, "/servers/startup", 0, 0)
	if err == nil {
		err = proto.StartupReboot(ctx, boss, hostPriv, code)
	}
	s.Logf("the machine does not end: %v", err)
}
