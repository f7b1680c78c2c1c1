package mach

import (
	"context"

	"hurdlab/mach/wire"
)

// A DeviceMode says how a device is opened or used.
type DeviceMode int32

const (
	ModeRead    DeviceMode = 1
	ModeWrite   DeviceMode = 2
	ModeNoDelay DeviceMode = 4
	// ModeNoWait: fail with [DevWouldBlock] rather than wait. Not all devices
	// heed it: reading the console waits, so use a context.
	ModeNoWait DeviceMode = 8
)

// DeviceInband is the most that [DeviceReadInband] and [DeviceWriteInband]
// transfer at a time, in bytes.
const DeviceInband = 128

// waitFor calls a routine that the kernel answers when a device is ready.
func (r routine) waitFor(ctx context.Context, device Port) error {
	if err := call(ctx, device, r.Message); err != nil {
		return r.failed(err)
	}
	return nil
}

// DeviceOpen opens a device of the kernel and returns a send right to it.
// master is [DeviceMaster]. It waits until the device has been opened.
func DeviceOpen(ctx context.Context, master Port, name string, mode DeviceMode) (Port, error) {
	r := begin("device_open "+name, 2800)
	r.PutInt32(int32(mode))
	// Declared as one string of 128 bytes, and sent as one element.
	const field = 128
	if len(name) >= field {
		return Null, r.failed(DevNoSuchDevice)
	}
	b := make([]byte, field)
	copy(b, name)
	r.Put(wire.Desc{Type: wire.String, Bits: 8 * field, Number: 1, Long: true}, b)
	if err := r.waitFor(ctx, master); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// DeviceClose closes a device. The port remains to be deallocated.
func DeviceClose(device Port) error { return begin("device_close", 2801).do(device) }

// DeviceReadInband reads n bytes at most, up to [DeviceInband], and waits for
// the first. recnum is the number of the block of a block device.
func DeviceReadInband(ctx context.Context, device Port, mode DeviceMode, recnum uint64, n int) ([]byte, error) {
	r := begin("device_read_inband", 2805)
	r.PutInt32(int32(mode))
	r.PutWord(recnum)
	r.PutInt32(int32(n))
	if err := r.waitFor(ctx, device); err != nil {
		return nil, err
	}
	b := append([]byte(nil), r.TakeData(DeviceInband)...)
	return b, r.end()
}

// DeviceRead is [DeviceReadInband] of any size.
func DeviceRead(ctx context.Context, device Port, mode DeviceMode, recnum uint64, n int) ([]byte, error) {
	r := begin("device_read", 2804)
	r.PutInt32(int32(mode))
	r.PutWord(recnum)
	r.PutInt32(int32(n))
	if err := r.waitFor(ctx, device); err != nil {
		return nil, err
	}
	b := append([]byte(nil), r.TakeData(-1)...)
	return b, r.end()
}

// DeviceWriteInband writes up to [DeviceInband] bytes and returns how many it
// has written. It waits until the device has taken them.
func DeviceWriteInband(ctx context.Context, device Port, mode DeviceMode, recnum uint64, b []byte) (int, error) {
	r := begin("device_write_inband", 2803)
	r.PutInt32(int32(mode))
	r.PutWord(recnum)
	r.PutChars(b[:min(len(b), DeviceInband)])
	return r.written(ctx, device)
}

// DeviceWrite is [DeviceWriteInband] of any size.
func DeviceWrite(ctx context.Context, device Port, mode DeviceMode, recnum uint64, b []byte) (int, error) {
	r := begin("device_write", 2802)
	r.PutInt32(int32(mode))
	r.PutWord(recnum)
	r.PutOOLData(Byte, b)
	return r.written(ctx, device)
}

func (r routine) written(ctx context.Context, device Port) (int, error) {
	if err := r.waitFor(ctx, device); err != nil {
		return 0, err
	}
	n := int(r.TakeInt32())
	return n, r.end()
}

// DeviceMap returns a send right to a memory object of the device's memory,
// for [VMMap].
func DeviceMap(ctx context.Context, device Port, prot Prot, offset, size uintptr) (Port, error) {
	r := begin("device_map", 2809)
	r.PutInt32(int32(prot))
	r.PutWord(uint64(offset))
	r.PutWord(uint64(size))
	r.PutInt32(0)
	if err := r.waitFor(ctx, device); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// Flavors of a device's status.
const (
	DeviceSize    = 0        // {bytes, bytes of a record}
	DeviceRecords = 1        // {records, bytes of a record}
	NetStatus     = 0x6e0001 // {min packet, max packet, header format, header size, address size, flags, mapped size}
	NetAddress    = 0x6e0002 // the address, in words of network byte order
	NetFlags      = 0x6e0004
)

// DeviceGetStatus returns the status of a device.
func DeviceGetStatus(device Port, flavor int) ([]int32, error) {
	const words = 1024
	r := begin("device_get_status", 2811)
	r.PutInt32(int32(flavor))
	r.PutInt32(words)
	if err := r.call(device); err != nil {
		return nil, err
	}
	w := r.TakeInt32s(words)
	return w, r.end()
}

// DeviceSetStatus sets the status of a device.
func DeviceSetStatus(device Port, flavor int, status []int32) error {
	r := begin("device_set_status", 2810)
	r.PutInt32(int32(flavor))
	r.PutInt32s(status...)
	return r.do(device)
}

// DeviceSetFilter makes a network device send the packets that a filter
// accepts to port, a receive right of this task, as messages with id
// [IDNetPacket].
func DeviceSetFilter(device, port Port, priority int, filter []uint16) error {
	r := begin("device_set_filter", 2812)
	r.PutRight(port, MakeSend)
	r.PutInt32(int32(priority))
	r.PutInt16s(filter...)
	return r.do(device)
}

// IDNetPacket is the id of the message that brings a network packet.
const IDNetPacket = 2999

// TakeNetPacket decodes a message with id [IDNetPacket] and appends the
// Ethernet frame to b.
func TakeNetPacket(m *Message, b []byte) ([]byte, error) {
	const (
		ether  = 14 // bytes of an Ethernet header
		prefix = 4  // bytes of length and type before the packet
	)
	header, packet := m.TakeData(64), m.TakeData(-1)
	// The message is rounded up beyond its last item, so End would fail.
	if err := m.Err(); err != nil {
		return b, err
	}
	if len(header) < ether || len(packet) < prefix {
		return b, MigTypeError
	}
	return append(append(b, header[:ether]...), packet[prefix:]...), nil
}

// DeviceIntrRegister makes the device "irq" send a message with id
// [IDInterrupt] to port, a receive right of this task, on each interrupt of a
// line, which stays masked until [DeviceIntrAck].
func DeviceIntrRegister(irq Port, line int, port Port) error {
	r := begin("device_intr_register", 2813)
	r.PutInt32(int32(line))
	r.PutInt32(0)
	r.PutRight(port, MakeSend)
	return r.do(irq)
}

// DeviceIntrAck unmasks the line of which port gets the interrupts.
func DeviceIntrAck(irq, port Port) error {
	r := begin("device_intr_ack", 2814)
	r.PutRight(port, MakeSend)
	return r.do(irq)
}

// IDInterrupt is the id of the message that tells of an interrupt. Its one
// item is the number of the line.
const IDInterrupt = 100
