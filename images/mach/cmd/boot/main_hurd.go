//go:build hurd

// Command boot is the first and only program that GNU Mach starts on a mach
// node. It drives the network card, and is the node's network stack, SSH
// server, root file system, process and exec server in one task. Each of these
// is a package of its own, so that they can become servers of their own.
//
// The kernel starts it as a module:
//
//	boot --host-port=${host-port} --device-port=${device-port} $(task-create) $(task-resume)
//
// and QEMU passes the node's configuration (package nodeconfig). The console
// shows the marks of package nodeconfig as the node comes up. If anything that
// the node needs fails, it says so and the machine restarts.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"hurdlab/images/mach/bootfs"
	proc "hurdlab/images/mach/bootproc"
	"hurdlab/images/mach/fwcfg"
	"hurdlab/images/mach/ipstack"
	"hurdlab/images/mach/machine"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/images/mach/pio"
	"hurdlab/images/mach/ports"
	"hurdlab/images/mach/shell"
	"hurdlab/images/mach/socket"
	"hurdlab/images/mach/sshd"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

func main() {
	err := run(context.Background())
	// Nothing is supposed to end. The kernel's console is all there is to say
	// it on, and the end of this program restarts the machine.
	fmt.Println("hurdlab: the node cannot go on:", err)
	os.Exit(1)
}

func run(ctx context.Context) error {
	cfg, err := readConfig()
	if err != nil {
		return err
	}
	var mac net.HardwareAddr
	if cfg.MAC != "" {
		if mac, err = net.ParseMAC(cfg.MAC); err != nil {
			return err
		}
	}
	card, err := machine.Boot().OpenCard(ctx, mac)
	if err != nil {
		return err
	}
	stack, err := ipstack.New(card, ipstack.Config{Addr: cfg.Addr, Gateway: cfg.Gateway})
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- stack.Serve(ctx) }()
	fmt.Println(nodeconfig.MarkNetwork, cfg.Addr.Addr())

	files, err := newFiles(cfg)
	if err != nil {
		return err
	}
	export := new(ports.Kernel)
	sh := &shell.Shell{
		Name:   cfg.Name,
		Files:  files,
		Root:   bootfs.New(files, export, map[string]mach.Handler{socket.Path: socket.NewServer(stack.Raw(), export)}),
		Procs:  proc.NewTable(proc.Mach{}, export),
		Export: export,
		Net:    stack,
		Hosts:  cfg.Hosts,
		Env:    []string{"PATH=/bin", "HOME=/root", "TMPDIR=/tmp", "USER=" + cfg.User, "HOSTNAME=" + cfg.Name},
	}
	srv, err := newSSH(cfg, sh)
	if err != nil {
		return err
	}
	l, err := stack.Listen(22)
	if err != nil {
		return err
	}
	fmt.Println(nodeconfig.MarkReady)
	go func() { failed <- srv.Serve(ctx, l) }()
	return <-failed
}

// readConfig reads what the lab tells the node.
func readConfig() (*nodeconfig.Config, error) {
	if err := machine.Boot().GrantPorts(fwcfg.SelectorPort, fwcfg.DataPort); err != nil {
		return nil, err
	}
	b, err := fwcfg.Read(pio.Ports{}, nodeconfig.File, nodeconfig.MaxSize)
	if err != nil {
		return nil, err
	}
	return nodeconfig.Parse(b)
}

// newFiles makes the node's tree of files.
func newFiles(cfg *nodeconfig.Config) (*store.FS, error) {
	host, err := mach.HostBasicInfo(mach.HostSelf())
	if err != nil {
		return nil, err
	}
	// A third of the memory for files leaves one for programs and one for the
	// rest.
	files := store.New(vmem.Memory{}, int64(host.Memory/3))
	for _, d := range []string{"/bin", "/etc", "/root", "/tmp"} {
		err = errors.Join(err, files.Mkdir(d, 0o755))
	}
	err = errors.Join(err,
		files.WriteFile("/etc/hostname", []byte(cfg.Name+"\n"), 0o444),
		files.WriteFile("/etc/hosts", hostsFile(cfg.Hosts), 0o444))
	if cfg.DNS.IsValid() {
		err = errors.Join(err, files.WriteFile("/etc/resolv.conf", []byte("nameserver "+cfg.DNS.String()+"\n"), 0o444))
	}
	return files, err
}

func hostsFile(hosts map[string]netip.Addr) []byte {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		fmt.Fprintf(&b, "%s %s\n", hosts[name], name)
	}
	return []byte(b.String())
}

func newSSH(cfg *nodeconfig.Config, sh *shell.Shell) (*sshd.Server, error) {
	key, err := ssh.ParsePrivateKey([]byte(cfg.HostKey))
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	authorized, err := sshd.ParseAuthorizedKeys([]byte(cfg.AuthorizedKeys))
	if err != nil {
		return nil, err
	}
	return sshd.New(sshd.Config{
		HostKey:    key,
		Authorized: authorized,
		User:       cfg.User,
		Run:        sh.Run,
		Logf:       func(format string, args ...any) { fmt.Printf("hurdlab: "+format+"\n", args...) },
	})
}
