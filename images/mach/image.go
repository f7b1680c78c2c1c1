// Package machimage is the image called mach: Debian's own GNU Mach kernel,
// and on it servers written in Go that live in the directories below this
// one. Its machines are real: a real microkernel in a virtual machine. They
// are not a GNU/Hurd: the Hurd's servers are replaced by ours.
//
// The package runs on the host. It fetches the kernel from the Debian mirror
// that the host uses, cross-builds the servers and tools with the tool chain of
// patches/go, packs them into a tree of files, and tells package lab how to
// boot all that. docs/mach-image.md has the whole picture.
package machimage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"hurdlab/images"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/internal/fsatomic"
)

// DefaultMemoryMB is the memory of a node whose user does not say. Some 30 MB
// are the tree of files and 25 the servers.
const DefaultMemoryMB = 128

// user is whom to log in as.
const user = "root"

// minMemoryMB is what a node needs to come up.
const minMemoryMB = 80

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
	kernel string
	system *system
}

// Kernel returns the path of the kernel that the image boots, for others that
// have none.
func Kernel(ctx context.Context, opt Options, p images.Progress) (string, error) {
	return (&image{opt: opt}).kernel(ctx, p)
}

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
	system, err := m.buildSystem(ctx, p)
	if err != nil {
		return err
	}
	m.prepared = &parts{kernel, system}
	return nil
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
		memory = DefaultMemoryMB
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
		Can: []string{images.CanGo, images.CanHurd},
	}, nil
}

// modules are what the kernel loads: the root file system, which it starts;
// the exec server, which the root file system starts; and the tree of files.
func (p *parts) modules() []images.Module {
	return []images.Module{
		{Path: p.system.rootfs, Line: "--host-port=${host-port} --device-port=${device-port} --exec-server-task=${exec-task} $(task-create) $(task-resume)"},
		{Path: p.system.exec, Line: "$(exec-task=task-create)"},
		{Path: p.system.tree, Line: "$(ramdisk-create)"},
	}
}

// config is what the node is told.
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
		Netmsg:         id.Netmsg,
	}
}
