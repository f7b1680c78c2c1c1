// Package machimage is the image called mach: Debian's own GNU Mach kernel,
// and on it servers written in Go that live in the directories below this
// one. Its machines are real: a real microkernel in a virtual machine. They
// are not a GNU/Hurd: the Hurd's servers are replaced by ours.
//
// The package runs on the host. It fetches the kernel from the Debian mirror
// that the host uses, cross-builds the guest's boot program with the tool
// chain of patches/go, and tells package lab how to boot the two.
package machimage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"hurdlab/images"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/internal/fsatomic"
	goport "hurdlab/patches/go"
)

// DefaultMemoryMB is the memory of a node whose user does not say.
const DefaultMemoryMB = 96

// serversMemoryMB is that of a node whose servers are tasks of their own.
const serversMemoryMB = 128

// user is whom to log in as. The nodes know no other yet.
const user = "root"

// minMemoryMB is what the boot program needs to come up.
const minMemoryMB = 48

// Options tell where things are. The zero value of each but CacheDir and
// Source is useful.
type Options struct {
	// CacheDir is where kernels and built programs are kept.
	CacheDir string
	// Source is the root of hurdlab's source tree, which the guest's programs
	// are built from.
	Source string
	// Kernel is a kernel file to use instead of Debian's, gzipped or not.
	Kernel string
	// Mirror is the URL of a Debian archive, for hosts without apt.
	Mirror string
}

// New returns the image.
func New(opt Options) images.Image { return &image{opt: opt} }

type image struct {
	opt Options

	mu       sync.Mutex
	prepared *parts
}

// parts are the files that machines boot from.
type parts struct {
	kernel, boot string
	system       *system // instead of boot
}

// ServersEnv names the environment variable that has nodes boot the servers,
// each a task of its own, in place of the boot program.
const ServersEnv = "HURDLAB_MACH_SERVERS"

func withServers() bool { return os.Getenv(ServersEnv) == "1" }

func (*image) Name() string { return "mach" }

func (*image) Describe() string {
	return "Debian's GNU Mach kernel with servers written in Go (not a full GNU/Hurd); boots in seconds"
}

func (m *image) Prepare(ctx context.Context, p images.Progress) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kernel, err := m.kernel(ctx, p)
	if err != nil {
		return err
	}
	if withServers() {
		system, err := m.buildSystem(ctx, p)
		if err != nil {
			return err
		}
		m.prepared = &parts{kernel: kernel, system: system}
		return nil
	}
	boot, err := m.buildBoot(ctx, p)
	if err != nil {
		return err
	}
	m.prepared = &parts{kernel: kernel, boot: boot}
	return nil
}

// buildBoot builds the guest's boot program. Go's own build cache makes this
// fast when nothing has changed, and right when something has.
func (m *image) buildBoot(ctx context.Context, p images.Progress) (boot string, err error) {
	tc, err := goport.Ensure(ctx, goport.Options{CacheDir: m.opt.CacheDir, Progress: p})
	if err != nil {
		return "", err
	}
	done := p.Step("build the node's boot program")
	defer func() { done(err) }()
	dir := filepath.Join(m.opt.CacheDir, "guest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Two labs may be coming up at once, each with a tree of its own: the
	// program gets its final name by its content.
	tmp, err := os.CreateTemp(dir, ".boot-*")
	if err != nil {
		return "", err
	}
	tmp.Close()
	defer os.Remove(tmp.Name())
	cmd, err := tc.CommandIn(ctx, m.opt.Source, "build", "-trimpath", "-ldflags=-s -w", "-o", tmp.Name(), "./images/mach/cmd/boot")
	if err != nil {
		return "", err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("build the node's boot program in %s: %w\n%s", m.opt.Source, err, out)
	}
	b, err := os.ReadFile(tmp.Name())
	if err != nil {
		return "", err
	}
	boot = filepath.Join(dir, digest(b), "boot")
	if old, err := os.ReadFile(boot); err == nil && digest(old) == digest(b) {
		return boot, nil
	}
	return boot, fsatomic.WriteFile(boot, b, 0o755)
}

func (m *image) Machine(ctx context.Context, id images.Identity) (*images.Machine, error) {
	m.mu.Lock()
	parts := m.prepared
	m.mu.Unlock()
	if parts == nil {
		return nil, errors.New("image mach: Machine before Prepare")
	}
	memory := id.MemoryMB
	switch {
	case memory == 0:
		if memory = DefaultMemoryMB; withServers() {
			memory = serversMemoryMB
		}
	case memory < minMemoryMB:
		return nil, fmt.Errorf("%d MB of memory is too little for a node of image mach; it needs %d", memory, minMemoryMB)
	}
	config, err := config(id).Marshal()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(id.Dir, "node.json")
	// It holds the node's private host key.
	if err := fsatomic.WriteFile(file, config, 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of %s: %w", id.Name, err)
	}
	return &images.Machine{
		QEMU:     "qemu-system-i386",
		MemoryMB: memory,
		CPUs:     1, // the kernel is Debian's uniprocessor build
		NIC:      "virtio-net-pci",
		// The kernel has no source of randomness: the programs use RDRAND.
		Args:   []string{"-cpu", "qemu32,+rdrand"},
		Kernel: parts.kernel,
		// Looking for disks that are not there takes the kernel's IDE driver
		// two seconds, two thirds of the boot.
		Append:  "console=com0 noide",
		Modules: parts.modules(),
		FWCfg:   map[string]string{nodeconfig.File: file},
		User:    user,
		Stages: []images.Stage{
			{Name: "kernel", Mark: "GNU Mach"},
			{Name: "programs", Mark: "start "},
			{Name: "network", Mark: nodeconfig.MarkNetwork},
			{Name: "ready", Mark: nodeconfig.MarkReady},
		},
		Can: []string{images.CanGo},
	}, nil
}

// modules are what the kernel starts.
func (p *parts) modules() []images.Module {
	if p.system == nil {
		return []images.Module{{
			Path: p.boot,
			Line: "--host-port=${host-port} --device-port=${device-port} $(task-create) $(task-resume)",
		}}
	}
	return []images.Module{
		{Path: p.system.rootfs, Line: "--host-port=${host-port} --device-port=${device-port} --exec-server-task=${exec-task} $(task-create) $(task-resume)"},
		{Path: p.system.exec, Line: "$(exec-task=task-create)"},
		{Path: p.system.tree, Line: "$(ramdisk-create)"},
	}
}

// config is what the boot program is told.
func config(id images.Identity) *nodeconfig.Config {
	return &nodeconfig.Config{
		Name:           id.Name,
		MAC:            net.HardwareAddr(id.MAC[:]).String(),
		Addr:           id.Addr,
		Gateway:        id.Gateway,
		DNS:            id.DNS,
		Hosts:          id.Hosts,
		HostKey:        string(id.HostKey),
		AuthorizedKeys: string(id.AuthorizedKeys),
		User:           user,
	}
}
