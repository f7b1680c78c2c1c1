package pio

// Ports is the machine's I/O ports. The task must have been given them by
// i386_io_perm_modify (package mach: IOPerm); touching any other raises an
// exception.
type Ports struct{}

var _ Bus = Ports{}

func (Ports) In8(port uint16) uint8       { return in8(port) }
func (Ports) In16(port uint16) uint16     { return in16(port) }
func (Ports) In32(port uint16) uint32     { return in32(port) }
func (Ports) Out8(port uint16, v uint8)   { out8(port, v) }
func (Ports) Out16(port uint16, v uint16) { out16(port, v) }
func (Ports) Out32(port uint16, v uint32) { out32(port, v) }

func in8(port uint16) uint8
func in16(port uint16) uint16
func in32(port uint16) uint32
func out8(port uint16, v uint8)
func out16(port uint16, v uint16)
func out32(port uint16, v uint32)
