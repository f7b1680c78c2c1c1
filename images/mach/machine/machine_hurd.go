// Package machine gives the boot program the hardware of the machine by way of
// the kernel: I/O ports, interrupts as messages, memory for devices. It is
// what only the first program can do, with the ports that the kernel passed
// it; drivers take it through the interfaces of packages pio and nic.
package machine

import (
	"context"
	"fmt"

	"hurdlab/images/mach/nic"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// GrantPorts lets this task use the I/O ports from first to last.
func GrantPorts(first, last uint16) error {
	perm, err := mach.IOPermCreate(mach.DeviceMaster(), first, last)
	if err != nil {
		return fmt.Errorf("I/O ports %#x-%#x: %w", first, last, err)
	}
	defer mach.Deallocate(perm)
	if err := mach.IOPermModify(mach.TaskSelf(), perm, true); err != nil {
		return fmt.Errorf("I/O ports %#x-%#x: %w", first, last, err)
	}
	return nil
}

// AllocateDMA is a [nic.Allocator]: it allocates wired, contiguous memory
// below 4 GiB. It is never freed: a driver lives as long as the machine.
func AllocateDMA(size int) (nic.DMA, error) {
	addr, phys, err := mach.VMAllocateContiguous(mach.HostPriv(), mach.TaskSelf(), uintptr(size), 0, 1<<32-1, 0)
	if err != nil {
		return nic.DMA{}, fmt.Errorf("memory for a device, %d bytes: %w", size, err)
	}
	b := vmem.At(addr, size)
	clear(b) // the kernel does not
	return nic.DMA{Bytes: b, Phys: phys}, nil
}

// An Interrupt is an interrupt line, whose interrupts arrive as messages.
type Interrupt struct {
	device mach.Port
	port   *mach.Receiver
	msg    *mach.Message
}

var _ nic.Interrupt = (*Interrupt)(nil)

// OpenInterrupt asks for the interrupts of a line.
func OpenInterrupt(ctx context.Context, line int) (*Interrupt, error) {
	device, err := mach.DeviceOpen(ctx, mach.DeviceMaster(), "irq", 0)
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
