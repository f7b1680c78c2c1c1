// Package virtio drives QEMU's virtio network card (virtio-net-pci) in its
// legacy form, virtio 0.9: registers behind I/O ports, split virtqueues at a
// page number. A legacy device needs no memory-mapped registers, and port
// accesses cost the same as memory-mapped ones in an emulator.
//
// No offload is used: QEMU's stream and dgram networks carry none.
package virtio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"hurdlab/images/mach/nic"
	"hurdlab/images/mach/pci"
	"hurdlab/images/mach/pio"
)

// Registers of a legacy device, as offsets from its I/O base (virtio 1.2,
// section 4.1.4.10).
const (
	regDeviceFeatures = 0x00
	regDriverFeatures = 0x04
	regQueuePFN       = 0x08
	regQueueSize      = 0x0c
	regQueueSelect    = 0x0e
	regQueueNotify    = 0x10
	regStatus         = 0x12
	regISR            = 0x13
	regMAC            = 0x14 // first field of the device's configuration without MSI-X

	// Ports is the number of I/O ports that the driver uses from the base.
	Ports = 0x20
)

const (
	statusAcknowledge = 1
	statusDriver      = 2
	statusDriverOK    = 4
	statusFailed      = 128

	featureMAC       = 1 << 5
	featureAnyLayout = 1 << 27 // header and frame may share a buffer

	queueReceive  = 0
	queueTransmit = 1

	// headerSize is the size of the header before each frame, all zero
	// without offloads.
	headerSize = 10
	mtu        = 1500
	bufLen     = 2048 // header, frame and a VLAN tag, at an even alignment

	// Buffers per queue, half a megabyte each: as many as QEMU's queues have
	// entries, because a TCP sender puts twenty frames into the queue at once.
	buffers = 256
)

const (
	vendorQumranet  = 0x1af4
	deviceLegacyNet = 0x1000 // "transitional network card"
)

// Find returns the network cards among fs.
func Find(fs []pci.Function) []pci.Function {
	var found []pci.Function
	for _, f := range fs {
		if f.Vendor == vendorQumranet && f.Device == deviceLegacyNet {
			found = append(found, f)
		}
	}
	return found
}

// MAC reads the address of the card at I/O port base, which may be running.
func MAC(bus pio.Bus, base uint16) (mac [6]byte) {
	for i := range mac {
		mac[i] = bus.In8(base + regMAC + uint16(i))
	}
	return mac
}

// A Net is a virtio network card.
type Net struct {
	bus  pio.Bus
	base uint16
	irq  nic.Interrupt
	mac  [6]byte

	rx *queue // of the goroutine in Serve

	txLock sync.Mutex
	tx     *queue
	free   []int // transmit buffers not with the device
	posted bool  // something waits for Flush

	dropped atomic.Uint64
}

var _ nic.Device = (*Net)(nil)

// Open resets and starts the card at I/O port base. The caller has access to
// the ports, and the card may master the bus.
func Open(bus pio.Bus, base uint16, irq nic.Interrupt, alloc nic.Allocator) (*Net, error) {
	d := &Net{bus: bus, base: base, irq: irq}
	d.status(0) // reset
	d.status(statusAcknowledge)
	d.status(statusAcknowledge | statusDriver)
	if err := d.start(alloc); err != nil {
		d.status(statusFailed)
		return nil, err
	}
	d.status(statusAcknowledge | statusDriver | statusDriverOK)
	d.rx.kick()
	return d, nil
}

func (d *Net) start(alloc nic.Allocator) error {
	const want = featureMAC | featureAnyLayout
	got := d.bus.In32(d.base + regDeviceFeatures)
	if got&want != want {
		return fmt.Errorf("virtio: the card's features %#x lack %#x: it needs an address of its own and any_layout=on", got, want&^got)
	}
	d.bus.Out32(d.base+regDriverFeatures, want)
	d.mac = MAC(d.bus, d.base)
	var err error
	if d.rx, err = d.queue(queueReceive, alloc); err != nil {
		return err
	}
	for i := range d.rx.limit {
		d.rx.post(i, bufLen)
	}
	if d.tx, err = d.queue(queueTransmit, alloc); err != nil {
		return err
	}
	d.tx.interrupts(false) // buffers are collected when the next are needed
	for i := range d.tx.limit {
		d.free = append(d.free, i)
	}
	return nil
}

