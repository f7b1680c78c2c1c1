// Package images describes the kinds of machine that a node of a lab can be.
//
// An [Image] knows how to obtain what its machines boot from, and turns the
// identity that the lab gives a node into a [Machine]: everything QEMU needs
// to start it. Package lab starts machines without knowing which image they
// come from; suites ask what a node can do, never what it is.
//
// images imports nothing of the house; lab and the images themselves (such as
// images/mach) import it.
package images

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// An Image is one kind of machine.
type Image interface {
	// Name is what the user types after --image.
	Name() string
	// Describe tells in one line what the machines are.
	Describe() string
	// Prepare obtains whatever the image needs on this host: downloads,
	// builds. It returns quickly when everything is in the cache. Each step
	// that takes time is reported to p.
	Prepare(ctx context.Context, p Progress) error
	// Machine returns what QEMU needs to boot the node id. Prepare has
	// succeeded before.
	Machine(ctx context.Context, id Identity) (*Machine, error)
}

// Progress receives the steps of long work. Its methods may be called from
// several goroutines.
type Progress interface {
	// Step starts a step, such as "fetch kernel". The function it returns
	// ends the step; err is nil if it succeeded.
	Step(name string) (done func(err error))
	// Logf notes something within the current step.
	Logf(format string, args ...any)
}

// Identity is what the lab decides about a node.
type Identity struct {
	// Name is the host name, unique in the lab: "node1".
	Name string
	// MAC is the hardware address of its only network interface.
	MAC [6]byte
	// Addr is its address, with the prefix length of the lab's network.
	Addr netip.Prefix
	// Gateway and DNS are the lab's own addresses on that network.
	Gateway, DNS netip.Addr
	// Hosts gives the addresses of all nodes of the lab by name.
	Hosts map[string]netip.Addr
	// HostKey is the node's SSH host key (OpenSSH PEM).
	HostKey []byte
	// AuthorizedKeys lists who may log in (authorized_keys format).
	AuthorizedKeys []byte
	// Netmsg is the files of the node's netmsg, by their names in /etc/netmsg:
	// its key, its peers, and what they may do. It is empty for a node without
	// peers.
	Netmsg map[string]string
	// MemoryMB is the guest's memory in MiB; 0 means what the image likes.
	MemoryMB int
	// Dir is a directory of the node's own, for files that live as long as
	// the node, such as a disk overlay.
	Dir string
}

// A Machine is what QEMU needs to boot one node.
type Machine struct {
	// QEMU is the emulator's binary, such as "qemu-system-i386".
	QEMU string
	// MemoryMB is the guest's memory in MiB.
	MemoryMB int
	// CPUs is the number of virtual CPUs.
	CPUs int
	// NIC is QEMU's model of the network interface, such as
	// "virtio-net-pci,disable-modern=on"; the lab adds the MAC address and
	// the network.
	NIC string
	// Kernel, with Append and Modules, boots a multiboot kernel directly.
	// Kernel is empty for a machine that boots from its disk.
	Kernel  string
	Append  string
	Modules []Module
	// FWCfg gives the files offered to the guest through QEMU's firmware
	// configuration device, by name ("opt/hurdlab/node.json").
	FWCfg map[string]string
	// Disk is the file with the machine's disk, of format qcow2 and the machine's own,
	// and DiskDevice is what QEMU calls it; "" if there is none.
	Disk, DiskDevice string
	// Root says where the file system is on Disk that the machine boots from; nil if that
	// is not known. If it was not unmounted it is mended before a boot.
	Root *FileSystem
	// Args are further arguments to QEMU.
	Args []string
	// User is whom to log in as by SSH, on port 22.
	User string
	// Stages are the marks that a boot passes on the console, in order. They
	// tell how far a boot came that does not end.
	Stages []Stage
	// BootTimeout bounds the time from one stage to the next, for a lab whose
	// user does not say; 0 means the lab's default.
	BootTimeout time.Duration
	// Probe says how to find out whether KVM runs the machine; nil means by all
	// of its stages, within a few seconds.
	Probe *Probe
	// Can lists what the node can do: see the Can constants.
	Can []string
}

// A FileSystem is where an ext2 file system is on a disk.
type FileSystem struct {
	// Offset is where it begins, in bytes.
	Offset int64
}

// A Probe is a boot that need not be complete.
type Probe struct {
	// Stage is the name of the stage that it is to reach within Time.
	Stage string
	Time  time.Duration
}

// A Module is a file loaded with a multiboot kernel.
type Module struct {
	// Path is the file on the host.
	Path string
	// Line is the module's command line after its path.
	Line string
}

// A Stage is a point of the boot that shows on the console.
type Stage struct {
	// Name says what has been reached: "kernel", "network".
	Name string
	// Mark is text that the console shows then.
	Mark string
	// Stuck says what is probably wrong when a boot goes no further; "" if
	// nothing can be said.
	Stuck string
}

// What a node can do.
const (
	// CanGo: runs static GOOS=hurd programs copied to it.
	CanGo = "go"
	// CanHurd: has the Hurd's servers (files, processes, translators).
	CanHurd = "hurd"
	// CanApt: installs packages of a distribution.
	CanApt = "apt"
	// CanGCC: compiles C.
	CanGCC = "gcc"
)

// A Catalogue is the images that a user can name.
type Catalogue []Image

// Find returns the image called name.
func (c Catalogue) Find(name string) (Image, error) {
	i := slices.IndexFunc(c, func(m Image) bool { return m.Name() == name })
	if i < 0 {
		return nil, &UnknownError{Name: name, Known: c.Names()}
	}
	return c[i], nil
}

// Names lists the images.
func (c Catalogue) Names() []string {
	var names []string
	for _, m := range c {
		names = append(names, m.Name())
	}
	return names
}

// An UnknownError says that no image has a name.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no image is called %q; known images: %q", e.Name, e.Known)
}
