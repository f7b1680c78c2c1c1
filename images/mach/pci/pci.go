// Package pci finds devices on bus 0 of a PC's PCI bus, through configuration
// mechanism 1 (I/O ports 0xcf8 and 0xcfc).
package pci

import "hurdlab/images/mach/pio"

// The I/O ports of the configuration mechanism, which a task must have
// access to.
const (
	FirstPort = 0xcf8
	LastPort  = 0xcff

	// FirstIO is the first I/O port above those of the PC's own devices and of
	// the configuration mechanism. Devices on the bus may be anywhere from it.
	FirstIO = 0xd00

	addressPort = 0xcf8
	dataPort    = 0xcfc
)

// Offsets in a function's configuration space.
const (
	regID      = 0x00
	regCommand = 0x04
	regBAR0    = 0x10
	regLine    = 0x3c

	commandIO     = 1 << 0
	commandMaster = 1 << 2
)

// A Function is one function of a device on bus 0.
type Function struct {
	Slot, Fn       uint8
	Vendor, Device uint16
	bus            pio.Bus
}

// Scan lists the functions on bus 0.
func Scan(bus pio.Bus) []Function {
	var fs []Function
	for slot := range uint8(32) {
		for fn := range uint8(8) {
			f := Function{Slot: slot, Fn: fn, bus: bus}
			id := f.read(regID)
			if id&0xffff == 0xffff { // nothing there
				if fn == 0 {
					break // function 0 is mandatory
				}
				continue
			}
			f.Vendor, f.Device = uint16(id), uint16(id>>16)
			fs = append(fs, f)
		}
	}
	return fs
}

// IOBase returns the I/O port at which base address register n starts; ok is
// false if it is not an I/O register or was given no address.
func (f Function) IOBase(n int) (base uint16, ok bool) {
	v := f.read(regBAR0 + 4*uint8(n))
	if v&1 == 0 || v&^3 == 0 || v > 0xffff {
		return 0, false
	}
	return uint16(v &^ 3), true
}

// MoveIO makes base address register n, an I/O register, start at base, which
// must be a multiple of size. It reports whether the device does so: not if it
// has more than size ports there. The device answers nowhere meanwhile.
func (f Function) MoveIO(n int, base, size uint16) bool {
	reg := regBAR0 + 4*uint8(n)
	command, old := f.read(regCommand)&0xffff, f.read(reg)
	f.write(regCommand, command&^commandIO)
	// Of all ones, those remain that choose the address.
	f.write(reg, 1<<32-1)
	fits := old&1 != 0 && -(f.read(reg)&0xfffc)&0xffff <= uint32(size)
	if fits {
		f.write(reg, uint32(base))
	} else {
		f.write(reg, old)
	}
	f.write(regCommand, command)
	return fits
}

// IRQ returns the interrupt line that the firmware assigned.
func (f Function) IRQ() uint8 { return uint8(f.read(regLine)) }

// Enable makes the function answer at its I/O ports and master the bus.
func (f Function) Enable() {
	// The upper half is the status register: writing zeros leaves it alone.
	f.write(regCommand, f.read(regCommand)&0xffff|commandIO|commandMaster)
}

func (f Function) address(reg uint8) {
	f.bus.Out32(addressPort, 1<<31|uint32(f.Slot)<<11|uint32(f.Fn)<<8|uint32(reg))
}

func (f Function) read(reg uint8) uint32 {
	f.address(reg)
	return f.bus.In32(dataPort)
}

func (f Function) write(reg uint8, v uint32) {
	f.address(reg)
	f.bus.Out32(dataPort, v)
}