func (d *Net) queue(i uint16, alloc nic.Allocator) (*queue, error) {
	d.bus.Out16(d.base+regQueueSelect, i)
	n := int(d.bus.In16(d.base + regQueueSize))
	q, err := newQueue(alloc, n, buffers, bufLen, i == queueReceive, func() { d.bus.Out16(d.base+regQueueNotify, i) })
	if err != nil {
		return nil, err
	}
	d.bus.Out32(d.base+regQueuePFN, q.pfn())
	return q, nil
}

func (d *Net) status(s uint8) { d.bus.Out8(d.base+regStatus, s) }

// Close resets the card.
func (d *Net) Close() { d.status(0) }

// MAC is the card's address.
func (d *Net) MAC() [6]byte { return d.mac }

// MTU is Ethernet's 1500 bytes.
func (d *Net) MTU() int { return mtu }

// Dropped counts the frames that Send could not queue.
func (d *Net) Dropped() uint64 { return d.dropped.Load() }

// Send queues a frame: see [nic.Device].
func (d *Net) Send(fill func(buf []byte) int) bool {
	d.txLock.Lock()
	defer d.txLock.Unlock()
	if len(d.free) == 0 {
		for {
			i, _, ok := d.tx.pop()
			if !ok {
				break
			}
			d.free = append(d.free, i)
		}
		if len(d.free) == 0 {
			d.flush()
			d.dropped.Add(1)
			return false
		}
	}
	i := d.free[len(d.free)-1]
	d.free = d.free[:len(d.free)-1]
	b := d.tx.buffer(i)
	// The header stays zero from the start: nobody writes to it.
	n := fill(b[headerSize : headerSize+nic.HeaderSize+mtu])
	d.tx.post(i, headerSize+n)
	d.posted = true
	return true
}

// Flush starts the transmission of what Send has queued.
func (d *Net) Flush() {
	d.txLock.Lock()
	d.flush()
	d.txLock.Unlock()
}

func (d *Net) flush() {
	if d.posted {
		d.posted = false
		d.tx.kick()
	}
}

// Serve receives frames: see [nic.Device].
func (d *Net) Serve(ctx context.Context, deliver func(frame []byte)) error {
	for {
		if err := d.receive(deliver); err != nil {
			return err
		}
		if err := d.irq.Wait(ctx); err != nil {
			return err
		}
		// Reading the register takes the interrupt back; only then can the
		// line be unmasked without interrupting again at once.
		d.bus.In8(d.base + regISR)
		if err := d.irq.Ack(); err != nil {
			return fmt.Errorf("virtio: interrupt: %w", err)
		}
	}
}

// receive delivers frames until there are none, with interrupts off: at a
// high rate one interrupt serves many frames.
func (d *Net) receive(deliver func(frame []byte)) error {
	d.rx.interrupts(false)
	for {
		posted := 0
		for {
			i, n, ok := d.rx.pop()
			if !ok {
				break
			}
			if i >= d.rx.limit || n > bufLen {
				return errors.New("virtio: the card returned a buffer that it was not given")
			}
			if n > headerSize+nic.HeaderSize {
				deliver(d.rx.buffer(i)[headerSize:n])
			}
			d.rx.post(i, bufLen)
			// Give buffers back early enough for the card not to run dry.
			if posted++; posted%(buffers/4) == 0 {
				d.rx.kick()
			}
		}
		if posted > 0 {
			d.rx.kick()
			continue
		}
		d.rx.interrupts(true)
		// A frame may have come between the last look and the permission to
		// interrupt.
		if uint16(atomic.LoadUint32(d.rx.p32(d.rx.used))>>16) == d.rx.seen {
			return nil
		}
		d.rx.interrupts(false)
	}
}
