// Package pio reaches the I/O ports of an x86 machine.
//
// Drivers take a [Bus], so that their tests run on the host against a model
// of the device; [Ports] is the machine's own bus, and exists only where the
// kernel lets a task touch it (GOOS=hurd).
package pio

// A Bus is a space of I/O ports, 8, 16 or 32 bits wide.
type Bus interface {
	In8(port uint16) uint8
	In16(port uint16) uint16
	In32(port uint16) uint32
	Out8(port uint16, v uint8)
	Out16(port uint16, v uint16)
	Out32(port uint16, v uint32)
}
