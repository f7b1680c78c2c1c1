// Package machine gives servers the hardware of the machine by way of the
// kernel: I/O ports, interrupts as messages, memory for devices, and with them
// the network card. It takes the kernel's privileged ports, which the kernel
// passes to the first program and the process server to root's; drivers take
// the hardware through the interfaces of packages pio and nic.
package machine

import (
	"context"
	"fmt"
	"net"
	"slices"

	"hurdlab/hurd/proto"
	"hurdlab/images/mach/nic"
	"hurdlab/images/mach/pci"
	"hurdlab/images/mach/pio"
	"hurdlab/images/mach/virtio"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// A Machine is the hardware. Its ports are borrowed.
type Machine struct {
	HostPriv     mach.Port // privileged port of the host
	DeviceMaster mach.Port // opens the kernel's devices

	// KeepDMA keeps the memory of a card from being used for anything else
	// when this program has ended: a card that nobody has stopped goes on
	// writing to it. It takes a task without threads, which stays behind.
	KeepDMA bool
}

// Boot returns the machine of a program that the kernel started.
func Boot() Machine { return Machine{HostPriv: mach.HostPriv(), DeviceMaster: mach.DeviceMaster()} }

// GrantPorts lets this task use the I/O ports from first to last.
func (m Machine) GrantPorts(first, last uint16) error { return m.ports(first, last, true) }

// RevokePorts takes the I/O ports from first to last from this task.
func (m Machine) RevokePorts(first, last uint16) error { return m.ports(first, last, false) }

func (m Machine) ports(first, last uint16, grant bool) error {
	perm, err := mach.IOPermCreate(m.DeviceMaster, first, last)
	if err == nil {
		defer mach.Deallocate(perm)
		err = mach.IOPermModify(mach.TaskSelf(), perm, grant)
	}
	if err != nil {
		return fmt.Errorf("I/O ports %#x-%#x: %w", first, last, err)
	}
	return nil
}

// AllocateDMA is a [nic.Allocator]: it allocates wired, contiguous memory
// below 4 GiB. It is never freed: a driver lives as long as its task.
func (m Machine) AllocateDMA(size int) (nic.DMA, error) {
	addr, phys, err := mach.VMAllocateContiguous(m.HostPriv, mach.TaskSelf(), uintptr(size), 0, 1<<32-1, 0)
	if err != nil {
		return nic.DMA{}, fmt.Errorf("memory for a device, %d bytes: %w", size, err)
	}
	b := vmem.At(addr, size)
	clear(b) // the kernel does not
	return nic.DMA{Bytes: b, Phys: phys}, nil
}

// OpenCard starts the virtio network card with a MAC address, or the first
// one if mac is nil.
func (m Machine) OpenCard(ctx context.Context, mac net.HardwareAddr) (nic.Device, error) {
	bus := pio.Ports{}
	if err := m.GrantPorts(pci.FirstPort, pci.LastPort); err != nil {
		return nil, err
	}
	var seen []string
	for _, f := range virtio.Find(pci.Scan(bus)) {
		base, ok := f.IOBase(0)
		if !ok {
			continue // a modern card only
		}
		if err := m.GrantPorts(base, base+virtio.Ports-1); err != nil {
			return nil, err
		}
		// Without starting it: another's card must go on.
		got := virtio.MAC(bus, base)
		if mac != nil && !slices.Equal(mac, got[:]) {
			seen = append(seen, net.HardwareAddr(got[:]).String())
			continue
		}
		base, err := m.moveDown(f, base)
		if err != nil {
			return nil, err
		}
		f.Enable()
		irq, err := m.OpenInterrupt(ctx, int(f.IRQ()))
		if err != nil {
			return nil, err
		}
		var dma []nic.DMA
		card, err := virtio.Open(bus, base, irq, func(size int) (nic.DMA, error) {
			d, err := m.AllocateDMA(size)
			dma = append(dma, d)
			return d, err
		})
		if err == nil && m.KeepDMA {
			if err = keep(dma); err != nil {
				card.Close()
			}
		}
		return card, err
	}
	return nil, fmt.Errorf("no virtio network card (virtio-net-pci, transitional) with address %q on PCI bus 0; seen: %q", mac, seen)
}

// moveDown moves a card that this task has the ports of, at base, to lower ones,
// and grants those. At each switch to a task that may use I/O ports, GNU Mach
// copies the task's bitmap of them up to the last, a byte at a time: from the
// firmware's 0xc000 it is 6 kB, and five switches a packet and its answer.
func (m Machine) moveDown(f pci.Function, base uint16) (uint16, error) {
	low := uint16(pci.FirstIO) + uint16(f.Slot)*virtio.Ports
	if base <= low {
		return base, nil // a program before this one has moved it
	}
	if err := m.RevokePorts(base, base+virtio.Ports-1); err != nil {
		return 0, err
	}
	if !f.MoveIO(0, low, virtio.Ports) {
		low = base // its register does not take the address
	}
	return low, m.GrantPorts(low, low+virtio.Ports-1)
}

// keep shares memory with a new task that does nothing, and has nothing else.
func keep(dma []nic.DMA) error {
	self := mach.TaskSelf()
	for addr := uintptr(0); ; {
		r, err := mach.VMRegion(self, addr)
		if err != nil {
			break // beyond the last one
		}
		proto.Release(context.Background(), r.Object)
		if r.Inherit != mach.InheritNone {
			if err := mach.VMInherit(self, r.Addr, r.Size, mach.InheritNone); err != nil {
				return err
			}
		}
		addr = r.Addr + r.Size
	}
	for _, d := range dma {
		if err := mach.VMInherit(self, vmem.Addr(d.Bytes), uintptr(len(d.Bytes)), mach.InheritShare); err != nil {
			return err
		}
	}
	task, err := mach.TaskCreate(self, true)
	if err != nil {
		return fmt.Errorf("keep the memory of a device: %w", err)
	}
	return mach.Deallocate(task)
}

// An Interrupt is an interrupt line, whose interrupts arrive as messages.
type Interrupt struct {
	device mach.Port
	port   *mach.Receiver
	msg    *mach.Message
}

var _ nic.Interrupt = (*Interrupt)(nil)

// OpenInterrupt asks for the interrupts of a line.
func (m Machine) OpenInterrupt(ctx context.Context, line int) (*Interrupt, error) {
	device, err := mach.DeviceOpen(ctx, m.DeviceMaster, "irq", 0)
	if err != nil {
		return nil, fmt.Errorf("interrupt %d: %w", line, err)
	}
	port, err := mach.NewReceiver()
	if err == nil {
		err = mach.DeviceIntrRegister(device, line, port.Port())
	}
	if err != nil {
		return nil, fmt.Errorf("interrupt %d: %w", line, err)
	}
	return &Interrupt{device, port, mach.NewMessage(0)}, nil
}

// Wait waits for an interrupt.
func (i *Interrupt) Wait(ctx context.Context) error {
	for {
		if err := i.port.Receive(ctx, i.msg); err != nil {
			return fmt.Errorf("wait for an interrupt: %w", err)
		}
		id := i.msg.ID()
		mach.Destroy(i.msg)
		if id == mach.IDInterrupt {
			return nil
		}
	}
}

// Ack unmasks the line.
func (i *Interrupt) Ack() error { return mach.DeviceIntrAck(i.device, i.port.Port()) }
